"""``SQLiteVariables`` and ``SQLiteVariablesSource``: a table of one row a variable in a SQLite file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chest.chests.contract import Cursor, StoredRecord
from chest.chests.sql.sqlite.columns import column_names
from chest.chests.sql.sqlite.coordination import SQLiteCoordinationStore
from chest.chests.sql.sqlite.database import SQLiteDatabase, closed_on_error
from chest.chests.sql.sqlite.failure import version_notice
from chest.chests.sql.sqlite.table import delete, insert, make_once
from chest.chests.sql.sqlite.target import SQLiteTarget
from chest.chests.variables import (
    VARIABLE_COLUMNS,
    VariableRow,
    VariablesSourceTable,
    VariablesTable,
    require_columns,
)
from chest.errors import ChestUnavailable
from chest.system.fork_safe_connection import ForkSafeConnection
from chest.system.sqlite_file import FileConnection

__all__ = ["SQLiteVariables", "SQLiteVariablesSource"]


class SQLiteVariables(VariablesTable):
    __doc__ = VariablesTable.__doc__

    def __init__(self, url: str) -> None:
        target = SQLiteTarget.of(url)
        self.name = target.name
        self._table = target.table
        self._database = SQLiteDatabase(target)
        self.writing = ForkSafeConnection(self._database, self._connect, self._database.prepare)
        """The connection that writes, prepared for it: ``with chest.writing.use() as connection``."""

    def open(self) -> None:
        with self._database.explained(), self.writing.use():
            pass

    def insert(self, rows: Sequence[tuple[Any, ...]]) -> None:
        with self._database.explained(), self.writing.use() as connection:
            connection.execute("BEGIN IMMEDIATE")
            insert(connection, self._table, VARIABLE_COLUMNS, rows)
            connection.commit()

    def check(self) -> None:
        with self._database.explained():
            connection = self._database.connect_to_check()
            if connection is not None:
                try:
                    there = column_names(connection, self._table)
                    if there:
                        require_columns(self.name, self._table, there)
                finally:
                    connection.close()

    def notices(self) -> Sequence[str]:
        return [notice] if (notice := version_notice()) else []

    def wait_at_most(self, seconds: float) -> bool:
        self.writing.close()
        return self._database.wait_at_most(seconds)

    def close(self) -> None:
        self.writing.close()

    def _connect(self) -> FileConnection:
        connection = self._database.connect_to_write()
        with closed_on_error(connection):
            make_once(connection, self._table, _table(self._table))
            require_columns(self.name, self._table, column_names(connection, self._table))
        return connection


class SQLiteVariablesSource(SQLiteVariables, VariablesSourceTable):
    __doc__ = VariablesSourceTable.__doc__

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._reading = ForkSafeConnection(self._database, self._connect_to_read)

    def coordination(self) -> SQLiteCoordinationStore:
        return SQLiteCoordinationStore(self._database, self._table)

    def page(self, after: int, limit: int) -> Sequence[VariableRow]:
        columns = ", ".join(("unique_id", *VARIABLE_COLUMNS))
        text = f'SELECT {columns} FROM "{self._table}" WHERE unique_id > ? ORDER BY unique_id LIMIT ?'  # noqa: S608
        with self._database.explained(), self._reading.use() as connection:
            return connection.execute(text, (after, limit)).fetchall()

    def newest(self) -> Cursor | None:
        text = f'SELECT max(unique_id) FROM "{self._table}"'  # noqa: S608
        with self._database.explained(), self._reading.use() as connection:
            newest: int | None = connection.execute(text).fetchone()[0]
        return newest

    def remove(self, stored: Sequence[StoredRecord]) -> int:
        if not stored:
            return 0
        with self._database.explained(), self.writing.use() as connection:
            return delete(connection, self._table, "unique_id", [row.cursor for row in stored])

    def close(self) -> None:
        super().close()
        self._reading.close()

    def _connect_to_read(self) -> FileConnection:
        connection = self._database.connect_to_read()
        with closed_on_error(connection):
            there = column_names(connection, self._table)
            if not there:
                raise ChestUnavailable(f"{self.name} has no table {self._table}: nothing was written here yet.")
            require_columns(self.name, self._table, there)
        return connection


def _table(table: str) -> str:
    columns = ("unique_id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT", *(f"{name} TEXT" for name in VARIABLE_COLUMNS))
    return f'CREATE TABLE IF NOT EXISTS "{table}" (\n\t' + ", \n\t".join(columns) + "\n)"
