"""What a record becomes in InfluxDB: one point a request, or one point a variable, in either of Flask-Chest's two ways."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from chest.chests.influxdb.bucket import OVERFLOW, Bucket
from chest.chests.influxdb.line_protocol import FieldValue, Point, timestamp
from chest.record.encoding import encode
from chest.record.record import Record

UNMATCHED: Final = "_unmatched"
"""The tag of requests without a route. Their paths never become tags: the number of paths has no bound."""
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
    """Under a name that no other variable of the request has: a changed name may equal another variable's own."""
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


def one_a_sample(record: Record, bucket: Bucket) -> Iterator[Point]:
    """Flask-Chest's exporter's: the measurement is ``sample``, the row's and the request's ids are tags, the fields ``name`` and ``value``."""
    tags = {"unique_id": str(int(record.id, 16)), "request_id": record.request_id, **bucket.custom_tags}
    for name, value in record.variables.items():
        fields: dict[str, FieldValue] = {"name": name}
        held = bucket.held(name, value)
        if held is not None:
            _add(fields, bucket, "sample", "value", held)
        yield Point("sample", tags, fields, timestamp(record.time_ns, record.id, name))


SHAPES: Final[dict[str, Shape]] = {"request": one_a_request, "variable": one_a_variable, "sample": one_a_sample}
