"""The columns of a table in SQLite: what is there, and adding what Chest knows and the table lacks."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from chest.chests.sql.columns import INTEGER_COLUMNS, JSON_COLUMNS, MissingColumns, missing_from

__all__ = ["Column", "add_missing", "column_names", "columns_of", "note_missing", "type_of"]


class Column(NamedTuple):
    """A row of ``PRAGMA table_xinfo``."""

    place: int
    name: str
    type: str
    is_not_null: int
    default: str | None
    key_place: int
    hidden: int


def columns_of(connection: sqlite3.Connection, table: str) -> list[Column]:
    """The table's columns, in their order; empty if the table does not exist."""
    return [Column._make(row) for row in connection.execute(f'PRAGMA table_xinfo("{table}")')]


def column_names(connection: sqlite3.Connection, table: str) -> list[str]:
    """The table's columns; empty if the table does not exist."""
    return [column.name for column in columns_of(connection, table)]


def add_missing(connection: sqlite3.Connection, table: str, missing: MissingColumns) -> None:
    """Add the columns that the table lacks and that may be NULL; if that is refused, note why."""
    refusal = ""
    if missing_from(column_names(connection, table)):
        connection.execute("BEGIN IMMEDIATE")
        try:
            # Again: another process may have added them meanwhile.
            for statement in _adding(table, column_names(connection, table)):
                connection.execute(statement)
            connection.commit()
        except sqlite3.OperationalError as error:
            connection.rollback()
            refusal = str(error)
    note_missing(connection, table, missing, refusal)


def note_missing(connection: sqlite3.Connection, table: str, missing: MissingColumns, refusal: str = "") -> None:
    """Note what the table lacks now."""
    names = column_names(connection, table)
    missing.note(names, _adding(table, names), refusal)


def type_of(column: str) -> str:
    """The type that Chest declares for a column of its own."""
    if column in INTEGER_COLUMNS:
        return "BIGINT"
    return "JSON" if column in JSON_COLUMNS else "TEXT"


def _adding(table: str, names: Sequence[str]) -> list[str]:
    """The statements that add what a table with these columns lacks."""
    return [f'ALTER TABLE "{table}" ADD COLUMN {name} {type_of(name)}' for name in missing_from(names)]
