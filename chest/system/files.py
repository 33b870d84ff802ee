"""Files: written whole although the system may take only a part, whether their disk has room, and which file a name means."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeAlias

__all__ = ["FileIdentity", "append_durably", "cut_back", "identity_in", "identity_of", "is_full", "write_all"]

FileIdentity: TypeAlias = tuple[int, int]
"""The device and inode of a file: another file under its name has another."""

_FULL_BELOW_BYTES: Final = 128 * 1024
"""With less room than that, a batch, and SQLite's log with the memory beside it, 32 KiB at least, cannot be written."""
_NOTHING_TAKEN: Final = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of the data, in as many calls as that takes.

    :raises OSError: a part may have been written: ``ENOSPC``, ``EDQUOT``, ``EFBIG`` beyond ``ulimit -f``.
    """
    rest = memoryview(data)
    while rest:
        taken = os.write(descriptor, rest)
        if not taken:  # no file system says so for a file; one that did would have us ask for ever
            raise OSError(*_NOTHING_TAKEN.args)
        rest = rest[taken:]


def append_durably(descriptor: int, data: bytes) -> int:
    """Write the data at the end of the file and onto the disk, all or nothing; returns the file's new end.

    The caller holds a lock, so that no other thread or process appends meanwhile.

    :raises OSError: nothing was appended.
    """
    start = os.lseek(descriptor, 0, os.SEEK_END)
    try:
        write_all(descriptor, data)
        os.fsync(descriptor)
    except OSError:
        cut_back(descriptor, start)
        raise
    return start + len(data)


def cut_back(descriptor: int, end: int) -> None:
    """Remove what a failed write left after ``end``. If the disk refuses that too, the next writer does it."""
    with suppress(OSError):
        os.ftruncate(descriptor, end)
        os.lseek(descriptor, end, os.SEEK_SET)


def is_full(path: Path) -> bool:
    """True if the disk of this file is full, as far as it says; a quota is not seen."""
    import shutil  # with its compressors behind it, for a failed write

    try:
        usage = shutil.disk_usage(path.parent)
        return usage.total > 0 and usage.free < _FULL_BELOW_BYTES  # /proc, among others, has no bytes at all
    except OSError:
        return False


def identity_of(path: Path | str, *, follows_links: bool = True) -> FileIdentity | None:
    """The identity of the file under this name; None if it does not exist."""
    try:
        return identity_in(os.stat(path, follow_symlinks=follows_links))
    except OSError:
        return None


def identity_in(status: os.stat_result) -> FileIdentity:
    """The identity of the file that was looked at."""
    return status.st_dev, status.st_ino
