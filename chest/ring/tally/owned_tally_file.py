"""``OwnedTallyFile``: the file that a process counts in, and the lock that says that the process is there."""

from __future__ import annotations

import errno
import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from chest.ring.lock_file import LockFile
from chest.ring.mapping import has_lasting_room, map_file
from chest.ring.segments.file import reserve
from chest.ring.tally.table import TABLE_BYTES
from chest.ring.tally.tally import Tally
from chest.system.files import FileIdentity, identity_in

SUFFIX: Final = ".tally"
LOCK_SUFFIX: Final = ".tally-lock"


def prefix_of(name: str, service: str) -> str:
    """How the names of the files of one recorder of one service begin."""
    return f"{name}.{hashlib.blake2s(service.encode(), digest_size=4).hexdigest()}"


class OwnedTallyFile:
    """Made by this process, and left to the next that gathers the counts when the process is gone."""

    def __init__(self, path: Path, lock: LockFile, identity: FileIdentity) -> None:
        self.path = path
        self._lock = lock
        self._identity = identity

    @classmethod
    def create(cls, directory: Path, prefix: str, tally: Tally) -> OwnedTallyFile:
        """Have the tally count in a file, with all that it has counted.

        :raises OSError: there is no room, or the file cannot be made; the tally counts in memory as before.
        """
        stem = directory / f"{prefix}.{os.getpid()}.{os.urandom(4).hex()}"
        path = stem.with_name(stem.name + SUFFIX)
        lock = LockFile.create(stem.with_name(stem.name + LOCK_SUFFIX))
        try:
            return cls(path, lock, _moved(tally, path))
        except BaseException:
            _unlink(lock.path)
            lock.close()
            raise

    @property
    def is_intact(self) -> bool:
        """True if both files are there under their names."""
        return self._lock.is_linked() and self._has_table

    @property
    def _has_table(self) -> bool:
        try:
            return identity_in(os.lstat(self.path)) == self._identity
        except OSError:
            return False

    def renew_times(self) -> None:
        """Set the times of both files to now: programs that clean by age leave them alone."""
        for path in (self.path, self._lock.path):
            with suppress(OSError):
                os.utime(path)

    def remove(self) -> None:
        """Remove what is left of both files, if they are still this process's."""
        if self._has_table:
            _unlink(self.path)
        if self._lock.is_linked():
            _unlink(self._lock.path)
        self._lock.close()

    def let_go(self) -> None:
        """Leave the file to the process that next gathers the counts."""
        self._lock.close()


def _moved(tally: Tally, path: Path) -> FileIdentity:
    draft = path.with_suffix(".tally-new")
    descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        if not has_lasting_room(descriptor):
            raise OSError(errno.ENOTSUP, "counts stay in memory on such a file system", str(path.parent))
        reserve(descriptor, TABLE_BYTES)
        map_file(tally.memory, descriptor, 0, True)
        os.rename(draft, path)
        return identity_in(os.fstat(descriptor))
    except BaseException:
        _unlink(draft)
        raise
    finally:
        os.close(descriptor)


def _unlink(path: Path) -> None:
    with suppress(OSError):
        os.unlink(path)
