"""The directory of a service's ring files: its path, and the check that no other user can write to it."""

from __future__ import annotations

import logging
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path

from chest.errors import DirectoryError

_logger = logging.getLogger("chest.directory")
_said: set[Path] = set()


def state_directory() -> Path:
    """The operating system's place for a user's state: ``~/.local/state/chest`` on Linux; not made here."""
    import platformdirs  # a command that is given its chest needs none of it

    return Path(platformdirs.user_state_dir("chest", appauthor=False))


def temporary_directory() -> Path:
    """The directory that is used if the user has no writable home; not created here.

    ``/tmp`` and not ``$TMPDIR``: what a dead worker left must be found again by one that has another environment.
    """
    if sys.platform == "win32":
        import tempfile

        return Path(tempfile.gettempdir()) / "chest"
    return Path(f"/tmp/chest-{os.geteuid()}")  # noqa: S108 - owner, mode and symbolic links are checked before use


def default_directory(service: str, say: Callable[[str], object] = _logger.warning) -> Path:
    """The directory of a service whose user named none, made and private.

    :param service: a checked service name (see ``Settings.service``).
    :param say: called once a process with the place of the files, if it is not the usual one.
    :raises DirectoryError: neither the state directory nor the one in ``/tmp`` can be used.
    """
    try:
        return _private_directory(state_directory(), service)
    except DirectoryError as error:
        path = _private_directory(temporary_directory(), service)
        if path not in _said:
            _said.add(path)
            say(f"{error}; ring files are kept in {path}, which a restart of the machine empties")
        return path


def existing_directories() -> list[Path]:
    """The directories that services of this user have by default; nothing is made, what is not ours is left out."""
    found: list[Path] = []
    for home in filter(Path.is_absolute, (state_directory(), temporary_directory())):
        try:
            if _complaint(home) is None:
                found += sorted(path for path in home.iterdir() if _complaint(path) is None)
        except OSError:  # not there, or not ours to look into
            continue
    return found


def prepare_directory(path: Path) -> Path:
    """Make ``path`` if it is missing, only for this user (0700), and check that no other user can write there.

    A directory that is there keeps its mode: others may look into it (the files are 0600), not write.

    :raises DirectoryError: it cannot be made or written, is a symbolic link, another user's, or open to others.
    """
    try:
        _make(path)
        complaint = _complaint(path)
    except OSError as error:
        raise DirectoryError(
            f"cannot create {path}: {error.strerror}; set CHEST_DIRECTORY to a writable directory"
        ) from error
    if complaint is not None:
        raise DirectoryError(f"{path} {complaint}")
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise DirectoryError(f"{path} cannot be written; set CHEST_DIRECTORY to a writable directory")
    return path


def refuse_foreign_directory(path: Path) -> None:
    """Check that no other user can replace a name in the directory with a link.

    :raises DirectoryError: it belongs to another user.
    """
    owner = path.stat().st_uid
    if sys.platform != "win32" and owner != os.geteuid():
        raise DirectoryError(
            f"{path} belongs to user {owner}, so nothing is written into files there: run this as that user, or say with"
            " --to where to deliver"
        )


def _private_directory(home: Path, service: str) -> Path:
    """``home/service``; both are ours alone, so what is too open there is tightened."""
    if not home.is_absolute():  # `~` of a user without an entry in the password file
        raise DirectoryError(f"{home} is not an absolute path: set HOME, or CHEST_DIRECTORY")
    for path in (home, home / service):
        _tighten(path)
        prepare_directory(path)
    return home / service


def _make(path: Path) -> None:
    if path.is_symlink() or path.exists():
        return
    _make(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)


def _tighten(path: Path) -> None:
    """Take away what others may do; on what is not there or not ours this does nothing, and the check says so."""
    try:
        found = path.lstat()
        if stat.S_ISDIR(found.st_mode) and _is_ours(found) and stat.S_IMODE(found.st_mode) & 0o077:
            path.chmod(0o700)
    except OSError:
        pass


def _complaint(path: Path) -> str | None:
    """What is wrong with an existing directory, and the cure; None when it can be trusted."""
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        return "is a symbolic link: give the directory that it points to"
    if not stat.S_ISDIR(found.st_mode):
        return "is not a directory: give one, or move that file away"
    if not _is_ours(found):
        return f"belongs to user {found.st_uid}: give a directory of your own, such as {path / 'chest'}"
    open_to_others = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if open_to_others and not found.st_mode & stat.S_ISVTX and sys.platform != "win32":
        return f"can be written by other users: chmod go-w {path}"
    return None


def _is_ours(found: os.stat_result) -> bool:
    return sys.platform == "win32" or found.st_uid == os.geteuid()
