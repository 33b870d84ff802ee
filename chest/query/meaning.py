"""``query_of_condition``: the ``Query`` that the name, the operator and the values of a condition stand for."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from chest.chests.asking.conditions import NUMBER_FIELDS, Condition, Kind, Name, Span, number_of
from chest.chests.query import Query
from chest.query.names import name_of, near_field
from chest.query.typed import duration_ns, is_duration, moment_ns, outcome, statuses

__all__ = ["OPERATORS", "Value", "WrongValue", "query_of_condition"]

OPERATORS: Final[dict[str, tuple[Kind, bool]]] = {
    "=": ("equals", False),
    "!=": ("equals", True),
    "~": ("contains", False),
    "!~": ("contains", True),
    ">": ("above", False),
    ">=": ("at_least", False),
    "<": ("below", False),
    "<=": ("at_most", False),
}
_UNITS: Final = {"_ns": 1, "_us": 10**3, "_ms": 10**6, "_s": 10**9, "_seconds": 10**9}
"""Endings of variables that hold a duration; ``timer("render")`` makes ``render_ms``."""


class Value(NamedTuple):
    """A value as it was typed."""

    text: str
    is_quoted: bool
    position: int


class WrongValue(ValueError):
    """An invalid value of a name; with its place, and what was expected.

    :param meant: the value that was perhaps meant.
    :param meant_name: the name that was perhaps meant, before this value.
    """

    def __init__(self, value: Value, reason: str, meant: str | None = None, meant_name: str | None = None) -> None:
        super().__init__(reason)
        self.value, self.meant, self.meant_name = value, meant, meant_name


def query_of_condition(name_text: str, operator: str, values: list[Value]) -> Query:
    """The query of one condition.

    :raises WrongValue: one of the values is wrong; another ``ValueError``: the name is.
    """
    if name_text in ("since", "until"):
        if operator != "=" or len(values) > 1:
            raise ValueError(f"write {name_text}=2h, or {name_text}=2026-01-31T12:00")
        moment = _read(moment_ns, values[0])
        return Query(since_ns=moment) if name_text == "since" else Query(until_ns=moment)
    name, (kind, is_negated) = name_of(name_text), OPERATORS[operator]
    is_number = name.place == "field" and name.name in NUMBER_FIELDS
    stars = [value for value in values if not value.is_quoted and value.text == "*"]
    if kind == "equals" and (stars or (is_number and [each.text for each in values] == ["null"])):
        if len(values) > 1:
            raise WrongValue(stars[0], "* alone means that there is a value; leave the others out")
        return Query(conditions=(Condition(name, "present", (), is_negated != (not stars)),))
    if is_number:
        if kind == "contains":
            raise ValueError(f"{name_text} is a number: compare it by = != > >= < <=")
        spans = tuple(_span(name, kind, value) for value in values)
        if name.name == "time_ns" and len(spans) == 1 and not is_negated:  # a store finds a time range at once
            return Query(since_ns=spans[0][0], until_ns=spans[0][1])
        return Query(conditions=(Condition(name, "between", spans, is_negated),))
    if kind == "equals":
        return Query(conditions=(_equals(name, values, is_negated),))
    if kind != "contains":
        values = [_with_unit(name, name_text, values[0])]
    return Query(conditions=(Condition(name, kind, tuple(value.text for value in values), is_negated),))


def _equals(name: Name, values: list[Value], is_negated: bool) -> Condition:
    for value in values:
        if value.text.startswith("*") and not value.is_quoted:
            raise WrongValue(
                value, f"a * stands at the end only; for what has it anywhere, write ~{value.text.strip('*')}"
            )
    begins = [value for value in values if value.text.endswith("*") and not value.is_quoted]
    if not begins:
        if name == ("field", "outcome"):
            for value in values:
                _read(outcome, value)
        return Condition(name, "equals", tuple(value.text for value in values), is_negated)
    if begins != values:
        wrong = next(value for value in values if value not in begins)
        raise WrongValue(wrong, "either all values of a list end with *, or none; quote one that ends so itself")
    return Condition(name, "starts", tuple(value.text[:-1] for value in values), is_negated)


def _span(name: Name, kind: Kind, value: Value) -> Span:
    """Whole numbers: above 5 is from 6 on, and above 4xx from 500 on."""
    low, high = _read(_READERS[name.name], value)
    if kind == "equals":
        return low, high
    return {"above": (high, None), "at_least": (low, None), "below": (None, low), "at_most": (None, high)}[kind]


def _with_unit(name: Name, name_text: str, value: Value) -> Value:
    """``render_ms>1s`` is ``render_ms>1000``. What has a unit of time, and no name that says in which one it is, is refused."""
    if name.place == "field" or value.is_quoted or not is_duration(value.text):
        if not value.text:
            raise WrongValue(value, "expected a value to compare with")
        return value
    unit = next((unit for ending, unit in _UNITS.items() if name.name.endswith(ending)), None)
    if unit is not None:
        number = duration_ns(value.text) / unit
        return value._replace(text=str(int(number) if number.is_integer() else number))
    near = near_field(name_text)
    hint = f"did you mean {near}?" if near else f'write a number, or "{value.text}" if it is a text'
    raise WrongValue(value, f"{name_text} is not known to be a duration: {hint}", meant_name=near)


def _read(reader: Any, value: Value) -> Any:
    try:
        return reader(value.text)
    except (ValueError, OverflowError) as error:
        raise WrongValue(value, str(error), None if value.is_quoted else getattr(error, "meant", None)) from None


def _status_span(text: str) -> tuple[int, int]:
    if text.isascii() and text.isdecimal():
        return int(text), int(text) + 1
    found = statuses(text)
    return found.start, found.stop


def _duration_span(text: str) -> tuple[int, int]:
    nanoseconds = number_of(text)
    nanoseconds = nanoseconds if isinstance(nanoseconds, int) and nanoseconds == 0 else duration_ns(text)
    return nanoseconds, nanoseconds + 1


def _moment_span(text: str) -> tuple[int, int]:
    moment = moment_ns(text)
    return moment, moment + 1


_READERS: Final = {"status": _status_span, "duration_ns": _duration_span, "time_ns": _moment_span}
