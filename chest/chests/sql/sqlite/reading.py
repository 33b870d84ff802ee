"""From a ``Query`` to SQLite's SQL, page by page."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Final

from chest.chests.asking.sql.conditions import where_of, within_64_bits
from chest.chests.encoded import Row
from chest.chests.query import Query
from chest.chests.sql.columns import STORED_COLUMNS
from chest.chests.sql.sqlite.asking import SQLITE_WORDS

__all__ = ["pages_of_rows", "source_of"]

_SCANNED_AT_ONCE: Final = 1000
"""Rows a statement if Python has to compare them: how many will match is not known."""

_COLUMNS: Final = ", ".join(f'"{name}"' for name in ("seq", *STORED_COLUMNS))


def source_of(table: str, missing: Sequence[str]) -> str:
    """The table, or what stands for one that lacks columns."""
    nulls = "".join(f', NULL AS "{name}"' for name in missing)
    return f'(SELECT *{nulls} FROM "{table}")' if missing else f'"{table}"'  # noqa: S608


def pages_of_rows(
    connection: sqlite3.Connection, table: str, missing: Sequence[str], query: Query, after: int, limit: int
) -> Iterator[list[Row]]:
    """What may match, in order of ``seq`` and page after page until the end; values are bound, never text.

    What SQL cannot say is left out: the caller asks the query again.

    :param missing: columns that the table lacks, and that are NULL in every row.
    """
    where = where_of(query, SQLITE_WORDS)
    size = limit if where.is_exact else _SCANNED_AT_ONCE
    source = source_of(table, missing)
    if query.since_ns is not None and after <= 0:
        after = _before_first(connection, table, query.since_ns)
    text = f"SELECT {_COLUMNS} FROM {source} WHERE {where.text} AND seq > ? ORDER BY seq LIMIT ?"  # noqa: S608
    while True:
        rows: list[Row] = connection.execute(text, (*where.values, after, size)).fetchall()
        yield rows
        if not rows or len(rows) < size:
            return
        after = rows[-1][0]


def _before_first(connection: sqlite3.Connection, table: str, since_ns: int) -> int:
    """The place behind which all records since this time are: what was stored before the first of them is not looked through."""
    # Of min(seq) alone, SQLite would look through the table in the order of seq; the + has it take the index on the time.
    text = f'SELECT min(+seq) FROM "{table}" WHERE time_ns >= ?'  # noqa: S608
    first: int | None = connection.execute(text, (within_64_bits(since_ns),)).fetchone()[0]
    return (first or 1) - 1
