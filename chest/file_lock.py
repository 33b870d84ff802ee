"""``held``: a lock that is a file, among the processes and threads of one host."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chest.errors import ChestUnavailable

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


@contextmanager
def held(path: Path) -> Iterator[bool]:
    """Lock the file for the block, without waiting: True when we have it, False when another process or thread does.

    The file is made where it is not there, private to the user, and stays: a lock file that is removed can be locked by
    two. The kernel lets go of the lock when the process ends. ``flock`` and not a record lock: two threads of a process
    exclude each other too. It is given back by name, so that a child forked meanwhile, which has the descriptor too, does
    not keep it.

    :raises ChestUnavailable: the file cannot be made, or this platform has no such locks.
    """
    if fcntl is None:
        raise ChestUnavailable(f"{path} cannot be locked: this platform has no flock. Name a database as leader=.")
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise ChestUnavailable(f"{path} cannot be locked: {error.strerror}") from error
    try:
        is_ours = _try_lock(descriptor, path)
        try:
            yield is_ours
        finally:
            if is_ours:
                fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int, path: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise ChestUnavailable(f"{path} cannot be locked: {error.strerror}") from error
    return True
