"""ClickHouse's words for a question, and ``ClickHousePieces``: its rows, in which places are moments and not a count."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, ClassVar, Final

from chest.chests.asking.durations import BOUNDARIES_NS
from chest.chests.asking.pieces import BudgetOver, drawn_from
from chest.chests.asking.record_by_record import RecordByRecord
from chest.chests.asking.sql.conditions import times_of, where_of
from chest.chests.asking.sql.pieces import SQLPieces
from chest.chests.asking.sql.words import Part, Words
from chest.chests.clickhouse.server import ClickHouseServer, StatementFailed, literal
from chest.chests.contract import StoredRecord
from chest.chests.encoded import stored_record
from chest.chests.query import Query
from chest.record.encoding import decode
from chest.record.record import Record

__all__ = ["SCANNED_AT_ONCE", "WORDS", "ClickHousePieces", "MatchingRecords", "bound"]

SCANNED_AT_ONCE: Final = 10_000
"""Rows a statement if Python has to compare them: how many will match is not known."""
_TIMEOUT_EXCEEDED: Final = 159
_NS_A_SECOND: Final = 10**9
_SPREAD: Final = 4
"""Standard deviations: so many more are chosen that those that are wanted are nearly always among them."""
_LAST: Final = len(BOUNDARIES_NS) - 2


class _ClickHouseWords(Words):
    """JSON is text, so each value of it is the text that ``JSONExtractRaw`` gives: empty if there is none."""

    mark: ClassVar[str] = "?"
    quote: ClassVar[str] = "`"
    division: ClassVar[str] = "DIV"

    def field(self, name: str) -> str:
        if name == "time_ns":
            return "toUnixTimestamp64Nano(`time`)"
        return "`seq`" if name == "stored_at" else super().field(name)

    def time_bound(self, operator: str, plus: str = "") -> str:
        return f"`time` {operator} fromUnixTimestamp64Nano({self.mark}, 'UTC')"

    def same(self, text: str, value: str) -> Part:
        return Part(f"{text} = ?", (value,))

    def compares(self, text: str, operator: str, value: str) -> Part:
        return Part(f"{text} {operator} ?", (value,))

    def starts(self, text: str, value: str) -> Part:
        return Part(f"startsWith({text}, ?)", (value,))

    def contains(self, text: str, value: str) -> Part:
        return Part(f"position({text}, ?) > 0", (value,))

    def member(self, column: str, parts: Sequence[str]) -> str:
        return f"JSONExtractRaw({column}, {', '.join(map(literal, parts))})"

    def has_member(self, column: str, name: str) -> str:
        return f"JSONHas({column}, {literal(name)})"

    def is_text(self, json: str) -> str:
        return f"startsWith({json}, '\"')"

    def is_number(self, json: str) -> str:
        return f"match({json}, '^[-0-9]')"

    def is_word(self, json: str, word: str) -> str:
        return f"{json} = '{word}'"

    def is_null(self, json: str) -> str:
        return f"{json} IN ('', 'null')"

    def text_of(self, json: str) -> str:
        return f"JSONExtractString({json})"

    def compares_number(self, json: str, operator: str, value: int | float) -> Part:
        return Part(f"{self.is_number(json)} AND toFloat64OrNull({json}) {operator} ?", (value,))

    def rate(self) -> str:
        return self.member(self.field("attributes"), ("chest.sample_rate",))

    def group_of(self, json: str) -> str:
        return json

    def group_value(self, given: Any) -> Any:
        return decode(given) if given else None

    def bucket(self, column: str) -> str:
        """By the logarithm, which may be off by one; so the boundaries around it are looked at."""
        boundaries = f"[{', '.join(map(str, BOUNDARIES_NS))}]"
        guess = f"toInt32(floor(8 * log2(greatest({column}, 1) / 1000)))"
        near = f"least(greatest({guess}, 0), {_LAST})"
        above = "n - 1 + (d >= b[n]) + (d >= b[n + 1]) + (d >= b[n + 2])"
        return f"arrayMap((d, n, b) -> {above}, [{column}], [{near}], [{boundaries}])[1]"


WORDS: Final = _ClickHouseWords()
_STORED: Final = ", ".join(WORDS.field(name) for name in ("seq", *Record._fields, "stored_at"))
"""What is read of a record."""


def bound(text: str, values: Sequence[Any]) -> str:
    """The statement with its values in the place of the marks."""
    pieces = text.split(WORDS.mark)
    assert len(pieces) == len(values) + 1
    return "".join(piece + literal(value) for piece, value in zip(pieces, values, strict=False)) + pieces[-1]


def _stored_of(row: Sequence[Any]) -> StoredRecord:
    """The record of a row of :data:`_STORED`; ``seq`` is about the moment at which it was stored."""
    moment = datetime.fromtimestamp(row[0] / _NS_A_SECOND, UTC)
    return stored_record((*row[:-1], moment))


class ClickHousePieces(SQLPieces):
    """The rows of a table by ``seq``, the nanosecond in which each was stored."""

    def __init__(self, server: ClickHouseServer, table: str) -> None:
        super().__init__(table, WORDS, partial(_rows, server))

    def pages(
        self, query: Query, first: int, last: int | None, size: int, seconds: float | None = None
    ) -> Iterator[list[StoredRecord]]:
        """The records between these places that may match, in their order, so many at a time until there are no more.

        First their places alone: the server sorts what it selects. A page is longer if several have its last place.

        :param last: None: up to the last.
        :raises BudgetOver: after so many seconds.
        """
        end = None if seconds is None else time.monotonic() + seconds
        where = where_of(query, WORDS)
        behind = "" if last is None else f" AND `seq` <= {int(last)}"
        while True:
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                raise BudgetOver
            text = f"SELECT `seq` FROM {self._source} WHERE `seq` >= {int(first)}{behind} AND {where.text} ORDER BY `seq` LIMIT {size}"  # noqa: S608
            places = [int(row[0]) for row in self._rows(text, where.values, left)]
            if places:
                text = (
                    f"SELECT {_STORED} FROM {self._source} WHERE `seq` BETWEEN {places[0]} AND {places[-1]}"  # noqa: S608
                    f" AND {where.text} ORDER BY `seq`, `id`"
                )
                yield [
                    _stored_of(row)
                    for row in self._rows(text, where.values, None if end is None else end - time.monotonic())
                ]
            if len(places) < size:
                return
            first = places[-1] + 1

    def time_range(self, query: Query) -> tuple[int, int] | None:
        """Of no rows ClickHouse's ``min`` is 0."""
        times = times_of(query, WORDS)
        time = WORDS.field("time_ns")
        text = f"SELECT min({time}), max({time}), count() FROM {self._source} WHERE {times.text}"  # noqa: S608
        ((first, last, count),) = self._rows(text, times.values, None)
        return (int(first), int(last)) if count else None

    def stored_at(self, places: Sequence[int]) -> list[StoredRecord]:
        if not places:
            return []
        among = ", ".join(map(str, map(int, places)))
        found = self._rows(f"SELECT {_STORED} FROM {self._source} WHERE `seq` IN ({among})", (), None)  # noqa: S608
        return [_stored_of(row) for row in found]

    def drawn(self, first: int, last: int, count: int) -> list[Record]:
        """By a hash of each place, in one pass: nothing is sorted, and no place is looked for."""
        from random import getrandbits  # a heavy import that only askers need

        within = f"FROM {self._source} WHERE `seq` BETWEEN {int(first)} AND {int(last)}"
        ((rows,),) = self._rows(f"SELECT count() {within}", (), None)
        share = (count + _SPREAD * math.sqrt(count) + 1) / max(1, rows)
        chosen = "" if share >= 1 else f" AND cityHash64(`seq`, {getrandbits(32)}) < {int(share * 2**64)}"
        found = self._rows(f"SELECT {_STORED} {within}{chosen}", (), None)
        return [_stored_of(row).record for row in drawn_from(list(found), count)]


class MatchingRecords(RecordByRecord):
    """What is compared record by record is read in pages: a record has a place for each nanosecond since the one before."""

    def __init__(self, store: ClickHousePieces) -> None:
        super().__init__(store)
        self._pages = store.pages

    def _matching(self, query: Query, first: int, last: int, seconds: float | None) -> Iterator[StoredRecord]:
        for page in self._pages(query, first, last, SCANNED_AT_ONCE, seconds):
            yield from (stored for stored in page if query.matches(stored.record))


def _rows(server: ClickHouseServer, text: str, values: Sequence[Any], seconds: float | None) -> Iterable[Sequence[Any]]:
    limit = "" if seconds is None else f" SETTINGS max_execution_time = {max(0.001, seconds):.3f}"
    try:
        return server.rows(bound(text, values) + limit)
    except StatementFailed as error:
        if error.code == _TIMEOUT_EXCEEDED and seconds is not None:
            raise BudgetOver from None
        raise
