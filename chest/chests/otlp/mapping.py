"""A record as a span or as a log record, under the names of OpenTelemetry's semantic conventions 1.44."""

from __future__ import annotations

from hashlib import sha256
from typing import Any, Final, NamedTuple

from chest.chests.asking.cube import FAILED
from chest.chests.otlp.values import key_values, string_value
from chest.chests.otlp.wire import FIXED_64, VARINT, fixed_64, sized, tag, varint
from chest.record.record import Outcome, Record
from chest.record.row import KNOWN_METHODS
from chest.record.text import storable

__all__ = ["SCHEMA_URL", "log_of", "resource_of", "span_of"]

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.44.0"

# A Span's fields, as they begin; those whose content has one length or one value, with that.
_TRACE_ID, _SPAN_ID = tag(1) + varint(16), tag(2) + varint(8)
_PARENT_ID, _NAME, _ATTRIBUTES, _EVENTS, _LINKS, _STATUS = map(tag, (4, 5, 9, 11, 13, 15))
_START, _END = tag(7, FIXED_64), tag(8, FIXED_64)
_INTERNAL, _SERVER, _CONSUMER = (tag(6, VARINT) + varint(kind) for kind in (1, 2, 5))
_EVENT_TIME, _EVENT_NAME, _OF_EVENT = tag(1, FIXED_64), tag(2), tag(3)
_STATUS_MESSAGE, _STATUS_ERROR = tag(2), tag(3, VARINT) + varint(2)
# Those of a LogRecord.
_TIME, _OBSERVED = tag(1, FIXED_64), tag(11, FIXED_64)
_BODY, _OF_LOG, _LOG_TRACE_ID, _LOG_SPAN_ID, _EVENT = map(tag, (5, 6, 9, 10, 12))
_INFO, _WARN, _ERROR = (
    tag(2, VARINT) + varint(number) + sized(tag(3), text)
    for number, text in ((9, b"INFO"), (13, b"WARN"), (17, b"ERROR"))
)

_KNOWN_NAMES: Final = ("user.", "session.", "feature_flag.")
"""What names of the conventions begin with that an application may have said itself."""
_TRACE: Final = frozenset(("trace_id", "parent_span_id", "span_id"))
"""Attributes of a record that have fields of their own in a span."""
_TYPE, _MESSAGE = "exception.type", "exception.message"
_EXCEPTION: Final = frozenset((_TYPE, _MESSAGE, "exception.stacktrace"))
_ORDINARY: Final = frozenset((Outcome.OK, Outcome.UPGRADED, Outcome.SENT_BY_SERVER))
_JOB: Final = "JOB"


class Place(NamedTuple):
    """Where a record stands in a trace; no bytes for what is not known."""

    trace_id: bytes
    span_id: bytes
    """Its own."""
    parent_id: bytes
    tracers_id: bytes
    """The span that the application's own tracer made of this request."""


def place_of(record: Record) -> Place:
    """The trace of its ``traceparent``, else one of its own; its span is told by the second half of its id."""
    own = _bytes_of(record.id, 16)
    if not any(own[8:]):  # no id that Chest made
        own = sha256(storable(record.id).encode()).digest()[:16]
    known = record.attributes
    trace_id = _bytes_of(known.get("trace_id"), 16)
    if not trace_id:
        return Place(own, own[8:], b"", b"")
    return Place(trace_id, own[8:], _bytes_of(known.get("parent_span_id"), 8), _bytes_of(known.get("span_id"), 8))


def resource_of(record: Record) -> tuple[str, str, str, str]:
    """What the records of one process have in common: service, release, host, and the process part of their ids."""
    return record.service, record.release, record.host, record.id[16:24]


def span_of(record: Record) -> bytes:
    """The fields of a ``Span``."""
    place, attributes = place_of(record), _attributes_of(record)
    attributes["chest.record_id"] = record.id
    exception = {}
    if not _EXCEPTION.isdisjoint(attributes):
        exception = {name: attributes.pop(name) for name in _EXCEPTION if name in attributes}
    kind = _SERVER if is_request(record) else _CONSUMER if record.method == _JOB else _INTERNAL
    end_ns = fixed_64(record.time_ns + record.duration_ns)
    span = [
        *(_TRACE_ID, place.trace_id, _SPAN_ID, place.span_id),
        sized(_NAME, storable(_name_of(record)).encode()),
        *(kind, _START, fixed_64(record.time_ns), _END, end_ns),
        key_values(_ATTRIBUTES, attributes.items()),
    ]
    if place.parent_id:
        span.append(sized(_PARENT_ID, place.parent_id))
    if place.tracers_id:
        span.append(sized(_LINKS, _TRACE_ID + place.trace_id + _SPAN_ID + place.tracers_id))
    if exception:
        pairs = key_values(_OF_EVENT, exception.items())
        span.append(sized(_EVENTS, _EVENT_TIME + end_ns + sized(_EVENT_NAME, b"exception") + pairs))
    if record.outcome in FAILED:
        message = storable(str(exception.get(_MESSAGE, ""))).encode()
        span.append(sized(_STATUS, sized(_STATUS_MESSAGE, message) + _STATUS_ERROR))
    return b"".join(span)


def log_of(record: Record) -> bytes:
    """The fields of a ``LogRecord``, which names the application's own span of the request if there is one."""
    place, attributes = place_of(record), _attributes_of(record)
    attributes["log.record.uid"] = record.id
    attributes["chest.duration_ns"] = record.duration_ns
    status = "" if record.status is None else f" {record.status}"
    return b"".join(
        (
            *(_TIME, fixed_64(record.time_ns), _OBSERVED, fixed_64(record.time_ns + record.duration_ns)),
            _severity_of(record),
            sized(_EVENT, b"chest.request" if is_request(record) else b"chest.work"),
            sized(_BODY, string_value(f"{record.method} {record.path}{status} {record.outcome}")),
            key_values(_OF_LOG, attributes.items()),
            sized(_LOG_TRACE_ID, place.trace_id),
            sized(_LOG_SPAN_ID, place.tracers_id or place.span_id),
        )
    )


def is_request(record: Record) -> bool:
    """False for a job, a command or other work: its method is its kind, and its path a name."""
    return record.method in KNOWN_METHODS or record.path.startswith("/")


def _attributes_of(record: Record) -> dict[str, Any]:
    made = {name: value for name, value in record.attributes.items() if name not in _TRACE}
    for name, value in record.variables.items():
        made[name if str(name).startswith(_KNOWN_NAMES) else f"app.{name}"] = value
    made["chest.request_id"], made["chest.outcome"] = record.request_id, record.outcome
    if is_request(record):
        _add_http(record, made)
    else:
        made["chest.work.kind"], made["chest.work.name"] = record.method, record.path
    if record.outcome in FAILED:
        made["error.type"] = _error_type_of(record)
    if record.error is not None:
        made[_TYPE] = record.error
    return made


def _add_http(record: Record, made: dict[str, Any]) -> None:
    if record.method in KNOWN_METHODS:
        made["http.request.method"] = record.method
    else:
        made["http.request.method"], made["http.request.method_original"] = "_OTHER", record.method
    made["url.path"] = record.path
    if record.route is not None:
        made["http.route"] = record.route
    if record.status is not None:
        made["http.response.status_code"] = record.status


def _name_of(record: Record) -> str:
    if not is_request(record):
        return record.path
    method = record.method if record.method in KNOWN_METHODS else "HTTP"
    return method if record.route is None else f"{method} {record.route}"


def _error_type_of(record: Record) -> str:
    if record.error is not None:
        return record.error
    return str(record.status) if record.status is not None and record.status >= 500 else record.outcome


def _severity_of(record: Record) -> bytes:
    if record.outcome in FAILED:
        return _ERROR
    return _WARN if (record.status or 0) >= 400 or record.outcome not in _ORDINARY else _INFO


def _bytes_of(digits: Any, length: int) -> bytes:
    """The bytes of an id in hex; none if that is no id, or the one that means "none"."""
    try:
        made = bytes.fromhex(digits) if isinstance(digits, str) else b""
    except ValueError:
        return b""
    return made if len(made) == length and any(made) else b""
