"""``SpoolFile``: the SQLite file of one chest: records that it could not take yet, and records that it never will.

Two tables. ``spooled``: pieces of some hundred records, as JSON, the oldest first. ``dead``: one record a row, with the reason.
How many bytes each holds stands in ``sizes``, kept by triggers: a bound is looked at without reading what is bounded.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple

from chest.encoding import decode, encode
from chest.held_connection import HeldConnection
from chest.record import Record

FORMAT: Final = 1
_BUSY_SECONDS: Final = 1.0
"""How long to wait for another worker that writes: it needs some milliseconds."""
_PIECE_RECORDS: Final = 250
_WAL_BYTES_KEPT: Final = 4 * 1024 * 1024
_VACUUM_PAGES: Final = 256
"""Given back to the disk with each piece that leaves, so that nothing waits for all of it at once."""
RESERVE_BYTES: Final = 2 * _WAL_BYTES_KEPT
"""What is left free of the disk: to take a piece out, SQLite writes it to the log and the log to the file. A spool that had
filled the disk to the last byte could never be emptied again."""
_UNUSABLE: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})

_SCHEMA: Final = """
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA journal_mode = WAL;
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS spooled (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, records INTEGER NOT NULL, bytes INTEGER NOT NULL, lines BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS dead (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, died_ns INTEGER NOT NULL, reason TEXT NOT NULL, bytes INTEGER NOT NULL,
    line BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS sizes (kind TEXT PRIMARY KEY, records INTEGER NOT NULL, bytes INTEGER NOT NULL);
INSERT OR IGNORE INTO sizes VALUES ('spooled', 0, 0), ('dead', 0, 0);
CREATE TABLE IF NOT EXISTS about (chest TEXT NOT NULL);
CREATE TRIGGER IF NOT EXISTS spooled_in AFTER INSERT ON spooled BEGIN
    UPDATE sizes SET records = records + new.records, bytes = bytes + new.bytes WHERE kind = 'spooled'; END;
CREATE TRIGGER IF NOT EXISTS spooled_out AFTER DELETE ON spooled BEGIN
    UPDATE sizes SET records = records - old.records, bytes = bytes - old.bytes WHERE kind = 'spooled'; END;
CREATE TRIGGER IF NOT EXISTS dead_in AFTER INSERT ON dead BEGIN
    UPDATE sizes SET records = records + 1, bytes = bytes + new.bytes WHERE kind = 'dead'; END;
CREATE TRIGGER IF NOT EXISTS dead_out AFTER DELETE ON dead BEGIN
    UPDATE sizes SET records = records - 1, bytes = bytes - old.bytes WHERE kind = 'dead'; END;
PRAGMA user_version = 1;
COMMIT;
"""


class SpoolError(Exception):
    """The file cannot be used now; the message says why. Stays inside delivery."""


class Size(NamedTuple):
    """How much there is."""

    records: int
    bytes: int


class Piece(NamedTuple):
    """Records that were spooled together."""

    seq: int
    records: list[Record]
    damaged: int
    """How many could not be read, and are left out."""


class DeadLetter(NamedTuple):
    """A record that a chest refused for good."""

    seq: int
    died_ns: int
    """Unix time in nanoseconds, when it was refused."""
    reason: str
    record: Record


class SpoolFile:
    """One file, for any number of processes of one user.

    A connection is held, and closed before a fork. Every method raises :exc:`SpoolError` when the file cannot be used.

    :param path: made private to the user when it is first written; refused when it is a link or somebody else's.
    :param chest: the chest's label, kept in the file for people.
    """

    def __init__(self, path: Path, chest: str = "") -> None:
        self.path = path
        self._chest = chest
        self._opened: tuple[int, int] | None = None
        self._held: HeldConnection[sqlite3.Connection] = HeldConnection(self, self._connect, self._prepare)

    def exists(self) -> bool:
        """Whether anything was ever put there."""
        return self.path.exists()

    def close(self) -> None:
        """Let the file go; the next use opens it again."""
        self._held.close()

    # -- records that wait -------------------------------------------------------------------------------------------

    def add(self, records: Sequence[Record], most_bytes: int) -> int:
        """Keep the records; where that makes more than ``most_bytes``, drop the oldest, and return how many."""
        pieces = [records[start : start + _PIECE_RECORDS] for start in range(0, len(records), _PIECE_RECORDS)]
        rows = [(len(piece), len(lines), lines) for piece in pieces for lines in [encode([each[:] for each in piece])]]
        self._leave_free(RESERVE_BYTES + sum(row[1] for row in rows))
        with self._transaction() as connection:
            connection.executemany("INSERT INTO spooled (records, bytes, lines) VALUES (?, ?, ?)", rows)
            return self._bounded(connection, "spooled", most_bytes)

    def oldest(self, after: int = 0) -> Piece | None:
        """The piece that has waited longest, of those behind the one with this ``seq``."""
        with self._transaction() as connection:
            row = connection.execute(
                "SELECT seq, lines FROM spooled WHERE seq > ? ORDER BY seq LIMIT 1", (after,)
            ).fetchone()
        return None if row is None else Piece(row[0], *_records_of(row[1]))

    def remove_up_to(self, seq: int) -> int:
        """The chest has the piece with this ``seq``, and all before it; returns how many were there."""
        with self._transaction() as connection:
            removed = connection.execute("DELETE FROM spooled WHERE seq <= ?", (seq,)).rowcount
        with self._explained(), self._held.use() as connection:
            # A script, as it is one page a step, and execute takes a single step where there are no columns.
            connection.executescript(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})")
        return removed

    def size(self, kind: str = "spooled") -> Size:
        """How much is in a table, ``spooled`` or ``dead``."""
        with self._transaction() as connection:
            return Size(*connection.execute("SELECT records, bytes FROM sizes WHERE kind = ?", (kind,)).fetchone())

    def chest(self) -> str:
        """The label of the chest that this is for."""
        with self._transaction() as connection:
            row = connection.execute("SELECT chest FROM about").fetchone()
        return "" if row is None else str(row[0])

    # -- records that were refused -----------------------------------------------------------------------------------

    def bury(self, records: Sequence[Record], reason: str, most_bytes: int) -> int:
        """Keep records that were refused; where that makes more than ``most_bytes``, drop the oldest, and return how many."""
        now = time.time_ns()
        lines = [encode(record[:]) for record in records]
        self._leave_free(RESERVE_BYTES // 2)
        with self._transaction() as connection:
            connection.executemany(
                "INSERT INTO dead (died_ns, reason, bytes, line) VALUES (?, ?, ?, ?)",
                [(now, reason, len(line) + len(reason), line) for line in lines],
            )
            return self._bounded(connection, "dead", most_bytes)

    def dead(self, after: int = 0, limit: int = 500) -> list[DeadLetter]:
        """Dead letters in the order in which they died."""
        with self._transaction() as connection:
            rows = connection.execute(
                "SELECT seq, died_ns, reason, line FROM dead WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit)
            ).fetchall()
        letters = []
        for seq, died_ns, reason, line in rows:
            record = _record_of(_decoded(line))
            if record is not None:
                letters.append(DeadLetter(seq, died_ns, reason, record))
        return letters

    def revive(self, letters: Sequence[DeadLetter]) -> int:
        """Have these delivered again, with what waits; returns how many were there."""
        revived = 0
        with self._transaction() as connection:
            for letter in letters:
                if connection.execute("DELETE FROM dead WHERE seq = ?", (letter.seq,)).rowcount:
                    lines = encode([letter.record[:]])
                    connection.execute(
                        "INSERT INTO spooled (records, bytes, lines) VALUES (1, ?, ?)", (len(lines), lines)
                    )
                    revived += 1
        return revived

    def forget(self, letters: Sequence[DeadLetter]) -> int:
        """Remove these for good; returns how many were there."""
        with self._transaction() as connection:
            return sum(
                connection.execute("DELETE FROM dead WHERE seq = ?", (letter.seq,)).rowcount for letter in letters
            )

    # -- the file ----------------------------------------------------------------------------------------------------

    def _leave_free(self, wanted_bytes: int) -> None:
        """Raise SpoolError where the disk has less room: what is here can be removed only where there is some."""
        with self._explained():
            free_bytes = shutil.disk_usage(self.path.parent).free
            if free_bytes < wanted_bytes:
                raise SpoolError(f"{self.path}: the disk is full but for {free_bytes >> 20} MiB, which are left free")

    @staticmethod
    def _bounded(connection: sqlite3.Connection, kind: str, most_bytes: int) -> int:
        dropped = 0
        size = f"SELECT records, bytes FROM sizes WHERE kind = '{kind}'"  # noqa: S608 - one of two words of ours
        records, held = connection.execute(size).fetchone()
        while held > most_bytes:
            before = records
            connection.execute(f"DELETE FROM {kind} WHERE seq = (SELECT min(seq) FROM {kind})")  # noqa: S608
            records, held = connection.execute(size).fetchone()
            if records == before:
                break
            dropped += before - records
        return dropped

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._explained(), self._held.use() as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.commit()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _UNUSABLE:
                self._set_aside()
            raise SpoolError(f"{self.path}: {error}") from error
        except OSError as error:
            raise SpoolError(f"{self.path}: {error.strerror or error}") from error
        except SpoolError:
            raise
        except Exception as error:
            raise SpoolError(f"{self.path}: {error}") from error

    def place(self) -> tuple[int, int] | None:
        """The file's device and inode; None when it is gone."""
        try:
            found = os.lstat(self.path)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def is_lost(self, connection: sqlite3.Connection) -> bool:
        """Nobody but the file is at the other end."""
        return False

    can_be_left_in_use: ClassVar[bool] = False
    """The child remembers locks that only its parent has."""

    def leave_to_parent(self, connection: sqlite3.Connection) -> None:
        """In a forked child: it was idle, and is closed."""
        with suppress(Exception):
            connection.close()

    def _prepare(self) -> None:
        """Make the file, private from its first moment; refuse what somebody else may have put there."""
        with suppress(FileExistsError):
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        found = os.lstat(self.path)
        if not stat.S_ISREG(found.st_mode):
            raise SpoolError(f"{self.path} is no file: move it away")
        if found.st_uid != os.geteuid():
            raise SpoolError(f"{self.path} belongs to user {found.st_uid}: move it away")
        if stat.S_IMODE(found.st_mode) & 0o077:
            os.chmod(self.path, 0o600)

    def _connect(self) -> sqlite3.Connection:
        self._opened = self.place()
        connection = sqlite3.connect(
            f"{self.path.as_uri()}?mode=rw", uri=True, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )  # fmt: skip
        try:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > FORMAT:
                raise SpoolError(f"{self.path} is of format {version}, and this release reads up to {FORMAT}")
            if version < FORMAT:
                connection.executescript(_SCHEMA)
                connection.execute("INSERT INTO about SELECT ? WHERE NOT EXISTS (SELECT * FROM about)", (self._chest,))
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES_KEPT}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _set_aside(self) -> None:
        """A damaged file is kept for a person, and a new one made; said by whoever gets the error.

        Not where another process did so before: what has the name by now is the new one.
        """
        if self.place() != self._opened:
            return
        aside = self.path.with_name(self.path.name + ".damaged")
        for suffix in ("-wal", "-shm", ""):  # the name of the whole last: until then nobody makes a new one
            with suppress(FileNotFoundError):
                os.unlink(f"{aside}{suffix}")
            with suppress(OSError):
                os.rename(f"{self.path}{suffix}", f"{aside}{suffix}")


def _records_of(lines: bytes) -> tuple[list[Record], int]:
    rows = _decoded(lines)
    if not isinstance(rows, list):
        return [], 1
    records = [record for row in rows if (record := _record_of(row)) is not None]
    return records, len(rows) - len(records)


def _decoded(text: bytes) -> Any:
    try:
        return decode(text)
    except (ValueError, RecursionError):
        return None


_TEXT, _NUMBER, _MAYBE_TEXT = (str,), (int,), (str, type(None))
_SHAPE: Final[tuple[tuple[type, ...], ...]] = (
    _TEXT, _TEXT, _NUMBER, _NUMBER, _TEXT, _TEXT, _MAYBE_TEXT, (int, type(None)), _TEXT, _MAYBE_TEXT, (dict,), (dict,),
    _TEXT, _TEXT, _TEXT,
)  # fmt: skip


def _record_of(row: Any) -> Record | None:
    if not isinstance(row, list) or len(row) != len(_SHAPE):
        return None
    return Record._make(row) if all(type(v) in types for v, types in zip(row, _SHAPE, strict=True)) else None
