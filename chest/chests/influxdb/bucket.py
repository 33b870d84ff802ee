"""``Bucket``: what a process knows of the bucket that it writes to, so that it neither grows without end nor loses values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from chest.chests.influxdb.line_protocol import FieldValue, field_value, type_name

OVERFLOW: Final = "_overflow"
"""Stands for every value of a tag, and every name, beyond the most that are kept apart."""
DEFAULT_MOST_VALUES: Final = 1000
"""More than an application has routes, and few enough that a hundred processes do not exhaust a server's memory."""

_MOST_FIELDS_KNOWN: Final = 10_000
_MOST_TYPES: Final = 4
"""A field's second names: one a type, and each can itself be taken by another type."""
_LARGEST_WHOLE: Final = 2.0**63


class Bucket:
    """Decides the values of tags, and the names and types of fields.

    Each value of a tag is an entry in an index that a server keeps in memory, and never forgets. So of each tag, and of
    variables' names, only so many are kept apart; all others share one, and are counted.

    InfluxDB lets no field change its type. The first value decides; one of another type goes to ``<name>_<type>``, beside
    it, and is counted. What the server knows and this process does not, its refusal tells: see :meth:`learn`.

    :param custom_tags: more tags for every point.
    :param integers: the variables that are written as InfluxDB's integers.
    :param most_values: how many values of a tag, and how many names of variables, are kept apart.
    """

    def __init__(
        self,
        custom_tags: Mapping[str, str] | None = None,
        integers: frozenset[str] = frozenset(),
        most_values: int = DEFAULT_MOST_VALUES,
    ) -> None:
        self.custom_tags = dict(custom_tags or {})
        self.type_conflicts = 0
        """How many values went to a second name."""
        self.overflows: dict[str, int] = {}
        """By tag (``variable`` for names of variables), how many values became ``_overflow``."""
        self._integers = integers
        self._most_values = most_values
        self._seen: dict[str, set[str]] = {}
        self._types: dict[tuple[str, str], str] = {}

    def label(self, label: str, value: str) -> str:
        """The value, or ``_overflow`` if there were too many of this label already."""
        seen = self._seen.get(label)
        if seen is None:
            seen = self._seen.setdefault(label, set())
        if value in seen:
            return value
        if len(seen) < self._most_values:
            seen.add(value)
            return value
        self.overflows[label] = self.overflows.get(label, 0) + 1
        return OVERFLOW

    def held(self, variable: str, value: Any) -> FieldValue | None:
        """The variable's value as a field holds it; None if there is no value."""
        return field_value(value, is_integer=variable in self._integers)

    def fitted(self, measurement: str, name: str, value: FieldValue) -> tuple[str, FieldValue]:
        """The name and form in which the value can be written. Whole numbers fit a field of either kind of number."""
        kind, fitted_name = type_name(value), name
        if self._types.get((measurement, name)) == kind:  # nearly always
            return name, value
        fitted: FieldValue | None = None
        for _ in range(_MOST_TYPES):
            fitted = self._as(self._type_of(measurement, fitted_name, kind), kind, value)
            if fitted is not None:
                break
            fitted_name = f"{fitted_name}_{kind}"
        self.type_conflicts += fitted_name != name
        return fitted_name, value if fitted is None else fitted

    def learn(self, measurement: str, name: str, kind: str) -> bool:
        """Take the server's word for a field's type; False when that was known, and so was not the trouble."""
        key = (measurement, name)
        if self._types.get(key) == kind:
            return False
        while len(self._types) >= _MOST_FIELDS_KNOWN:
            self._types.pop(next(iter(self._types)), None)
        self._types[key] = kind
        return True

    def _type_of(self, measurement: str, name: str, kind: str) -> str:
        """The type of the field; that of this value if it is the first."""
        known = self._types.get((measurement, name))
        if known is None:
            if len(self._types) >= _MOST_FIELDS_KNOWN:
                return kind
            known = self._types.setdefault((measurement, name), kind)
        return known

    @staticmethod
    def _as(known: str, kind: str, value: FieldValue) -> FieldValue | None:
        """The value as one of the field's type, None if it cannot be converted."""
        if known == kind:
            return value
        if known == "float" and kind == "integer":
            return float(value)
        if known == "integer" and isinstance(value, float) and value.is_integer() and abs(value) < _LARGEST_WHOLE:
            return int(value)
        return None
