"""``OrphanedRing``: the ring of a process that is gone, read by the one process that has its locks; ``Wreck``: one that is damaged."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from chest.record.counters import Counters
from chest.record.encoding import decode
from chest.record.record import Record
from chest.ring.in_flight import clear_killed_requests, killed_requests
from chest.ring.line import Lineage, Resource, decode_foreign_lines
from chest.ring.lock_file import LockFile
from chest.ring.segments.batch_notes import BatchNotes
from chest.ring.segments.file import SegmentFile
from chest.ring.segments.header import (
    BATCH_NOTES,
    BATCH_SLOT_BYTES,
    IN_FLIGHT,
    IN_FLIGHT_SLOT_BYTES,
    IN_FLIGHT_SLOTS,
    header_of,
    opened_to_read,
)
from chest.ring.segments.lines import is_unfinished_line, next_written, whole_lines

_MOST_BYTES: Final = 4 << 30
"""A longer file is no ring of this program, and does not fit into memory beside what is recorded."""
_CHUNK_BYTES: Final = 1 << 20
_PAGE_BYTES: Final = 4096
_LINE: Final = re.compile(rb'(?:^|[\n\0])\["([0-9a-f]{8})[0-9a-f]{8}","')

_PIECE_BYTES: Final = 64 * 1024
_IN_FLIGHT: Final = -1
"""In the place of a segment: the piece with the requests that were being served."""

Ends = list[tuple[int, int]]
"""Segments and positions: up to there a piece goes."""
Clean = Callable[[Record], Record]
"""Makes the record of a request whose process was killed fit to be stored."""


class OrphanedRing:
    """The ring file of a process that is gone, while this process holds its locks."""

    def __init__(
        self, path: Path, file: SegmentFile, lock: LockFile, counters: Counters, clean: Clean, damage: str = ""
    ) -> None:
        self.path = path
        self._file = file
        self._lock = lock
        self._counters = counters
        self._clean = clean
        self._damage = damage
        """What is wrong with the file; empty if nothing is known."""
        text = {key: value for key, value in file.description.items() if isinstance(value, str)}
        self.resource = Resource(text.get("service", ""), text.get("release", ""), text.get("host", ""))
        self.recorder = text.get("recorder", "")
        self._lineage = Lineage.of(file.description)
        self._notes = BatchNotes(file)
        self._slots: dict[tuple[int, int], int] = {}
        """Of the segment and position where a part of a noted batch ends, the slot of the note."""

    def pieces(self) -> Iterator[tuple[list[Record], Ends]]:
        """Records not yet committed, with the segments and positions for :meth:`commit`, some hundred at a time.

        First the batches that the owner has sent, each as it was: a store may have taken it, and tell it by its records.
        Last come the requests that were being served, less those that the ring has the record of: their process was killed
        between offering it and saying so.
        """
        killed = self._killed()
        for records, ends in self._recorded():
            if killed:
                for record in records:
                    killed.pop(record.id, None)
            yield records, ends
        if killed:
            yield list(killed.values()), [(_IN_FLIGHT, len(killed))]

    def _recorded(self) -> Iterator[tuple[list[Record], Ends]]:
        reached = [self._begin(index, segment) for index, segment in enumerate(self._file.segments)]
        for batch in self._notes.left(tuple(reached)):
            records: list[Record] = []
            for index, begin, end in batch.ranges:
                reached[index] = end
                if not batch.is_settled:
                    records += self._decoded(self._file.segments[index][begin:end])
            ends = [(lines.segment, lines.end) for lines in batch.ranges]
            if batch.slot is not None:
                self._slots.update(dict.fromkeys(ends, batch.slot))
            yield records, ends
        for index, segment in enumerate(self._file.segments):
            position = reached[index]
            while True:
                records, position, is_last = self._piece(segment, position)
                if records:
                    yield records, [(index, position)]
                if is_last:
                    break

    def _killed(self) -> dict[str, Record]:
        killed = killed_requests(self._file, self.resource, self._lineage.process)
        return {record.id: self._clean(record) for record in killed}

    def _begin(self, index: int, segment: Any) -> int:
        """Where the undelivered lines of a segment begin; its start if the committed position is invalid."""
        position = self._file.committed(index)
        if 0 < position <= len(segment) and segment[position - 1 : position] == b"\n":
            return position
        return 0

    def _decoded(self, lines: bytes) -> list[Record]:
        records, damaged = decode_foreign_lines(lines, self.resource, self._lineage)
        self._count_damaged(damaged)
        return records

    def _piece(self, segment: Any, begin: int) -> tuple[list[Record], int, bool]:
        lines, hole = whole_lines(segment, begin, _PIECE_BYTES)
        records = self._decoded(lines)
        end, is_last = begin + len(lines), not lines
        if hole is not None:
            end_of_hole = next_written(segment, hole)
            is_last = end_of_hole == len(segment) or is_unfinished_line(segment, hole, end_of_hole)
            if not is_last:  # a page was lost, with what is torn at both of its ends
                self._count_damaged(1)
                end = end_of_hole
        return records, end, is_last

    def _count_damaged(self, lines: int) -> None:
        if lines:
            self._damage = self._damage or "has lines that could not be read"
            self._counters.add("dropped.damaged", lines)

    def commit(self, segment: int, position: int) -> None:
        """Every chest has the lines of the segment up to ``position``; the next adopter need not send them again."""
        slot = self._slots.pop((segment, position), None)
        if slot is not None:
            self._notes.settle(slot)
        if segment == _IN_FLIGHT:
            clear_killed_requests(self._file)
            self._counters.add("killed", position)
        else:
            self._file.set_committed(segment, position)

    def remove(self) -> None:
        """Everything was delivered: the ring first and its lock last, so that no process finds a ring without its lock.

        A ring that could not be read whole is not removed but set aside, for a person to look at.
        """
        damage = self._damage or ("lost pages" if self._file.faults else "")
        self._file.close()
        try:
            if damage:
                aside = set_aside(self.path, "damaged")
                self._counters.fault(
                    "%s: %s; what could be read of it is delivered, and it is set aside as %s",
                    self.path,
                    damage,
                    aside.name,
                )
            else:
                os.unlink(self.path)
        except OSError as error:
            # Its lock is kept while this process lives: else the same records would be delivered at each look.
            self._counters.fault("%s is delivered, and cannot be removed: %s", self.path, error.strerror or error)
            return
        with contextlib.suppress(OSError):
            os.unlink(self._lock.path)
        self._lock.close()

    def release(self) -> None:
        """Leave the rest to the next adopter."""
        self._file.close()
        self._lock.close()


def set_aside(path: Path, kind: str) -> Path:
    """Rename a file for a person to look at, over none that was set aside before. Raises OSError."""
    for count in itertools.count(1):
        aside = path.with_name(f"{path.name}.{kind}{f'-{count}' if count > 1 else ''}")
        if not os.path.lexists(aside):
            break
    os.rename(path, aside)
    return aside


class Wreck:
    """A ring file whose header or length is wrong, and what can be read of it around the damage.

    It is copied into memory, page by page if the disk refuses some, and read there as any other ring: each line is checked
    against its own id, so nothing is made of it that was not offered.

    :raises OSError: it cannot be read, or is another user's.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with opened_to_read(path) as descriptor:
            self._size = os.fstat(descriptor).st_size
            head = _read(descriptor, 0, _PAGE_BYTES)
        self._lengths, text = header_of(head)
        self.description: Mapping[str, Any] = _description(text)

    def salvaged(self) -> SegmentFile | None:
        """The ring in memory, with what the file has; None if no line of a ring is found in it."""
        if self._size > _MOST_BYTES:
            return None
        with opened_to_read(self._path) as descriptor:
            content = b"".join(
                _read(descriptor, start, min(_CHUNK_BYTES, self._size - start))
                for start in range(0, self._size, _CHUNK_BYTES)
            )
        description = dict(self.description)
        if not isinstance(description.get("process"), str):
            process = _process_in(content)
            if process is None:
                return None
            description["process"] = process
        header_bytes, segment_bytes, count = self._lengths or _one_segment(content)
        file = SegmentFile(header_bytes, segment_bytes, count, description)
        file.fill(content, keeps_header=self._lengths is not None)
        return file


def _one_segment(content: bytes) -> tuple[int, int, int]:
    """If the header does not say where segments begin, all behind it is one segment: two are separated by NULs or a line's end."""
    header_bytes = IN_FLIGHT + IN_FLIGHT_SLOTS * IN_FLIGHT_SLOT_BYTES
    if not content.startswith(
        b'["', header_bytes
    ):  # else an earlier release has lines where the notes of batches are now
        header_bytes += BATCH_NOTES * BATCH_SLOT_BYTES
    return header_bytes, max(_PAGE_BYTES, len(content) - header_bytes), 1


def _description(text: bytes) -> Mapping[str, Any]:
    try:
        found = decode(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _process_in(content: bytes) -> str | None:
    """The process that most lines were written by, to judge by their ids."""
    counts = Counter(match[1] for match in _LINE.finditer(content))
    return counts.most_common(1)[0][0].decode() if counts else None


def _read(descriptor: int, start: int, size: int) -> bytes:
    """So much of the file, with NULs for what is not there or cannot be read."""
    try:
        return os.pread(descriptor, size, start).ljust(size, b"\0")
    except OSError:
        if size <= _PAGE_BYTES:
            return bytes(size)
    end = start + size
    return b"".join(_read(descriptor, at, min(_PAGE_BYTES, end - at)) for at in range(start, end, _PAGE_BYTES))
