"""``SQLiteDatabase``: one SQLite file: making it, connections to it, and what its errors mean."""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ClassVar, Final

from chest.chests.sql.sqlite.failure import MAKE_DIRECTORY, cure_of, cure_of_making, is_of_a_record, unwritable
from chest.chests.sql.sqlite.mounts import doubtful_file_system
from chest.chests.sql.sqlite.target import SQLiteTarget
from chest.errors import ChestError, ChestUnavailable, RecordRejected
from chest.system.files import FileIdentity, identity_of, is_full
from chest.system.sqlite_file import FileConnection, connect, is_made, make_file
from chest.system.threads import sleep

__all__ = ["SQLiteDatabase"]

_log = logging.getLogger("chest.chests.sqlite")

_WAL_PAGES: Final = 4000
"""16 MiB of write-ahead log between checkpoints, each of which waits for the disk: four times SQLite's default."""
_WAL_BYTES_KEPT: Final = 64 * 1024 * 1024
"""What the log is cut back to after a long reader let it grow."""
_RETRY_SECONDS: Final = 0.01
_STATEMENTS_OF_READER: Final = 8
"""One that names the 5,000 records of a sample takes half a megabyte, and none is asked twice."""


class SQLiteDatabase:
    """One SQLite file, in WAL mode. It belongs on a local disk, in a directory of its user.

    A file that is not there is made, private to the user (0600; so are the files SQLite puts beside it), and so is the
    last directory of its path (0700). Of a longer path that is missing, nothing is made: it was mistyped.

    :param target: what the URL says.
    """

    can_be_left_in_use: ClassVar[bool] = False
    """A connection in use can neither be closed nor kept: the child remembers its locks."""

    def __init__(self, target: SQLiteTarget) -> None:
        self.name = target.name
        self.path = target.path
        self._busy_timeout_ms = target.busy_timeout_ms
        self._warned = False

    @property
    def file(self) -> Path:
        """The file itself, if :attr:`path` is a link: SQLite puts its side files there."""
        return Path(os.path.realpath(self.path))

    def wait_at_most(self, seconds: float) -> bool:
        """As ``Chest.wait_at_most``, for connections that are made from now on."""
        longest_ms = round(seconds * 1000 / 2)  # to connect, and to write
        self._busy_timeout_ms = min(self._busy_timeout_ms, longest_ms)
        return True

    def prepare(self) -> None:
        """Create the file if it does not exist.

        :raises ChestUnavailable: it cannot be made.
        """
        file = self.file
        if not is_made(file):
            try:
                with suppress(FileExistsError):
                    file.parent.mkdir(mode=0o700)
                make_file(file)
            except OSError as error:
                why = f"it cannot be made ({error.strerror}: {file.parent}): {cure_of_making(error)}"
                raise self._unavailable(why) from error
        if not self._warned:
            self._warned = True
            self._warn_of_doubt()

    def identity(self) -> FileIdentity | None:
        """The file's device and inode; None if it is gone."""
        return identity_of(self.path)

    def is_lost(self, connection: FileConnection) -> bool:
        """Always False: no server could close it. :meth:`identity` tells whether the file was replaced."""
        return False

    def abandon_after_fork(self, connection: FileConnection) -> None:
        """In a forked child: it was idle, and is closed."""
        with suppress(Exception):
            connection.close()

    def connect_to_write(self) -> FileConnection:
        """A connection for writing, set up for many small transactions.

        :raises sqlite3.Error: the file cannot be used; see :meth:`explained`.
        """
        connection = self._connect("mode=rw")
        with closed_on_error(connection):
            self._set_up(connection)
        return connection

    def connect_to_read(self) -> FileConnection:
        """A connection for reading; makes nothing, and cannot write.

        :raises ChestUnavailable: the file does not exist.
        :raises sqlite3.Error: it cannot be used.
        """
        self._require_file()
        is_writable = os.access(self.path, os.W_OK) and os.access(self.file.parent, os.W_OK)
        # SQLite makes the log's files for a reader only if the mode is rw.
        mode = "mode=rw" if is_writable else self._unchanging_mode()
        connection = self._connect(mode, statements=_STATEMENTS_OF_READER)
        with closed_on_error(connection):
            connection.execute("PRAGMA query_only = 1")
        return connection

    def connect_to_check(self) -> FileConnection | None:
        """A connection that can change nothing; None if no file is there yet, and it can be made.

        :raises ChestUnavailable: the file cannot be made or written, as far as that can be told without writing.
        """
        if not self.path.exists():
            directory = self.file.parent if self.file.parent.exists() else self.file.parent.parent
            if not (directory.is_dir() and os.access(directory, os.W_OK | os.X_OK)):
                raise self._unavailable(f"no such file, and it cannot be created in {directory}: {MAKE_DIRECTORY}")
            if is_full(directory / "any"):
                raise self._unavailable("no such file, and the disk is full: make room")
            return None
        self._require_file()
        why = unwritable(self.file)
        if why:
            raise self._unavailable(why)
        return self._connect(self._unchanging_mode())

    @contextmanager
    def explained(self) -> Iterator[None]:
        """For the block, what SQLite raises as errors of Chest; of a refused record without SQLite's, which shows it."""
        try:
            yield
        except sqlite3.Error as error:
            told = self.explain(error)
            raise told from (None if isinstance(told, RecordRejected) else error)

    def explain(self, error: sqlite3.Error) -> ChestError:
        """The error of Chest that this one is, with what to do about it."""
        if is_of_a_record(error):
            return RecordRejected(f"{self.name} refused a record: {error}.")
        cure = cure_of(error, self.file, self._busy_timeout_ms)
        return self._unavailable(f"{cure} ({error})." if cure else f"{error}.")

    def _connect(self, mode: str, **options: int) -> FileConnection:
        return connect(self.path, mode, self._busy_timeout_ms / 1000, **options)

    def _set_up(self, connection: FileConnection) -> None:
        # Before WAL, and only a file without tables takes it: space given back can be cut off the file's end.
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        mode = self._set_wal(connection)
        connection.execute(f"PRAGMA synchronous = {'NORMAL' if mode == 'wal' else 'FULL'}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES_KEPT}")
        connection.note_log()

    def _set_wal(self, connection: FileConnection) -> str:
        """Change to WAL, and return the mode it then is. SQLite does not wait for a lock here, so it is done by us."""
        deadline = time.monotonic() + self._busy_timeout_ms / 1000
        while True:
            try:
                return str(connection.execute("PRAGMA journal_mode = WAL").fetchone()[0])
            except sqlite3.OperationalError as error:
                is_busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
                if not is_busy or time.monotonic() > deadline:
                    raise
            sleep(_RETRY_SECONDS)

    def _unchanging_mode(self) -> str:
        """A URI that opens the file without a trace: reading in WAL mode would create missing log files."""
        has_log = all(Path(f"{self.file}{suffix}").exists() for suffix in ("-wal", "-shm"))
        return "mode=ro" if has_log else "immutable=1"

    def _require_file(self) -> None:
        if not self.path.exists():
            raise self._unavailable("no such file; it is created with the first record. Is the path right?")
        if not self.path.is_file():
            raise self._unavailable("not a regular file: use another path")

    def _warn_of_doubt(self) -> None:
        kind = doubtful_file_system(self.file)
        if kind is not None:
            _log.warning(
                "chest: %s lies on %s, a network file system or an unknown one. The database may be damaged if SQLite's locks and"
                " its shared memory do not work there as on a local disk. Put it on a local disk.",
                self.name,
                kind,
            )

    def _unavailable(self, why: str) -> ChestUnavailable:
        return ChestUnavailable(f"{self.name} cannot be used: {why}")


@contextmanager
def closed_on_error(connection: FileConnection) -> Iterator[None]:
    """Close the connection if the block raises."""
    try:
        yield
    except BaseException:
        connection.close()
        raise
