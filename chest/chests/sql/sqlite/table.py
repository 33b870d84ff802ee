"""The table of a SQLite chest: its columns, making it, and whether one that is there already can take records."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from itertools import chain
from typing import Any, Final

from chest import native
from chest.chests.sql.columns import JSON_COLUMNS, NULLABLE_COLUMNS, STORED_COLUMNS, view_name
from chest.chests.sql.rows import finished_rows
from chest.chests.sql.sqlite.columns import Column, column_names, columns_of, type_of
from chest.errors import SchemaMismatch
from chest.native import IS_NATIVE
from chest.record.record import Outcome

__all__ = ["delete", "insert", "make_once", "make_tables", "require_fit"]

_ROWS_AT_ONCE: Final = (128, 64, 32, 16, 8, 4, 2, 1)
"""Rows a statement, as many as there are to store. The driver gives the interpreter up and takes it back once a statement:
beside a thread that computes, every time may cost 5 ms, so that row by row the delivery thread would store 200 a second."""
_SHARED_COLUMNS: Final = 4
"""The last of a row, which all rows of a process share: service, release, host and the moment. They are bound once a statement."""
_IN_PLACE_OF_NONE: Final = 0.5
"""No value of a column that may be NULL. The driver takes 0.37 µs to bind None (0.17 from Python 3.12 on), and for a number 0.06."""
_DIFFERENCES_SHOWN: Final = 5

_GENERATED_COLUMNS_SINCE: Final = (3, 31)
_TIME: Final = "strftime('%Y-%m-%dT%H:%M:%fZ', time_ns / 1e9, 'unixepoch')"
"""When the request began, for people who query the table."""
_COMPUTED: Final = (2, 3)
"""``hidden`` of a generated column in ``PRAGMA table_xinfo``, virtual and stored."""


def make_tables(connection: sqlite3.Connection, table: str, *, has_request_id_index: bool) -> None:
    """Make the table with its indexes and view if it is not there; else only an index that is asked for and missing.

    The view is a convenience: that it cannot be made is passed over. One that an
    earlier release made is made anew.
    """
    is_new = False
    if _missing(connection, table, has_request_id_index=has_request_id_index):
        connection.execute("BEGIN IMMEDIATE")
        # Again: another process may have made them meanwhile.
        missing = _missing(connection, table, has_request_id_index=has_request_id_index)
        is_new = not column_names(connection, table)
        for statement in missing:
            connection.execute(statement)
        connection.commit()
    if is_new or _has_older_view(connection, table):
        with suppress(sqlite3.OperationalError):
            _make_view(connection, table)


def make_once(connection: sqlite3.Connection, table: str, statement: str) -> None:
    """Make a table of one's own by this statement if it is not there."""
    if not column_names(connection, table):
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(statement)
        connection.commit()


def insert(
    connection: sqlite3.Connection, table: str, columns: tuple[str, ...], rows: Sequence[tuple[Any, ...]]
) -> None:
    """Store rows in this order; if ``id`` is among the columns, each unless its ``id`` is there.

    A row that is there as the note of a killed request gives way, as :attr:`Chest.is_idempotent` says.
    """
    start, most_values = 0, connection.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER)  # 999 before SQLite 3.32
    for count in _ROWS_AT_ONCE:
        while len(rows) - start >= count and count * len(columns) <= most_values:
            some = rows[start : start + count]
            stored = _insert_some(connection, table, columns, some)
            if stored < count and "id" in columns:
                _replace_notes(connection, table, columns, finished_rows(columns, some))
            start += count


def delete(connection: sqlite3.Connection, table: str, key: str, values: Sequence[Any]) -> int:
    """Remove the rows with these keys in a transaction of its own; returns how many were there."""
    places = ", ".join("?" * len(values))
    return connection.execute(f'DELETE FROM "{table}" WHERE "{key}" IN ({places})', tuple(values)).rowcount  # noqa: S608


def require_fit(connection: sqlite3.Connection, table: str, chest: str) -> None:
    """Refuse the table that is there if it cannot take records.

    :raises SchemaMismatch: what differs, and what to do.
    """
    found = _differences(connection, table)
    if found:
        more = f"; and {len(found) - _DIFFERENCES_SHOWN} more" if len(found) > _DIFFERENCES_SHOWN else ""
        raise SchemaMismatch(
            f"{chest}: the table {table} does not fit: "
            f"{'; '.join(found[:_DIFFERENCES_SHOWN])}{more}. Chest adds only columns that may be NULL."
            " Rename the table (Chest creates a new one), correct it, or name another with ?table=."
        )


# -- storing -----------------------------------------------------------------------------------------------------------


def _insert_some(
    connection: sqlite3.Connection, table: str, columns: tuple[str, ...], rows: Sequence[tuple[Any, ...]]
) -> int:
    """Store rows by one statement; returns how many were not there."""
    shared, values = _flat(list(rows), _SHARED_COLUMNS, _nullable(columns), _IN_PLACE_OF_NONE)
    return connection.execute(_insert_text(table, columns, len(rows), shared), values).rowcount


@cache
def _nullable(columns: tuple[str, ...]) -> int:
    """The places of the columns that may be NULL, a bit each."""
    return sum(1 << place for place, column in enumerate(columns) if column in NULLABLE_COLUMNS)


def flat_rows(
    rows: list[tuple[Any, ...]], most_shared: int, nullable: int, no_value: object
) -> tuple[int, tuple[Any, ...]]:
    """How many of the last values all rows share, at most so many, and these and then the other values of each row.

    :param nullable: the places, a bit each, at which ``no_value`` stands instead of None.
    """
    width = len(rows[0]) - most_shared
    if width <= 0 or [row[width:] for row in rows].count(rows[0][width:]) < len(rows):
        width = len(rows[0])
    values = list(chain.from_iterable([row[:width] for row in rows]))
    for place in range(width):
        if nullable >> place & 1:
            values[place::width] = [no_value if value is None else value for value in values[place::width]]
    return len(rows[0]) - width, (*rows[0][width:], *values)


_flat: Final = native.flat_rows if IS_NATIVE else flat_rows


def _replace_notes(
    connection: sqlite3.Connection, table: str, columns: tuple[str, ...], rows: Sequence[tuple[Any, ...]]
) -> None:
    """Put these rows in the place of notes of killed requests with their ids. A note stays if a trigger forbids to delete it."""
    places = ", ".join("?" * len(rows))
    notes = f'"id" IN ({places}) AND "outcome" = ?'
    try:
        place = columns.index("id")
        ids = [row[place] for row in rows]
        if connection.execute(f'DELETE FROM "{table}" WHERE {notes}', (*ids, Outcome.KILLED)).rowcount == 0:  # noqa: S608
            return
    except sqlite3.IntegrityError:
        if not connection.in_transaction:
            raise
    # Also after an error: RAISE(FAIL) leaves what was deleted before it.
    if rows:
        _insert_some(connection, table, columns, rows)


# -- making ------------------------------------------------------------------------------------------------------------


def _missing(connection: sqlite3.Connection, table: str, *, has_request_id_index: bool) -> list[str]:
    """The statements that make what is missing."""
    by_request_id = [_index(table, "request_id")] if has_request_id_index else []
    if not columns_of(connection, table):
        return [_table(table), _index(table, "time_ns"), *by_request_id]
    return [] if f"{table}_request_id" in {name for name, _ in _indexes(connection, table)} else by_request_id


def _table(table: str) -> str:
    """``seq`` counts up in the order of storing and never goes back (AUTOINCREMENT): a reader follows it, for records
    arrive late. ``request_id`` has an index only when asked for: keeping one over random ids sorted takes two thirds of the
    CPU time of a record.
    """
    columns = ["seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT"]
    columns += [f"{name} {type_of(name)}{'' if name in NULLABLE_COLUMNS else ' NOT NULL'}" for name in STORED_COLUMNS]
    if sqlite3.sqlite_version_info >= _GENERATED_COLUMNS_SINCE:
        columns.append(f"recorded_at TEXT GENERATED ALWAYS AS ({_TIME}) VIRTUAL")
    return f'CREATE TABLE "{table}" (\n\t' + ", \n\t".join([*columns, "UNIQUE (id)"]) + "\n)"


def _index(table: str, column: str) -> str:
    return f'CREATE INDEX "{table}_{column}" ON "{table}" ({column})'


def _make_view(connection: sqlite3.Connection, table: str) -> None:
    """Make the view, in the place of one that an earlier release made."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        if _has_older_view(connection, table):
            connection.execute(f'DROP VIEW "{view_name(table)}"')
        connection.execute(_view(table))
        connection.commit()
    except BaseException:
        connection.rollback()
        raise


def _has_older_view(connection: sqlite3.Connection, table: str) -> bool:
    """True if the view is there as a release before 0.1 made it, word for word: one of the user's is left alone."""
    found = connection.execute("SELECT sql FROM sqlite_master WHERE type = 'view' AND name = ?", (view_name(table),))
    return [(_older_view(table),)] == found.fetchall()


def _view(table: str) -> str:
    """``id`` is the request's own; its ``request_id`` may be a client's, and shared by several requests."""
    return (
        f'CREATE VIEW "{view_name(table)}" (request_id, name, value, recorded_at, id) AS'  # noqa: S608
        f" SELECT r.request_id, v.key, v.value, {_TIME.replace('time_ns', 'r.time_ns')}, r.id"
        f' FROM "{table}" AS r, json_each(r.variables) AS v'
    )


def _older_view(table: str) -> str:
    return _view(table).replace(", recorded_at, id)", ", recorded_at)").replace(", r.id FROM", " FROM")


@cache
def _insert_text(table: str, columns: tuple[str, ...], rows: int, shared: int) -> str:
    """SQL that stores so many rows. Bound are the values of so many last columns, once, and then the others of each row."""
    width = len(columns) - shared
    names = ", ".join(f'"{column}"' for column in columns)
    values = [f"column{place}" for place in range(1, width + 1)]
    for place, column in enumerate(columns[:width]):
        if column in NULLABLE_COLUMNS:
            values[place] = f"nullif({values[place]}, {_IN_PLACE_OF_NONE})"
    places = ", ".join([f"({', '.join('?' * width)})"] * rows)
    # Not INSERT OR IGNORE, which also passes over a NULL in a column that may hold none.
    conflict = ' ON CONFLICT ("id") DO NOTHING' if "id" in columns else ""
    return (
        f'INSERT INTO "{table}" ({names}) SELECT {", ".join([*values, *"?" * shared])}'  # noqa: S608
        f" FROM (VALUES {places}) WHERE true{conflict}"
    )


# -- looking -----------------------------------------------------------------------------------------------------------


def _indexes(connection: sqlite3.Connection, table: str) -> list[tuple[str, list[str] | None]]:
    """Each index by name, with its columns if it says that they are unique among all rows."""
    found = connection.execute(f'PRAGMA index_list("{table}")').fetchall()
    return [
        (name, _indexed(connection, name) if is_unique and not is_partial else None)
        for _, name, is_unique, _, is_partial in found
    ]


def _indexed(connection: sqlite3.Connection, index: str) -> list[str]:
    quoted = index.replace('"', '""')
    return [name for _, _, name in connection.execute(f'PRAGMA index_info("{quoted}")')]


def _differences(connection: sqlite3.Connection, table: str) -> list[str]:
    """What keeps the table that is there from taking records: one sentence a difference; empty when it fits.

    A column that the user added is no difference if a row can be inserted without it.
    """
    there = {column.name: column for column in columns_of(connection, table)}
    ours = ("seq", *STORED_COLUMNS)
    found = [_column_difference(name, there.get(name)) for name in ours]
    found += [_extra_difference(column) for name, column in there.items() if name not in ours]
    if [column.name for column in there.values() if column.key_place] != ["seq"]:
        found.append("column seq is not the primary key")
    elif ["id"] not in [columns for _, columns in _indexes(connection, table)]:
        found.append("column id is not UNIQUE")
    return [difference for difference in found if difference]


def _column_difference(name: str, there: Column | None) -> str:
    if there is None:
        return "" if name in NULLABLE_COLUMNS else f"column {name} is missing"
    needed = "INTEGER" if name == "seq" else type_of(name)
    if not _fits(name, needed, there.type.upper()):
        return f"column {name} has the type {there.type or 'NULL'}, and {needed} is needed"
    return f"column {name} is NOT NULL, but must accept NULL" if _refuses_null(name, there) else ""


def _refuses_null(name: str, there: Column) -> bool:
    return name in NULLABLE_COLUMNS and bool(there.is_not_null)


def _fits(name: str, needed: str, there: str) -> bool:
    """True if what Chest writes comes back from a column of this declared type; SQLite takes a type by what its name holds."""
    if "INT" in there:
        return "INT" in needed
    if needed in ("INTEGER", "BIGINT"):
        return False
    is_text = any(each in there for each in ("CHAR", "CLOB", "TEXT"))
    return (
        is_text
        or (there == "JSON" and name in JSON_COLUMNS)
        or (there in ("DATETIME", "TIMESTAMP") and name == "stored_at")
    )


def _extra_difference(there: Column) -> str:
    if not there.is_not_null or there.default is not None or there.hidden in _COMPUTED:
        return ""
    return f"column {there.name} is not Chest's and is NOT NULL without a default"
