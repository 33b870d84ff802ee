"""``outgoing_headers``: the headers for a call to another service, so that the records of both can be joined."""

from __future__ import annotations

import sys
from collections.abc import Collection
from typing import Any, Final

from chest.request.closed_contexts import current
from chest.request.metadata import trace_of
from chest.request.request_id import is_echoable

TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"


def outgoing_headers(given: Collection[str] = (), header: str = "X-Request-ID") -> dict[str, str]:
    """Headers for a call that is made for the current request: its id, and its trace. Empty outside of a request.

    With a current span of OpenTelemetry, ``traceparent`` names that span. Without one, the request's own ``traceparent`` and
    ``tracestate`` go on unchanged, as W3C Trace Context has those do that make no spans.

    :param given: names of headers that the call has already: they stay as they are.
    :param header: the header for the id.
    """
    context, has = current(), {name.lower() for name in given}
    headers: dict[str, str] = {}
    if header.lower() not in has and context.request_id and is_echoable(context.request_id):
        headers[header] = context.request_id
    if TRACEPARENT not in has:
        headers |= _of_span() or _of_request(getattr(context, "_environ", None) or {})
    return headers


def _of_span() -> dict[str, str]:
    tracing = sys.modules.get("opentelemetry.trace")
    found: Any = None if tracing is None else tracing.get_current_span().get_span_context()
    if found is None or not found.is_valid or found.is_remote:
        return {}
    said = {TRACEPARENT: f"00-{found.trace_id:032x}-{found.span_id:016x}-{found.trace_flags:02x}"}
    state = found.trace_state.to_header()
    return said | {TRACESTATE: state} if state else said


def _of_request(environ: dict[str, Any]) -> dict[str, str]:
    traceparent = environ.get("HTTP_TRACEPARENT")
    if trace_of(traceparent) is None:
        return {}
    state = environ.get("HTTP_TRACESTATE")
    return {TRACEPARENT: str(traceparent)} | ({TRACESTATE: state} if state else {})
