"""``VariablesChest``: one row a variable in an SQL table, in the shape in which Flask-Chest made its tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Final

from sqlalchemy import Column, MetaData, Table, inspect
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateTable

from chest.chests.base import Chest
from chest.chests.sql_database import Database
from chest.chests.sql_databases import database_of
from chest.chests.sql_schema import TABLE_OPTIONS
from chest.chests.sql_url import SQLTarget
from chest.encoding import encode
from chest.errors import RecordRejected, SchemaMismatch
from chest.held_connection import HeldConnection
from chest.record import Record

__all__ = ["VariablesChest"]

_COLUMNS: Final = ("request_id", "name", "value")


class VariablesChest(Chest):
    """One row a variable: ``unique_id``, which counts up, ``request_id``, ``name`` and ``value``, all text.

    For a table that Flask-Chest made, and the programs that read it. What else is known of a request is not kept, and a
    batch that is written again, because its end was not seen, is stored twice: for anything new take the SQL chest.

    A text is stored as it is, other plain values as text (true and false as 1 and 0), nested ones as JSON, None as NULL.
    A batch is one transaction. The table is made if it is not there, and never altered.

    :param url: as the SQL chest's; the table is its ``?table=``.
    :raises SettingsError: the URL cannot be meant as it stands.
    """

    is_idempotent: ClassVar[bool] = False

    def __init__(self, url: str) -> None:
        target = SQLTarget.of(url)
        self.name = target.name
        self._database = database_of(target)
        self._table = _table(target.table, self._database)
        self._writing = HeldConnection(self._database, self._connect, self._database.prepare)

    def open(self) -> None:
        with self._explained(), self._writing.use():
            pass

    def write(self, records: Sequence[Record]) -> None:
        self.write_triples(
            (name, value, record.request_id) for record in records for name, value in record.variables.items()
        )

    def write_triples(self, triples: Iterable[tuple[str, Any, str]]) -> None:
        """Store variables, all or none: each a name, a value that JSON can hold, and the id of its request.

        :raises ChestUnavailable, RecordRejected: as :meth:`write`.
        """
        try:
            rows = [(request_id, name, _stored(value)) for name, value, request_id in triples]
            if rows:
                with self._explained(), self._writing.use() as connection:
                    self._database.insert(connection, self._table, _COLUMNS, rows)
                    connection.commit()
        except (OverflowError, TypeError, ValueError) as error:
            raise RecordRejected(f"{self.name} cannot hold a variable: {error}") from error

    def check(self) -> None:
        with self._explained():
            connection = self._database.connect_to_check()
            if connection is not None:
                with connection:
                    if inspect(connection).has_table(self._table.name):
                        self._require_columns(connection)

    def wait_at_most(self, seconds: float) -> bool:
        self._writing.close()
        return self._database.wait_at_most(seconds)

    def close(self) -> None:
        self._writing.close()

    def _connect(self) -> Connection:
        connection = self._database.connect_to_write()
        try:
            if not inspect(connection).has_table(self._table.name):
                connection.rollback()
                with self._database.turn(connection, self._table.name):
                    connection.execute(CreateTable(self._table, if_not_exists=True))
                    connection.commit()
            self._require_columns(connection)
            connection.rollback()
        except BaseException:
            connection.close()
            raise
        return connection

    def _require_columns(self, connection: Connection) -> None:
        there = {column["name"] for column in inspect(connection).get_columns(self._table.name)}
        missing = [column for column in _COLUMNS if column not in there]
        if missing:
            raise SchemaMismatch(
                f"{self.name}: the table {self._table.name} has no column {', '.join(missing)}, so it is none of"
                " variables: name another table, or rename this one (a new one is made)."
            )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            told = self._database.explain(error)
            raise told from (None if isinstance(told, RecordRejected) else error)


def _table(name: str, database: Database) -> Table:
    key = Column("unique_id", database.types.counter, primary_key=True, autoincrement=True)
    rest = (Column(column, database.types.text) for column in _COLUMNS)
    return Table(name, MetaData(), key, *rest, **TABLE_OPTIONS)


def _stored(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(int(value))
    return repr(value) if isinstance(value, int | float) else encode(value).decode()
