"""Locks on files, among the processes and threads of one host: ``held`` without waiting, ``wait_for_lock``."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from chest.errors import ChestUnavailable
from chest.system.threads import sleep

try:
    import fcntl
except ImportError:  # Windows: said when a lock is asked for
    has_locks = False
else:
    has_locks = True

_STEP_SECONDS: Final = 0.005


@contextmanager
def held(path: Path) -> Iterator[bool]:
    """Lock the file for the block, without waiting: True when we have it, False when another process or thread does.

    The file is made if it is missing, private to the user, and stays: a lock file that is removed can be locked by
    two. The kernel lets go of the lock when the process ends. ``flock`` and not a record lock: two threads of a process
    also exclude each other. A child that is forked meanwhile also has the descriptor: if its parent is killed and it lives
    on, so does the lock; a parent that lives gives it back for both.

    :raises ChestUnavailable: the file cannot be made, or this platform has no such locks.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise ChestUnavailable(f"{path} cannot be locked: {error.strerror}") from error
    try:
        is_ours = _try_lock(descriptor)
        try:
            yield is_ours
        finally:
            if is_ours:
                fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


@contextmanager
def held_directory(path: Path) -> Iterator[bool]:
    """:func:`held` for a directory itself, in which no file is made; False also if it cannot be locked."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        yield False
        return
    try:
        yield has_locks and _lock_now(descriptor)
    finally:
        os.close(descriptor)


def _lock_now(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def wait_for_lock(descriptor: int, deadline: float) -> None:
    """Lock an open file until it is closed; waits, in small steps.

    :param deadline: until when, in monotonic seconds.
    :raises ChestUnavailable: another process had it until then, or this platform has no such locks.
    """
    if not has_locks:
        return None  # Windows: the user has to avoid two writers at once
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise ChestUnavailable("Another program holds the file locked: let it end, or wait.") from None
        sleep(_STEP_SECONDS)


def _try_lock(descriptor: int) -> bool:
    if not has_locks:
        raise ChestUnavailable("A file cannot be locked: this platform has no flock.")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise ChestUnavailable(f"A file cannot be locked: {error.strerror}; put it on a local disk.") from error
    return True
