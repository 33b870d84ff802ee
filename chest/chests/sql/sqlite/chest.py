"""``SQLiteChest``: one table, one row a request, in a SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from typing import ClassVar, Final, TypeVar

from chest.chests.asking.conditions import Name
from chest.chests.asking.counting_chest import CountingChest
from chest.chests.asking.sql.pieces import SQLPieces, can_count
from chest.chests.contract import Cursor, StoredRecord
from chest.chests.encoded import EncodedPage, Row, encoded_record, moment_of, stored_record
from chest.chests.query import EVERYTHING, Query
from chest.chests.refused_rows import refused_of, unholdable
from chest.chests.sql.columns import MissingColumns, missing_from, values_of
from chest.chests.sql.rows import rows_of
from chest.chests.sql.sqlite.asking import SQLITE_WORDS, rows_within
from chest.chests.sql.sqlite.columns import add_missing, column_names, note_missing
from chest.chests.sql.sqlite.coordination import SQLiteCoordinationStore
from chest.chests.sql.sqlite.database import SQLiteDatabase, closed_on_error
from chest.chests.sql.sqlite.failure import may_be_of_a_record, version_notice
from chest.chests.sql.sqlite.indexes import SQLiteVariableIndexes
from chest.chests.sql.sqlite.reading import pages_of_rows, source_of
from chest.chests.sql.sqlite.retention import SQLiteRetentionBackend
from chest.chests.sql.sqlite.table import delete, insert, make_tables, require_fit
from chest.chests.sql.sqlite.target import SQLiteTarget
from chest.errors import ChestUnavailable, RecordRejected
from chest.record.record import Record
from chest.system.fork_safe_connection import ForkSafeConnection
from chest.system.sqlite_file import FileConnection

__all__ = ["SQLiteChest"]

T = TypeVar("T")

_REMOVED_AT_ONCE: Final = 500
"""Rows a transaction: between two of them, waiting writers get their turn."""


class SQLiteChest(CountingChest):
    """One row a request, in a table of a SQLite file, for the processes of one host. Needs no package but Python's own.

    A batch is one transaction, and a record that comes again is not stored again. The table is made if it is not there;
    one that is there is refused if it does not fit. A column that it lacks and that may be NULL is added. Columns of your own may stand beside Chest's, if
    a row may be inserted without them. Beside the table stands a view, ``chest_variables``: one row a variable, with
    ``request_id``, ``name``, ``value`` (true and false are 1 and 0) and ``recorded_at``, the time of the request.

    The file has one writer at a time, so ``seq`` is the order in which rows can be seen. Writing and reading have a
    connection each, held until :meth:`close`; neither waits for the other, but two writers or two readers of one object
    do. To read through millions of rows, make a chest of its own.

    The file may be moved away or removed while it is used: the next write makes a new one. What its log holds is written
    into the file that was moved, or the log is kept beside it and a warning says how to give it back to its database.

    :param url: ``sqlite:///relative/file``, ``sqlite:////absolute/file`` (a ``%`` or ``?`` in the path as ``%25``,
        ``%3F``), and after a ``?``: ``table=chest_records``; ``index=request_id`` for an index on it (finding an id at
        once costs writing two thirds of its speed); ``busy_timeout_ms=1000``, how long to wait for a lock of another
        connection.
    :raises SettingsError: invalid chest URL.
    """

    takes_own_json: ClassVar[bool] = True
    _words = SQLITE_WORDS

    def __init__(self, url: str) -> None:
        target = SQLiteTarget.of(url)
        self.name = target.name
        self._table, self._has_request_id_index = target.table, target.has_request_id_index
        self._database = SQLiteDatabase(target)
        self.writing = ForkSafeConnection(self._database, self._connect_to_write, self._database.prepare)
        """The connection that writes, prepared for it: ``with chest.writing.use() as connection``."""
        self.reading = ForkSafeConnection(self._database, self._connect_to_read)
        """The connection that answers, and cannot write: ``with chest.reading.use() as connection``."""
        self._missing = MissingColumns(self.name, self._table)
        self._read_without: Sequence[str] = ()
        """Columns that the table lacks, for the connection that reads."""
        self._known_good: Record | None = None
        """The last record that was stored, to tell a record that is refused from a table that takes none."""

    def open(self) -> None:
        with self._database.explained(), self.writing.use():
            pass

    def write(self, records: Sequence[Record]) -> None:
        if not records:
            return
        try:
            rows = rows_of(records, _stored_at())
            with self.writing.use() as connection:
                columns = self._missing.written
                connection.execute("BEGIN IMMEDIATE")
                insert(connection, self._table, columns, values_of(rows, columns))
                connection.commit()
        except sqlite3.Error as error:
            told = self._database.explain(error)
            refused = self._refused(records) if may_be_of_a_record(error) else []
            if refused:
                # Without SQLite's error: it may show the row that is refused.
                raise RecordRejected(f"{self.name} refused a record: {error}.", refused) from None
            if isinstance(told, RecordRejected):
                raise ChestUnavailable(
                    f"{self.name} refused the batch, but none of its records alone: {told}"
                ) from None
            raise told from error
        # What the driver and the encoder raise for a value they cannot take: too large, no Unicode, no JSON.
        except (OverflowError, TypeError, ValueError) as error:
            raise unholdable(self.name, error, self._refused(records)) from error
        self._known_good = records[-1]

    def check(self) -> None:
        with self._database.explained():
            connection = self._database.connect_to_check()
            if connection is not None:
                try:
                    if column_names(connection, self._table):
                        require_fit(connection, self._table, self.name)
                        note_missing(connection, self._table, self._missing)
                finally:
                    connection.close()

    def notices(self) -> Sequence[str]:
        return [*([notice] if (notice := version_notice()) else []), *self._missing.notices]

    def wait_at_most(self, seconds: float) -> bool:
        self.writing.close()  # the next connection waits no longer
        return self._database.wait_at_most(seconds)

    def close(self) -> None:
        self.writing.close()
        self.reading.close()

    def read(self, query: Query = EVERYTHING, *, after: Cursor | None = None, limit: int = 1000) -> list[StoredRecord]:
        def matching(rows: list[Row]) -> list[StoredRecord]:
            page = map(stored_record, rows)
            return list(page) if query is EVERYTHING else [each for each in page if query.matches(each.record)]

        return self._read(matching, query, after, limit)

    def read_encoded(
        self, query: Query = EVERYTHING, *, after: Cursor | None = None, limit: int = 1000
    ) -> Sequence[StoredRecord]:
        def matching(rows: list[Row]) -> list[Row]:
            return rows if query is EVERYTHING else [row for row in rows if query.matches(encoded_record(row))]

        return EncodedPage(self._read(matching, query, after, limit), moment_of)

    def _read(
        self, matching: Callable[[list[Row]], list[T]], query: Query, after: Cursor | None, limit: int
    ) -> list[T]:
        found: list[T] = []
        # Text that is not Unicode (a byte of a command line) is not taken, and no record has it.
        with (
            suppress(UnicodeEncodeError, RecordRejected),
            self._database.explained(),
            self.reading.use() as connection,
        ):
            for rows in pages_of_rows(connection, self._table, self._read_without, query, int(after or 0), limit):
                found += matching(rows)
                if len(found) >= limit:
                    break
        return found[:limit]

    def _can_count(self, query: Query, by: Sequence[Name] = ()) -> bool:
        return can_count(query, by, self._words)

    @contextmanager
    def _pieces(self) -> Iterator[SQLPieces]:
        with self._database.explained(), self.reading.use() as connection:
            source = source_of(self._table, self._read_without)
            yield SQLPieces(source, self._words, partial(rows_within, connection), plus="+")

    def newest(self) -> Cursor | None:
        with self._database.explained(), self.reading.use() as connection:
            newest: int | None = connection.execute(f'SELECT max(seq) FROM "{self._table}"').fetchone()[0]  # noqa: S608
        return newest

    def remove(self, stored: Sequence[StoredRecord]) -> int:
        removed = 0
        for start in range(0, len(stored), _REMOVED_AT_ONCE):
            places = [row.cursor for row in stored[start : start + _REMOVED_AT_ONCE]]
            with self._database.explained(), self.writing.use() as connection:
                removed += delete(connection, self._table, "seq", places)
        return removed

    @property
    def is_in_order(self) -> bool:
        """One transaction writes at a time."""
        return True

    def coordination(self) -> SQLiteCoordinationStore:
        return SQLiteCoordinationStore(self._database, self._table)

    def retention(self) -> SQLiteRetentionBackend:
        return SQLiteRetentionBackend(self._database, self._table)

    def variable_indexes(self) -> SQLiteVariableIndexes:
        return SQLiteVariableIndexes(self._database, self._table)

    def _refused(self, records: Sequence[Record]) -> list[str]:
        """Which of the records are refused; nothing is stored."""
        found: list[str] = []
        with suppress(sqlite3.Error, ChestUnavailable, ValueError), self.writing.use() as connection:
            found = refused_of(records, partial(self._try_store, connection), self._known_good)
            connection.rollback()
        return found

    def _try_store(self, connection: FileConnection, records: Sequence[Record]) -> bool:
        rows, columns = rows_of(records, _stored_at()), self._missing.written
        if not connection.in_transaction:  # a trigger may have ended it
            connection.execute("BEGIN IMMEDIATE")
        connection.execute("SAVEPOINT trial")
        is_stored = False
        try:
            insert(connection, self._table, columns, values_of(rows, columns))
            is_stored = True
        except sqlite3.Error as error:
            if not may_be_of_a_record(error):
                raise
        finally:
            if connection.in_transaction and not is_stored:
                connection.execute("ROLLBACK TO trial")
            if connection.in_transaction:
                connection.execute("RELEASE trial")
        return is_stored

    def _connect_to_write(self) -> FileConnection:
        connection = self._database.connect_to_write()
        with closed_on_error(connection):
            make_tables(connection, self._table, has_request_id_index=self._has_request_id_index)
            require_fit(connection, self._table, self.name)
            add_missing(connection, self._table, self._missing)
        return connection

    def _connect_to_read(self) -> FileConnection:
        connection = self._database.connect_to_read()
        with closed_on_error(connection):
            names = column_names(connection, self._table)
            if not names:
                raise ChestUnavailable(
                    f"{self.name} has no table {self._table}: nothing was recorded here yet, or it was under another"
                    " name (?table=)."
                )
            require_fit(connection, self._table, self.name)
            self._read_without = missing_from(names)
        return connection


def _stored_at() -> str:
    """RFC 3339 in UTC: sorts as text, and SQLite's date functions read it."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
