"""``Workspace``: the directory in which one run of the demonstration keeps its store, its rings and gunicorn's log."""

from __future__ import annotations

import tempfile
from pathlib import Path

from chest.chests.registry import sqlite_url
from chest.errors import DirectoryError


class Workspace:
    """The files of a run. A directory that holds an older store can be used again: the run counts only its own records.

    :param path: the directory; made if it is not there.
    :raises DirectoryError: it cannot be made or written to, is no directory.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.is_temporary = False
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.log_path.write_bytes(b"")
        except OSError as error:
            reason = error.strerror or str(error)
            raise DirectoryError(
                f"the directory {path} cannot be used: {reason}. Name one that can be written to with --dir."
            ) from error

    @classmethod
    def temporary(cls) -> Workspace:
        """A fresh one, private to this user, which stays when the run is over.

        :raises DirectoryError: no temporary directory can be made.
        """
        try:
            path = Path(tempfile.mkdtemp(prefix="chest-demo-"))
        except OSError as error:
            raise DirectoryError(
                f"no temporary directory can be made: {error}. Name a directory with --dir."
            ) from error
        workspace = cls(path)
        workspace.is_temporary = True
        return workspace

    @property
    def store_path(self) -> Path:
        """The SQLite file."""
        return self.path / "chest.sqlite3"

    @property
    def store_url(self) -> str:
        """The store, as ``open_chest`` and the commands take it."""
        return sqlite_url(self.store_path)

    @property
    def ring_directory(self) -> Path:
        """The directory of the workers' rings."""
        return self.path / "ring"

    @property
    def log_path(self) -> Path:
        """What gunicorn and the shop say."""
        return self.path / "gunicorn.log"
