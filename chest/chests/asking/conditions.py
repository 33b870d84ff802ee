"""``Condition``: one condition of a filter. ``matches`` says what it means, and every store answers the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite
from operator import ge, gt, le, lt
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from chest.record.decoding import FIELD_TYPES
from chest.record.encoding import decode
from chest.record.record import Record

__all__ = ["ABSENT", "COMPARISONS", "NUMBER_FIELDS", "Condition", "Kind", "Name", "Place", "Span", "number_of", "says"]

Place: TypeAlias = Literal["field", "variable", "attribute"]
Kind: TypeAlias = Literal["present", "between", "equals", "starts", "contains", "above", "at_least", "below", "at_most"]
Span: TypeAlias = tuple[int | None, int | None]
"""Whole numbers from the first on, and below the second; None is no bound."""

ABSENT: Final = object()
"""The value of a name that a record does not have."""
NUMBER_FIELDS: Final = tuple(name for name, types in FIELD_TYPES.items() if int in types)
COMPARISONS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "above": gt,
    "at_least": ge,
    "below": lt,
    "at_most": le,
}


class Name(NamedTuple):
    """Where a value stands in a record: a field of it, a variable, or an attribute."""

    place: Place
    name: str
    """A field's name; of a variable or attribute a name whose dots may lead into nested mappings."""

    def value_in(self, record: Record) -> Any:
        """The value, :data:`ABSENT` if the record has none."""
        if self.place == "field":
            return getattr(record, self.name)
        return value_at(record.variables if self.place == "variable" else record.attributes, self.name)


@dataclass(frozen=True)
class Condition:
    """A condition on one value of a record. It holds if the value is as one of :attr:`values` says.

    =============== ==================================================================================================
    kind            the value
    =============== ==================================================================================================
    present         is there and is not null; no values
    between         a field that is a number lies in one of these :data:`Span`
    equals          is what a person typed: ``123`` is ``123``, ``123.0`` and ``"123"``; see :func:`says`
    starts          is a text that begins so
    contains        is a text that has this in it
    above and so on is larger or smaller: if what was typed is a number, the value must be one; else it must be a text,
                    and is compared character by character. A field that is a text is always compared so
    =============== ==================================================================================================

    :param is_negated: the condition holds if all this does not, so also for a record without the value.
    """

    name: Name
    kind: Kind
    values: tuple[str, ...] | tuple[Span, ...] = ()
    is_negated: bool = False

    def matches(self, record: Record) -> bool:
        """True if the condition holds for the record."""
        value = self.name.value_in(record)
        if self.kind == "present":
            return (value is not ABSENT and value is not None) != self.is_negated
        return any(self._is(value, given) for given in self.values) != self.is_negated

    def _is(self, value: Any, given: Any) -> bool:
        if self.kind == "between":
            low, high = given
            return value is not None and (low is None or value >= low) and (high is None or value < high)
        if self.kind == "equals":
            return says(given, value)
        if self.kind == "starts":
            return isinstance(value, str) and value.startswith(given)
        if self.kind == "contains":
            return isinstance(value, str) and given in value
        return self._compares(value, given)

    def _compares(self, value: Any, given: str) -> bool:
        number = None if self.name.place == "field" else number_of(given)
        if number is None:
            return isinstance(value, str) and COMPARISONS[self.kind](value, given)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and COMPARISONS[self.kind](value, number)


def value_at(values: Mapping[str, Any], name: str) -> Any:
    """The value of this name, else what the name's dots lead to, else :data:`ABSENT`."""
    if name in values:
        return values[name]
    if "." not in name:
        return ABSENT
    value: Any = values
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return ABSENT
        value = value[part]
    return value


def says(typed: str, value: Any) -> bool:
    """True if this is how a person types the value."""
    if value is ABSENT:
        return False
    if isinstance(value, str):
        return value == typed
    try:
        meant = decode(typed)
    except ValueError:
        return False
    # True == 1 in Python, and a query for one does not mean the other.
    return isinstance(meant, bool) == isinstance(value, bool) and bool(meant == value)


def number_of(typed: str) -> int | float | None:
    """The typed text as a number; None if it is not one."""
    try:
        meant = decode(typed)
    except ValueError:
        return None
    is_number = isinstance(meant, int | float) and not isinstance(meant, bool) and isfinite(meant)
    return meant if is_number else None
