"""``OwnFile``: the ring file of this process and the lock that says so."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from chest.ring.lock_file import DRAIN, LockFile
from chest.ring.recovery import LOCK_SUFFIX, SUFFIX
from chest.ring.segments import SegmentFile


class OwnFile:
    """A ring file that this process made and holds; others adopt it as soon as the lock is gone."""

    def __init__(self, path: Path, lock: LockFile, segments: SegmentFile) -> None:
        self.segments = segments
        self._path = path
        self._lock = lock

    @classmethod
    def create(
        cls, directory: Path, name: str, ring_bytes: int, description: Mapping[str, Any], *, drains: bool = True
    ) -> OwnFile:
        """Make a ring file in the directory, locked. Raises OSError, with ENOSPC where the disk is full.

        :param drains: whether this process delivers it; else it is left to another one.
        """
        stem = f"{name}.{os.getpid()}.{os.urandom(4).hex()}"
        lock = LockFile.create(directory / (stem + LOCK_SUFFIX))
        path = directory / (stem + SUFFIX)
        try:
            if drains:
                lock.try_lock(DRAIN)
            return cls(path, lock, SegmentFile.create(path, ring_bytes, description))
        except BaseException:
            _unlink(lock.path)
            lock.close()
            raise

    @property
    def directory(self) -> Path:
        """Where it lies."""
        return self._path.parent

    @property
    def is_intact(self) -> bool:
        """Whether both files are still there under their names, and the lock still held."""
        return self._lock.is_linked() and self._path.exists()

    @property
    def was_closed_by_others(self) -> bool:
        """Whether somebody closed our descriptors, as programs do that become daemons; the numbers may be others' by now."""
        return not self._lock.is_open

    def remove(self) -> None:
        """Everything is delivered: the ring first and its lock last, so that nobody finds a ring without its lock."""
        _unlink(self._path)
        _unlink(self._lock.path)
        self._lock.close()

    def let_go(self) -> None:
        """Leave the file to whoever adopts it."""
        self._lock.close()


def _unlink(path: Path) -> None:
    with suppress(OSError):
        os.unlink(path)
