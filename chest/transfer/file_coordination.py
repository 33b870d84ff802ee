"""``FileCoordinationStore``: notes and locks as files of a directory, for the processes of one host."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import AbstractContextManager, suppress
from hashlib import blake2b
from pathlib import Path

from chest.chests.upkeep import CoordinationStore, VersionedValue
from chest.errors import ChestUnavailable, DirectoryError
from chest.system.directory import prepare_directory
from chest.system.file_lock import held

__all__ = ["FileCoordinationStore"]


class FileCoordinationStore(CoordinationStore):
    """A file a note, put in its place whole. For a source that has no place of its own for notes.

    Hosts that share a source need a place that they share: name a database as ``leader=``.

    :param directory: made, private to the user, when something is first written.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def value(self, name: str) -> VersionedValue | None:
        path = self._path(name, ".json")
        try:
            kept = json.loads(path.read_bytes())
            return VersionedValue(kept["text"], kept["version"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ChestUnavailable(f"{path} cannot be read: {error}; remove it to begin anew") from error

    def compare_and_set(self, name: str, text: str, replaces: VersionedValue | None) -> VersionedValue | None:
        self._prepare()
        with held(self._path(name, ".note-lock")) as is_ours:
            if not is_ours or self.value(name) != replaces:
                return None
            new = VersionedValue(text, 1 if replaces is None else replaces.version + 1)
            content = json.dumps({"name": name, "version": new.version, "text": text})
            try:
                _put(self._path(name, ".json"), content.encode())
            except OSError as error:
                raise ChestUnavailable(f"{self._directory} cannot be written: {error.strerror}") from error
            return new

    def lock(self, name: str) -> AbstractContextManager[bool]:
        self._prepare()
        return held(self._path(name, ".lock"))

    def close(self) -> None:
        """Nothing is held open."""

    def _prepare(self) -> None:
        try:
            prepare_directory(self._directory)
        except DirectoryError as error:
            raise ChestUnavailable(str(error)) from error

    def _path(self, name: str, suffix: str) -> Path:
        return self._directory / f"transfer-{blake2b(name.encode(), digest_size=8).hexdigest()}{suffix}"


def _put(path: Path, content: bytes) -> None:
    """Write the file whole or not at all, even if the machine stops."""
    handle, temporary = tempfile.mkstemp(prefix=".transfer-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
