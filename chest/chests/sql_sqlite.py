"""``SQLiteDatabase``: all that the SQL chest has to know of SQLite: its file, its pragmas, its errors."""

from __future__ import annotations

import logging
import os
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, Final

from sqlalchemy import JSON, Integer, Table, Text, create_engine
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, OperationalError
from sqlalchemy.pool import NullPool

from chest.chests.sql_database import ColumnTypes, Database
from chest.chests.sql_mounts import doubtful_file_system
from chest.chests.sql_url import SQLTarget
from chest.encoding import decode
from chest.errors import ChestError, ChestUnavailable, RecordRejected, SettingsError
from chest.native import sleep

_log = logging.getLogger("chest.chests.sql")

_WAL_PAGES: Final = 4000
"""16 MiB of write-ahead log between checkpoints, each of which waits for the disk: four times SQLite's default."""
_WAL_BYTES_KEPT: Final = 64 * 1024 * 1024
"""What the log is cut back to after a long reader let it grow."""
_RETRY_SECONDS: Final = 0.01
_ROWS_AT_ONCE: Final = (128, 64, 32, 16, 8, 4, 2, 1)
"""Rows a statement, as many as there are to store. The driver gives the interpreter up and takes it back once a statement:
beside a thread that computes, every time may cost 5 ms, so that row by row an exporter would store 200 a second."""

_CURES: Final = {
    sqlite3.SQLITE_BUSY: "another connection held it locked for longer than {busy_timeout_ms} ms: find the program that"
    " keeps a transaction open, or wait longer with ?busy_timeout_ms=",
    sqlite3.SQLITE_LOCKED: "another connection of this process holds its table locked: end that one's transaction",
    sqlite3.SQLITE_PERM: "access to it was denied: give this user read and write permission",
    sqlite3.SQLITE_READONLY: "it cannot be written: give this user write permission for the file and its directory, and"
    " see that neither is on a read-only file system",
    sqlite3.SQLITE_IOERR: "the disk or file system failed: see the system's log",
    sqlite3.SQLITE_CORRUPT: "the file is damaged: stop the application, move the file away (a new one is made), and"
    " save what can be saved with sqlite3's .recover",
    sqlite3.SQLITE_NOTADB: "the file is no SQLite database: move it away, or use another path",
    sqlite3.SQLITE_FULL: "the disk is full: make room",
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened: see that its directory is there, that this user may write in"
    " it, and that its file system is not read-only",
    sqlite3.SQLITE_PROTOCOL: "its locks do not work: put it on a local disk",
}


class SQLiteDatabase(Database):
    """One SQLite file, in WAL mode. It belongs on a local disk, in a directory of its user.

    A file that is not there is made, private to the user (0600; so are the files SQLite puts beside it), and so is the
    last directory of its path (0700). Of a longer path that is missing, nothing is made: it was mistyped.
    """

    types: ClassVar[ColumnTypes] = ColumnTypes(
        counter=Integer(), id=Text(), short_text=Text(), text=Text(), json=JSON(), moment=Text()
    )

    checks_json: ClassVar[bool] = False

    def __init__(self, target: SQLTarget) -> None:
        super().__init__(target)
        self.path = _path(target)
        self._warned = False

    def wait_at_most(self, seconds: float) -> bool:
        longest_ms = round(seconds * 1000 / 2)  # to connect, and to write
        self.target = self.target._replace(busy_timeout_ms=min(self.target.busy_timeout_ms, longest_ms))
        return True

    def prepare(self) -> None:
        """Make the file where there is none."""
        if not self.path.exists():
            try:
                self._make_file()
            except OSError as error:
                why = f"it cannot be made ({error.strerror}: {self.path.parent}): {_DIRECTORY}"
                raise self._unavailable(why) from error
        if not self._warned:
            self._warned = True
            self._warn_of_doubt()

    def place(self) -> tuple[int, int] | None:
        """The file's device and inode; None when it is gone."""
        try:
            found = os.stat(self.path)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def connect_to_write(self) -> Connection:
        connection = self._connect("mode=rw")
        try:
            self._set_up(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def connect_to_read(self) -> Connection:
        self._require_file()
        is_writable = os.access(self.path, os.W_OK) and os.access(self.path.parent, os.W_OK)
        return self._connect("mode=rw" if is_writable else self._unchanging_mode())

    def connect_to_check(self) -> Connection | None:
        if not self.path.exists():
            directory = self.path.parent if self.path.parent.exists() else self.path.parent.parent
            if not (directory.is_dir() and os.access(directory, os.W_OK | os.X_OK)):
                raise self._unavailable(f"it is not there and cannot be made in {directory}: {_DIRECTORY}")
            return None
        self._require_file()
        if not os.access(self.path, os.W_OK):
            raise self._unavailable(_CURES[sqlite3.SQLITE_READONLY])
        return self._connect(self._unchanging_mode())

    def is_lost(self, connection: Connection) -> bool:
        """Nobody but the file is at the other end, and that it was replaced is seen by its :meth:`place`."""
        return False

    can_be_left_in_use: ClassVar[bool] = False
    """A connection in use can neither be closed nor kept: the child remembers its locks."""

    def leave_to_parent(self, connection: Connection) -> None:
        with suppress(Exception):
            connection.close()

    @contextmanager
    def turn(self, connection: Connection, table: str) -> Iterator[None]:
        """The file has one writer at a time by itself."""
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        yield

    def insert(
        self, connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]
    ) -> None:
        start, names = 0, tuple(columns)
        for count in _ROWS_AT_ONCE:
            while len(rows) - start >= count:
                values = tuple(chain.from_iterable(rows[start : start + count]))
                connection.exec_driver_sql(_insert_text(table.name, names, count), values)
                start += count

    def view_text(self, table: Table, view: str) -> str:
        return (
            f'CREATE VIEW IF NOT EXISTS "{view}" (request_id, name, value, recorded_at) AS'  # noqa: S608
            " SELECT r.request_id, v.key, v.value, strftime('%Y-%m-%dT%H:%M:%fZ', r.time_ns / 1e9, 'unixepoch')"
            f' FROM "{table.name}" AS r, json_each(r.variables) AS v'
        )

    def stored_at_value(self, moment: datetime) -> str:
        """RFC 3339 in UTC: sorts as text, and SQLite's date functions read it."""
        return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")

    def explain(self, error: DBAPIError) -> ChestError:
        if isinstance(error, (DataError, IntegrityError)) or "binding parameter" in str(error.orig):
            return RecordRejected(f"{self.name} refused a record: {error.orig}.")
        code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
        cure = _CURES.get(code, "").format(busy_timeout_ms=self.target.busy_timeout_ms)
        return self._unavailable(f"{cure} ({error.orig})." if cure else f"{error.orig}.")

    def _connect(self, mode: str) -> Connection:
        return self._engine(mode).connect()

    def _engine(self, mode: str) -> Engine:
        def connect() -> sqlite3.Connection:
            return sqlite3.connect(
                f"{self.path.as_uri()}?{mode}",
                uri=True,
                timeout=self.target.busy_timeout_ms / 1000,
                # The implicit BEGIN before an INSERT takes the write lock at once, where waiting for it is possible.
                isolation_level="IMMEDIATE",
                check_same_thread=False,
            )

        return create_engine(
            "sqlite://", creator=connect, poolclass=NullPool, json_deserializer=decode, hide_parameters=True
        )

    def _set_up(self, connection: Connection) -> None:
        # Before WAL, and only a file without tables takes it: space given back can be cut off the file's end.
        connection.exec_driver_sql("PRAGMA auto_vacuum = INCREMENTAL")
        mode = self._set_wal(connection)
        connection.exec_driver_sql(f"PRAGMA synchronous = {'NORMAL' if mode == 'wal' else 'FULL'}")
        connection.exec_driver_sql(f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}")
        connection.exec_driver_sql(f"PRAGMA journal_size_limit = {_WAL_BYTES_KEPT}")
        connection.rollback()

    def _set_wal(self, connection: Connection) -> str:
        """Change to WAL, and return the mode it then is. SQLite does not wait for a lock here, so it is done by us."""
        deadline = time.monotonic() + self.target.busy_timeout_ms / 1000
        while True:
            try:
                return str(connection.exec_driver_sql("PRAGMA journal_mode = WAL").scalar_one())
            except OperationalError as error:
                is_busy = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
                if not is_busy or time.monotonic() > deadline:
                    raise
            sleep(_RETRY_SECONDS)

    def _make_file(self) -> None:
        """An empty file, 0600 from its first moment, put in its place whole: SQLite itself would follow the umask.

        It has its name only when it is closed here: closing a file drops all locks that the process has on it.
        """
        with suppress(FileExistsError):
            self.path.parent.mkdir(mode=0o700)
        handle, name = tempfile.mkstemp(prefix=".chest-", dir=self.path.parent)
        os.close(handle)
        try:
            with suppress(FileExistsError):
                os.link(name, self.path)
        finally:
            os.unlink(name)

    def _unchanging_mode(self) -> str:
        """How to open the file without a trace: reading in WAL mode makes the log's files where they are not there."""
        has_log = all(Path(f"{self.path}{suffix}").exists() for suffix in ("-wal", "-shm"))
        return "mode=ro" if has_log else "immutable=1"

    def _require_file(self) -> None:
        if not self.path.exists():
            raise self._unavailable("it is not there: it is made when the first record is written; or see to the path")
        if not self.path.is_file():
            raise self._unavailable("it is no file: use another path")

    def _warn_of_doubt(self) -> None:
        kind = doubtful_file_system(self.path)
        if kind is not None:
            _log.warning(
                "%s lies on %s, a file system over a network or one not known here: where SQLite's locks, and the memory"
                " that its processes share, do not work as on a local disk, the database may be damaged. Put it on one.",
                self.name,
                kind,
            )

    def _unavailable(self, why: str) -> ChestUnavailable:
        return ChestUnavailable(f"{self.name} cannot be used: {why}")


@cache
def _insert_text(table: str, columns: tuple[str, ...], rows: int) -> str:
    """SQL that stores so many rows, their values bound in order."""
    names = ", ".join(f'"{column}"' for column in columns)
    places = ", ".join([f"({', '.join('?' * len(columns))})"] * rows)
    # Not INSERT OR IGNORE, which passes over a NULL where none may be as well.
    conflict = ' ON CONFLICT ("id") DO NOTHING' if "id" in columns else ""
    return f'INSERT INTO "{table}" ({names}) VALUES {places}{conflict}'  # noqa: S608


_DIRECTORY: Final = "make the directory, or give this user write permission in it"


def _path(target: SQLTarget) -> Path:
    """The file, absolute: the working directory may change later."""
    url = target.url
    if url.host or not url.database or url.database.startswith(":memory:"):
        raise SettingsError(
            "A SQLite chest is a file: sqlite:///file.sqlite3 in the working directory, sqlite:////absolute/path with"
            " four slashes. For a chest in memory use memory:."
        )
    if url.database.startswith("file:"):
        raise SettingsError("A SQLite chest takes a path, not a file: URI: write sqlite:///file.sqlite3.")
    return Path(os.path.abspath(url.database))
