"""From a ``Query`` to SQL, and from rows to records."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import JSON, ColumnElement, Table, Text, cast, select
from sqlalchemy.engine import Connection

from chest.chests.base import StoredRecord
from chest.chests.encoded import Row, encoded_record
from chest.chests.query import EVERYTHING, Query
from chest.chests.sql_database import STORED_COLUMNS
from chest.encoding import decode
from chest.record import Record

_SCANNED_AT_ONCE: Final = 1000
"""Rows a statement where variables have to be looked at: how many of them will match is not known."""

_WORD = re.compile(r"[A-Za-z0-9_-]+")
_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,14}")


def pages(connection: Connection, table: Table, query: Query, after: int, limit: int) -> Iterator[list[StoredRecord]]:
    """What matches, in order of ``seq`` and page after page until there is no more; values are bound, never text.

    Whether the conditions hold is looked at here again. Of those on variables, SQL only looks for their words: what a
    person types says several values, and SQL compares one. And MySQL takes ``"shop "`` for ``"shop"``.
    """
    for rows in _pages_of_rows(connection, table, query, after, limit, is_encoded=False):
        page = [_stored_record(row) for row in rows]
        yield page if query is EVERYTHING else [stored for stored in page if query.matches(stored.record)]


def encoded_pages(connection: Connection, table: Table, query: Query, after: int, limit: int) -> Iterator[list[Row]]:
    """As :func:`pages`, but rows as they are, JSON as text."""
    for rows in _pages_of_rows(connection, table, query, after, limit, is_encoded=True):
        yield rows if query is EVERYTHING else [row for row in rows if query.matches(encoded_record(row))]


def _pages_of_rows(
    connection: Connection, table: Table, query: Query, after: int, limit: int, *, is_encoded: bool
) -> Iterator[list[Row]]:
    size = _SCANNED_AT_ONCE if query.variables else limit
    columns = _columns(table, is_encoded=is_encoded)
    statement = select(*columns).where(*_conditions(table, query)).order_by(table.c.seq).limit(size)
    while True:
        # As the driver gives them: a Row and a processor for each of its values take a third of the time.
        rows: list[Row] = list(connection.execute(statement.where(table.c.seq > after)).cursor.fetchall())
        yield rows
        if not rows or len(rows) < size:
            return
        after = rows[-1][0]


def _columns(table: Table, *, is_encoded: bool) -> list[ColumnElement[Any]]:
    """In the order of a row; JSON as text, where the driver would make values of it."""
    columns: list[ColumnElement[Any]] = [table.c.seq, *(table.c[name] for name in STORED_COLUMNS)]
    return [cast(each, Text) if is_encoded and isinstance(each.type, JSON) else each for each in columns]


def _conditions(table: Table, query: Query) -> list[ColumnElement[bool]]:
    columns = table.c
    same = {
        columns.request_id: query.request_id,
        columns.service: query.service,
        columns.route: query.route,
        columns.outcome: query.outcome,
    }
    conditions: list[ColumnElement[bool]] = [column == value for column, value in same.items() if value is not None]
    if query.since_ns is not None:
        conditions.append(columns.time_ns >= _within_64_bits(query.since_ns))
    if query.until_ns is not None:
        conditions.append(columns.time_ns < _within_64_bits(query.until_ns))
    if query.slower_than_ns is not None:
        conditions.append(columns.duration_ns > _within_64_bits(query.slower_than_ns))
    if query.statuses is not None:
        conditions.append(columns.status >= _within_64_bits(query.statuses.start))
        conditions.append(columns.status < _within_64_bits(query.statuses.stop))
    words = [word for name, typed in query.variables.items() for word in _words(name, typed)]
    return conditions + [cast(columns.variables, Text).contains(word, autoescape=True) for word in words]


def _within_64_bits(bound: int) -> int:
    """No stored integer is outside, and a driver takes none that is."""
    return max(-(2**63), min(bound, 2**63 - 1))


def _words(name: str, typed: str) -> list[str]:
    """What the JSON text of the variables must contain, in some case of letters, if they say what was typed.

    Only plain words, which no JSON encoder escapes; and only numbers that are written as they are typed, whatever their
    type: ``120`` stands in ``120``, ``120.0`` and ``"120"``, but ``1e2`` does not stand in ``100``.
    """
    words = [part for part in name.split(".") if _WORD.fullmatch(part)]
    if _WORD.fullmatch(typed) and (_WHOLE.fullmatch(typed) or not _is_number(typed)):
        words.append(typed)
    return words


def _is_number(typed: str) -> bool:
    try:
        float(typed)
    except ValueError:
        return False
    return True


def _stored_record(row: Sequence[Any]) -> StoredRecord:
    decoded = _decoded(row[11]), _decoded(row[12])
    return StoredRecord(row[0], moment_of(row[-1]), Record._make((*row[1:11], *decoded, *row[13:-1])))


def _decoded(value: Any) -> Any:
    """JSON as a value; psycopg has made one of it already, where the type of the column is JSON."""
    return decode(value) if isinstance(value, str | bytes) else value


@lru_cache(maxsize=16)
def moment_of(stored_at: datetime | str) -> datetime:
    """In UTC, whether the database has a type for moments or keeps them as text; remembered: a batch shares one."""
    moment = datetime.fromisoformat(stored_at) if isinstance(stored_at, str) else stored_at
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
