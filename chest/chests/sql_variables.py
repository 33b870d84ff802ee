"""``VariablesChest``: one row a variable in an SQL table, in the shape in which Flask-Chest made its tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Final

from sqlalchemy import BigInteger, Column, Integer, MetaData, Table, Text, bindparam, insert, inspect
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateTable

from chest.chests.base import Chest
from chest.chests.sql_connection import HeldConnection
from chest.chests.sql_database import Database
from chest.chests.sql_sqlite import SQLiteDatabase
from chest.chests.sql_url import SQLTarget
from chest.encoding import encode
from chest.errors import RecordRejected, SchemaMismatch
from chest.record import Record

__all__ = ["VariablesChest"]

_DATABASES: Final[dict[str, Callable[[SQLTarget], Database]]] = {"sqlite": SQLiteDatabase}
_COLUMNS: Final = ("request_id", "name", "value")
_ROWS_AT_ONCE: Final = (200, 20, 1)
"""Rows a statement, as many as there are: see the SQL chest."""


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
        self._database = _DATABASES[target.url.get_backend_name()](target)
        self._table = _table(target.table)
        self._writing = HeldConnection(self._database.prepare, self._database.place, self._connect)
        self._inserts: dict[int, str] = {}

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
                    self._store(connection, rows)
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

    def close(self) -> None:
        self._writing.close()

    def _store(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        start = 0
        for count in _ROWS_AT_ONCE:
            while len(rows) - start >= count:
                values = tuple(value for row in rows[start : start + count] for value in row)
                connection.exec_driver_sql(self._insert_text(connection, count), values)
                start += count

    def _insert_text(self, connection: Connection, count: int) -> str:
        """SQL that stores so many rows, their values bound in order."""
        text = self._inserts.get(count)
        if text is None:
            places: Any = [{column: bindparam(f"{column}_{row}") for column in _COLUMNS} for row in range(count)]
            text = self._inserts[count] = str(insert(self._table).values(places).compile(dialect=connection.dialect))
        return text

    def _connect(self) -> Connection:
        connection = self._database.connect_to_write()
        try:
            if not inspect(connection).has_table(self._table.name):
                connection.rollback()
                self._database.begin_alone(connection)
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
            raise self._database.explain(error) from error


def _table(name: str) -> Table:
    key = Column("unique_id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True)
    rest = (Column(column, Text()) for column in _COLUMNS)
    return Table(name, MetaData(), key, *rest, sqlite_autoincrement=True, quote=True)


def _stored(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(int(value))
    return repr(value) if isinstance(value, int | float) else encode(value).decode()
