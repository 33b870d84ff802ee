"""``Signal``: what is sent for spans and for log records, and what a collector says of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsPartialSuccess,
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from chest.chests.otlp.mapping import SCHEMA_URL, log_of, resource_of, span_of
from chest.chests.otlp.values import key_values
from chest.record.record import Record

__all__ = ["SIGNALS", "Signal", "failure_of"]

_RESOURCE: Final = ("service.name", "service.version", "host.name", "service.instance.id")


class Signal(NamedTuple):
    """One of OpenTelemetry's kinds of data."""

    request: Callable[..., Message]
    response: type[Message]
    by_resource: str
    by_scope: str
    items: str
    item_of: Callable[[Record], dict[str, Any]]
    rejected: str

    def request_of(self, records: Sequence[Record], version: str) -> bytes:
        """The body for these records, grouped by what those of one process have in common.

        Raises whatever a value raises that no message can hold.

        :param version: the release of Chest.
        """
        request: Any = self.request()
        adders: dict[tuple[str, ...], Callable[..., object]] = {}
        for record in records:
            known = resource_of(record)
            add = adders.get(known)
            if add is None:
                group = getattr(request, self.by_resource).add(
                    resource={"attributes": key_values(pair for pair in zip(_RESOURCE, known, strict=True) if pair[1])},
                    schema_url=SCHEMA_URL,
                )
                scope = {"name": "chest", "version": version}
                scoped = getattr(group, self.by_scope).add(scope=scope, schema_url=SCHEMA_URL)
                add = adders[known] = getattr(scoped, self.items).add
            add(**self.item_of(record))  # one by one: the dicts of a whole batch would cost half as much again
        content: bytes = request.SerializeToString()
        return content

    def rejected_of(self, content: bytes) -> tuple[int, str]:
        """How many of the records a collector rejected that took the others, and what it says; 0 of an answer that is no message."""
        try:
            partial = self.response.FromString(content).partial_success
        except DecodeError:
            return 0, ""
        return max(0, getattr(partial, self.rejected)), partial.error_message


SIGNALS: Final = {
    "traces": Signal(
        ExportTraceServiceRequest, ExportTraceServiceResponse, "resource_spans", "scope_spans", "spans", span_of,
        "rejected_spans",
    ),
    "logs": Signal(
        ExportLogsServiceRequest, ExportLogsServiceResponse, "resource_logs", "scope_logs", "log_records", log_of,
        "rejected_log_records",
    ),
}  # fmt: skip


def failure_of(content: bytes) -> tuple[int, str]:
    """The code of gRPC and the text in which a collector says why it failed; 0 and "" if it is not said in a message.

    It is a ``google.rpc.Status``, whose first two fields, a number and a text, stand where those of a partial success do: so no
    package is needed that describes it.
    """
    try:
        status = ExportLogsPartialSuccess.FromString(content)
    except DecodeError:
        return 0, ""
    return status.rejected_log_records, status.error_message
