"""``BatchNotes``: which lines of a ring are in which batch, in its file, so that a batch that is sent again is the same batch."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from chest.ring.segments.header import BATCH_NOTES, BATCH_SLOT_BYTES
from chest.ring.segments.lines import whole_lines

if TYPE_CHECKING:
    from chest.ring.segments.file import SegmentFile

_NONE, _SENT, _SETTLED = 0, 1, 2
_HEAD: Final = struct.Struct("<BBxxI")
_LINES: Final = struct.Struct("<IIII")
MOST_RANGES: Final = (BATCH_SLOT_BYTES - _HEAD.size) // _LINES.size
"""That one note has room for."""
_HIGHEST_NUMBER: Final = 1 << 31
"""A note with a higher number is damaged: numbers begin anew when no batch is under way."""
_UNNOTED_BYTES: Final = 64 * 1024
_MARK_BYTES: Final = 64
"""From the first line of a range: it begins with the record's id, so that no other line is taken for it."""


class Range(NamedTuple):
    """Lines of one segment."""

    segment: int
    begin: int
    end: int


class SentBatch(NamedTuple):
    """The lines of one batch."""

    ranges: list[Range]
    is_settled: bool
    """True if every chest has it, or its spool: it is not to be sent again."""
    slot: int | None
    """Of its note, for :meth:`BatchNotes.settle`; None: these lines were in no batch, or are settled."""


class SentRange(NamedTuple):
    """Lines that are in a batch, for a reader that takes them one range after another."""

    lines: Range
    left: int
    """How many ranges of the same batch follow."""
    is_settled: bool


class _Note(NamedTuple):
    slot: int
    state: int
    number: int
    packed: bytes
    """The ranges with their marks, as they are in the file."""


class BatchNotes:
    """Notes a batch before it is first sent, and that it is settled before its segments are committed.

    The next reader of the file sends the remaining lines in the same batches: see :meth:`left`. A store that
    tells a batch by its records then stores it once. A kill between the two steps of a note leaves no note, and nothing was sent.

    :param file: of a ring; one that an earlier release made has no room for notes, and then none are made.
    """

    def __init__(self, file: SegmentFile) -> None:
        self.file = file
        self._header, self._area, self._slots = file.batch_area

    def note(self, ranges: Sequence[Range]) -> int | None:
        """Note a batch that is about to be sent; returns the slot for :meth:`settle`. None: it has no room, or begins in a lost page."""
        packed = self._packed(ranges)
        notes = list(self._all())
        for note in notes:
            if note.state == _SENT and note.packed == packed:
                return note.slot  # sent before, by this process or another
        if len(ranges) > MOST_RANGES or any(map(self._is_lost, ranges)):
            return None
        if len(notes) == self._slots:
            self._gather_settled()
        slot = self._free_slot()
        if slot is not None:
            number = max((note.number for note in notes if note.state == _SENT), default=0) + 1
            self._write(slot, _SENT, number, packed)
        return slot

    def settle(self, slot: int) -> None:
        """Every chest has the batch, or its spool."""
        begin = self._begin(slot)
        if self._header[begin] == _SENT:
            self._header[begin] = _SETTLED
            self._gather_settled()

    def _gather_settled(self) -> None:
        """Have one note tell all that is settled and not committed: batches that are under way need the room."""
        committed = [self.file.committed(index) for index in range(len(self.file.segments))]
        settled = [note for note in self._all() if note.state == _SETTLED]
        ranges = joined(
            sorted(each for note in settled for each in self._there(note) if each.end > committed[each.segment])
        )
        slots = [note.slot for note in settled]
        if ranges:
            if len(slots) == 1 or len(ranges) > MOST_RANGES:
                return
            free = self._free_slot()
            self._write(slots.pop() if free is None else free, _SETTLED, 0, self._packed(ranges))
        for slot in slots:
            self._free(slot)

    def left(self, begins: Sequence[int]) -> Iterator[SentBatch]:
        """What is not committed, in the batches in which it was sent, and what was not sent between them; the oldest first.

        Behind the last of them, each segment has what is in no batch yet.

        :param begins: of each segment the position up to which it is committed.
        """
        reached = list(begins)
        notes = sorted(self._all(), key=lambda note: note.number)
        there = [(note, self._there(note)) for note in notes]
        settled = sorted(each for note, ranges in there if note.state == _SETTLED for each in ranges)
        for note, ranges in there:
            if note.state == _SETTLED:
                continue
            is_whole = 0 < len(ranges) == len(note.packed) // _LINES.size
            if not is_whole or any(each.begin < reached[each.segment] for each in ranges):
                self._free(note.slot)  # of lines that are gone: the segment was used anew since
                continue
            for each in ranges:
                yield from self._between(each.segment, each.begin, settled, reached)
                reached[each.segment] = each.end
            yield SentBatch(ranges, is_settled=False, slot=note.slot)
        for each in settled:
            yield from self._between(each.segment, each.end, settled, reached)

    def _between(self, segment: int, end: int, settled: Iterable[Range], reached: list[int]) -> Iterator[SentBatch]:
        """What is settled, and what was not sent, up to this position of a segment."""
        for each in settled:
            lines = Range(segment, max(reached[segment], each.begin), min(each.end, end))
            if each.segment == segment and lines.begin < lines.end:
                yield from self._unnoted(segment, reached[segment], each.begin)
                reached[segment] = lines.end
                yield SentBatch([lines], is_settled=True, slot=None)
        yield from self._unnoted(segment, reached[segment], end)
        reached[segment] = max(reached[segment], end)

    def _unnoted(self, segment: int, begin: int, end: int) -> Iterator[SentBatch]:
        """Cut by their places alone, so that each reader cuts them alike."""
        while begin < end:
            lines = whole_lines(self.file.segments[segment], begin, _UNNOTED_BYTES, end).data
            cut = begin + len(lines) if lines else end  # else a page was lost
            yield SentBatch([Range(segment, begin, cut)], is_settled=False, slot=None)
            begin = cut

    def ranges_left(self, begins: Sequence[int]) -> list[SentRange]:
        """:meth:`left`, range by range."""
        return [
            SentRange(lines, len(batch.ranges) - place, batch.is_settled)
            for batch in self.left(begins)
            for place, lines in enumerate(batch.ranges, 1)
        ]

    def _there(self, note: _Note) -> list[Range]:
        """The ranges of a note whose lines are still those that were noted."""
        return [Range(*each) for *each, mark in _LINES.iter_unpack(note.packed) if self._is_there(Range(*each), mark)]

    def _is_there(self, lines: Range, mark: int) -> bool:
        return (
            lines.segment < len(self.file.segments)
            and lines.begin < lines.end <= self.file.segment_bytes
            and not self._is_lost(lines)
            and self._mark(lines) == mark
        )

    def _is_lost(self, lines: Range) -> bool:
        """True if it begins with NUL: every empty segment has the same mark."""
        return not self.file.segments[lines.segment][lines.begin]

    def _mark(self, lines: Range) -> int:
        end = min(lines.end, lines.begin + _MARK_BYTES)
        return zlib.crc32(self.file.segments[lines.segment][lines.begin : end])

    def _packed(self, ranges: Iterable[Range]) -> bytes:
        return b"".join(_LINES.pack(*each, self._mark(each)) for each in ranges)

    def _all(self) -> Iterator[_Note]:
        for slot in range(self._slots):
            begin = self._begin(slot)
            state, count, number = _HEAD.unpack_from(self._header, begin)
            if state in (_SENT, _SETTLED) and count <= MOST_RANGES and number < _HIGHEST_NUMBER:
                begin += _HEAD.size
                yield _Note(slot, state, number, self._header[begin : begin + count * _LINES.size])

    def _free_slot(self) -> int | None:
        return min(set(range(self._slots)).difference(note.slot for note in self._all()), default=None)

    def _free(self, slot: int) -> None:
        self._header[self._begin(slot)] = _NONE

    def _write(self, slot: int, state: int, number: int, packed: bytes) -> None:
        """The state last: a kill in between leaves no note."""
        begin = self._begin(slot)
        self._free(slot)
        self._header[begin + _HEAD.size : begin + _HEAD.size + len(packed)] = packed
        _HEAD.pack_into(self._header, begin, _NONE, len(packed) // _LINES.size, number)
        self._header[begin] = state

    def _begin(self, slot: int) -> int:
        return self._area + slot * BATCH_SLOT_BYTES


def joined(ranges: Iterable[Range]) -> list[Range]:
    """The same lines in the same order: a range that directly continues the one before it becomes a part of it."""
    found: list[Range] = []
    for each in ranges:
        if found and (found[-1].segment, found[-1].end) == (each.segment, each.begin):
            found[-1] = found[-1]._replace(end=each.end)
        else:
            found.append(each)
    return found


def batch_slots(room: int) -> int:
    """How many notes fit into so many bytes of a header."""
    return max(0, min(room, BATCH_NOTES * BATCH_SLOT_BYTES)) // BATCH_SLOT_BYTES
