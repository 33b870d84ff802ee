"""``LockFile``: locks of a ring's owner and of its drainer; they end with the process, however it ends.

On Linux they are open-file-description locks (fcntl(2)), and what keeps the description open is a mapping and no descriptor
(:func:`chest.ring.mapping.hold_file`). So no ``close`` in the process drops them, of this file or of every descriptor; two
interpreters of one process exclude each other; and a forked child, which has neither mapping nor descriptor, holds nothing.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
from pathlib import Path
from typing import Final

from chest.ring.mapping import hold_file, release_file
from chest.system.files import FileIdentity, identity_in
from chest.system.fork_guard import call_in_child, check_fork, process_generation

try:
    import fcntl
except ImportError:  # Windows: no locks on parts of a file, so rings are kept in memory there
    fcntl = None  # type: ignore[assignment]

OWNER: Final = 0
DRAIN: Final = 1

_FLOCK: Final = struct.Struct("hhqqi0q")
"""Of Python's ``fcntl``: the kind, from where, the first byte, how many, the process; offsets of 64 bits, as it is built with."""
_DO_NOT_WORK: Final = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.ENODEV)
"""Of a kernel without such locks (some sandboxes), or a file system without mappings."""

"""Device and inode of a lock file."""


def locks_are_available() -> bool:
    """True if this platform has locks on parts of a file."""
    return fcntl is not None


class LockFile:
    """A lock file. Byte 0 belongs to the owner of the ring, byte 1 to the process that drains it."""

    def __init__(self, path: Path, key: FileIdentity) -> None:
        self.path = path
        self._key = key
        self._held = 0
        self._made_in = process_generation()

    @classmethod
    def create(cls, path: Path, *bytes_: int) -> LockFile:
        """Make the file, private to the user, and lock the owner's byte and these. Raises OSError."""
        if not _works_by_description:
            return _RecordLockFile.create(path, *bytes_)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        lock = cls(path, identity_in(os.fstat(descriptor)))
        try:
            is_ours = lock._take(descriptor, (OWNER, *bytes_))
        except OSError as error:
            os.unlink(path)
            if _note_that_they_do_not_work(error):
                return cls.create(path, *bytes_)
            raise
        if not is_ours:
            raise BlockingIOError(f"{path} was locked by another process as soon as it was made")
        return lock

    @classmethod
    def open(cls, path: Path) -> LockFile | None:
        """An existing file, not locked yet; None if it is gone or belongs to another user."""
        if not _works_by_description:
            return _RecordLockFile.open(path)
        try:
            return cls(path, identity_in(os.lstat(path)))
        except OSError:
            return None

    def try_lock(self, *bytes_: int) -> bool:
        """Lock these bytes without waiting, all or none, once; False when any is locked, in this process or another."""
        descriptor = self._descriptor()
        try:
            return descriptor >= 0 and self._take(descriptor, bytes_)
        except OSError as error:
            _note_that_they_do_not_work(error)  # the next look goes by the others
            return False

    def is_locked(self, byte: int) -> bool:
        """True if any process holds this byte, this one included; False when the file is gone."""
        descriptor = self._descriptor()
        if descriptor < 0:
            return False
        try:
            return _is_locked(descriptor, byte)
        finally:
            os.close(descriptor)

    def is_linked(self) -> bool:
        """True if the path still leads to this file: another process may have removed it."""
        try:
            return identity_in(os.lstat(self.path)) == self._key
        except OSError:
            return False

    def close(self) -> None:
        """Let go of every lock; calling it twice is harmless, and a forked child holds none."""
        held, self._held = self._held, 0
        if held and self._made_in == process_generation():
            release_file(held)

    def _descriptor(self) -> int:
        """Of the very file; -1 when it is gone."""
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return -1
        if identity_in(os.fstat(descriptor)) == self._key:
            return descriptor
        os.close(descriptor)
        return -1

    def _take(self, descriptor: int, bytes_: tuple[int, ...]) -> bool:
        """Lock these bytes through the descriptor, which is closed. Raises OSError."""
        try:
            if not all(_lock_byte(descriptor, byte) for byte in bytes_):
                return False
            self._held = hold_file(descriptor)
        finally:
            os.close(descriptor)
        return True


def _lock_byte(descriptor: int, byte: int) -> bool:
    """Lock one byte for the open file; False when another has it. Raises OSError."""
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0))
    except (BlockingIOError, PermissionError):
        return False
    return True


def _is_locked(descriptor: int, byte: int) -> bool:
    asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0)
    return bool(_FLOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, asked))[0] != fcntl.F_UNLCK)


_works_by_description = hasattr(fcntl, "F_OFD_SETLK")


def _note_that_they_do_not_work(error: OSError) -> bool:
    global _works_by_description
    if error.errno in _DO_NOT_WORK:
        _works_by_description = False
    return not _works_by_description


_held: Final[dict[FileIdentity, object]] = {}
"""The lock files that are open in this process, each under its opener's token; for :class:`_RecordLockFile`."""


class _RecordLockFile(LockFile):
    """The same on systems with locks of processes only (macOS, BSD): any ``close`` of the file in the process drops them.

    So the process must never open a lock file a second time. Two of its threads may look for rings at the same moment:
    ``setdefault`` lets one of them in. A module that is loaded twice is not kept out, nor what else opens the file.
    """

    def __init__(self, path: Path, key: FileIdentity, descriptor: int, token: object) -> None:
        super().__init__(path, key)
        self._number = descriptor
        self._token = token

    @classmethod
    def create(cls, path: Path, *bytes_: int) -> LockFile:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        key, token = identity_in(os.fstat(descriptor)), object()
        _own_locks()[key] = token
        lock = cls(path, key, descriptor, token)
        if not lock.try_lock(OWNER, *bytes_):
            lock.close()
            raise BlockingIOError(f"{path} was locked by another process as soon as it was made")
        return lock

    @classmethod
    def open(cls, path: Path) -> LockFile | None:
        token = object()
        try:
            key = identity_in(os.lstat(path))
        except OSError:
            return None
        if _own_locks().setdefault(key, token) is not token:
            return None
        try:
            lock = cls(path, key, os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW), token)
        except OSError:
            _forget(key, token)
            return None
        if not lock.is_linked():  # by now another file has the name
            lock.close()
            return None
        return lock

    def try_lock(self, *bytes_: int) -> bool:
        return all(self._lock_byte(byte) for byte in bytes_)

    def is_locked(self, byte: int) -> bool:
        if not self._lock_byte(byte):
            return True
        fcntl.lockf(self._number, fcntl.LOCK_UN, 1, byte)
        return False

    def _lock_byte(self, byte: int) -> bool:
        try:
            fcntl.lockf(self._number, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
        except OSError:
            return False
        return True

    def close(self) -> None:
        descriptor, self._number = self._number, -1
        if descriptor < 0:
            return
        with contextlib.suppress(OSError):
            if identity_in(os.fstat(descriptor)) == self._key:  # else the number is that of another file by now
                os.close(descriptor)
        _forget(self._key, self._token)


def _own_locks() -> dict[FileIdentity, object]:
    """Those of this process: what a fork inherits counts for nothing."""
    call_in_child(_forget_all)
    check_fork()
    return _held


def _forget_all() -> None:
    _held.clear()


def _forget(key: FileIdentity, token: object) -> None:
    if _held.get(key) is token:  # else the inode is a new file's already
        del _held[key]
