"""``LockFile``: who owns a ring, and who drains it, by record locks that end with the process whatever ends it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

try:
    import fcntl
except ImportError:  # Windows: no record locks, so rings are kept in memory there
    fcntl = None  # type: ignore[assignment]

OWNER: Final = 0
DRAIN: Final = 1

_held: dict[tuple[int, int], int] = {}
"""Device and inode of each lock file that a process here has open, with the id of that process.

Closing any descriptor of a file drops all record locks that the process has on it (fcntl(2)), so a process must never open
its own lock file a second time. An entry inherited through a fork names another process and does not count.
"""


def locks_are_available() -> bool:
    """Whether this platform has record locks (POSIX ``fcntl``)."""
    return fcntl is not None


class LockFile:
    """An open lock file. Byte 0 belongs to the owner of the ring, byte 1 to whoever drains it.

    ``fcntl.lockf`` and not ``flock``: a forked child holds nothing of it, although it inherits the descriptor. The kernel
    lets go of the lock when the process ends, so neither a process id nor a start time has to be compared.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor
        status = os.fstat(descriptor)
        self._key = (status.st_dev, status.st_ino)
        _held[self._key] = os.getpid()

    @classmethod
    def create(cls, path: Path) -> LockFile:
        """Make the file, private to the user, and lock the owner's byte. Raises OSError."""
        lock = cls(path, os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        if not lock.try_lock(OWNER):
            lock.close()
            raise BlockingIOError(f"{path} was locked by another process as soon as it was made")
        return lock

    @classmethod
    def open(cls, path: Path) -> LockFile | None:
        """Open an existing file of another process; None when it is gone, not ours, or this process has it open."""
        try:
            status = os.lstat(path)
            if _held.get((status.st_dev, status.st_ino)) == os.getpid():
                return None
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return None
        return cls(path, descriptor)

    def try_lock(self, byte: int) -> bool:
        """Lock one byte without waiting; False when another process has it."""
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
        except OSError:
            return False
        return True

    def is_linked(self) -> bool:
        """Whether the path still leads to this file: another process may have removed it before we had the lock."""
        try:
            status = os.lstat(self.path)
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self._key

    def close(self) -> None:
        """Let go of every lock; calling it twice is harmless."""
        if self._descriptor < 0:
            return
        descriptor, self._descriptor = self._descriptor, -1
        if _held.get(self._key) == os.getpid():
            del _held[self._key]
        os.close(descriptor)
