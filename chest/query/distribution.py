"""``values``: which fields and variables there are, of what types, and which values they have most often."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Final, NamedTuple

from chest.chests.asking.conditions import ABSENT, Name
from chest.chests.asking.cube import group_text, weight_of
from chest.errors import SettingsError
from chest.query.answer import Answer
from chest.query.names import FIELDS, label_of, name_of
from chest.query.question import Filter, Source, asked
from chest.record.record import Record

__all__ = ["SAMPLE_RECORDS", "TopValue", "Values", "ValuesRow", "names_in", "until", "values"]

SAMPLE_RECORDS: Final = 5000
"""Enough to find what one request of a thousand has; reading them takes a store 0.03 s to 0.1 s."""

_NAMES_ANYWAY: Final = 50
"""Fields, and the variables that most requests have: what an answer has even if the store took all of the budget."""


class TopValue(NamedTuple):
    """A value, how many requests have it, and their share of all that match."""

    value: str
    requests: float
    share: float


@dataclass(frozen=True)
class ValuesRow:
    """What is known of one field, variable or attribute.

    :param types: its types in JSON's words, the most frequent first.
    :param share: of the requests that have it, 0 to 1.
    :param distinct: how many different values were seen; there may be more if the basis is not exact.
    :param top: the most frequent values, as a person types them.
    :param smallest: of its numbers; None if it has none.
    """

    name: str
    types: tuple[str, ...]
    share: float
    distinct: int
    top: tuple[TopValue, ...]
    smallest: float | None
    middle: float | None
    largest: float | None


@dataclass(frozen=True)
class Values(Answer):
    """One row a name. Counts are of requests, with sampling undone, and estimated from a sample unless the basis is exact."""

    rows: tuple[ValuesRow, ...]
    left_out: int = 0
    """How many names were not looked at, since the budget was over: those that the fewest requests have."""

    def table(self) -> Sequence[dict[str, Any]]:
        return [
            {"name": row.name, "value": each.value, "requests": each.requests, "share": each.share}
            for row in self.rows
            for each in row.top
        ]


def values(
    source: Source,
    filter: Filter = "",  # noqa: A002
    *,
    names: str | Sequence[str] = (),
    limit: int = 10,
    size: int = SAMPLE_RECORDS,
    seconds: float | None = None,
) -> Values:
    """The values that fields and variables have most often.

    :param source: a chest, or the URL of one.
    :param filter: of which requests.
    :param names: which names; none: every field, variable and attribute that was seen.
    :param limit: the most values of each.
    :param size: how many records to look at.
    :param seconds: the budget; None: 10.
    """
    names = [name for name in (names.split(",") if isinstance(names, str) else names) if name]
    try:
        meant = [name_of(name) for name in names]
    except ValueError as error:
        raise SettingsError(f"{error}.") from None
    with asked(source, filter, seconds) as question:
        sample = question.sample(size)
    weights = [weight_of(record) for record in sample.records]
    scale = sample.matching / len(weights) if weights else 0.0
    left = iter(meant or names_in(sample.records))
    rows = [_row(name, sample.records, weights, scale, limit) for name in until(question.deadline, left)]
    return Values(sample.basis, question.begin_ns, question.end_ns, tuple(rows), len(list(left)))


def until(deadline: float, names: Iterator[Name]) -> Iterator[Name]:
    """The names, until the budget of the question is over; what is left in ``names`` was not looked at.

    If one request has 10,000 variables, each of them costs a look at every record.
    """
    for place in count():
        name = next(names, None) if place < _NAMES_ANYWAY or time.monotonic() < deadline else None
        if name is None:
            return
        yield name


def names_in(records: Iterable[Record], *, has_ids: bool = False) -> list[Name]:
    """Every name that one of the records has: fields first, then variables and attributes, those of most records first.

    What is nested has a name with dots.

    :param has_ids: with the names that tell one record from another.
    """
    seen: Counter[Name] = Counter()
    for record in records:
        seen.update(_names("variable", record.variables))
        seen.update(_names("attribute", record.attributes))
    fields = [Name("field", name) for name in dict.fromkeys(FIELDS.values()) if has_ids or name not in _IDS]
    return fields + [name for name, _ in sorted(seen.items(), key=lambda item: (item[0].place != "variable", -item[1]))]


_IDS: Final = ("id", "request_id", "time_ns")
_MOST_DEPTH: Final = 3


def _names(place: Any, values: Mapping[str, Any], prefix: str = "", depth: int = 1) -> Iterator[Name]:
    for name, value in values.items():
        if type(value) is dict and value and depth < _MOST_DEPTH and "." not in name:
            yield from _names(place, value, f"{prefix}{name}.", depth + 1)
        else:
            yield Name(place, f"{prefix}{name}")


def _row(name: Name, records: Sequence[Record], weights: Sequence[float], scale: float, limit: int) -> ValuesRow:
    counts: defaultdict[str, float] = defaultdict(float)
    types: Counter[str] = Counter()
    numbers: list[float] = []
    for record, weight in zip(records, weights, strict=True):
        value = name.value_in(record)
        if value is ABSENT or (value is None and name.place == "field"):
            continue
        types[_type_of(value)] += 1
        counts["null" if value is None else group_text(value) or ""] += weight
        if isinstance(value, int | float) and not isinstance(value, bool):
            numbers.append(value)
    numbers.sort()
    total, present = sum(weights), sum(counts.values())
    top = sorted(counts.items(), key=lambda item: -item[1])[:limit]
    return ValuesRow(
        name=label_of(name),
        types=tuple(kind for kind, _ in types.most_common()),
        share=present / total if total else 0.0,
        distinct=len(counts),
        top=tuple(TopValue(value, count * scale, count / total) for value, count in top),
        smallest=numbers[0] if numbers else None,
        middle=numbers[len(numbers) // 2] if numbers else None,
        largest=numbers[-1] if numbers else None,
    )


def _type_of(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "text"
    return "null" if value is None else "array" if isinstance(value, list) else "object"
