"""``OwnedRingFile``: the ring file of this process, and the lock that marks it as owned."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from chest.ring.lock_file import DRAIN, LockFile
from chest.ring.recovery import LOCK_SUFFIX, SUFFIX
from chest.ring.segments.file import SegmentFile
from chest.ring.unused_room import give_back_unused_room
from chest.system.files import FileIdentity, identity_in

_RENEW_EVERY_SECONDS: Final = 9.0
"""Less than the age from which a ring without its lock may be taken for a dead process's."""


class OwnedRingFile:
    """A ring file that this process made and holds; others adopt it as soon as the lock is gone."""

    def __init__(self, path: Path, lock: LockFile, segments: SegmentFile) -> None:
        self.segments = segments
        self.path = path
        self._lock = lock
        self._file = _file_at(path)
        self._renewed_at = time.monotonic()

    @classmethod
    def create(
        cls, directory: Path, name: str, ring_bytes: int, description: Mapping[str, Any], *, drains: bool = True
    ) -> OwnedRingFile:
        """Make a ring file in the directory, locked. Raises OSError, with ENOSPC if the disk is full.

        :param drains: whether this process delivers it; else it is left to another one.
        """
        return cls._locked(directory, name, drains, lambda path: SegmentFile.create(path, ring_bytes, description))

    @classmethod
    def keep(cls, directory: Path, name: str, segments: SegmentFile, *, drains: bool = True) -> OwnedRingFile:
        """The same for segments that are in use, which move there with all that they hold. Raises OSError; they stay whole."""

        def moved(path: Path) -> SegmentFile:
            segments.move_to(path)
            return segments

        return cls._locked(directory, name, drains, moved)

    @classmethod
    def _locked(cls, directory: Path, name: str, drains: bool, make: Callable[[Path], SegmentFile]) -> OwnedRingFile:
        stem = f"{name}.{os.getpid()}.{os.urandom(4).hex()}"
        lock = LockFile.create(directory / (stem + LOCK_SUFFIX), *([DRAIN] if drains else []))
        path = directory / (stem + SUFFIX)
        try:
            return cls(path, lock, make(path))
        except BaseException:
            _unlink(lock.path)
            lock.close()
            raise

    @property
    def directory(self) -> Path:
        """The directory that holds it."""
        return self.path.parent

    @property
    def paths(self) -> tuple[Path, Path]:
        """What is removed when everything is delivered, in this order: no process is to find a ring without its lock."""
        return self.path, self._lock.path

    @property
    def is_intact(self) -> bool:
        """True if both files are still there under their names and as long as they were, and every page is in its file."""
        return self._lock.is_linked() and self.holds_ring

    @property
    def holds_ring(self) -> bool:
        """The same of the ring alone: without its lock another process waits for a minute before it adopts the ring."""
        return _file_at(self.path) == self._file and not self.segments.faults

    def renew_times(self) -> None:
        """Set the times of both files to now, from time to time: programs that clean by age leave them alone."""
        now = time.monotonic()
        if now - self._renewed_at >= _RENEW_EVERY_SECONDS:
            self._renewed_at = now
            for path in (self.path, self._lock.path):
                with suppress(OSError):
                    os.utime(path)

    def remove(self) -> None:
        """Everything is delivered."""
        for path in self.paths:
            _unlink(path)
        self._lock.close()

    def give_back_unused_room(self, *, keeps_delivered: bool = False) -> None:
        """The ring is written no more, and its records wait in it: let it take no more of the disk than they need.

        :param keeps_delivered: whether another process may be delivering it.
        """
        if self._lock.is_linked():
            give_back_unused_room(self.path, keeps_delivered=keeps_delivered)

    def let_go(self) -> None:
        """Leave the file to the process that adopts it."""
        self._lock.close()


def _file_at(path: Path) -> tuple[FileIdentity, int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return identity_in(found), found.st_size


def _unlink(path: Path) -> None:
    with suppress(OSError):
        os.unlink(path)
