"""SQLite's words for a question, and running one for a bounded time."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from typing import Any, ClassVar, Final

from chest.chests.asking.conditions import Name
from chest.chests.asking.cube import SAMPLE_RATE
from chest.chests.asking.durations import BOUNDARIES_NS
from chest.chests.asking.pieces import BudgetOver
from chest.chests.asking.sql.words import Part, Words
from chest.chests.sql.rows import is_word_of_json

__all__ = ["SQLITE_WORDS", "rows_within"]

_CAN_ASK: Final = sqlite3.sqlite_version_info >= (3, 38)
"""Since then SQLite has the operator ->."""
_MEMBER: Final = re.compile(r"\((\S+) -> ('[^']*')\)")
_STEPS_BETWEEN_LOOKS: Final = 20_000
"""Instructions of SQLite's machine between two looks at the clock: about a millisecond."""


def rows_within(
    connection: sqlite3.Connection, text: str, values: Sequence[Any], seconds: float | None
) -> Iterable[Sequence[Any]]:
    """The rows of a statement.

    :raises BudgetOver: it was stopped.
    """
    return connection.execute(text, values).fetchall() if seconds is None else _until(connection, text, values, seconds)


def _until(connection: sqlite3.Connection, text: str, values: Sequence[Any], seconds: float) -> Iterator[Sequence[Any]]:
    end = time.monotonic() + seconds
    connection.set_progress_handler(lambda: time.monotonic() > end, _STEPS_BETWEEN_LOOKS)
    try:
        yield from connection.execute(text, values)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            raise BudgetOver from None
        raise
    finally:
        with suppress(sqlite3.ProgrammingError):  # closed already, if both are forgotten at once
            connection.set_progress_handler(None, 0)


class _SQLiteWords(Words):
    mark: ClassVar[str] = "?"

    def json(self, name: Name) -> str | None:
        return super().json(name) if _CAN_ASK else None

    def same(self, text: str, value: str) -> Part:
        return Part(f"{text} = ?", (value,))

    def compares(self, text: str, operator: str, value: str) -> Part:
        return Part(f"{text} {operator} ?", (value,))

    def starts(self, text: str, value: str) -> Part:
        return Part(f"substr({text}, 1, {len(value)}) = ?", (value,))

    def contains(self, text: str, value: str) -> Part:
        return Part(f"instr({text}, ?) > 0", (value,))

    def member(self, column: str, parts: Sequence[str]) -> str:
        return f"({column} -> '{_path(parts)}')"

    def has_member(self, column: str, name: str) -> str:
        return f"json_type({column}, '{_path((name,))}') IS NOT NULL"

    def is_text(self, json: str) -> str:
        return f"json_type({_place(json)}) = 'text'"

    def is_number(self, json: str) -> str:
        return f"json_type({_place(json)}) IN ('integer', 'real')"

    def is_word(self, json: str, word: str) -> str:
        return f"{json} = '{word}'"

    def is_null(self, json: str) -> str:
        return f"coalesce({json}, 'null') = 'null'"

    def text_of(self, json: str) -> str:
        place = _place(json)
        return f"json_extract({place})" if place != json else f"json_extract({json}, '$')"

    def compares_number(self, json: str, operator: str, value: int | float) -> Part:
        return Part(f"{self.is_number(json)} AND {self.text_of(json)} {operator} ?", (value,))

    def hint(self, name: Name, typed: Sequence[str]) -> Part | None:
        """Looking for a word in the text of the JSON takes a fifth of what reading the JSON takes."""
        if len(typed) != 1 or not is_word_of_json(typed[0]):
            return None
        return Part(f"instr({self.json_column(name)}, ?) > 0", (typed[0],))

    def group_of(self, json: str) -> str:
        return json

    def bucket(self, column: str) -> str:
        return _tree(0, len(BOUNDARIES_NS), column)

    def rate(self) -> str:
        """JSON is looked into only where the name stands: most rows have none."""
        path = _path((SAMPLE_RATE,))
        return f"CASE WHEN instr(attributes, '{SAMPLE_RATE}') THEN json_extract(attributes, '{path}') END"


def _place(json: str) -> str:
    """What a function of JSON takes: of a member the column and its path, so that the member is not read twice."""
    member = _MEMBER.fullmatch(json)
    return f"{member[1]}, {member[2]}" if member else json


def _path(parts: Sequence[str]) -> str:
    return "$" + "".join(f'."{part}"' for part in parts)


@cache
def _tree(first: int, last: int, column: str) -> str:
    """The bucket by halves: eight comparisons, and every SQLite can do it, which ``log2()`` is not in."""
    if first == last:
        return str(first)
    middle = (first + last) // 2
    lower, upper = _tree(first, middle, column), _tree(middle + 1, last, column)
    return f"CASE WHEN {column} < {BOUNDARIES_NS[middle]} THEN {lower} ELSE {upper} END"


SQLITE_WORDS: Final = _SQLiteWords()
