"""``VariablesChest``: one row a variable in an SQL table, in the shape in which Flask-Chest made its tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import Column, MetaData, Table, inspect
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateTable

from chest.chests.refused_rows import refused_of
from chest.chests.sql.dialect import Database, database_of
from chest.chests.sql.schema import TABLE_OPTIONS
from chest.chests.sql.url import SQLTarget
from chest.chests.variables import VARIABLE_COLUMNS, VariablesTable, require_columns, triple_rows
from chest.errors import ChestUnavailable
from chest.record.record import Record
from chest.system.fork_safe_connection import ForkSafeConnection

__all__ = ["VariablesChest"]


class VariablesChest(VariablesTable):
    __doc__ = VariablesTable.__doc__

    def __init__(self, url: str) -> None:
        target = SQLTarget.of(url)
        self.name = target.name
        self._database = database_of(target)
        self._table = _table(target.table, self._database)
        self.writing = ForkSafeConnection(self._database, self._connect, self._database.prepare)
        """The connection that writes, prepared for it: ``with chest.writing.use() as connection``."""

    def open(self) -> None:
        with self._database.explained(), self.writing.use():
            pass

    def write(self, records: Sequence[Record]) -> None:
        try:
            super().write_triples(_triples(records))
        except DBAPIError as error:
            refused = [] if self._database.is_passing(error) else self._refused(records)
            told = self._database.failure(error, refused)
            raise told from (error if self._database.is_passing(error) else None)

    def write_triples(self, triples: Iterable[tuple[str, Any, str]]) -> None:
        with self._database.explained():
            super().write_triples(triples)

    def insert(self, rows: Sequence[tuple[Any, ...]]) -> None:
        with self.writing.use() as connection:
            self._database.insert(connection, self._table, VARIABLE_COLUMNS, rows)
            connection.commit()

    def _refused(self, records: Sequence[Record]) -> list[str]:
        """Which of the records are refused, tried on a new connection; nothing is stored."""
        found: list[str] = []
        with suppress(DBAPIError, ChestUnavailable, ValueError), self.writing.use() as connection:

            def try_store(tried: Sequence[Record]) -> bool:
                rows = triple_rows(_triples(tried)) or [("", "", "")]
                return self._database.try_insert(connection, self._table, VARIABLE_COLUMNS, rows)

            found = refused_of(records, try_store, None)
            connection.rollback()
        return found

    def check(self) -> None:
        with self._database.explained():
            connection = self._database.connect_to_check()
            if connection is not None:
                with connection:
                    if inspect(connection).has_table(self._table.name):
                        self._require_columns(connection)
                    self._database.require_rights(connection, self._table, VARIABLE_COLUMNS)

    def wait_at_most(self, seconds: float) -> bool:
        self.writing.close()
        return self._database.wait_at_most(seconds)

    def close(self) -> None:
        self.writing.close()

    def _connect(self) -> Connection:
        connection = self._database.connect_to_write()
        try:
            if not inspect(connection).has_table(self._table.name):
                connection.rollback()
                with self._database.exclusive_write(connection, self._table.name):
                    connection.execute(CreateTable(self._table, if_not_exists=True))
                    connection.commit()
            self._require_columns(connection)
            self._database.require_rights(connection, self._table, VARIABLE_COLUMNS)
            connection.rollback()
        except BaseException:
            connection.close()
            raise
        return connection

    def _require_columns(self, connection: Connection) -> None:
        there = (column["name"] for column in inspect(connection).get_columns(self._table.name))
        require_columns(self.name, self._table.name, there)


def _triples(records: Sequence[Record]) -> list[tuple[str, Any, str]]:
    return [(name, value, record.request_id) for record in records for name, value in record.variables.items()]


def _table(name: str, database: Database) -> Table:
    key = Column("unique_id", database.types.counter, primary_key=True, autoincrement=True)
    rest = (Column(column, database.types.text) for column in VARIABLE_COLUMNS)
    return Table(name, MetaData(), key, *rest, **TABLE_OPTIONS)
