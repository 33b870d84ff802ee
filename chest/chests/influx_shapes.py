"""What a record becomes in InfluxDB: one point a request, or one point a variable."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Final

from chest.chests.influx_line import FieldValue, Point, field_value, timestamp, type_name
from chest.record import Record

UNMATCHED: Final = "_unmatched"
"""The tag of requests without a route: their paths, of which there is no end, never become tags."""
OTHER_METHOD: Final = "_OTHER"
"""OpenTelemetry's word for a method that it does not know."""

_METHODS: Final = frozenset(("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "QUERY"))
_MOST_FIELDS_KNOWN: Final = 10_000
_LARGEST_WHOLE: Final = 2.0**63


class FieldTypes:
    """Under which name a field is written, given that InfluxDB lets none change its type.

    The first value decides; one of another type goes to ``<name>_<type>``, beside it. What the server knows and this
    process does not, its refusal tells: see :meth:`learn`.
    """

    def __init__(self) -> None:
        self.conflicts = 0
        """How many values went to a second name."""
        self._types: dict[tuple[str, str], str] = {}

    def fitted(self, measurement: str, name: str, value: FieldValue) -> tuple[str, FieldValue]:
        """The name and form in which the value can be written. Whole numbers fit a field of either kind of number."""
        key, kind = (measurement, name), type_name(value)
        known = self._types.get(key)
        if known is None and len(self._types) < _MOST_FIELDS_KNOWN:
            known = self._types.setdefault(key, kind)
        if known is None or known == kind:
            return name, value
        if known == "float" and kind == "integer":
            return name, float(value)
        if known == "integer" and isinstance(value, float) and value.is_integer() and abs(value) < _LARGEST_WHOLE:
            return name, int(value)
        self.conflicts += 1
        return f"{name}_{kind}", value

    def learn(self, measurement: str, name: str, kind: str) -> bool:
        """Take the server's word for a field's type; False when that was known, and so was not the trouble."""
        key = (measurement, name)
        if self._types.get(key) == kind:
            return False
        self._types[key] = kind
        return True


Shape = Callable[[Record, Mapping[str, str], Collection[str], FieldTypes], Iterator[Point]]
"""Makes points of a record, with these tags more, of fields of which some are to be integers."""


def one_a_request(
    record: Record, custom_tags: Mapping[str, str], integers: Collection[str], types: FieldTypes
) -> Iterator[Point]:
    """Measurement: the service. Tags: what has few values. Fields: duration, request id and the variables."""
    measurement = record.service or "requests"
    tags = {
        "method": record.method if record.method in _METHODS else OTHER_METHOD,
        "route": UNMATCHED if record.route is None else record.route,
        "status": "" if record.status is None else str(record.status),
        "outcome": record.outcome,
        "service": record.service,
        **custom_tags,
    }
    fields: dict[str, FieldValue] = {"duration_ms": record.duration_ns / 1e6, "request_id": record.request_id}
    taken = {*tags, *fields, "time"}
    for name, value in record.variables.items():
        held = field_value(value, is_integer=name in integers)
        if held is not None:
            own_name = f"{name}_" if name in taken or not name else name
            fitted_name, fitted = types.fitted(measurement, own_name, held)
            fields[fitted_name] = fitted
    yield Point(measurement, tags, fields, timestamp(record.time_ns, record.id))


def one_a_variable(
    record: Record, custom_tags: Mapping[str, str], integers: Collection[str], types: FieldTypes
) -> Iterator[Point]:
    """Flask-Chest's: the measurement is the variable, the request's id a tag, the field is ``value``."""
    for name, value in record.variables.items():
        held = field_value(value, is_integer=name in integers)
        if held is not None:
            measurement = name or "_"
            field, fitted = types.fitted(measurement, "value", held)
            tags = {"request_id": record.request_id, **custom_tags}
            yield Point(measurement, tags, {field: fitted}, timestamp(record.time_ns, record.id, name))


SHAPES: Final[dict[str, Shape]] = {"request": one_a_request, "variable": one_a_variable}
