"""Conditions and cubes as expressions of MongoDB's aggregation, with the meaning that they have in Python.

The filter of ``find`` has another meaning: it looks into arrays, and takes a missing value for null.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import isfinite
from typing import Any, Final

from chest.chests.asking.conditions import Condition, Name, number_of, says
from chest.chests.asking.cube import FAILED, SAMPLE_RATE, STATUSES, Step
from chest.chests.asking.durations import BOUNDARIES_NS
from chest.chests.query import Query
from chest.record.encoding import decode
from chest.record.text import is_storable

__all__ = ["BUCKETS", "CLASSES", "conditions_of", "group_of", "value_of"]

BUCKETS: Final = 512
CLASSES: Final = 16
_COMPARISONS: Final = {"above": "$gt", "at_least": "$gte", "below": "$lt", "at_most": "$lte"}
_NOTHING: Final = ["missing", "null", "undefined"]
_NUMBERS: Final = ["int", "long", "double", "decimal"]
_LARGEST: Final = 2**63

Expression = Any


def conditions_of(query: Query) -> list[Expression] | None:
    """What has to hold of a document, but for its time; None if MongoDB cannot say all of it."""
    found: list[Expression] = []
    for condition in query.all_conditions():
        if not all(is_storable(value) for value in condition.values if isinstance(value, str)):
            return None
        parts = _parts(condition)
        if parts is None:
            return None
        found.append({"$not": [{"$or": parts}]} if condition.is_negated else {"$or": parts})
    return found


def value_of(name: Name) -> Expression:
    """The value of a name; missing if a document has none."""
    if name.place == "field":
        return "$_id" if name.name == "id" else f"${name.name}"
    values = "$variables" if name.place == "variable" else "$attributes"
    plain, parts = _member(values, name.name), name.name.split(".")
    if len(parts) == 1:
        return plain
    nested: Expression = values
    for part in parts:
        nested = _member(nested, part)
    return {"$cond": [{"$eq": [{"$type": plain}, "missing"]}, nested, plain]}


def group_of(by: Sequence[Name], step: Step | None) -> dict[str, Expression]:
    """What a cube groups by: ``key`` holds column, class, failure and bucket in one number, as in SQL."""
    column: Expression = 0
    if step is not None:
        since = {"$subtract": ["$time_ns", step.begin_ns]}
        whole = {"$subtract": [since, {"$mod": [since, step.width_ns]}]}
        column = {"$toLong": {"$round": [{"$divide": [whole, step.width_ns]}, 0]}}
    has_status = {"$and": [{"$gte": ["$status", 0]}, {"$lt": ["$status", STATUSES]}]}
    status = {"$cond": [has_status, {"$toLong": {"$floor": {"$divide": ["$status", 100]}}}, 0]}
    failed = {"$cond": [{"$in": ["$outcome", list(FAILED)]}, 1, 0]}
    key = {"$add": [{"$multiply": [{"$add": [{"$multiply": [column, CLASSES]}, status]}, 2]}, failed]}
    return {
        "key": {"$add": [{"$multiply": [key, BUCKETS]}, _bucket(0, len(BOUNDARIES_NS))]},
        "rate": _member("$attributes", SAMPLE_RATE),
        **{f"by{place}": value_of(name) for place, name in enumerate(by)},
    }


def _member(values: Expression, name: str) -> Expression:
    """The member of an object by just this name; missing, also of what is no object."""
    member = {"$getField": {"field": {"$literal": name}, "input": values}}
    if isinstance(values, str):
        return member
    return {"$cond": [{"$eq": [{"$type": values}, "object"]}, member, "$$REMOVE"]}


def _parts(condition: Condition) -> list[Expression] | None:
    """Any of them has to hold."""
    value = value_of(condition.name)
    if condition.kind == "present":
        return [{"$not": [{"$in": [{"$type": value}, _NOTHING]}]}]
    found: list[Expression] = []
    for given in condition.values:
        if not isinstance(given, str):
            found.append(_span(value, *given))
        elif condition.kind == "equals":
            made = _equal(condition.name, value, given)
            if made is None:
                return None
            found += made
        else:
            part = _text(condition, value, given)
            if part is None:
                return None
            found.append(part)
    return found


def _span(value: Expression, low: int | None, high: int | None) -> Expression:
    parts: list[Expression] = [{"$in": [{"$type": value}, _NUMBERS]}]
    for operator, bound in (("$gte", low), ("$lt", high)):
        if bound is not None:
            is_within = abs(bound) < _LARGEST
            parts.append({operator: [value, bound]} if is_within else (bound < 0) == (operator == "$gte"))
    return {"$and": parts}


def _equal(name: Name, value: Expression, typed: str) -> list[Expression] | None:
    """As :func:`~chest.chests.asking.conditions.says`."""
    same: list[Expression] = [{"$eq": [value, {"$literal": typed}]}]
    if name.place == "field":
        return [*same, {"$in": [{"$type": value}, _NOTHING]}] if says(typed, None) else same
    try:
        meant = decode(typed)
    except ValueError:
        return same
    if isinstance(meant, dict | list):
        return None
    if isinstance(meant, int | float) and not (isfinite(meant) and abs(meant) < _LARGEST):
        return None
    return same if isinstance(meant, str) else [*same, {"$eq": [value, {"$literal": meant}]}]


def _text(condition: Condition, value: Expression, given: str) -> Expression | None:
    kinds, test = ["string"], None
    if condition.kind in ("starts", "contains"):
        place = {"$indexOfBytes": [value, {"$literal": given}]}
        test = {"$eq": [place, 0]} if condition.kind == "starts" else {"$gte": [place, 0]}
    else:
        number = None if condition.name.place == "field" else number_of(given)
        if number is not None and abs(number) >= _LARGEST:
            return None
        kinds = ["string"] if number is None else _NUMBERS
        test = {_COMPARISONS[condition.kind]: [value, {"$literal": given if number is None else number}]}
    return {"$cond": [{"$in": [{"$type": value}, kinds]}, test, False]}


@cache
def _bucket(first: int, last: int) -> Expression:
    """The bucket of the duration, by halves."""
    if first == last:
        return first
    middle = (first + last) // 2
    is_below = {"$lt": ["$duration_ns", BOUNDARIES_NS[middle]]}
    return {"$cond": [is_below, _bucket(first, middle), _bucket(middle + 1, last)]}
