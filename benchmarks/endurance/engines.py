"""The engines of a fleet: each a real server that is stopped and started again, or stands in for one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tests.servers.process import Server

if TYPE_CHECKING:
    from tests.servers.otlp.sink import StoppableSink  # with protobuf behind it

MakeUrl = Callable[[str, int], str]
"""The chest URL of the place in the engine, at this address and port."""


class Engine(NamedTuple):
    """An engine that runs."""

    server: Server | StoppableSink
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
    "otlp": _otlp,
}
