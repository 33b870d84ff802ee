"""``salvaged``: what can be read of a damaged spool, around the damage.

Row by row as long as SQLite finds rows: an unreadable row costs no other, and of a row whose pages break off, the beginning is
kept. If the damage hides rows from SQLite, record by record in the pages themselves. Then records that were delivered but not yet
overwritten come again, which stores that know ``id`` do not notice.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Final, NamedTuple

from chest.record.decoding import record_of_values
from chest.record.record import Record, record_key
from chest.system.files import write_all

_MOST_TRIED: Final = 100_000
"""Numbers of rows that are tried one by one if the order of the table is lost."""
_PAGE_BYTES: Final = 4096
_POINTER_BYTES: Final = 4
"""At the beginning of a page that continues a long row: the number of the next one."""
_PAGES_AT_ONCE: Final = 4096
_LONGEST_RECORD_BYTES: Final = 1 << 20
"""Kept of a stretch of pages for the next: a record that begins in one ends in the other."""
_WAL_HEADER_BYTES: Final = 32
_FRAME_HEADER_BYTES: Final = 24
_BEGIN: Final = re.compile(r'\["[0-9a-f]{32}","')
_decode_at: Final = json.JSONDecoder().raw_decode


class Salvaged(NamedTuple):
    """Some of what a damaged spool held."""

    records: list[Record]
    reason: str | None = None
    """Why the chest refused them, for dead letters; None for records that wait."""
    lost: int = 0
    """How many more waited, with the last piece."""


def salvaged(path: Path) -> Iterator[Salvaged]:
    """What the file, and its log beside it, hold and can be read. Changes nothing; raises OSError."""
    rows = _Rows()
    with suppress(sqlite3.DatabaseError), closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        yield from rows.read(connection)
    if rows.is_broken:
        yield from (Salvaged(records) for records in _in_pages(path, rows.seen))
    yield Salvaged([], lost=rows.lost)


class _Rows:
    """The rows that SQLite still finds."""

    def __init__(self) -> None:
        self.is_broken = True
        self.expected = self.waiting = 0
        self.seen: set[str] = set()

    @property
    def lost(self) -> int:
        """How many more waited; with what was found in the pages, which may have been delivered, it is the least."""
        return max(0, self.expected - (len(self.seen) if self.is_broken else self.waiting))

    def read(self, connection: sqlite3.Connection) -> Iterator[Salvaged]:
        with suppress(sqlite3.DatabaseError):
            self.expected = connection.execute("SELECT records FROM sizes WHERE kind = 'spooled'").fetchone()[0]
        self.is_broken = False
        for table in ("spooled", "dead"):
            for seq in self._numbers_in(connection, table):
                found = self._row(connection, table, seq)
                self.seen.update(record_key(record) for record in found.records)
                self.waiting += len(found.records) if found.reason is None else 0
                yield found

    def _numbers_in(self, connection: sqlite3.Connection, table: str) -> Iterator[int]:
        """The numbers of a table's rows: from both ends as far as it can be walked, then one by one in between."""
        last, first = 0, None
        try:
            for (last,) in connection.execute(f"SELECT seq FROM {table} ORDER BY seq"):  # noqa: S608 - one of two words
                yield last
            return
        except sqlite3.DatabaseError:
            self.is_broken = True
        with suppress(sqlite3.DatabaseError):
            for (first,) in connection.execute(f"SELECT seq FROM {table} ORDER BY seq DESC"):  # noqa: S608
                if first <= last:
                    return
                yield first
        for seq in range(last + 1, min(first or 0, last + _MOST_TRIED)):
            with suppress(sqlite3.DatabaseError):
                if connection.execute(f"SELECT seq FROM {table} WHERE seq = ?", (seq,)).fetchone():  # noqa: S608
                    yield seq

    def _row(self, connection: sqlite3.Connection, table: str, seq: int) -> Salvaged:
        if table == "spooled":
            return Salvaged(records_in(self._content(connection, table, "lines", seq)))
        reason = "unknown: the file was damaged"
        with suppress(sqlite3.DatabaseError, TypeError):
            reason = str(connection.execute("SELECT reason FROM dead WHERE seq = ?", (seq,)).fetchone()[0])
        return Salvaged(records_in(self._content(connection, table, "line", seq)), reason)

    def _content(self, connection: sqlite3.Connection, table: str, column: str, seq: int) -> bytes:
        """The blob, or its beginning up to where the pages break off."""
        content = b""
        try:
            with connection.blobopen(table, column, seq, readonly=True) as blob:
                while piece := blob.read(_PAGE_BYTES):
                    content += piece
        except (sqlite3.DatabaseError, ValueError):
            self.is_broken = True
        return content


def records_in(text: bytes) -> list[Record]:
    """The records that can be told in a piece of JSON, each by its beginning."""
    shown = text.decode(errors="surrogateescape")
    records = []
    for match in _BEGIN.finditer(shown):
        with suppress(ValueError, RecursionError):  # UnicodeEncodeError is one: bytes that are no text
            row, end = _decode_at(shown, match.start())
            shown[match.start() : end].encode()
            record = record_of_values(row)
            if record is not None:
                records.append(record)
    return records


def _in_pages(path: Path, seen: set[str]) -> Iterator[list[Record]]:
    """Records that were not seen; adds their ids."""
    for file, header_bytes, frame_bytes in (
        (path, 0, 0),
        (Path(f"{path}-wal"), _WAL_HEADER_BYTES, _FRAME_HEADER_BYTES),
    ):
        rest = b""
        for stretch in _pages(file, header_bytes, frame_bytes):
            records = [record for record in records_in(rest + stretch) if record_key(record) not in seen]
            seen.update(record_key(record) for record in records)
            if records:
                yield records
            rest = (rest + stretch)[-_LONGEST_RECORD_BYTES:]


def _pages(path: Path, header_bytes: int, frame_bytes: int) -> Iterator[bytes]:
    """What the pages hold, without what tells the next one, some thousands at a time."""
    size = frame_bytes + _PAGE_BYTES
    skipped = frame_bytes + _POINTER_BYTES
    with suppress(FileNotFoundError), open(path, "rb") as file:
        file.seek(header_bytes)
        while pages := file.read(size * _PAGES_AT_ONCE):
            yield b"".join(pages[start + skipped : start + size] for start in range(0, len(pages), size))


def keep_beside(spool: Path, lines: bytes) -> str:
    """Put what is damaged beside the spool, which it leaves with the records that could be read."""
    try:
        for count in itertools.count(1):
            path = spool.with_name(f"{spool.name}.damaged.read{f'-{count}' if count > 1 else ''}")
            with suppress(FileExistsError):
                how = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
                descriptor = os.open(path, how, 0o600)
                break
        try:
            write_all(descriptor, lines)
        finally:
            os.close(descriptor)
    except OSError as error:
        return f"and they could not be kept: {error.strerror or error}"
    return f"they are kept in {path}"
