"""The engines of a fleet: each a real server that is stopped and started again, or stands in for one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from tests.servers.fault_proxy import Fault
from tests.servers.process import HOST, Server

if TYPE_CHECKING:
    from tests.servers.kafka import KafkaProxy
    from tests.servers.otlp.sink import StoppableSink  # with protobuf behind it

_UNTIL_IN_A_FILE_SECONDS: Final = 2.0

MakeUrl = Callable[[str, int], str]
"""The chest URL of the place in the engine, at this address and port."""


class _Stoppable(Protocol):
    """A server that is stopped, and started on its port again."""

    @property
    def port(self) -> int: ...
    def stop(self) -> object: ...
    def start(self) -> object: ...


class Engine(NamedTuple):
    """An engine that runs."""

    server: _Stoppable
    url: MakeUrl
    variables: Callable[[], Iterable[Mapping[str, Any]]] | None = None
    """Those of all records that it has, if its chest cannot be read."""


@contextmanager
def _postgresql(listen: str, *, is_partitioned: bool = False) -> Iterator[Engine]:
    from tests.servers.postgresql import partitioned, postgresql

    with postgresql(listen=listen) as server:
        database = server.new_database()
        if is_partitioned:
            partitioned(server.url(database))
        yield Engine(server.server, lambda host, port: server.url(database, host=host, port=port))


@contextmanager
def _clickhouse(listen: str) -> Iterator[Engine]:
    from tests.servers.clickhouse import clickhouse

    with clickhouse(listen) as server:
        database = server.new_database()
        yield Engine(server.server, lambda host, port: server.url(database, host=host, port=port))


@contextmanager
def _nats(listen: str) -> Iterator[Engine]:
    from tests.servers.nats import nats

    with nats(listen=listen) as server:
        stream = server.new_stream()
        yield Engine(server.server, lambda host, port: server.url(stream, host=host, port=port))


class _Proxied:
    """A server that is found at the port of a proxy, and whose clients hear nothing while it ends.

    noida-db answers before what it was sent is in a file, and what it answers while it ends is lost: to a plain loop of
    confluent-kafka too.
    """

    def __init__(self, server: Server, proxy: KafkaProxy) -> None:
        self._server, self._proxy = server, proxy
        self.port = proxy.port

    def stop(self) -> None:
        self._proxy.set(Fault.BLACKHOLE)
        time.sleep(_UNTIL_IN_A_FILE_SECONDS)
        self._server.stop()

    def start(self) -> None:
        self._server.start()
        self._proxy.set(Fault.RESET)
        self._proxy.heal()


@contextmanager
def _kafka(listen: str) -> Iterator[Engine]:
    """A broker tells its clients its own address, at which no host finds it: the proxy has them told the one that they were given."""
    from tests.servers.kafka import KafkaProxy, kafka

    with kafka() as broker, closing(KafkaProxy(broker.port, listen=listen)) as proxy:
        topic = broker.new_topic()

        def url(host: str, port: int) -> str:
            if (host, port) != (HOST, proxy.port):
                proxy.name_as(host, port)
            return broker.url(topic, "partitions=6", f"{host}:{port}")

        yield Engine(_Proxied(broker.server, proxy), url)


@contextmanager
def _otlp(listen: str) -> Iterator[Engine]:
    from tests.servers.otlp.sink import StoppableSink

    sink = StoppableSink(listen=listen)
    yield Engine(sink, lambda host, port: f"otlp://{host}:{port}", lambda: _variables_of_spans(sink))
    sink.stop()


def _variables_of_spans(sink: StoppableSink) -> Iterator[Mapping[str, Any]]:
    """Each value as it stands in the message: millions of whole records would take longer than the run."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    for post in sink.taken:
        for group in ExportTraceServiceRequest.FromString(post.content).resource_spans:
            for span in (span for scoped in group.scope_spans for span in scoped.spans):
                own = {each.key[4:]: each.value for each in span.attributes if each.key.startswith("app.")}
                yield {name: getattr(value, value.WhichOneof("value")) for name, value in own.items()}


ENGINES: Final[dict[str, Callable[[str], AbstractContextManager[Engine]]]] = {
    "postgresql": _postgresql,
    "partitioned": partial(_postgresql, is_partitioned=True),
    "clickhouse": _clickhouse,
    "nats": _nats,
    "kafka": _kafka,
    "otlp": _otlp,
}
