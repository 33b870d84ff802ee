"""``RingKeeper``: keeps the ring of a process in a file that others find when the process is killed, whatever happens to the file."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from chest.delivery.log import RateLimitedLog
from chest.errors import DirectoryError
from chest.record.counters import Counters
from chest.ring.lock_file import locks_are_available
from chest.ring.owned_ring_file import OwnedRingFile
from chest.ring.reader import RingReader
from chest.ring.segments.file import SegmentFile
from chest.ring.writer import RingWriter
from chest.system.directory import prepare_directory

_FIRST_WAIT_SECONDS: Final = 2.0
_LONGEST_WAIT_SECONDS: Final = 30.0


class RingKeeper:
    """Makes the file, looks after it, and makes another with all that the ring holds when it is lost.

    A file may be removed, replaced or cut, its disk may be full, or there was none when the process began. Without a file the
    ring is in memory, and a file is tried again at the next look, later after up to 30 s.

    :param name: the recorder's, with which the names of its files begin.
    :param directory: asked each time, as it may raise DirectoryError. None: the ring stays in memory, and that is as it should be.
    :param say_later: told what is to be logged by another thread.
    """

    def __init__(
        self,
        ring: RingWriter,
        counters: Counters,
        name: str,
        directory: Callable[[], Path] | None,
        say_later: Callable[[str], object],
    ) -> None:
        self.file: OwnedRingFile | None = None
        """None while the ring is in memory."""
        self._ring = ring
        self._counters = counters
        self._name = name
        self._directory = directory
        self._say_later = say_later
        self._unlocked: OwnedRingFile | None = None
        """The file while it has no lock."""
        self._trouble = RateLimitedLog(counters)
        self._try_at = 0.0
        self._wait_seconds = _FIRST_WAIT_SECONDS

    @property
    def is_durable(self) -> bool:
        """True if all that the ring holds survives a kill of this process; asks the file system."""
        return self.file is not None and self.file.is_intact

    def begin(self, ring_bytes: int, description: Mapping[str, Any], *, drains: bool) -> SegmentFile:
        """Segments in a file for a ring that is about to be opened; in memory, with a warning, if no file can be made.

        :param drains: whether this process delivers it.
        """
        self.file, self._wait_seconds = None, _FIRST_WAIT_SECONDS
        if self._directory is None:
            return SegmentFile.in_memory(ring_bytes, description)
        reason = "this platform has no locks on parts of a file"
        if locks_are_available():
            try:
                directory = prepare_directory(self._directory())
                self.file = OwnedRingFile.create(directory, self._name, ring_bytes, description, drains=drains)
                return self.file.segments
            except (OSError, DirectoryError) as error:
                reason = _reason(error)
        self._counters.add("ring_in_memory")
        notice = _in_memory(reason)
        self._counters.error(notice)
        self._say_later(notice)
        self._trouble.is_said = True  # by then
        self._wait()
        return SegmentFile.in_memory(ring_bytes, description)

    def keep(self, *, at_once: bool = False) -> bool:
        """To be called every few seconds, from a thread that may log and wait; True if the file is another one now, or none.

        :param at_once: whether a ring in memory tries to have a file now, however short a time ago it last did.
        """
        lost = self.file
        if self._directory is None:
            return False
        if lost is None:
            return (at_once or time.monotonic() >= self._try_at) and self._go_back_to_a_file()
        if lost.is_intact or self._stays_without_lock(lost, at_once):
            lost.renew_times()
            return False
        if lost is not self._unlocked:
            self._counters.add("ring_file_lost")
            self._wait_seconds = _FIRST_WAIT_SECONDS
        error = self._move()
        if error is not None and lost.holds_ring and not self._ring.drains_elsewhere:
            self._stay_without_lock(lost, error)
            return False
        lost.remove()
        if error is not None:
            error = self._move()  # if only the disk was full, there is room now
        taken = f"The ring file {lost.path} was removed, replaced or cut, or its disk is full"
        if error is None:
            assert self.file is not None
            self._trouble.error(taken, f"the ring is in {self.file.path} now")
        else:
            self._counters.add("ring_in_memory")
            self._trouble.error(taken, _in_memory(_reason(error)))
            self._wait_seconds = _FIRST_WAIT_SECONDS
            self._wait()
        return True

    def _stays_without_lock(self, file: OwnedRingFile, at_once: bool) -> bool:
        return file is self._unlocked and file.holds_ring and not at_once and time.monotonic() < self._try_at

    def _stay_without_lock(self, file: OwnedRingFile, error: Exception) -> None:
        """Go on in a file without its lock if no other can be created: its records are found there, though later."""
        self.file = self._unlocked = file
        self._trouble.error(
            f"The lock of the ring file {file.path} was removed", f"no other file can be created: {_reason(error)}"
        )
        self._wait()

    def _go_back_to_a_file(self) -> bool:
        if not locks_are_available():
            return False
        if self._move() is not None:
            self._wait()
            return False
        assert self.file is not None
        self._trouble.recovered(f"The ring is in a file again: {self.file.path}")
        return True

    def _wait(self) -> None:
        self._try_at = time.monotonic() + self._wait_seconds
        self._wait_seconds = min(2 * self._wait_seconds, _LONGEST_WAIT_SECONDS)

    def _move(self) -> Exception | None:
        """Move what the ring holds into a fresh file; why that could not be done, else None."""
        ring, pool = self._ring, self._ring.pool
        self.file = None
        if pool is None or self._directory is None:
            return DirectoryError("the ring is not open")
        try:
            pool.restore_header()
            RingReader(ring, self._counters).leave_the_other_reader()
            directory = prepare_directory(self._directory())
            self.file = OwnedRingFile.keep(directory, self._name, pool.file, drains=not pool.drains_elsewhere)
        except (OSError, DirectoryError) as error:
            return error
        return None


def _reason(error: Exception) -> str:
    return "the disk is full" if getattr(error, "errno", None) == errno.ENOSPC else str(error)


def _in_memory(reason: str) -> str:
    return (
        f"The ring is in memory, because {reason}: a worker that is killed loses what it has not delivered."
        " Set CHEST_DIRECTORY to a directory that this user can write, with room on its disk. Chest tries again to have a file."
    )
