"""``Spool``: what one chest cannot take yet, kept on disk within a bound, for any worker of the host to deliver."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from chest.counters import Counters
from chest.delivery.plain_words import plain_words
from chest.delivery.trouble import Trouble
from chest.record import Record
from chest.ring.lock_file import OWNER, LockFile

if TYPE_CHECKING:
    from chest.delivery.spool_file import Piece, SpoolFile

_T = TypeVar("_T")

SUFFIX: Final = ".spool"
LOCK_SUFFIX: Final = ".spool-lock"
DEAD_LETTER_BYTES: Final = 64 * 1024 * 1024
"""Room for dead letters, beside ``spool_bytes``: hundreds of thousands, which is more than anybody will look at."""
TRY_AGAIN_SECONDS: Final = 5.0
"""How long a file that could not be used is left alone: trying costs time that other chests need."""


def spool_path(directory: Path, chest: str) -> Path:
    """Where what is for this chest is kept: the same at every start, and for every worker.

    The label holds no password, so neither does the name; and a password that is changed changes nothing.

    :param chest: the chest's label (``Chest.name``).
    """
    words = re.sub(r"[^A-Za-z0-9]+", "-", chest).strip("-")[:40] or "chest"
    return directory / f"{words}-{hashlib.sha256(chest.encode()).hexdigest()[:12]}{SUFFIX}"


class Spool:
    """The bounded store of one chest. Nothing in here raises: what could not be done is counted, and said.

    :param chest: the chest's label.
    :param most_bytes: of records that wait; beyond it the oldest are dropped.
    :param counters: ``spooled.<chest>``, ``dead_letters.<chest>``, ``spool_failed``, ``dropped.spool_full``,
        ``dropped.dead_letters_full``, ``dropped.damaged``.
    """

    def __init__(
        self,
        path: Path,
        chest: str,
        most_bytes: int,
        counters: Counters,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = path
        self._chest = chest
        self._most_bytes = most_bytes
        self._counters = counters
        self._clock = clock
        self._file: SpoolFile | None = None
        self._lock: LockFile | None = None
        self._delivered: tuple[int, tuple[int, int] | None] | None = None
        """Up to which piece, of which file, everything was delivered though it could not yet be taken out: a full disk."""
        self._read_from: tuple[int, int] | None = None
        self._failed_at = float("-inf")
        self._unusable = Trouble(counters, clock)
        self._full = Trouble(counters, clock)
        self.size: tuple[int, int] | None = None
        """Records and bytes that wait, when this process last looked; None when it never did."""

    def exists(self) -> bool:
        """Whether there is a file. Costs one look at the directory."""
        return self.path.exists()

    @property
    def is_usable(self) -> bool:
        """Whether it may be tried: it did not just fail."""
        return self._clock() - self._failed_at >= TRY_AGAIN_SECONDS

    def add(self, records: Sequence[Record]) -> bool:
        """Keep the records; False when that was not possible now."""
        if not self.is_usable:
            return False
        dropped = self._try(lambda file: file.add(records, self._most_bytes))
        if dropped is None:
            return False
        self._look()
        self._counters.add(f"spooled.{self._chest}", len(records))
        if dropped:
            self._counters.add("dropped.spool_full", dropped)
            self._full.tell(f"The spool of {self._chest} is full, and the oldest records are dropped", str(self.path))
        return True

    def bury(self, records: Sequence[Record], reason: str) -> bool:
        """Keep records that the chest refused for good, with the reason; False when that was not possible."""
        dropped = self._try(lambda file: file.bury(records, plain_words(reason), DEAD_LETTER_BYTES))
        if dropped is None:
            return False
        self._counters.add(f"dead_letters.{self._chest}", len(records))
        if dropped:
            self._counters.add("dropped.dead_letters_full", dropped)
        return True

    # -- giving back -------------------------------------------------------------------------------------------------

    def begin(self) -> bool:
        """Become the one that delivers what is here, until :meth:`end`; False when another process is, or nothing is here."""
        if self._lock is None and self._is_ours(self.path):
            self._lock = self._lock_file()
        return self._lock is not None

    def end(self) -> None:
        """Let another process deliver."""
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.close()

    def oldest(self) -> Piece | None:
        """What has waited longest, of what this process has not delivered; None when there is no more, or no way to it."""
        if not self.is_usable:
            return None
        if self._delivered is not None and self._delivered[1] != self._place():
            self._delivered = None
        after = 0 if self._delivered is None else self._delivered[0]
        self._read_from = self._place()
        piece = self._try(lambda file: file.oldest(after))
        if piece is None:
            if self._delivered is not None and self.is_usable:
                self._take_out()
            return None
        if piece.damaged:
            self._counters.add("dropped.damaged", piece.damaged)
            self._counters.error(f"{piece.damaged} records in {self.path} could not be read")
        return piece

    def remove(self, piece: Piece) -> None:
        """The chest has this piece, the oldest; where the file cannot be told so now, this process remembers it until then."""
        self._delivered = piece.seq, self._read_from
        self._take_out()
        self._look()
        self._full.over(f"The spool of {self._chest} has room again")

    def _take_out(self) -> None:
        """Remove what was delivered; not from a file that took the place of the one it was read from."""
        if self._delivered is None or self._delivered[1] != self._place():
            self._delivered = None
            return
        seq = self._delivered[0]
        if self._try(lambda file: file.remove_up_to(seq)) is not None:
            self._delivered = None

    def _place(self) -> tuple[int, int] | None:
        try:
            found = os.lstat(self.path)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _look(self) -> None:
        self.size = self._try(lambda file: file.size()) or self.size

    def close(self) -> None:
        """Let everything go."""
        self.end()
        if self._file is not None:
            self._file.close()

    def _try(self, act: Callable[[SpoolFile], _T]) -> _T | None:
        """Do it; None, with the failure counted and said, when the file cannot be used."""
        try:
            if self._file is None:
                # SQLite is loaded when something has to be kept, and not by every program that imports chest.
                from chest.delivery.spool_file import SpoolFile

                self._file = SpoolFile(self.path, self._chest)
            done = act(self._file)
        except Exception as error:  # noqa: BLE001 - whatever a disk may do: the records stay where they are
            self._failed_at = self._clock()
            self._counters.add("spool_failed")
            self._unusable.tell(f"What {self._chest} cannot take cannot be put on disk either", error)
            return None
        self._unusable.over(f"What {self._chest} cannot take is put on disk again")
        return done

    def _is_ours(self, path: Path) -> bool:
        """Whether it is there and this user's own: root, looking into a worker's directory, is to leave nothing in its way."""
        try:
            found = os.lstat(path)
        except OSError:
            return False
        if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid():
            return True
        self._unusable.tell(
            f"What is spooled for {self._chest} is not delivered", f"{path} is no file of this user's: move it away"
        )
        return False

    def _lock_file(self) -> LockFile | None:
        path = self.path.with_suffix(LOCK_SUFFIX)
        try:
            return LockFile.create(path)
        except FileExistsError:
            if not self._is_ours(path):
                return None
            lock = LockFile.open(path)
        except OSError as error:
            self._unusable.tell(f"What is spooled for {self._chest} cannot be locked", error)
            return None
        if lock is not None and not lock.try_lock(OWNER):
            lock.close()
            return None
        return lock
