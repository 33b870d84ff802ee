"""``NdjsonChest``: a line of JSON a record, in a file to carry away."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, ClassVar, Final, NamedTuple, NoReturn

from chest.chests.contract import Cursor, ReadableChest, StoredRecord
from chest.chests.ndjson.file import GzipLines, PlainLines
from chest.chests.query import EVERYTHING, Query
from chest.errors import ChestError, ChestUnavailable, RecordRejected, SchemaMismatch, SettingsError
from chest.record.decoding import json_of_record, record_of_fields
from chest.record.encoding import decode
from chest.record.record import Record
from chest.system.file_lock import wait_for_lock
from chest.system.files import FileIdentity, append_durably, identity_in, is_full

__all__ = ["NdjsonChest"]

_LOCK_SECONDS: Final = 1.0


class _Whole(NamedTuple):
    """The file and the offset at which its last whole block ends."""

    file: FileIdentity
    end: int

    @classmethod
    def of(cls, file: BinaryIO, end: int) -> _Whole:
        return cls(identity_in(os.fstat(file.fileno())), end)

    def is_start_of(self, other: _Whole) -> bool:
        return self.file == other.file and self.end <= other.end


class NdjsonChest(ReadableChest):
    """Appends to a file, a line a record: its fields, ``stored_at`` and ``version``, which is that of the record as it was
    written. DuckDB, pandas, jq and ``zcat`` read it.

    To carry records away, and to bring them back: ``chest transfer ndjson:file.ndjson.gz sqlite:///chest.sqlite3``. A batch
    is written whole or not at all, and one that is written again is there twice. Nothing is ever removed. To record
    into, it is a poor chest: nothing finds a record but by reading all of it.

    :param url: ``ndjson:relative/file.ndjson``, ``ndjson:/absolute/file.ndjson``; compressed if it ends in ``.gz``.
    :raises SettingsError: the URL names no file.
    """

    is_idempotent: ClassVar[bool] = False

    def __init__(self, url: str) -> None:
        path = url.removeprefix("ndjson:")
        if not path or "?" in path or path.startswith("//"):
            raise SettingsError("An ndjson chest is a file: ndjson:records.ndjson.gz, or ndjson:/absolute/path.")
        self.name = url
        self.path = Path(os.path.abspath(path))
        self._lines = GzipLines() if path.endswith(".gz") else PlainLines()
        self._whole: _Whole | None = None
        """The file, and the offset up to which it is known to be whole."""

    def open(self) -> None:
        with self._appending():
            pass

    def write(self, records: Sequence[Record]) -> None:
        if not records:
            return
        block = self._lines.packed(self._text_of(records))
        with self._appending() as file:
            end = append_durably(file.fileno(), block)
            self._whole = _Whole.of(file, end)

    def check(self) -> None:
        if self.path.exists() and not self.path.is_file():
            self._fail("it is not a file: name another")
        path = Path(os.path.realpath(self.path))  # a link may point to a file that does not exist yet
        place = path if path.exists() else path.parent
        if not os.access(place, os.W_OK):
            self._fail(f"{place} is not there or cannot be written")
        if is_full(path):
            self._fail("the disk is full: make room")

    def wait_at_most(self, seconds: float) -> bool:
        return True  # it waits for nothing but the disk

    def close(self) -> None:
        """Nothing is held open."""

    def read(self, query: Query = EVERYTHING, *, after: Cursor | None = None, limit: int = 1000) -> list[StoredRecord]:
        found: list[StoredRecord] = []
        with self._reading() as file:
            for stored in self._stored(file, after):
                if query.matches(stored.record):
                    found.append(stored)
                    if len(found) == limit:
                        break
        return found

    def newest(self) -> Cursor | None:
        with self._reading() as file:
            last = self._lines.last_block(file)
        return None if last is None else f"{last.start}:{len(last.lines.splitlines())}"

    def remove(self, stored: Sequence[StoredRecord]) -> int:
        """Nothing can be removed.

        :raises ChestError: always, but for no records.
        """
        if stored:
            raise ChestError(f"{self.name} is only appended to: transfer what is to be kept to a new file.")
        return 0

    @property
    def is_in_order(self) -> bool:
        return True

    def _text_of(self, records: Sequence[Record]) -> bytes:
        stored_at = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        lines, refused = [], []
        for record in records:
            try:
                lines.append(json_of_record(record, stored_at=stored_at))
            except (TypeError, ValueError, OverflowError):
                refused.append(record.id)
        if refused:
            raise RecordRejected(f"{self.name} cannot hold a record: it is not JSON.", refused)
        return b"\n".join([*lines, b""])

    def _stored(self, file: BinaryIO, after: Cursor | None) -> Iterator[StoredRecord]:
        start, _, seen = str(after or "0:0").partition(":")
        skipped = int(seen)
        for block in self._lines.blocks(file, int(start)):
            for place, line in enumerate(block.lines.splitlines(), 1):
                if place > skipped:
                    yield _stored_record(f"{block.start}:{place}", line)
            skipped = 0

    @contextmanager
    def _appending(self) -> Iterator[BinaryIO]:
        """The file, ours alone for the block, and ending with a whole block."""
        try:
            with self._locked() as file:
                size = file.seek(0, os.SEEK_END)
                if self._whole != (found := _Whole.of(file, size)):
                    end = self._whole_end(file, found)
                    if end != size:
                        file.truncate(end)
                    self._whole = found._replace(end=end)
                yield file
        except (OSError, SchemaMismatch) as error:
            self._whole = None
            self._fail(error)

    def _whole_end(self, file: BinaryIO, found: _Whole) -> int:
        """Searched from the offset that this process knows, if it is still the same file: a rotated file is another one."""
        known = self._whole
        if known is not None and known.is_start_of(found):
            with suppress(
                SchemaMismatch
            ):  # the file was emptied in its place, as copytruncate does, and has grown since
                return self._lines.whole_end(file, known.end)
        return self._lines.whole_end(file, 0)

    @contextmanager
    def _locked(self) -> Iterator[BinaryIO]:
        """The file that has the name, locked: not one that was rotated away while we waited for the lock."""
        deadline = time.monotonic() + _LOCK_SECONDS
        while True:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "r+b", buffering=0) as file:
                wait_for_lock(descriptor, deadline)
                if not self._has_the_name(descriptor) and time.monotonic() < deadline:
                    continue
                yield file
                return

    def _has_the_name(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), os.stat(self.path))
        except FileNotFoundError:
            return False

    @contextmanager
    def _reading(self) -> Iterator[BinaryIO]:
        try:
            with open(self.path, "rb") as file:
                yield file
        except (OSError, SchemaMismatch) as error:
            self._fail(error)

    def _fail(self, why: str | Exception) -> NoReturn:
        if isinstance(why, SchemaMismatch):
            raise SchemaMismatch(f"{self.name} cannot be used: {why}.") from why
        cause = why if isinstance(why, Exception) else None
        told = why.strerror if isinstance(why, OSError) else why
        raise ChestUnavailable(f"{self.name} cannot be used: {told}.") from cause


def _stored_record(cursor: str, line: bytes) -> StoredRecord:
    try:
        fields = decode(line)
        return StoredRecord(cursor, datetime.fromisoformat(fields["stored_at"]), record_of_fields(fields))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SchemaMismatch(f"the line at {cursor} is not a record of Chest") from error
