"""``differences``: two sides of records, and for each name how much the shares of its values differ."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any, Final, NamedTuple, Self

from chest.chests.asking.conditions import Name
from chest.chests.asking.cube import group_text, weight_of
from chest.query.names import label_of
from chest.query.wording import condition_text, range_text
from chest.record.record import Record

__all__ = ["Difference", "Side", "ValueShare", "differences"]

_SURE: Final = 3.9
"""Standard errors of an interval: one of 10,000 that are compared is outside by chance, as many are compared at once."""
_LEAST_SCORE: Final = 0.05
_MOST_UNIQUE: Final = 0.9
_FEWEST_FOR_UNIQUE: Final = 20
_MOST_CLASSES: Final = 12
"""Of a number that has more different values, ranges are compared."""
_RANGES: Final = 10
_SHOWN: Final = 10
_FIRST: Final = {"status": 3, "route": 2, "release": 1}
"""Of names that differ equally, the ones that say most to a person come first."""


class ValueShare(NamedTuple):
    """How many requests of each side have one value."""

    value: str | None
    """As a person types it; of a number with many values a range, ``>=12``; None: those that have none."""
    selected_share: float
    rest_share: float
    low: float
    """The difference of the shares is at least this, in all likelihood."""
    high: float
    condition: str | None = None
    """The filter that selects the requests with this value; None if the language cannot say it."""

    @property
    def difference(self) -> float:
        """By how much the share in the selection is larger; below 0 if it is smaller."""
        return self.selected_share - self.rest_share


@dataclass(frozen=True)
class Difference:
    """How much one name differs.

    :param score: the largest difference of one value, 0 to 1.
    :param values: the values, the most different first.
    """

    name: str
    score: float
    values: tuple[ValueShare, ...]

    @property
    def is_clear(self) -> bool:
        """True if it is not chance, and large enough to matter."""
        first = self.values[0]
        return self.score >= _LEAST_SCORE and (first.low > 0 or first.high < 0)


@dataclass(frozen=True)
class Side:
    """Records of one side, and how many requests each stands for."""

    records: Sequence[Record]
    weights: Sequence[float]

    @classmethod
    def of(cls, records: Sequence[Record]) -> Self:
        return cls(records, [weight_of(record) for record in records])

    @property
    def size(self) -> float:
        """How many records of equal weight would tell as much."""
        squares = sum(weight * weight for weight in self.weights)
        return sum(self.weights) ** 2 / squares if squares else 0.0


def differences(selected: Side, rest: Side, names: Iterable[Name]) -> tuple[list[Difference], list[str]]:
    """The names that differ, the most different first; and those that were left out."""
    found, left_out = [], []
    if not selected.records or not rest.records:
        return [], []
    for name in names:
        here, there = _Column.of(name, selected.records), _Column.of(name, rest.records)
        if here.is_unique or there.is_unique:
            left_out.append(label_of(name))
            continue
        label = label_of(name)
        *texts, ranges = _classes(label, here, there)
        values = _shares(selected, rest, *texts)[:_SHOWN]
        if values and values[0].difference:
            said = [
                each._replace(condition=ranges.get(each.value or "") or condition_text(label, each.value))
                for each in values
            ]
            found.append(Difference(label, abs(values[0].difference), tuple(said)))
    found.sort(
        key=lambda each: (each.is_clear, round(each.score, 2), _FIRST.get(each.name, 0), each.score), reverse=True
    )
    return found, left_out


class _Column(NamedTuple):
    """The values of one name, record by record."""

    values: list[Any]
    texts: list[str | None]

    @classmethod
    def of(cls, name: Name, records: Sequence[Record]) -> Self:
        values = [name.value_in(record) for record in records]
        return cls(values, list(map(group_text, values)))

    @property
    def numbers(self) -> list[float]:
        return [value for value in self.values if type(value) is int or type(value) is float]

    @property
    def is_unique(self) -> bool:
        """Almost every record has another value, and not since it is a number: of these, ranges are compared."""
        present = [text for text in self.texts if text is not None]
        is_many = len(present) >= _FEWEST_FOR_UNIQUE and len(set(present)) > _MOST_UNIQUE * len(present)
        return is_many and len(self.numbers) < len(present)


def _classes(
    label: str, here: _Column, there: _Column
) -> tuple[list[str | None], list[str | None], dict[str, str | None]]:
    """The texts that are compared: of a number with many values, the range in which it lies; and the filter of each range."""
    numbers = sorted(here.numbers + there.numbers)
    if len(numbers) < _RANGES or len(set(numbers)) <= _MOST_CLASSES:
        return here.texts, there.texts, {}
    edges = sorted({numbers[len(numbers) * place // _RANGES] for place in range(1, _RANGES)})
    names = [f"<{edges[0]:.4g}", *(f">={edge:.4g}" for edge in edges)]
    filters = [range_text(label, low, high) for low, high in zip([None, *edges], [*edges, None], strict=True)]

    def ranges(column: _Column) -> list[str | None]:
        return [
            names[bisect_right(edges, value)] if type(value) is int or type(value) is float else text
            for value, text in zip(*column, strict=True)
        ]

    return ranges(here), ranges(there), dict(zip(names, filters, strict=True))


def _shares(selected: Side, rest: Side, here: Sequence[str | None], there: Sequence[str | None]) -> list[ValueShare]:
    in_selected, in_rest = _share_of_each(selected, here), _share_of_each(rest, there)
    sizes = selected.size, rest.size
    found = []
    for value in in_selected.keys() | in_rest.keys():
        shares = in_selected.get(value, 0.0), in_rest.get(value, 0.0)
        found.append(ValueShare(value, *shares, *_interval(shares, sizes)))
    # Of a value that is there or not, that it is there says more.
    return sorted(
        found,
        key=lambda each: (-abs(round(each.difference, 6)), each.value is None, -each.selected_share, each.value or ""),
    )


def _share_of_each(side: Side, values: Sequence[str | None]) -> Mapping[str | None, float]:
    counts: defaultdict[str | None, float] = defaultdict(float)
    for value, weight in zip(values, side.weights, strict=True):
        counts[value] += weight
    total = sum(side.weights)
    return {value: count / total for value, count in counts.items()}


def _interval(shares: tuple[float, float], sizes: tuple[float, float]) -> tuple[float, float]:
    """Of the difference of two shares: Newcombe's method 10, which holds for few records and for shares near 0 and 1."""
    (one, other), ((low, high), (other_low, other_high)) = shares, map(_wilson, shares, sizes)
    difference = one - other
    return (
        difference - sqrt((one - low) ** 2 + (other_high - other) ** 2),
        difference + sqrt((high - one) ** 2 + (other - other_low) ** 2),
    )


def _wilson(share: float, size: float) -> tuple[float, float]:
    square = _SURE * _SURE
    middle = (share + square / (2 * size)) / (1 + square / size)
    half = _SURE / (1 + square / size) * sqrt(share * (1 - share) / size + square / (4 * size * size))
    return max(0.0, middle - half), min(1.0, middle + half)
