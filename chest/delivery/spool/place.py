"""The path of a chest's spool and its lock: the process that holds the lock delivers the spool."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from chest.chests.store_identity import store_identity
from chest.ring.lock_file import OWNER, LockFile

SUFFIX: Final = ".spool"
LOCK_SUFFIX: Final = ".spool-lock"


def spool_path(directory: Path, chest: str) -> Path:
    """The spool's path for this chest: the same at every start, for every worker, and however the URL is spelled.

    The label holds no password, so neither does the name.

    :param chest: the chest's label (``Chest.name``).
    """
    identity = store_identity(chest)
    words = re.sub(r"[^A-Za-z0-9]+", "-", identity).strip("-")[:40] or "chest"
    return directory / f"{words}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}{SUFFIX}"


def lock_spool(spool: Path, is_ours: Callable[[Path], bool]) -> LockFile | None:
    """The lock, held by the caller; None if another process or another recorder of this one has it.

    :param is_ours: whether a lock file that is there may be used: a regular file of this user.
    :raises OSError: the lock file cannot be made.
    """
    path = spool.with_suffix(LOCK_SUFFIX)
    try:
        return LockFile.create(path)
    except FileExistsError:
        lock = LockFile.open(path) if is_ours(path) else None
    if lock is not None and not lock.try_lock(OWNER):
        lock.close()
        return None
    return lock


def is_locked_by_others(spool: Path) -> bool:
    """True if another process, or another recorder of this one, delivers what the spool holds."""
    path = spool.with_suffix(LOCK_SUFFIX)
    lock = LockFile.open(path)
    if lock is None:
        return path.exists()  # another recorder of this process has it
    is_free = lock.try_lock(OWNER)
    lock.close()
    return not is_free
