"""An endpoint that takes OTLP over HTTP, and gives what it was sent as plain values, or as the records that were sent."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from chest.record.record import Record
from tests.recording_server import Received, RecordingServer, Reply, recording_server
from tests.servers.process import HOST

_KNOWN = ("user.", "session.", "feature_flag.")


class Item(NamedTuple):
    """A span or a log record, with what stands around it."""

    message: Any
    attributes: dict[str, Any]
    resource: dict[str, Any]
    scope: Any
    schema_url: str

    @property
    def record(self) -> Record:
        """The record that it was made of; only of a span."""
        span, left = self.message, dict(self.attributes)
        is_work = "chest.work.kind" in left
        method = left.pop("chest.work.kind") if is_work else left.pop("http.request.method")
        method = left.pop("http.request.method_original", method)
        path = left.pop("chest.work.name") if is_work else left.pop("url.path")
        exception = {name: value for event in span.events for name, value in plain(event.attributes).items()}
        left.pop("error.type", None)
        error = exception.pop("exception.type", None)
        names = ("chest.record_id", "chest.request_id", "chest.outcome")
        record_id, request_id, outcome = (left.pop(name) for name in names)
        route, status = left.pop("http.route", None), left.pop("http.response.status_code", None)
        variables = {name: value for name, value in left.items() if name.startswith(("app.", *_KNOWN))}
        attributes = {name: value for name, value in left.items() if name not in variables} | exception
        return Record(
            id=record_id, request_id=request_id, time_ns=span.start_time_unix_nano,
            duration_ns=span.end_time_unix_nano - span.start_time_unix_nano, method=method, path=path, route=route,
            status=status, outcome=outcome, error=error,
            variables={name.removeprefix("app."): value for name, value in variables.items()}, attributes=attributes,
            service=self.resource.get("service.name", ""), release=self.resource.get("service.version", ""),
            host=self.resource.get("host.name", ""),
        )  # fmt: skip


def items_of(post: Received) -> list[Item]:
    """What one request brought."""
    assert post.headers["content-type"] == "application/x-protobuf"
    made = []
    if post.path.endswith("/v1/logs"):
        groups: Any = ExportLogsServiceRequest.FromString(post.content).resource_logs
    else:
        assert post.path.endswith("/v1/traces")
        groups = ExportTraceServiceRequest.FromString(post.content).resource_spans
    for group in groups:
        for scoped in group.scope_logs if hasattr(group, "scope_logs") else group.scope_spans:
            messages = scoped.log_records if hasattr(scoped, "log_records") else scoped.spans
            resource = plain(group.resource.attributes)
            made += [Item(each, plain(each.attributes), resource, scoped.scope, scoped.schema_url) for each in messages]
    return made


def plain(pairs: Any) -> dict[str, Any]:
    """``KeyValue`` messages as a dict."""
    names = [pair.key for pair in pairs]
    assert len(names) == len(set(names)), "the names of attributes are unique"
    return {pair.key: _plain_value(pair.value) for pair in pairs}


def _plain_value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [_plain_value(each) for each in value.array_value.values]
    return plain(value.kvlist_value.values) if kind == "kvlist_value" else getattr(value, kind)


class OtlpSink:
    """What came, in one list."""

    def __init__(self, server: RecordingServer) -> None:
        self.server = server
        self._decoded: list[list[Item]] = []

    @property
    def items(self) -> list[Item]:
        """All spans and log records."""
        self._decoded += [items_of(post) for post in self.server.posts[len(self._decoded) :]]
        return [item for items in self._decoded for item in items]

    def clear(self) -> None:
        """Forget what came."""
        self.server.received.clear()
        self._decoded.clear()

    @property
    def records(self) -> list[Record]:
        """The records of all spans."""
        return [item.record for item in self.items]


@contextmanager
def otlp_sink(
    reply: Callable[[Received], Reply | None] | None = None,
    port: int = 0,
    tls: ssl.SSLContext | None = None,
    listen: str = HOST,
) -> Iterator[OtlpSink]:
    """The endpoint for the block, the parameters are those of ``recording_server``."""
    with recording_server(tls, reply, port, listen) as server:
        server.reply = Reply(status=200, headers={"Content-Type": "application/x-protobuf"})
        yield OtlpSink(server)


class StoppableSink:
    """A sink that is stopped and started on its port, and keeps what it took.

    :param reply: asked what to answer; what it answers itself is not taken.
    :param listen: the address on which it listens; whatever it is, 127.0.0.1 has to reach it.
    """

    def __init__(self, reply: Callable[[Received], Reply | None] = lambda _: None, listen: str = HOST) -> None:
        self.port = 0
        self._listen = listen
        self._reply = reply
        self.taken: list[Received] = []
        """The requests that it took."""
        self._running: ExitStack | None = None
        self.start()

    @property
    def records(self) -> list[Record]:
        """The records of all spans that it took."""
        return [item.record for post in self.taken for item in items_of(post)]

    def start(self) -> None:
        """Go on; nothing if it runs."""
        if self._running is None:
            self._running = ExitStack()
            self.port = self._running.enter_context(otlp_sink(self._answer, self.port, listen=self._listen)).server.port

    def stop(self) -> None:
        """Close the port and all connections."""
        running, self._running = self._running, None
        if running is not None:
            running.close()

    def _answer(self, request: Received) -> Reply | None:
        answer = self._reply(request)
        if answer is None:
            self.taken.append(request)
        return answer
