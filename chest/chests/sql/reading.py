"""From a ``Query`` to SQL, and from rows to records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from sqlalchemy import JSON, ColumnElement, FromClause, Text, TextClause, cast, literal_column, select, text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from chest.chests.asking.pieces import BudgetOver
from chest.chests.asking.sql.conditions import Where, where_of
from chest.chests.contract import StoredRecord
from chest.chests.encoded import Row, encoded_record, stored_record
from chest.chests.query import EVERYTHING, Query
from chest.chests.sql.columns import STORED_COLUMNS
from chest.chests.sql.dialect import Database

_SCANNED_AT_ONCE: Final = 1000
"""Rows a statement if Python has to compare them: how many will match is not known."""
_OF_TIMEOUT: Final = 0.9
"""A question ends before the connection takes the server for lost."""


def pages(
    connection: Connection, database: Database, table: FromClause, query: Query, after: int, limit: int
) -> Iterator[list[StoredRecord]]:
    """What matches, in order of ``seq`` and page after page until the end; values are bound, never text.

    Whether the conditions hold is looked at here again: some of them SQL cannot say.
    """
    for rows in _pages_of_rows(connection, database, table, query, after, limit, is_encoded=False):
        page = [stored_record(row) for row in rows]
        yield page if query is EVERYTHING else [stored for stored in page if query.matches(stored.record)]


def encoded_pages(
    connection: Connection, database: Database, table: FromClause, query: Query, after: int, limit: int
) -> Iterator[list[Row]]:
    """As :func:`pages`, but rows as they are, JSON as text."""
    for rows in _pages_of_rows(connection, database, table, query, after, limit, is_encoded=True):
        yield rows if query is EVERYTHING else [row for row in rows if query.matches(encoded_record(row))]


def _pages_of_rows(
    connection: Connection,
    database: Database,
    table: FromClause,
    query: Query,
    after: int,
    limit: int,
    *,
    is_encoded: bool,
) -> Iterator[list[Row]]:
    where = where_of(query, database.words_on(connection, table))
    size = limit if where.is_exact else _SCANNED_AT_ONCE
    columns = _columns(table, is_encoded=is_encoded)
    statement = select(*columns).where(_clause(where, database.words.mark)).order_by(table.c.seq).limit(size)
    while True:
        # As the driver gives them: a Row and a processor for each of its values take a third of the time.
        rows: list[Row] = list(connection.execute(statement.where(table.c.seq > after)).cursor.fetchall())
        yield rows
        if not rows or len(rows) < size:
            return
        after = rows[-1][0]


def _columns(table: FromClause, *, is_encoded: bool) -> list[ColumnElement[Any]]:
    """In the order of a row; JSON as text if the driver would make values of it."""
    columns: list[ColumnElement[Any]] = [table.c.seq, *(table.c[name] for name in STORED_COLUMNS)]
    return [cast(each, Text) if is_encoded and isinstance(each.type, JSON) else each for each in columns]


def rows_within(
    connection: Connection, database: Database, text: str, values: Sequence[Any], seconds: float | None
) -> Iterable[Sequence[Any]]:
    """The rows of a question.

    :raises BudgetOver: the server stopped it.
    """
    if seconds is None:
        return list(connection.exec_driver_sql(text, tuple(values) or None).cursor.fetchall())
    database.limit_statements(connection, min(seconds, _OF_TIMEOUT * database.target.timeout_seconds))
    try:
        rows: list[Sequence[Any]] = list(connection.exec_driver_sql(text, tuple(values) or None).cursor.fetchall())
    except DBAPIError as error:
        if not database.is_out_of_time(error):
            raise
        connection.rollback()
        database.limit_statements(connection, None)
        raise BudgetOver from None
    database.limit_statements(connection, None)
    return rows


def source_text(connection: Connection, table: FromClause) -> str:
    """What stands behind FROM for the table, or for what stands for it."""
    statement = select(literal_column("1")).select_from(table).compile(dialect=connection.dialect)
    return str(statement).partition("FROM ")[2]


def _clause(where: Where, mark: str) -> TextClause:
    """The conditions as SQLAlchemy takes them, values bound by names of ours."""
    pieces = where.text.split(mark)
    names = [f"chest_{place}" for place in range(len(pieces) - 1)]
    named = "".join(f"{piece}:{name}" for piece, name in zip(pieces, names, strict=False)) + pieces[-1]
    return text(named).bindparams(**dict(zip(names, where.values, strict=True)))
