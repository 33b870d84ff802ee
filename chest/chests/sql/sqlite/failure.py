"""What an error of SQLite is: of one record or of the file, and what to do about it."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path
from typing import Final

from chest.system.files import is_full

__all__ = [
    "MAKE_DIRECTORY",
    "cure_of",
    "cure_of_making",
    "is_of_a_record",
    "may_be_of_a_record",
    "unwritable",
    "version_notice",
]

_READONLY: Final = (
    "it cannot be written: give this user write permission for the file and its directory, and check that neither is on"
    " a read-only file system"
)
_DIRECTORY: Final = (
    "the file cannot be opened: check that its directory exists, that this user may write in it, and that its file"
    " system is not read-only"
)
MAKE_DIRECTORY: Final = "make the directory, or give this user write permission in it"
_DESCRIPTORS: Final = "raise the limit of open files (ulimit -n), or open fewer"
_FULL: Final = "the disk is full: make room"
_CURES: Final = {
    sqlite3.SQLITE_BUSY: "another connection held it locked for longer than {busy_timeout_ms} ms: find the program that"
    " keeps a transaction open, or wait longer with ?busy_timeout_ms=",
    sqlite3.SQLITE_LOCKED: "another connection of this process holds its table locked: end that one's transaction",
    sqlite3.SQLITE_PERM: "access to it was denied: give this user read and write permission",
    sqlite3.SQLITE_READONLY: _READONLY,
    sqlite3.SQLITE_IOERR: "the disk or file system failed: see the system's log",
    sqlite3.SQLITE_CORRUPT: "the file is damaged: stop the application, move the file away (a new one is made), and"
    " save what can be saved with sqlite3's .recover",
    sqlite3.SQLITE_NOTADB: "the file is not a SQLite database: move it away, or use another path",
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_CANTOPEN: _DIRECTORY,
    sqlite3.SQLITE_PROTOCOL: "its locks do not work: put it on a local disk",
}
_MOVED: Final = "the file was moved away or removed while it was written: the next try makes a new one"
_OF_A_RECORD: Final = frozenset(
    {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH}
)
_FAULTY_FROM, _MENDED_IN = (3, 7, 0), (3, 51, 3)
_MENDED_BESIDE = ((3, 44, 6), (3, 50, 7))
"""Releases of older lines that have the correction too."""


def is_of_a_record(error: sqlite3.Error) -> bool:
    """True if a record is refused for good, and the file is fine."""
    return isinstance(error, (sqlite3.DataError, sqlite3.IntegrityError)) or "binding parameter" in str(error)


def may_be_of_a_record(error: sqlite3.Error) -> bool:
    """True if a rule of the user's own may have refused a record: a trigger may raise anything."""
    return is_of_a_record(error) or _primary(error) in _OF_A_RECORD


def cure_of(error: sqlite3.Error, path: Path, busy_timeout_ms: int) -> str:
    """What to do about it; empty if the error says all there is to say."""
    code = getattr(error, "sqlite_errorcode", 0)
    if code == sqlite3.SQLITE_READONLY_DBMOVED:
        return _MOVED
    primary = _primary(error)
    if primary == sqlite3.SQLITE_IOERR and is_full(path):
        return _FULL
    if primary in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR) and (lack := _lack_of_descriptors()):
        return lack
    return _CURES.get(primary, "").format(busy_timeout_ms=busy_timeout_ms)


def cure_of_making(error: OSError) -> str:
    """What to do about a file that cannot be made."""
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return _DESCRIPTORS
    return _FULL if error.errno in (errno.ENOSPC, errno.EDQUOT) else MAKE_DIRECTORY


def unwritable(path: Path) -> str:
    """Why this database, which is there, cannot be written, and what to do; empty if nothing is seen that prevents it."""
    side_files = [Path(f"{path}{suffix}") for suffix in ("-wal", "-shm")]
    there = [file for file in side_files if file.exists()]
    if not all(os.access(file, os.R_OK | os.W_OK) for file in (path, *there)):
        return _READONLY
    if len(there) < len(side_files) and not os.access(path.parent, os.W_OK | os.X_OK):
        return f"its log cannot be made beside it in {path.parent}: give this user write permission in that directory"
    return _FULL if is_full(path) else ""


def _primary(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _lack_of_descriptors() -> str:
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return f"no file can be opened ({error.strerror}): {_DESCRIPTORS}"
    return ""


def version_notice(version: tuple[int, ...] = sqlite3.sqlite_version_info) -> str | None:
    """What to know of this release of SQLite, and what to do; None if nothing is known against it.

    Source: "The WAL-Reset Bug" in https://sqlite.org/wal.html.
    """
    is_mended = any(version[:2] == line[:2] and version >= line for line in _MENDED_BESIDE)
    if not _FAULTY_FROM <= version < _MENDED_IN or is_mended:
        return None
    return (
        f"SQLite {'.'.join(map(str, version))} has the WAL-reset fault of 3.7.0 to 3.51.2: if one connection writes"
        " while another checkpoints, at one certain moment, the file can be damaged; it is very rare. Run Python with SQLite 3.51.3 or later"
        " (3.50.7 and 3.44.6 have the correction too, and a distribution may have added it). Until then let one process"
        " write (CHEST_DELIVERY=external with chest drain), let no other program checkpoint the file, and keep backups."
    )
