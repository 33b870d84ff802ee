"""``SQLChest``: one table, one row a request, in a database that is an SQL server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any, ClassVar, Final, TypeAlias, TypeVar

from sqlalchemy import FromClause, delete, func, inspect, select
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from chest.chests.asking.conditions import Name
from chest.chests.asking.counting_chest import CountingChest
from chest.chests.asking.sql.pieces import SQLPieces, can_count
from chest.chests.contract import Cursor, StoredRecord
from chest.chests.encoded import EncodedPage, moment_of
from chest.chests.query import EVERYTHING, Query
from chest.chests.refused_rows import refused_of, unholdable
from chest.chests.sql.columns import MissingColumns, values_of
from chest.chests.sql.coordination import SQLCoordinationStore
from chest.chests.sql.dialect import Database, database_of
from chest.chests.sql.index import make_asked_index
from chest.chests.sql.postgresql.copying import copy_rows
from chest.chests.sql.reading import encoded_pages, pages, rows_within, source_text
from chest.chests.sql.retention import SQLRetentionBackend, are_rows
from chest.chests.sql.schema import (
    add_missing,
    make_tables,
    note_missing,
    readable,
    record_table,
    require_fit,
    require_rights,
)
from chest.chests.sql.sqlite.chest import SQLiteChest
from chest.chests.sql.url import SQLTarget
from chest.chests.upkeep import Partitions, VariableIndexes
from chest.errors import ChestUnavailable, RecordRejected
from chest.record.record import Record
from chest.system.fork_safe_connection import ForkSafeConnection

__all__ = ["SQLChest"]

T = TypeVar("T")
Pages: TypeAlias = Callable[[Connection, Database, FromClause, Query, int, int], Iterator[list[T]]]

_REMOVED_AT_ONCE: Final = 500
"""Rows a transaction: between two of them, waiting writers get their turn."""


class SQLChest(CountingChest):
    """One row a request, in a table of a server: PostgreSQL, MySQL or MariaDB.

    A batch is one transaction, and a record that comes again is not stored again. A missing table is created; an existing
    one is refused if it does not fit. A missing column that may be NULL is added. The table may have columns of your own if
    a row can be inserted without them. A view ``chest_variables`` has one row a variable, with
    ``request_id``, ``name``, ``value`` and ``recorded_at``, the time of the request (MySQL has no view before version 8).
    In PostgreSQL the table itself also has ``recorded_at``.

    Writers of one table take turns, so that ``seq`` is the order in which rows can be seen. Writing and reading have a
    connection each, held until :meth:`close`; neither waits for the other, but two writers or two readers of one object
    do. To read through millions of rows, make a second chest.

    A wrong password, right, database, host or certificate is told apart from a server that is down: see the
    subclasses of :exc:`~chest.errors.ChestUnavailable`.

    :param url: ``postgresql://user:password@host:port/database``, ``mysql://user:password@host:port/database`` (a
        character that means something in URLs as its %-code), and after a ``?``: ``table=chest_records``;
        ``index=request_id`` for an index on it (finding an id at once costs writing two thirds of its speed);
        ``timeout_seconds=10``, how long to wait for each answer. For PostgreSQL libpq's ``sslmode``, ``sslrootcert``,
        ``sslcert``, ``sslkey`` and some more; for MySQL ``ssl_mode``, ``ssl_ca``, ``ssl_cert``, ``ssl_key`` as its own
        tools have them, and ``unix_socket``.
    :raises SettingsError: invalid chest URL.
    :raises MissingDependencyError: the driver is not installed.
    """

    takes_own_json: ClassVar[bool] = True

    def __new__(cls, url: str) -> Any:
        """For a ``sqlite:`` URL the chest of SQLite, which also had this name."""
        return SQLiteChest(url) if url[:7].lower() == "sqlite:" else super().__new__(cls)

    def __init__(self, url: str) -> None:
        target = SQLTarget.of(url)
        self.name = target.name
        self._database = database_of(target)
        self._table = record_table(target.table, self._database, has_request_id_index=target.has_request_id_index)
        self.writing = ForkSafeConnection(self._database, self._connect_to_write, self._database.prepare)
        """The connection that writes, prepared for it: ``with chest.writing.use() as connection``."""
        self.reading = ForkSafeConnection(self._database, self._connect_to_read)
        """The connection that answers, and cannot write: ``with chest.reading.use() as connection``."""
        self._has_looked_at_index = not target.has_request_id_index
        """Once a process: it takes as long as the server may, and must not come before each batch."""
        self._missing = MissingColumns(self.name, self._table.name)
        self._notices: Sequence[str] = ()
        self._read_from: FromClause = self._table
        """The table, or what stands for one that lacks columns; of the connection that reads."""
        self._known_good: Record | None = None
        """The last record that was stored, to tell a record that is refused from a store that takes none."""

    def open(self) -> None:
        with self._database.explained(), self.writing.use():
            pass

    def write(self, records: Sequence[Record]) -> None:
        if not records:
            return
        is_connected = False
        try:
            rows = self._database.rows(records, datetime.now(UTC))
            with self.writing.use() as connection, self._database.exclusive_write(connection, self._table.name):
                is_connected = True
                columns = self._missing.written
                self._database.insert(connection, self._table, columns, values_of(rows, columns))
                connection.commit()
        except DBAPIError as error:
            refused = [] if not is_connected or self._database.is_passing(error) else self._refused(records)
            told = self._database.failure(error, refused)
            # Without the driver's error if a row is refused: a server shows the row.
            raise told from (None if is_connected and not self._database.is_passing(error) else error)
        # What the driver and the encoder raise for a value they cannot take: too large, no Unicode, no JSON.
        except (OverflowError, TypeError, ValueError) as error:
            raise unholdable(self.name, error, self._refused(records)) from error
        self._known_good = records[-1]

    def write_new(self, records: Sequence[Record], meanwhile: Callable[[], object] = lambda: None) -> None:
        """By COPY if the database is PostgreSQL; a batch that COPY does not take goes the usual way."""
        is_postgresql = self._database.target.backend == "postgresql"
        if not records or not is_postgresql or not self._try_copy(records, meanwhile):
            super().write_new(records, meanwhile)

    def _try_copy(self, records: Sequence[Record], meanwhile: Callable[[], object]) -> bool:
        with suppress(DBAPIError, TypeError, ValueError), self.writing.use() as connection:
            rows = self._database.rows(records, datetime.now(UTC))
            with self._database.exclusive_write(connection, self._table.name):
                columns = self._missing.written
                if copy_rows(connection, self._table.name, columns, values_of(rows, columns), meanwhile):
                    connection.commit()
                    return True
                connection.rollback()
        return False

    def check(self) -> None:
        with self._database.explained():
            connection = self._database.connect_to_check()
            if connection is not None:
                with connection:
                    if inspect(connection).has_table(self._table.name):
                        require_fit(connection, self._table, self._database)
                        note_missing(connection, self._table, self._database, self._missing)
                        self._database.require_counter(connection, self._table)
                        self._notices = self._database.notices_on(connection, self._table)
                    require_rights(connection, self._table, self._database, self._missing)

    def notices(self) -> Sequence[str]:
        return (*self._missing.notices, *self._notices)

    def wait_at_most(self, seconds: float) -> bool:
        self.writing.close()  # the next connection waits no longer
        return self._database.wait_at_most(seconds)

    def close(self) -> None:
        self.writing.close()
        self.reading.close()

    def read(self, query: Query = EVERYTHING, *, after: Cursor | None = None, limit: int = 1000) -> list[StoredRecord]:
        return self._read(pages, query, after, limit)

    def read_encoded(
        self, query: Query = EVERYTHING, *, after: Cursor | None = None, limit: int = 1000
    ) -> Sequence[StoredRecord]:
        return EncodedPage(self._read(encoded_pages, query, after, limit), moment_of)

    def _read(self, pages_of: Pages[T], query: Query, after: Cursor | None, limit: int) -> list[T]:
        found: list[T] = []
        # Text that is not Unicode (a byte of a command line) is not taken, and no record has it.
        with (
            suppress(UnicodeEncodeError, RecordRejected),
            self._database.explained(),
            self.reading.use() as connection,
        ):
            for page in pages_of(connection, self._database, self._read_from, query, int(after or 0), limit):
                found += page
                if len(found) >= limit:
                    break
        return found[:limit]

    def _can_count(self, query: Query, by: Sequence[Name] = ()) -> bool:
        return can_count(query, by, self._database.words)

    @contextmanager
    def _pieces(self) -> Iterator[SQLPieces]:
        with self._database.explained(), self.reading.use() as connection:
            source, words = (
                source_text(connection, self._read_from),
                self._database.words_on(connection, self._read_from),
            )
            yield SQLPieces(source, words, partial(rows_within, connection, self._database))

    def newest(self) -> Cursor | None:
        with self._database.explained(), self.reading.use() as connection:
            newest: int | None = connection.execute(select(func.max(self._table.c.seq))).scalar()
        return newest

    def remove(self, stored: Sequence[StoredRecord]) -> int:
        removed = 0
        for start in range(0, len(stored), _REMOVED_AT_ONCE):
            keys = [(row.cursor, row.record.id) for row in stored[start : start + _REMOVED_AT_ONCE]]
            with self._database.explained(), self.writing.use() as connection:
                removed += connection.execute(delete(self._table).where(*are_rows(self._table, keys))).rowcount
                connection.commit()
        return removed

    @property
    def takes_encoded(self) -> bool:
        return self._database.checks_json

    @property
    def is_in_order(self) -> bool:
        """A transaction that is not of Chest may write beside ours."""
        return False

    def coordination(self) -> SQLCoordinationStore:
        return SQLCoordinationStore(self._database, self._table.name)

    def retention(self) -> SQLRetentionBackend:
        kind: type[SQLRetentionBackend] = self._database.retention_kind or SQLRetentionBackend
        return kind(self._database, self._table)

    def variable_indexes(self) -> VariableIndexes | None:
        kind = type(self._database).variable_index_kind
        return None if kind is None else kind(self._database, self._table.name)

    def partitions(self) -> Partitions | None:
        kind = type(self._database).partitions_kind
        return None if kind is None else kind(self._database, self._table.name)

    def _refused(self, records: Sequence[Record]) -> list[str]:
        """Which of the records are refused, tried on a new connection; nothing is stored."""
        found: list[str] = []
        with (
            suppress(DBAPIError, ChestUnavailable, ValueError),
            self.writing.use() as connection,
            self._database.exclusive_write(connection, self._table.name),
        ):

            def try_store(tried: Sequence[Record]) -> bool:
                rows = self._database.rows(tried, datetime.now(UTC))
                columns = self._missing.written
                return self._database.try_insert(connection, self._table, columns, values_of(rows, columns))

            # The others of this table wait for their turn meanwhile.
            end = time.monotonic() + self._database.target.timeout_seconds / 2
            found = refused_of(records, try_store, self._known_good, lambda: time.monotonic() > end)
            connection.rollback()
        return found

    def _connect_to_write(self) -> Connection:
        connection = self._database.connect_to_write()
        with _closed_on_error(connection):
            make_tables(connection, self._table, self._database)
            require_fit(connection, self._table, self._database)
            add_missing(connection, self._table, self._database, self._missing)
            require_rights(connection, self._table, self._database, self._missing)
            self._database.require_counter(connection, self._table)
            connection.rollback()
        if not self._has_looked_at_index:
            self._has_looked_at_index = True
            with closing(self._database.connect_to_write()) as other:
                make_asked_index(other, self._table, self._database)
        return connection

    def _connect_to_read(self) -> Connection:
        connection = self._database.connect_to_read()
        with _closed_on_error(connection):
            if not inspect(connection).has_table(self._table.name):
                raise ChestUnavailable(
                    f"{self.name} has no table {self._table.name}: nothing was recorded here yet, or it was under"
                    " another name (?table=)."
                )
            require_fit(connection, self._table, self._database, is_for_writing=False)
            self._read_from = readable(connection, self._table)
        return connection


@contextmanager
def _closed_on_error(connection: Connection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        connection.close()
        raise
