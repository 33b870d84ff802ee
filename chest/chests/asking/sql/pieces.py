"""``SQLPieces``: a table that counts its rows: what a cube and a sample need, as SQL."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Final, TypeAlias

from chest.chests.asking.conditions import NUMBER_FIELDS, Name
from chest.chests.asking.cube import Cell, Step, group_text, weight_of_rate
from chest.chests.asking.durations import BOUNDARIES_NS
from chest.chests.asking.pieces import Extent, drawn_from, records_at
from chest.chests.asking.sql.conditions import conditions_of, times_of
from chest.chests.asking.sql.words import Words
from chest.chests.contract import StoredRecord
from chest.chests.encoded import stored_record
from chest.chests.query import Query
from chest.record.record import Record

__all__ = ["Rows", "SQLPieces", "can_count"]

Rows: TypeAlias = Callable[[str, Sequence[Any], float | None], Iterable[Sequence[Any]]]
"""Runs a statement with values bound, for at most so many seconds; raises :exc:`BudgetOver`."""

_BUCKETS: Final = 512
"""More than there are."""
_CLASSES: Final = 16
_DENSE: Final = 4
"""If a time range has one of so many rows between its first and last place, they are read in the order of places."""
_FEW_VALUES: Final = ("method", "route", "status", "outcome", "error", "service", "release", "host")


def can_count(query: Query, by: Sequence[Name], words: Words) -> bool:
    """True if SQL can say all of it."""
    return conditions_of(query, words).is_exact and all(
        name.place == "field" or words.json(name) is not None for name in by
    )


class SQLPieces:
    """The rows of a table, by ``seq``.

    :param source: the table, or what stands for one that lacks columns, as SQL.
    :param rows: runs a statement.
    :param plus: what keeps the database from an index on the column behind it; empty if it needs no such help.
    """

    def __init__(self, source: str, words: Words, rows: Rows, plus: str = "") -> None:
        self._source, self._words, self._rows, self._plus = source, words, rows, plus
        self._is_dense = True

    def time_range(self, query: Query) -> tuple[int, int] | None:
        """When the first and the last request of the time range began."""
        times = times_of(query, self._words)
        time = self._words.field("time_ns")
        # Two questions: of one that asks for both ends, SQLite reads all that is between.
        ends = [f"(SELECT {end}({time}) FROM {self._source} WHERE {times.text})" for end in ("min", "max")]  # noqa: S608
        ((first, last),) = self._rows(f"SELECT {', '.join(ends)}", times.values * 2, None)
        return None if first is None else (int(first), int(last))

    def extent(self, query: Query, seconds: float | None) -> Extent | None:
        times = times_of(query, self._words)
        seq = self._words.field("seq")
        text = f"SELECT min({seq}), max({seq}), count(*) FROM {self._source} WHERE {times.text}"  # noqa: S608
        if not times.parts:  # the ends of the key, at once
            parts = [f"(SELECT {what} FROM {self._source})" for what in (f"min({seq})", f"max({seq})", "count(*)")]  # noqa: S608
            text = f"SELECT {', '.join(parts)}"
        ((first, last, count),) = self._rows(text, times.values, seconds)
        if not count:
            return None
        self._is_dense = last - first < _DENSE * count
        return Extent(int(first), int(last), int(count))

    def cells(
        self, query: Query, first: int, last: int, by: Sequence[Name], step: Step | None, seconds: float | None
    ) -> Iterator[Cell]:
        words = self._words
        column = "0" if step is None else self._column(step)
        duration = words.field("duration_ns")
        key = f"((({column}) * {_CLASSES} + {words.status_class()}) * 2 + {words.is_failed()}) * {_BUCKETS}"
        names = [self._group(name) for name in by]
        selected = [f"{key} + {words.bucket(duration)}", words.rate(), *names]
        # Whole numbers are quickest to sort by. But of many groups, all of one come together.
        order = list(range(1, len(selected) + 1))
        if not all(name.place == "field" and name.name in _FEW_VALUES for name in by):
            order = order[2:] + order[:2]
        where, values = self._where(query, first, last)
        text = (
            f"SELECT {', '.join(selected)}, count(*), sum({duration}), max({duration}) FROM {self._source}"  # noqa: S608
            f" WHERE {where} GROUP BY {', '.join(map(str, order))}"
        )
        group_of = lru_cache(maxsize=4096)(self._group_reader(by))
        for packed, rate, *given, count, total_ns, longest_ns in self._rows(text, values, seconds):
            rest, bucket = divmod(int(packed), _BUCKETS)
            rest, is_failed = divmod(rest, 2)
            place, status_class = divmod(rest, _CLASSES)
            weight = weight_of_rate(rate)
            yield Cell(
                place, group_of(*given), status_class, bool(is_failed), min(bucket, len(BOUNDARIES_NS)), int(count),
                count * weight, float(total_ns) * weight, int(longest_ns),
            )  # fmt: skip

    def places(self, query: Query, first: int, last: int, seconds: float | None, limit: int | None = None) -> list[int]:
        where, values = self._where(query, first, last)
        seq = self._words.field("seq")
        ended = "" if limit is None else f" ORDER BY {seq} LIMIT {int(limit)}"
        text = f"SELECT {seq} FROM {self._source} WHERE {where}{ended}"  # noqa: S608
        return [int(row[0]) for row in self._rows(text, values, seconds)]

    def stored_at(self, places: Sequence[int]) -> list[StoredRecord]:
        words = self._words
        columns = ", ".join(words.field(name) for name in ("seq", *Record._fields, "stored_at"))
        among = ", ".join(map(str, map(int, places)))
        text = f"SELECT {columns} FROM {self._source} WHERE {words.field('seq')} IN ({among})"  # noqa: S608
        return [stored_record(tuple(row)) for row in self._rows(text, (), None)] if places else []

    def drawn(self, first: int, last: int, count: int) -> list[Record]:
        return records_at(self, drawn_from(range(first, last + 1), count))

    def _where(self, query: Query, first: int, last: int) -> tuple[str, tuple[Any, ...]]:
        words = self._words
        times = times_of(query, words, self._plus if self._is_dense else "")
        others = conditions_of(query, words)
        seq = f"{'' if self._is_dense or not times.parts else self._plus}{words.field('seq')}"
        text = f"{seq} BETWEEN {int(first)} AND {int(last)} AND {times.text} AND {others.text}"
        return text, times.values + others.values

    def _column(self, step: Step) -> str:
        time = self._words.field("time_ns")
        return f"({time} - {int(step.begin_ns)}) {self._words.division} {int(step.width_ns)}"

    def _group(self, name: Name) -> str:
        if name.place == "field":
            column = self._words.field(name.name)
            return column if name.name in NUMBER_FIELDS else self._words.text_group(column)
        json = self._words.json(name)
        assert json is not None, "can_count was asked first"
        return self._words.group_of(json)

    def _group_reader(self, by: Sequence[Name]) -> Callable[..., tuple[str | None, ...]]:
        readers = [_field_value if name.place == "field" else self._words.group_value for name in by]

        def read(*given: Any) -> tuple[str | None, ...]:
            return tuple(group_text(reader(value)) for reader, value in zip(readers, given, strict=True))

        return read


def _field_value(given: Any) -> Any:
    return given.decode() if isinstance(given, bytes) else given
