"""``SQLChest``: one table, one row a request, in an SQL database."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Final, TypeAlias, TypeVar

from sqlalchemy import Table, delete, func, inspect, select
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from chest.chests.base import Cursor, ReadableChest, StoredRecord
from chest.chests.encoded import EncodedPage
from chest.chests.query import EVERYTHING, Query
from chest.chests.sql_copy import copied
from chest.chests.sql_database import STORED_COLUMNS
from chest.chests.sql_databases import database_of
from chest.chests.sql_housekeeping import SQLHousekeeping
from chest.chests.sql_ledger import SQLLedger
from chest.chests.sql_reading import encoded_pages, moment_of, pages
from chest.chests.sql_schema import make_tables, record_table, require_fit
from chest.chests.sql_sqlite import SQLiteDatabase
from chest.chests.sql_url import SQLTarget
from chest.errors import ChestUnavailable, RecordRejected
from chest.held_connection import HeldConnection
from chest.record import Record

__all__ = ["SQLChest"]

T = TypeVar("T")
Pages: TypeAlias = Callable[[Connection, Table, Query, int, int], Iterator[list[T]]]

_REMOVED_AT_ONCE: Final = 500
"""Rows a transaction: between two of them, those who write get their turn."""


class SQLChest(ReadableChest):
    """One row a request, in a table of an SQL database: SQLite for one host, PostgreSQL, MySQL or MariaDB for several.

    A batch is one transaction, and a record that comes again is not stored again. The table is made if it is not there;
    one that is there is never altered, and refused if it does not fit. Columns of your own may stand beside Chest's, if
    a row may be inserted without them. Beside the table stands a view, ``chest_variables``: one row a variable, with
    ``request_id``, ``name``, ``value`` and ``recorded_at``, the time of the request (in SQLite, true and false are 1 and
    0; MySQL has no view before version 8). PostgreSQL has ``recorded_at`` in the table, too.

    Writers of one table take turns, so that ``seq`` is the order in which rows can be seen. Writing and reading have a
    connection each, held until :meth:`close`; neither waits for the other, but two writers or two readers of one object
    do. Whoever reads through millions of rows makes a chest of its own.

    A password, a right, a database, a host or a certificate that is wrong is told from a server that is down: see the
    subclasses of :exc:`~chest.errors.ChestUnavailable`.

    :param url: ``sqlite:///relative/file``, ``sqlite:////absolute/file`` (a ``%`` or ``?`` in the path as ``%25``,
        ``%3F``), ``postgresql://user:password@host:port/database``, ``mysql://user:password@host:port/database`` (a
        character that means something in URLs as its %-code), and after a ``?``: ``table=chest_records``;
        ``index=request_id`` for an index on it (finding an id at once costs writing two thirds of its speed);
        for SQLite ``busy_timeout_ms=1000``, how long to wait for a lock of another connection; for servers
        ``timeout_seconds=10``, how long to wait for each answer. For PostgreSQL libpq's ``sslmode``, ``sslrootcert``,
        ``sslcert``, ``sslkey`` and some more; for MySQL ``ssl_mode``, ``ssl_ca``, ``ssl_cert``, ``ssl_key`` as its own
        tools have them, and ``unix_socket``.
    :raises SettingsError: the URL cannot be meant as it stands.
    :raises MissingDependencyError: the driver is not installed.
    """

    def __init__(self, url: str) -> None:
        target = SQLTarget.of(url)
        self.name = target.name
        self._database = database_of(target)
        self._table = record_table(target.table, self._database, has_request_id_index=target.has_request_id_index)
        self._writing = HeldConnection(self._database, self._connect_to_write, self._database.prepare)
        self._reading = HeldConnection(self._database, self._connect_to_read)

    def open(self) -> None:
        with self._explained(), self._writing.use():
            pass

    def write(self, records: Sequence[Record]) -> None:
        if not records:
            return
        try:
            rows = self._database.rows(records, datetime.now(UTC))
            with (
                self._explained(),
                self._writing.use() as connection,
                self._database.turn(connection, self._table.name),
            ):
                self._database.insert(connection, self._table, STORED_COLUMNS, rows)
                connection.commit()
        # What the driver and the encoder raise for a value they cannot take: too large, no Unicode, no JSON.
        except (RecordRejected, OverflowError, TypeError, ValueError) as error:
            refused = self._refused(records)
            if not refused:
                raise ChestUnavailable(f"{self.name} failed, and no record is to blame: {error}") from error
            told = str(error) if isinstance(error, RecordRejected) else f"{self.name} cannot hold a record: {error}"
            raise RecordRejected(told, refused) from error

    def write_new(self, records: Sequence[Record], meanwhile: Callable[[], object] = lambda: None) -> None:
        """By COPY where the database is PostgreSQL; a batch that does not go in so goes the usual way."""
        is_postgresql = self._database.target.backend == "postgresql"
        if not records or not is_postgresql or not self._is_copied(records, meanwhile):
            super().write_new(records, meanwhile)

    def _is_copied(self, records: Sequence[Record], meanwhile: Callable[[], object]) -> bool:
        with suppress(DBAPIError, TypeError, ValueError), self._writing.use() as connection:
            rows = self._database.rows(records, datetime.now(UTC))
            with self._database.turn(connection, self._table.name):
                if copied(connection, self._table.name, STORED_COLUMNS, rows, meanwhile):
                    connection.commit()
                    return True
                connection.rollback()
        return False

    def check(self) -> None:
        with self._explained():
            connection = self._database.connect_to_check()
            if connection is not None:
                with connection:
                    if inspect(connection).has_table(self._table.name):
                        require_fit(connection, self._table, self._database)

    def wait_at_most(self, seconds: float) -> bool:
        self._writing.close()  # the next connection waits no longer
        return self._database.wait_at_most(seconds)

    def close(self) -> None:
        self._writing.close()
        self._reading.close()

    def read(self, query: Query = EVERYTHING, *, after: Cursor | None = None, limit: int = 1000) -> list[StoredRecord]:
        return self._read(pages, query, after, limit)

    def read_encoded(
        self, query: Query = EVERYTHING, *, after: Cursor | None = None, limit: int = 1000
    ) -> Sequence[StoredRecord]:
        return EncodedPage(self._read(encoded_pages, query, after, limit), moment_of)

    def _read(self, pages_of: Pages[T], query: Query, after: Cursor | None, limit: int) -> list[T]:
        found: list[T] = []
        # A text that is no Unicode (a byte of a command line) is not taken, and no record has it.
        with suppress(UnicodeEncodeError, RecordRejected), self._explained(), self._reading.use() as connection:
            for page in pages_of(connection, self._table, query, int(after or 0), limit):
                found += page
                if len(found) >= limit:
                    break
        return found[:limit]

    def newest(self) -> Cursor | None:
        with self._explained(), self._reading.use() as connection:
            newest: int | None = connection.execute(select(func.max(self._table.c.seq))).scalar()
        return newest

    def remove(self, stored: Sequence[StoredRecord]) -> int:
        removed = 0
        for start in range(0, len(stored), _REMOVED_AT_ONCE):
            places = [row.cursor for row in stored[start : start + _REMOVED_AT_ONCE]]
            with self._explained(), self._writing.use() as connection:
                removed += connection.execute(delete(self._table).where(self._table.c.seq.in_(places))).rowcount
                connection.commit()
        return removed

    @property
    def takes_encoded(self) -> bool:
        return self._database.checks_json

    @property
    def is_in_order(self) -> bool:
        """In SQLite one transaction writes at a time; on a server, one that is not of Chest may write beside ours."""
        return isinstance(self._database, SQLiteDatabase)

    def ledger(self) -> SQLLedger:
        file = self._database.path if isinstance(self._database, SQLiteDatabase) else None
        return SQLLedger(self._database, self._table.name, file)

    def housekeeping(self) -> SQLHousekeeping:
        return SQLHousekeeping(self._database, self._table)

    def _refused(self, records: Sequence[Record]) -> list[str]:
        """Which of the records are refused: each is tried by itself, and nothing is stored."""
        refused = []
        with (
            suppress(DBAPIError, ChestUnavailable, ValueError),
            self._writing.use() as connection,
            self._database.turn(connection, self._table.name),
        ):
            for record in records:
                try:
                    with connection.begin_nested():
                        row = self._database.rows([record], datetime.now(UTC))
                        self._database.insert(connection, self._table, STORED_COLUMNS, row)
                except DBAPIError as error:
                    if not isinstance(self._database.explain(error), RecordRejected):
                        raise
                    refused.append(record.id)
                except (OverflowError, TypeError, ValueError):
                    refused.append(record.id)
            connection.rollback()
        return refused

    def _connect_to_write(self) -> Connection:
        connection = self._database.connect_to_write()
        with _closed_on_error(connection):
            make_tables(connection, self._table, self._database)
            require_fit(connection, self._table, self._database)
        return connection

    def _connect_to_read(self) -> Connection:
        connection = self._database.connect_to_read()
        with _closed_on_error(connection):
            if not inspect(connection).has_table(self._table.name):
                raise ChestUnavailable(
                    f"{self.name} has no table {self._table.name}: nothing was recorded here yet, or it was under"
                    " another name (?table=)."
                )
            require_fit(connection, self._table, self._database)
        return connection

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """What the driver raises, as errors of Chest."""
        try:
            yield
        except DBAPIError as error:
            told = self._database.explain(error)
            # A server shows the row that it refuses.
            raise told from (None if isinstance(told, RecordRejected) else error)


@contextmanager
def _closed_on_error(connection: Connection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        connection.close()
        raise
