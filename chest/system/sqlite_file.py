"""A SQLite file as the operating system has it: created with mode 0600, and separated from the side files of another database.

SQLite keeps a database in up to three files: beside ``chest.sqlite3`` stand ``chest.sqlite3-wal``, the write-ahead log with
what was stored last, and ``chest.sqlite3-shm``, the memory that all users of the log share. They belong to the database by
their names alone. If the database is moved or removed while they stay, the next file of its name would inherit
them: SQLite deletes a log that it finds beside an empty database, and two databases that share one ``-shm`` fail each other.
"""

from __future__ import annotations

import logging
import os
import shlex
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from chest.errors import ChestUnavailable
from chest.system.file_lock import has_locks, wait_for_lock
from chest.system.files import FileIdentity, identity_in, identity_of
from chest.system.fork_guard import process_generation

__all__ = ["FileConnection", "connect", "is_made", "make_file"]

_log = logging.getLogger("chest.sqlite_file")

_SIDE_FILES: Final = ("-wal", "-shm", "-journal")
_WITH_RECORDS: Final = ("-wal", "-journal")
"""``-journal`` is the log of a database that is not in WAL mode: without it, half a transaction stays in the file."""
_LOCK_SECONDS: Final = 1.0
_FILES_OF_THIS_PROCESS: Final = Path("/proc/self/fd")


class FileConnection(sqlite3.Connection):
    """A connection that leaves no record behind when its file is moved away under it.

    SQLite leaves the log of such a file alone. So :meth:`close` parts the log from the name, and writes what it holds into
    the database under its new name, as long as it has one on its file system.
    """

    path: Path
    identity: FileIdentity | None
    """Of the file that it is to."""
    log_identity: FileIdentity | None = None
    """Of that file's write-ahead log, once there is one."""
    opened_in: int
    """The generation of the process that opened it."""

    def note_log(self) -> None:
        """Remember the log, which SQLite makes when the file is first read. Raises what SQLite raises."""
        self.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
        self.log_identity = identity_of(f"{self.path}-wal")

    if sys.version_info >= (3, 13):

        def __del__(self) -> None:
            # A chest need not be closed: the interpreter lets go of the file. At this moment the base class would warn.
            with suppress(sqlite3.Error):
                super().close()

    def close(self) -> None:
        """Let the file go. Raises what SQLite raises; whether the log could be saved is logged."""
        # A forked child only closes: what SQLite remembers of locks is its parent's.
        try:
            is_own = self.opened_in == process_generation()
            if is_own and self.log_identity is not None and identity_of(self.path) != self.identity:
                self._save_log()
        except FileNotFoundError:
            pass  # the directory is gone, and the log with it
        except (OSError, ChestUnavailable) as error:
            _log.warning(
                "chest: the log of %s, which was moved away or removed, could not be saved: %s", self.path, error
            )
        finally:
            super().close()

    def _save_log(self) -> None:
        aside = None
        with _only_one_in(self.path.parent):
            is_beside_another = identity_of(self.path) is not None
            if is_ours := identity_of(f"{self.path}-wal") == self.log_identity:
                aside = _rename_side_files(self.path)
        # Beside another database that has come to the name, the log may hold what was stored in that one meanwhile.
        if not (is_ours and is_beside_another) and _has_a_name(self.identity):
            with suppress(sqlite3.Error):
                self.rollback()
                self.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if aside is not None:
            _keep_or_remove(self.path, aside)


def connect(path: Path, mode: str, timeout_seconds: float, *, statements: int = 128) -> FileConnection:
    """A connection in autocommit mode; the caller begins transactions.

    :param mode: of the file's URI, such as ``mode=rw``.
    :param timeout_seconds: how long to wait for another's lock.
    :param statements: how many it keeps to be run again.
    :raises sqlite3.Error: the file cannot be opened.
    """
    # SQLite puts the side files beside what a link leads to.
    path = Path(os.path.realpath(path))
    identity = identity_of(path)
    connection = sqlite3.connect(
        f"{path.as_uri()}?{mode}", uri=True, timeout=timeout_seconds, isolation_level=None, check_same_thread=False,
        factory=FileConnection, cached_statements=statements,
    )  # fmt: skip
    connection.path, connection.identity, connection.opened_in = path, identity, process_generation()
    return connection


def is_made(path: Path) -> bool:
    """True unless :func:`make_file` has something to do."""
    try:
        return os.path.getsize(path) > 0 or not _has_content(f"{path}-wal")
    except OSError:
        return False


def make_file(path: Path) -> None:
    """Create a missing file, empty and with mode 0600 from its first moment: SQLite itself would follow the umask.

    An empty file beside a log is not the one that the log belongs to: a tool for rotation put it there.

    It has its name only when it is closed here: closing a file drops all locks that the process has on it.

    :raises OSError: it cannot be made.
    :raises ChestUnavailable: another process is at it, and does not come to an end.
    """
    with _only_one_in(path.parent):
        if is_made(path):
            return
        aside = _rename_side_files(path)
        import tempfile  # with shutil and its compressors behind it, for a file that is made once

        handle, name = tempfile.mkstemp(prefix=".chest-", dir=path.parent)
        os.close(handle)
        try:
            os.link(name, path)
        except FileExistsError:
            pass
        except OSError:  # a file system without hard links
            os.rename(name, path)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(name)
    if aside is not None:
        _keep_or_remove(path, aside)


def _rename_side_files(path: Path) -> str | None:
    """Give the side files names that no database has, one stem for all; returns it, or None if no side file exists.

    Renamed and not removed: a process that has them open goes on with them, and with nothing of the new file.
    """
    there = [suffix for suffix in _SIDE_FILES if os.path.lexists(f"{path}{suffix}")]
    if not there:
        return None
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    stem, number = f"{path}.orphaned-{moment}", 1
    while any(os.path.lexists(f"{stem}{suffix}") for suffix in _SIDE_FILES):
        number += 1
        stem = f"{path}.orphaned-{moment}-{number}"
    for suffix in there:
        with suppress(FileNotFoundError):
            os.rename(f"{path}{suffix}", f"{stem}{suffix}")
    return stem


def _keep_or_remove(path: Path, stem: str) -> None:
    there = [suffix for suffix in _SIDE_FILES if os.path.lexists(f"{stem}{suffix}")]
    if not any(_has_content(f"{stem}{suffix}") for suffix in _WITH_RECORDS):
        for suffix in there:
            with suppress(OSError):
                os.unlink(f"{stem}{suffix}")
        return
    moves = " && ".join(f"mv {shlex.quote(f'{stem}{suffix}')} NEW{suffix}" for suffix in there)
    _log.warning(
        "chest: %s was moved away or removed, and its log, which may hold the records stored last, stayed behind. Chest renamed"
        " the log. If you moved the database to NEW, give it its log before a program opens NEW: %s. If you removed the"
        " database, remove the renamed files too.",
        path,
        moves,
    )


def _has_content(path: str) -> bool:
    try:
        return os.path.getsize(path) > 0
    except OSError:
        return False


def _has_a_name(identity: FileIdentity | None) -> bool:
    """True if the file that this process has open is anywhere on its file system; False if that cannot be told.

    A database that was moved to another file system is a copy, made without its log, and the original is removed.
    """
    try:
        names = os.listdir(_FILES_OF_THIS_PROCESS)
    except OSError:
        return False
    for name in names:
        with suppress(OSError):
            found = os.stat(_FILES_OF_THIS_PROCESS / name)
            if identity_in(found) == identity:
                return found.st_nlink > 0
    return False


@contextmanager
def _only_one_in(directory: Path) -> Iterator[None]:
    """Keep other processes from making or parting files in this directory, by a lock that leaves no file behind."""
    if not has_locks:  # Windows: an open file can be neither moved nor removed
        yield
        return
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # not every file system locks directories; then it is as it was without a lock
            wait_for_lock(descriptor, time.monotonic() + _LOCK_SECONDS)
        yield
    finally:
        os.close(descriptor)
