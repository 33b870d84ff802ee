"""What a record becomes in InfluxDB: one point a request, or one point a variable."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from chest.chests.influx_bucket import OVERFLOW, Bucket
from chest.chests.influx_line import FieldValue, Point, timestamp
from chest.encoding import encode
from chest.record import Record

UNMATCHED: Final = "_unmatched"
"""The tag of requests without a route: their paths, of which there is no end, never become tags."""
OTHER_METHOD: Final = "_OTHER"
"""OpenTelemetry's word for a method that it does not know."""

_METHODS: Final = frozenset(("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "QUERY"))
_OWN_NAMES: Final = frozenset(
    ("method", "route", "status", "outcome", "service", "duration_ms", "request_id", "time", "_field", "_measurement")
)
"""Ours, and InfluxDB's: no variable is a field of one of these names."""

Shape = Callable[[Record, Bucket], Iterator[Point]]
"""Makes points of a record, fit for a bucket."""


def one_a_request(record: Record, bucket: Bucket) -> Iterator[Point]:
    """Measurement: the service. Tags: what has few values. Fields: duration, request id and the variables."""
    label = bucket.label
    tags = {
        "method": record.method if record.method in _METHODS else OTHER_METHOD,
        "route": UNMATCHED if record.route is None else label("route", record.route),
        "status": "" if record.status is None else label("status", str(record.status)),
        "outcome": label("outcome", record.outcome),
        "service": (service := label("service", record.service)),
        **bucket.custom_tags,
    }
    measurement = service or "requests"
    own = (("duration_ms", record.duration_ns / 1e6), ("request_id", record.request_id))
    fields = dict(bucket.fitted(measurement, name, value) for name, value in own)
    too_many: dict[str, Any] = {}
    for name, value in record.variables.items():
        held = bucket.held(name, value)
        if held is None:
            continue
        if label("variable", name) == OVERFLOW:
            too_many[name] = value
        else:
            _add(
                fields,
                bucket,
                measurement,
                f"{name}_" if name in tags or name in _OWN_NAMES or not name else name,
                held,
            )
    if too_many:
        _add(fields, bucket, measurement, OVERFLOW, encode(too_many).decode())
    yield Point(measurement, tags, fields, timestamp(record.time_ns, record.id))


def _add(fields: dict[str, FieldValue], bucket: Bucket, measurement: str, name: str, value: FieldValue) -> None:
    """Under a name that no other variable of the request has: a second name may be another's first."""
    fitted_name, fitted = bucket.fitted(measurement, name, value)
    while fitted_name in fields:
        fitted_name, fitted = bucket.fitted(measurement, f"{fitted_name}_", value)
    fields[fitted_name] = fitted


def one_a_variable(record: Record, bucket: Bucket) -> Iterator[Point]:
    """Flask-Chest's: the measurement is the variable, the request's id a tag, the field is ``value``."""
    tags = {"request_id": record.request_id, **bucket.custom_tags}
    for name, value in record.variables.items():
        held = bucket.held(name, value)
        if held is not None:
            measurement = bucket.label("variable", name) or "_"
            if measurement == OVERFLOW:
                held = encode({name: value}).decode()
            field, fitted = bucket.fitted(measurement, "value", held)
            yield Point(measurement, tags, {field: fitted}, timestamp(record.time_ns, record.id, name))


SHAPES: Final[dict[str, Shape]] = {"request": one_a_request, "variable": one_a_variable}
