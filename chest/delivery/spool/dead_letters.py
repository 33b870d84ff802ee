"""Dead letters: records that a chest refused for good. ``chest dead`` lists them, delivers them again or discards them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from chest.delivery.spool.place import spool_path
from chest.errors import DirectoryError
from chest.record.counters import Counters
from chest.record.decoding import record_of_values
from chest.record.encoded import plain
from chest.record.encoding import encode
from chest.record.messages import safe_message
from chest.record.record import VERSION, Record
from chest.system.directory import prepare_directory

if TYPE_CHECKING:
    from chest.delivery.spool.file import SpoolFile

_REQUEUE: Final = """
INSERT INTO spooled (records, bytes, lines, version)
    SELECT 1, length(line) + 2, CAST('[' || line || ']' AS BLOB), version FROM dead WHERE seq = ?
"""

DEAD_LETTER_BYTES: Final = 64 * 1024 * 1024
"""Room for dead letters, beside ``spool_bytes``: hundreds of thousands, more than a person will look at."""


class DeadLetter(NamedTuple):
    """A record that a chest refused for good."""

    seq: int
    died_ns: int
    """Unix time in nanoseconds, when it was refused."""
    reason: str
    record: Record


def letters_of(rows: Iterable[tuple[int, int, str, Any]]) -> list[DeadLetter]:
    """The dead letters of these rows, but for those that hold no record."""
    from chest.delivery.spool.file import decoded  # loads SQLite, which not every program needs

    letters = []
    for seq, died_ns, reason, line in rows:
        record = record_of_values(decoded(line))
        if record is not None:
            letters.append(DeadLetter(seq, died_ns, reason, record))
    return letters


class DeadLetters:
    """The dead letters in one spool's file, beside the records that wait. Every method raises what the file raises.

    :param file: of one chest.
    """

    def __init__(self, file: SpoolFile) -> None:
        self._file = file

    def add(self, records: Sequence[Record], reason: str, most_bytes: int, *, may_drop: bool = True) -> int:
        """Keep records that were refused. Beyond ``most_bytes`` the oldest are dropped; returns how many.

        :param may_drop: if not, nothing is kept and nothing dropped if there is no room, and SpoolError is raised.
        """
        from chest.delivery.spool.file import SpoolError  # loads SQLite, which not every program needs

        now = time.time_ns()
        lines = [encode(plain(record)[:]) for record in records]
        self._file.require_free(self._file.reserve_bytes // 2)
        with self._file.transaction() as connection:
            connection.executemany(
                f"INSERT INTO dead (died_ns, reason, bytes, line, version) VALUES (?, ?, ?, ?, {VERSION})",  # noqa: S608
                [(now, reason, len(line) + len(reason), line) for line in lines],
            )
            dropped = self._file.drop_beyond(connection, "dead", most_bytes)
            if dropped and not may_drop:  # which undoes it
                raise SpoolError(f"{self._file.path} is full of dead letters ({most_bytes >> 20} MiB)")
            return dropped

    def list(self, after: int = 0, limit: int = 500) -> list[DeadLetter]:
        """Dead letters in the order in which they were refused, from the one behind this ``seq`` on."""
        with self._file.transaction() as connection:
            rows = connection.execute(
                "SELECT seq, died_ns, reason, line FROM dead WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit)
            ).fetchall()
        return letters_of(rows)

    def requeue(self, letters: Sequence[DeadLetter]) -> int:
        """Have these delivered again, with what waits, as they were written; returns how many were there."""
        with self._file.transaction() as connection:
            requeued = 0
            for letter in letters:
                requeued += connection.execute(_REQUEUE, (letter.seq,)).rowcount
                connection.execute("DELETE FROM dead WHERE seq = ?", (letter.seq,))
            return requeued

    def discard(self, letters: Sequence[DeadLetter]) -> int:
        """Remove these for good; returns how many were there."""
        with self._file.transaction() as connection:
            return sum(
                connection.execute("DELETE FROM dead WHERE seq = ?", (letter.seq,)).rowcount for letter in letters
            )


class DeadLetterKeeper:
    """Keeps refused records in the file that a delivery worker of the same chest uses. Nothing is held open in between.

    For transfers; a delivery worker has its own :class:`~chest.delivery.spool.spool.Spool`, which never raises.

    :param directory: gives the recorder's directory, which is made if it is missing.
    :param counters: ``dead_letters.<chest>``, ``dropped.dead_letters_full``.
    """

    def __init__(self, directory: Callable[[], Path], counters: Counters) -> None:
        self._directory = directory
        self._counters = counters

    def dead_letter(self, chest: str, record: Record, reason: str, *, may_drop: bool = True) -> None:
        """Keep the record.

        :param chest: the label of the chest that refused it.
        :param reason: kept without secrets, in one line.
        :param may_drop: whether the oldest dead letters make room for it.
        :raises DirectoryError: it could not be kept.
        """
        from chest.delivery.spool.file import SpoolError, SpoolFile  # loads SQLite, which not every program needs

        with closing(SpoolFile(spool_path(prepare_directory(self._directory()), chest), chest)) as file:
            try:
                letters = DeadLetters(file)
                dropped = letters.add([record], safe_message(reason), DEAD_LETTER_BYTES, may_drop=may_drop)
            except SpoolError as error:
                raise DirectoryError(f"what {chest} refuses cannot be kept as a dead letter: {error}") from error
        self._counters.add(f"dead_letters.{chest}")
        if dropped:
            self._counters.add("dropped.dead_letters_full", dropped)
