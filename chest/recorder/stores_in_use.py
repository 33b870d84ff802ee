"""Which stores the recorders of a directory write to: kept in it for the commands, and logged once for each start of a service."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence, Set
from pathlib import Path
from typing import Any, Final

from chest.chests.registry import safe_url, sqlite_url
from chest.record.encoding import decode, encode

DEFAULT_STORE: Final = "chest.sqlite3"
_FILE: Final = "stores.json"
_MARK: Final = ".group"
_RELATIVE: Final = "sqlite:///"


def default_store(directory: Path) -> str:
    """The URL of the chest that is used if none is named."""
    return sqlite_url(directory / DEFAULT_STORE)


def mark_group(directory: Path) -> bool:
    """Mark in the directory that a process of this group, which is a start of a service, uses it; True in the first one.

    :raises OSError: the directory cannot be written.
    """
    mark = directory / f"{_start_of_group()}{_MARK}"
    try:
        os.close(os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    except FileExistsError:
        return False
    for other in directory.glob(f"*{_MARK}"):
        if other != mark:
            _unlink(other)
    return True


def forget_group(directory: Path) -> None:
    """Remove the marks from a directory in which no process keeps a ring any more."""
    for mark in marks_without(directory, frozenset()):
        _unlink(mark)


def marks_without(directory: Path, rings: Set[str]) -> list[Path]:
    """The marks in a directory that holds no other rings than these; empty if it holds another.

    :param rings: names of files.
    """
    with contextlib.suppress(OSError):
        names = os.listdir(directory)
        if not any(name.endswith(".ring") and name not in rings for name in names):
            return [directory / name for name in names if name.endswith(_MARK)]
    return []


def keep_stores(directory: Path, stores: Sequence[Any]) -> None:
    """Write down the stores that get the records of this directory.

    A URL that holds a secret is not kept: the command that needs it has to be given it.

    :param stores: chest URLs, or chests.
    :raises OSError: the directory cannot be written.
    """
    urls = [_absolute(store) for store in stores if isinstance(store, str) and safe_url(store) == store]
    draft = directory / f"{_FILE}.{os.getpid()}.new"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "wb") as file:
        file.write(encode({"stores": urls}))
    draft.replace(directory / _FILE)


def kept_stores(directory: Path) -> tuple[str, ...]:
    """The URLs that were kept there last; empty if none were, or if they cannot be read."""
    try:
        stores = decode((directory / _FILE).read_bytes())["stores"]
        return tuple(store for store in stores if isinstance(store, str))
    except (OSError, ValueError, TypeError, KeyError):
        return ()


def last_used(directories: Sequence[Path]) -> Path:
    """Of several directories of services the one in which something was written last."""
    return max(directories, key=_written_ns)


def _written_ns(directory: Path) -> int:
    written = [0]
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                written.append(entry.stat(follow_symlinks=False).st_mtime_ns)
    return max(written)


def _absolute(url: str) -> str:
    """A SQLite file's URL with an absolute path, so that it is valid in any directory."""
    path, mark, options = url.removeprefix(_RELATIVE).partition("?")
    if not url.startswith(_RELATIVE) or path.startswith("/") or "%" in path:
        return url
    return f"{sqlite_url(Path(path).absolute())}{mark}{options}"


def _unlink(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _start_of_group() -> str:
    """Names this process group as long as the machine runs: containers and restarts use the same numbers again."""
    group = os.getpgrp() if hasattr(os, "getpgrp") else os.getpid()
    with contextlib.suppress(OSError, IndexError):
        # The 22nd field; the second may hold blanks, in brackets: see proc_pid_stat(5).
        began = Path(f"/proc/{group}/stat").read_text().rpartition(")")[2].split()[19]
        return f"{group}-{began}"
    return str(group)
