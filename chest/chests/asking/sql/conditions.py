"""``where_of``: a query as SQL, as far as SQL answers what Python does."""

from __future__ import annotations

from math import isfinite
from typing import Any, Final, NamedTuple

from chest.chests.asking.conditions import Condition, number_of, says
from chest.chests.asking.sql.words import COMPARED, EXACT_WHOLE, Part, Words
from chest.chests.query import Query
from chest.record.encoding import decode
from chest.record.text import is_storable

__all__ = ["Where", "conditions_of", "times_of", "where_of", "within_64_bits"]

_SAME: Final = ("request_id", "service", "route", "outcome")
_CONTAINERS: Final = (dict, list)


class Where(NamedTuple):
    """Conditions of SQL, which all have to hold."""

    parts: tuple[Part, ...]
    is_exact: bool
    """False if it lets through records that the query does not match."""

    @property
    def text(self) -> str:
        """Joined by AND; without conditions, one that always holds."""
        return " AND ".join(f"({part.text})" for part in self.parts) or "1 = 1"

    @property
    def values(self) -> tuple[Any, ...]:
        """What is bound in it."""
        return tuple(value for part in self.parts for value in part.values)


def where_of(query: Query, words: Words) -> Where:
    """All conditions of a query."""
    times, others = times_of(query, words), conditions_of(query, words)
    return Where(times.parts + others.parts, others.is_exact)


def times_of(query: Query, words: Words, plus: str = "") -> Where:
    """Those on the time.

    :param plus: in front of the column: what keeps a database from an index on it.
    """
    parts = []
    if query.since_ns is not None:
        parts.append(Part(words.time_bound(">=", plus), (within_64_bits(query.since_ns),)))
    if query.until_ns is not None:
        parts.append(Part(words.time_bound("<", plus), (within_64_bits(query.until_ns),)))
    return Where(tuple(parts), True)


def conditions_of(query: Query, words: Words) -> Where:
    """Those on anything else."""
    parts: list[Part] = []
    is_exact = True
    for name in _SAME:
        value = getattr(query, name)
        if value is not None and not is_storable(value):  # which the store would refuse, and no record has
            is_exact = False
        elif value is not None:
            parts.append(words.same_field(words.field(name), value))
    for condition in query.all_conditions():
        part = _part_of(condition, words)
        if part is None:
            is_exact = False
        else:
            parts.append(part)
    return Where(tuple(parts), is_exact)


def _part_of(condition: Condition, words: Words) -> Part | None:
    """One condition; None if SQL cannot say it."""
    texts = [value for value in condition.values if isinstance(value, str)]
    if not all(map(is_storable, texts)):
        return None
    made = _of_field(condition, words) if condition.name.place == "field" else _of_json(condition, words)
    if made is None:
        return None
    text = " OR ".join(f"({part.text})" for part in made) or "1 = 0"
    values = tuple(value for part in made for value in part.values)
    return Part(words.negated(text) if condition.is_negated else text, values)


def _of_field(condition: Condition, words: Words) -> list[Part] | None:
    column = words.field(condition.name.name)
    if condition.kind == "present":
        return [Part(f"{column} IS NOT NULL")]
    if condition.kind == "between":
        return [_span(column, value[0], value[1], words) for value in condition.values if not isinstance(value, str)]
    parts: list[Part] = []
    for value in [value for value in condition.values if isinstance(value, str)]:
        if condition.kind == "equals":
            parts.append(words.same_field(column, value))
            if says(value, None):
                parts.append(Part(f"{column} IS NULL"))
        elif condition.kind == "starts":
            parts.append(words.starts(column, value))
        elif condition.kind == "contains":
            parts.append(words.contains(column, value))
        else:
            parts.append(words.compares(column, COMPARED[condition.kind], value))
    return parts


def _span(column: str, low: int | None, high: int | None, words: Words) -> Part:
    texts, values = [f"{column} IS NOT NULL"], []
    for operator, bound in ((">=", low), ("<", high)):
        if bound is not None:
            if abs(bound) >= 2**63:  # no column holds such a number
                texts.append("1 = 1" if (bound < 0) == (operator == ">=") else "1 = 0")
                continue
            texts.append(f"{column} {operator} {words.mark}")
            values.append(bound)
    return Part(" AND ".join(texts), tuple(values))


def _of_json(condition: Condition, words: Words) -> list[Part] | None:
    json = words.json(condition.name)
    if json is None:
        return None
    if condition.kind == "present":
        return [Part(f"NOT ({words.is_null(json)})")]
    parts: list[Part] = []
    texts = [value for value in condition.values if isinstance(value, str)]
    for value in texts:
        made = _equal(json, value, words) if condition.kind == "equals" else _other(condition, json, value, words)
        if made is None:
            return None
        parts += made
    if condition.kind == "equals":
        hint = words.hint(condition.name, texts)
        if hint is not None:
            text = " OR ".join(f"({part.text})" for part in parts)
            return [Part(f"{hint.text} AND ({text})", hint.values + tuple(v for part in parts for v in part.values))]
    return parts


def _equal(json: str, typed: str, words: Words) -> list[Part] | None:
    """As :func:`~chest.chests.asking.conditions.says`."""
    same = words.same(words.text_of(json), typed)
    parts = [Part(f"{words.is_text(json)} AND {same.text}", same.values)]
    try:
        meant = decode(typed)
    except ValueError:
        return parts
    if isinstance(meant, _CONTAINERS):
        return None
    if meant is None or isinstance(meant, bool):
        return [*parts, Part(words.is_word(json, "null" if meant is None else "true" if meant else "false"))]
    if isinstance(meant, str):
        return parts
    if not isfinite(meant) or abs(meant) >= EXACT_WHOLE:
        return None
    return [*parts, words.compares_number(json, "=", meant)]


def _other(condition: Condition, json: str, value: str, words: Words) -> list[Part] | None:
    text = words.text_of(json)
    if condition.kind == "starts":
        part = words.starts(text, value)
    elif condition.kind == "contains":
        part = words.contains(text, value)
    else:
        number = number_of(value)
        if number is not None:
            whole = abs(number) >= EXACT_WHOLE
            return None if whole else [words.compares_number(json, COMPARED[condition.kind], number)]
        part = words.compares(text, COMPARED[condition.kind], value)
    return [Part(f"{words.is_text(json)} AND {part.text}", part.values)]


def within_64_bits(bound: int) -> int:
    """No stored integer is outside, and a driver takes none that is."""
    return max(-(2**63), min(bound, 2**63 - 1))
