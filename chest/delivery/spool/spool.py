"""``Spool``: records that one chest cannot take yet, on disk within a bound, for any process of the host to deliver."""

from __future__ import annotations

import logging
import os
import stat
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from chest.delivery.log import RateLimitedLog
from chest.delivery.spool.dead_letters import DEAD_LETTER_BYTES, DeadLetters
from chest.delivery.spool.place import lock_spool
from chest.record.counters import Counters
from chest.record.messages import safe_message
from chest.record.record import VERSION, Record
from chest.ring.lock_file import LockFile
from chest.ring.orphaned_ring import set_aside
from chest.system.files import FileIdentity, identity_of

if TYPE_CHECKING:
    from chest.delivery.spool.file import Piece, SpoolFile
    from chest.delivery.spool.salvage import Salvaged

_T = TypeVar("_T")
_logger: Final = logging.getLogger("chest.delivery")

TRY_AGAIN_SECONDS: Final = 5.0
"""How long a file that could not be used is left alone: trying costs time that other chests need."""


class Spool:
    """The bounded store of one chest. No method raises: what fails is counted and logged.

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
        self._unusable = RateLimitedLog(counters, clock)
        self._full = RateLimitedLog(counters, clock)
        self._damage = RateLimitedLog(counters, clock)
        self._damaged_piece: tuple[int, tuple[int, int] | None] | None = None
        """The last piece of which some could not be read."""
        self._has_told_of_later = False
        self._own: deque[tuple[int, int]] = deque()
        """The pieces that this process put here, of which it is not known that they are delivered: number and records."""
        self.size: tuple[int, int] | None = None
        """Records and bytes that wait, when this process last looked; None when it never did."""

    def beside(self, path: Path, chest: str) -> Spool:
        """Another file of the same store, with the same counters."""
        return Spool(path, chest, self._most_bytes, self._counters, self._clock)

    def exists(self) -> bool:
        """True if there is a file, or a damaged one to be read."""
        return self.path.exists() or any(path.exists() for path in self._damaged())

    @property
    def is_usable(self) -> bool:
        """True if it may be tried: it did not just fail."""
        return self._clock() - self._failed_at >= TRY_AGAIN_SECONDS

    def add(self, records: Sequence[Record], why: str = "", pieces: Sequence[Sequence[Record]] | None = None) -> bool:
        """Keep the records; False when that was not possible now.

        :param why: what the chest said, without secrets.
        :param pieces: the same records as they were sent to the chest, and will be sent again; None: they were not sent.
        """
        if not self.is_usable:
            return False
        added = self._try(lambda file: file.add(records, self._most_bytes, why, pieces))
        if added is None:
            return False
        self._own.extend(added.pieces)
        self._look()
        self._counters.add(f"spooled.{self._chest}", len(records))
        if added.dropped:
            self._counters.add("dropped.spool_full", added.dropped)
            self._full.error(
                f"The spool of {self._chest} is full, and the oldest records are dropped",
                f"{self.path}; repair the store, or make spool_bytes larger",
            )
        return True

    def own_waiting(self) -> int:
        """How many records of this process still wait here, whichever process may deliver them. From any thread."""
        if not self._own:
            return 0
        from chest.delivery.spool.contents import oldest_number
        from chest.delivery.spool.file import SpoolError

        try:
            oldest = oldest_number(self.path)
        except SpoolError:
            oldest = 0  # not known to be delivered
        if oldest is None:
            self._own.clear()
        while oldest and self._own and self._own[0][0] < oldest:
            self._own.popleft()
        return sum(records for _, records in tuple(self._own))

    def dead_letter(self, records: Sequence[Record], reason: str) -> bool:
        """Keep records that the chest refused for good, with the reason; False when that was not possible."""
        dropped = self._try(lambda file: DeadLetters(file).add(records, safe_message(reason), DEAD_LETTER_BYTES))
        if dropped is None:
            return False
        self._counters.add(f"dead_letters.{self._chest}", len(records))
        if dropped:
            self._counters.add("dropped.dead_letters_full", dropped)
        return True

    # -- giving back -------------------------------------------------------------------------------------------------

    def begin(self) -> bool:
        """Become the one that delivers what is here, until :meth:`end`; False when another process is, or nothing is here."""
        if self._lock is None:
            damaged = [path for path in self._damaged() if self._check_ours(path)]
            if damaged or self._check_ours(self.path):
                self._lock = self._lock_file()
            if self._lock is not None:
                for path in damaged:
                    self._salvage(path)
        return self._lock is not None

    def _damaged(self) -> list[Path]:
        """Names under which a damaged file may wait to be read; a third file waits until these are read."""
        return [self.path.with_name(f"{self.path.name}.damaged{suffix}") for suffix in ("", "-2")]

    def _salvage(self, damaged: Path) -> None:
        """Take what can be read of a damaged file, and keep it for a person to look at."""
        from chest.delivery.spool.salvage import salvaged

        read = lost = 0
        try:
            for found in salvaged(damaged):
                if found.records and not self._take_over(found):
                    return  # the next time, from the start
                read += len(found.records)
                lost += found.lost
            kept = set_aside(damaged, "read")
        except OSError as error:
            self._unusable.error(f"{damaged} cannot be read, and is kept as it is", error)
            return
        for suffix in ("-wal", "-shm"):
            with suppress(OSError):
                os.rename(f"{damaged}{suffix}", f"{kept}{suffix}")
        if lost:
            self._counters.add("dropped.damaged", lost)
        self._damage.error(
            f"{self.path} was damaged: {read:,} records for {self._chest} were read around the damage, and"
            f" {f'{lost:,}' if lost else 'an unknown number'} could not be",
            f"it is kept as {kept.name}",
        )

    def _take_over(self, found: Salvaged) -> bool:
        reason = found.reason
        if reason is None:
            return self._try(lambda file: file.add(found.records, self._most_bytes)) is not None
        return self._try(lambda file: DeadLetters(file).add(found.records, reason, DEAD_LETTER_BYTES)) is not None

    def try_now(self) -> None:
        """Use the file at once although it just failed, and read what was set aside as damaged meanwhile."""
        self._failed_at = float("-inf")
        self.end()

    def end(self) -> None:
        """Let another process deliver."""
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.close()

    def oldest(self) -> Piece | None:
        """The oldest piece that this process has not delivered; None when no piece is left, or none can be read."""
        if not self.is_usable:
            return None
        if self._delivered is not None and self._delivered[1] != self._identity():
            self._delivered = None
        after = 0 if self._delivered is None else self._delivered[0]
        self._read_from = self._identity()
        piece = self._try(lambda file: file.oldest(after))
        if piece is None:
            if self._delivered is not None and self.is_usable:
                self._take_out()
            return None
        if piece.version > VERSION and not self._has_told_of_later:
            self._has_told_of_later = True
            with suppress(Exception):  # of a handler of the application's, which is not to end delivery
                _logger.warning(
                    "chest: %s: a later release of Chest wrote records for %s (version %d, this release knows %d). They are"
                    " delivered without the fields that this release does not know.",
                    self.path, self._chest, piece.version, VERSION,
                )  # fmt: skip
        if piece.damaged and self._damaged_piece != (piece.seq, self._read_from):  # which may be tried again and again
            self._damaged_piece = piece.seq, self._read_from
            self._counters.add("dropped.damaged", piece.damaged)
            self._damage.error(
                f"{piece.damaged} records for {self._chest} that waited on disk could not be read",
                _kept_beside(self.path, piece.lines),
            )
        return piece

    def remove(self, piece: Piece) -> None:
        """The chest has this piece, the oldest; if the file cannot be told so now, this process remembers it until then."""
        self._delivered = piece.seq, self._read_from
        self._take_out()
        self._look()
        self._full.recovered(f"The spool of {self._chest} has room again")

    def _take_out(self) -> None:
        """Remove what was delivered; not from a file that took the place of the one it was read from."""
        if self._delivered is None or self._delivered[1] != self._identity():
            self._delivered = None
            return
        seq = self._delivered[0]
        if self._try(lambda file: file.remove_up_to(seq)) is not None:
            self._delivered = None

    def _identity(self) -> FileIdentity | None:
        return identity_of(self.path, follows_links=False)

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
                from chest.delivery.spool.file import SpoolFile

                self._file = SpoolFile(self.path, self._chest)
            done = act(self._file)
        except Exception as error:  # noqa: BLE001 - whatever a disk may do: the records stay in the file
            self._failed_at = self._clock()
            self._counters.add("spool_failed")
            self._unusable.error(f"Records for {self._chest} cannot be spooled to disk", error)
            return None
        self._unusable.recovered(f"Records for {self._chest} are spooled to disk again")
        return done

    def _check_ours(self, path: Path) -> bool:
        """True if the file exists and is this user's own; another user's is logged.

        Root may look into a worker's directory, and is to leave nothing in the worker's way.
        """
        try:
            found = os.lstat(path)
        except OSError:
            return False
        if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid():
            return True
        self._unusable.error(
            f"The spool of {self._chest} is not delivered", f"{path} is not a regular file of this user; move it away"
        )
        return False

    def _lock_file(self) -> LockFile | None:
        try:
            return lock_spool(self.path, self._check_ours)
        except OSError as error:
            self._unusable.error(f"The spool of {self._chest} cannot be locked, and is not delivered", error)
            return None


def _kept_beside(spool: Path, damaged: bytes) -> str:
    from chest.delivery.spool.salvage import keep_beside  # loads SQLite

    return keep_beside(spool, damaged)
