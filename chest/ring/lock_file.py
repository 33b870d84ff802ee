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

_Key = tuple[int, int, int]
"""Device and inode of a lock file, and the id of the process that has it open: what a fork inherits counts for nobody."""
_held: Final[dict[_Key, object]] = {}
"""The lock files that are open here, each under the token of whoever opened it.

Closing any descriptor of a file drops all record locks that the process has on it (fcntl(2)), so a process must never open
a lock file a second time. Two of its exporters may look for rings at the same moment: ``setdefault`` lets one of them in.
"""


def locks_are_available() -> bool:
    """Whether this platform has record locks (POSIX ``fcntl``)."""
    return fcntl is not None


class LockFile:
    """An open lock file. Byte 0 belongs to the owner of the ring, byte 1 to whoever drains it.

    ``fcntl.lockf`` and not ``flock``: a forked child holds nothing of it, although it inherits the descriptor. The kernel
    lets go of the lock when the process ends, so neither a process id nor a start time has to be compared.
    """

    def __init__(self, path: Path, descriptor: int, key: _Key, token: object) -> None:
        self.path = path
        self._descriptor = descriptor
        self._key = key
        self._token = token

    @classmethod
    def create(cls, path: Path) -> LockFile:
        """Make the file, private to the user, and lock the owner's byte. Raises OSError."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        key, token = _key(os.fstat(descriptor)), object()
        _held[key] = token
        lock = cls(path, descriptor, key, token)
        if not lock.try_lock(OWNER):
            lock.close()
            raise BlockingIOError(f"{path} was locked by another process as soon as it was made")
        return lock

    @classmethod
    def open(cls, path: Path) -> LockFile | None:
        """Open an existing file of another process; None when it is gone, not ours, or this process has it open."""
        token = object()
        try:
            key = _key(os.lstat(path))
        except OSError:
            return None
        if _held.setdefault(key, token) is not token:
            return None
        try:
            lock = cls(path, os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW), key, token)
        except OSError:
            _forget(key, token)
            return None
        if not lock.is_linked():  # by now another file has the name
            lock.close()
            return None
        return lock

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
            return _key(os.lstat(self.path)) == _key(os.fstat(self._descriptor))
        except OSError:
            return False

    @property
    def is_open(self) -> bool:
        """Whether the descriptor is still this file's: nobody else closed it."""
        try:
            return _key(os.fstat(self._descriptor))[:2] == self._key[:2]
        except OSError:
            return False

    def close(self) -> None:
        """Let go of every lock; calling it twice is harmless."""
        if self._descriptor < 0:
            return
        is_open = self.is_open
        descriptor, self._descriptor = self._descriptor, -1
        if is_open:  # else the number may be that of somebody else's file
            os.close(descriptor)
        _forget(self._key, self._token)


def _forget(key: _Key, token: object) -> None:
    if _held.get(key) is token:  # else the inode is a new file's already
        del _held[key]


def _key(status: os.stat_result) -> _Key:
    return status.st_dev, status.st_ino, os.getpid()
