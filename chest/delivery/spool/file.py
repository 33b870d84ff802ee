"""``SpoolFile``: the SQLite file of one chest: records that it could not take yet, and records that it never will.

Two tables. ``spooled``: batches, as JSON, the oldest first. ``dead``: one record a row, with the reason.
Triggers keep the number of bytes of each in ``sizes``, so a limit is checked without reading the rows.
"""

from __future__ import annotations

import itertools
import os
import shutil
import sqlite3
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple

from chest.delivery.spool.schema import FORMAT, SCHEMA, add_what_is_missing, spooled_row
from chest.record.decoding import record_of_values
from chest.record.encoding import decode
from chest.record.record import VERSION, Record
from chest.system.files import identity_of
from chest.system.fork_safe_connection import ForkSafeConnection
from chest.system.sqlite_file import FileConnection, connect, make_file

BUSY_SECONDS: Final = 1.0
"""How long to wait for another worker that writes: it needs some milliseconds."""
_PIECE_RECORDS: Final = 250
"""Of a batch that is too large for the room there is. Else it is kept whole: a store pays for each write."""
_WAL_BYTES_KEPT: Final = 4 * 1024 * 1024
_MORE_PAGES: Final = 64
"""Of 4096 bytes, given back to the disk with each piece, beside its own: giving back all at once would make others wait."""
RESERVE_BYTES: Final = 2 * _WAL_BYTES_KEPT
"""Left free of the disk, without which a spool could not be emptied: SQLite writes what it removes to the log first."""
_UNUSABLE: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class SpoolError(Exception):
    """The file cannot be used now; the message says why. Stays inside delivery."""


class Size(NamedTuple):
    """How much there is."""

    records: int
    bytes: int


class Added(NamedTuple):
    """What adding to a spool did."""

    dropped: int
    """Records that were too old for the room that there is."""
    pieces: list[tuple[int, int]]
    """The number of each new piece, and how many records it has."""


class Piece(NamedTuple):
    """Records that were spooled together."""

    seq: int
    records: list[Record]
    damaged: int
    """How many could not be read, and are left out."""
    lines: bytes
    """The whole piece as it was kept, if some records could not be read."""
    version: int
    """Of the records as they were written; see :data:`chest.record.record.VERSION`."""


class SpoolFile:
    """One file, for any number of processes of one user.

    A connection is held, and closed before a fork. Every method raises :exc:`SpoolError` when the file cannot be used.

    :param path: made private to the user when it is first written; refused if it is a link or belongs to another user.
    :param chest: the chest's label, kept in the file for people.
    """

    def __init__(self, path: Path, chest: str = "") -> None:
        self.path = path
        self._chest = chest
        self._opened: tuple[int, int] | None = None
        self._held: ForkSafeConnection[FileConnection] = ForkSafeConnection(self, self._connect, self._prepare)

    reserve_bytes: ClassVar[int] = RESERVE_BYTES

    def exists(self) -> bool:
        """True if anything was ever put there."""
        return self.path.exists()

    def close(self) -> None:
        """Let the file go; the next use opens it again."""
        self._held.close()

    # -- records that wait -------------------------------------------------------------------------------------------

    def add(
        self,
        records: Sequence[Record],
        most_bytes: int,
        why: str = "",
        pieces: Sequence[Sequence[Record]] | None = None,
    ) -> Added:
        """Keep the records. Beyond ``most_bytes`` the oldest are dropped.

        :param why: what the chest said, without secrets; shown by ``chest status``.
        :param pieces: the same records, as they are to be kept together if each is at most a quarter of ``most_bytes``; None: all.
        """
        rows = [spooled_row(piece) for piece in ([records] if pieces is None else pieces) if piece]
        if any(row[1] > most_bytes // 4 for row in rows):
            starts = range(0, len(records), _PIECE_RECORDS)
            rows = [spooled_row(records[start : start + _PIECE_RECORDS]) for start in starts]
        self.require_free(RESERVE_BYTES + sum(row[1] for row in rows))
        with self.transaction() as connection:
            connection.executemany(
                f"INSERT INTO spooled (records, bytes, lines, version) VALUES (?, ?, ?, {VERSION})",  # noqa: S608
                rows,
            )
            connection.execute("INSERT OR REPLACE INTO trouble VALUES (1, ?)", (why,))
            last = connection.execute("SELECT max(seq) FROM spooled").fetchone()[0] or 0
            numbered = [(last - len(rows) + place, row[0]) for place, row in enumerate(rows, 1)]
            return Added(self.drop_beyond(connection, "spooled", most_bytes), numbered)

    def oldest(self, after: int = 0) -> Piece | None:
        """The piece that has waited longest, of those behind the one with this ``seq``."""
        with self.transaction() as connection:
            row = connection.execute(
                "SELECT seq, lines, records, version FROM spooled WHERE seq > ? ORDER BY seq LIMIT 1", (after,)
            ).fetchone()
        if row is None:
            return None
        records, damaged = records_of(row[1])
        return Piece(row[0], records, max(damaged, row[2] - len(records)), row[1] if damaged else b"", row[3])

    def remove_up_to(self, seq: int) -> int:
        """The chest has the piece with this ``seq``, and all before it; returns how many were there."""
        with self.transaction() as connection:
            held = connection.execute("SELECT total(bytes) FROM spooled WHERE seq <= ?", (seq,)).fetchone()[0]
            removed = connection.execute("DELETE FROM spooled WHERE seq <= ?", (seq,)).rowcount
        with self._explained(), self._held.use() as connection:
            # A script: each step frees one page, and execute makes a single step of a statement without columns.
            connection.executescript(f"PRAGMA incremental_vacuum({int(held) // 4096 + _MORE_PAGES})")
        return removed

    def size(self, kind: str = "spooled") -> Size:
        """How much is in a table, ``spooled`` or ``dead``."""
        with self.transaction() as connection:
            return Size(*connection.execute("SELECT records, bytes FROM sizes WHERE kind = ?", (kind,)).fetchone())

    def chest(self) -> str:
        """The label of the chest that this is for."""
        with self.transaction() as connection:
            row = connection.execute("SELECT chest FROM about").fetchone()
        return "" if row is None else str(row[0])

    # -- the file ----------------------------------------------------------------------------------------------------

    def require_free(self, wanted_bytes: int) -> None:
        """Raise SpoolError if the disk has less room: records can be removed from the file only if there is some."""
        with self._explained():
            free_bytes = shutil.disk_usage(self.path.parent).free
            if free_bytes < wanted_bytes:
                raise SpoolError(
                    f"{self.path}: the disk has only {free_bytes >> 20} MiB left, which the spool needs to be emptied"
                )

    @staticmethod
    def drop_beyond(connection: sqlite3.Connection, kind: str, most_bytes: int) -> int:
        """Drop the oldest rows of a table, ``spooled`` or ``dead``, until it holds no more than this; returns how many records."""
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
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A connection that holds the file's write lock; committed if the block ends without an exception."""
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
                with suppress(OSError):  # it stays, and the next use reports the error
                    self._set_aside()
            raise SpoolError(f"{self.path}: {error}") from error
        except OSError as error:
            raise SpoolError(f"{self.path}: {error.strerror or error}") from error
        except SpoolError:
            raise
        except Exception as error:
            raise SpoolError(f"{self.path}: {error}") from error

    def identity(self) -> tuple[int, int] | None:
        """The file's device and inode; None when it is gone."""
        return identity_of(self.path)

    def is_lost(self, connection: FileConnection) -> bool:
        """A file cannot hang up."""
        return False

    can_be_left_in_use: ClassVar[bool] = False
    """The child remembers locks that only its parent has."""

    def abandon_after_fork(self, connection: FileConnection) -> None:
        """In a forked child: it was idle, and is closed."""
        with suppress(Exception):
            connection.close()

    def _prepare(self) -> None:
        """Make the file, private from its first moment; refuse a file that another user may have put there, or may put there yet."""
        refuse_foreign_directory(self.path)
        make_file(self.path)
        found = os.lstat(self.path)
        if not stat.S_ISREG(found.st_mode):
            raise SpoolError(f"{self.path} is not a regular file; move it away")
        if found.st_uid != os.geteuid():
            raise SpoolError(f"{self.path} belongs to user {found.st_uid}; move it away")
        if stat.S_IMODE(found.st_mode) & 0o077:
            os.chmod(self.path, 0o600)

    def _connect(self) -> FileConnection:
        self._opened = self.identity()
        connection = connect(self.path, "mode=rw", BUSY_SECONDS)
        try:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > FORMAT:
                raise SpoolError(f"{self.path} is of format {version}, and this release reads up to {FORMAT}")
            if version < FORMAT:
                connection.executescript(SCHEMA)
            # Looked for each time: a process that was killed right after it made the tables has not written it.
            if self._chest and not connection.execute("SELECT 1 FROM about WHERE chest != ''").fetchone():
                connection.execute("INSERT OR REPLACE INTO about (rowid, chest) VALUES (1, ?)", (self._chest,))
            add_what_is_missing(connection)
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES_KEPT}")
            connection.note_log()
        except BaseException:
            connection.close()
            raise
        return connection

    def _set_aside(self) -> None:
        """A damaged file is kept, for what can be read of it and for a person, and a new one made; said with the error.

        Does nothing if another process did so before: the name then belongs to the new file.
        """
        if self.identity() != self._opened:
            return
        aside = next(name for name in asides_of(self.path) if not os.path.lexists(name))
        for suffix in ("-wal", "-shm", ""):  # the name of the whole last: until then no process makes a new one
            with suppress(FileNotFoundError):
                os.rename(f"{self.path}{suffix}", f"{aside}{suffix}")


def asides_of(path: Path) -> Iterator[Path]:
    """The names under which damaged files of this spool are kept until they are read."""
    yield path.with_name(f"{path.name}.damaged")
    yield from (path.with_name(f"{path.name}.damaged-{count}") for count in itertools.count(2))


def refuse_foreign_directory(path: Path) -> None:
    """Raise SpoolError if another user owns the directory: that user could replace a name in it by a link at any moment."""
    owner = os.stat(path.parent).st_uid
    if owner != os.geteuid():
        raise SpoolError(f"{path.parent} belongs to user {owner}: run this as that user")


def records_of(lines: bytes) -> tuple[list[Record], int]:
    """The records of a piece, and how many of them cannot be read."""
    rows = decoded(lines)
    if not isinstance(rows, list):
        from chest.delivery.spool.salvage import records_in

        records = records_in(lines)
        return records, max(1, lines.count(b'],["') + 1 - len(records))
    records = [record for row in rows if (record := record_of_values(row)) is not None]
    return records, len(rows) - len(records)


def decoded(text: bytes) -> Any:
    """The value of a piece of JSON; None if it is damaged."""
    try:
        return decode(text)
    except (ValueError, RecursionError):
        return None
