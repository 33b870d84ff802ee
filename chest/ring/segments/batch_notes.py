"""``BatchNotes``: which lines of a ring are in which batch, in its file, so that a batch that is sent again is the same batch."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from chest.ring.segments.header import BATCH_NOTES, BATCH_SLOT_BYTES

if TYPE_CHECKING:
    from chest.ring.segments.file import SegmentFile

_SENT, _SETTLED = 1, 2
_HEAD: Final = struct.Struct("<BBxxI")
_LINES: Final = struct.Struct("<IIII")
_MOST: Final = (BATCH_SLOT_BYTES - _HEAD.size) // _LINES.size
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
    """Of its note; None: these lines were in no batch."""


class SentRange(NamedTuple):
    """Lines that are in a batch, for a reader that takes them one range after another."""

    lines: Range
    left: int
    """How many ranges of the same batch follow."""
    is_settled: bool


class BatchNotes:
    """Notes a batch before it is first sent, and that it is settled before its segments are committed.

    What comes after, another reader of the same file, sends what is left in the same batches: see :meth:`left`. A store that
    tells a batch by its records then stores it once. A kill between the two steps of a note leaves no note, and nothing was sent.

    :param file: of a ring; one that an earlier release made has no room for notes, and then none are made.
    """

    def __init__(self, file: SegmentFile) -> None:
        self.file = file
        self._header, self._area, self._slots = file.batch_area
        self._number = max((number for _, number, _ in self._all()), default=0)

    def note(self, ranges: Sequence[Range]) -> int | None:
        """Note a batch that is about to be sent; returns the slot for :meth:`settle`. None: it has no room, and is not noted."""
        packed = b"".join(_LINES.pack(*each, self._mark(each)) for each in ranges)
        taken = dict[int, tuple[int, int]]()
        for slot in range(self._slots):
            state, count, number = self._head(slot)
            if state == _SENT and self._lines(slot, count) == packed:
                return slot  # sent before, by this process or another
            taken[slot] = state, number
        free = [slot for slot, (state, _) in taken.items() if state != _SENT]
        if not free or len(ranges) > _MOST:
            return None
        slot = min(free, key=taken.__getitem__)
        self._number += 1
        begin = self._begin(slot)
        self._header[begin] = 0
        self._header[begin + _HEAD.size : begin + _HEAD.size + len(packed)] = packed
        _HEAD.pack_into(self._header, begin, 0, len(ranges), self._number)
        self._header[begin] = _SENT
        return slot

    def settle(self, slot: int) -> None:
        """Every chest has the batch, or its spool."""
        self._header[self._begin(slot)] = _SETTLED

    def left(self, begins: Sequence[int]) -> Iterator[SentBatch]:
        """What is not committed, in the batches in which it was sent, and what was not sent between them; the oldest first.

        Behind the last of them, each segment has what is in no batch yet.

        :param begins: of each segment the position up to which it is committed.
        """
        reached = list(begins)
        for slot, _, count in sorted(self._all(), key=lambda each: each[1]):
            is_settled = self._head(slot)[0] == _SETTLED
            noted = [_LINES.unpack_from(self._lines(slot, count), place * _LINES.size) for place in range(count)]
            ranges = [Range(*each) for *each, mark in noted if self._is_left(Range(*each), mark, reached)]
            if not ranges or not (is_settled or len(ranges) == count):
                self.settle(slot)  # of lines that are gone: the segment was used anew since
                continue
            for segment, begin, end in ranges:
                if reached[segment] < begin:
                    yield SentBatch([Range(segment, reached[segment], begin)], is_settled=False, slot=None)
                reached[segment] = end
            yield SentBatch(ranges, is_settled, slot)

    def ranges_left(self, begins: Sequence[int]) -> list[SentRange]:
        """:meth:`left`, range by range."""
        return [
            SentRange(lines, len(batch.ranges) - place, batch.is_settled)
            for batch in self.left(begins)
            for place, lines in enumerate(batch.ranges, 1)
        ]

    def _is_left(self, lines: Range, mark: int, reached: list[int]) -> bool:
        return (
            lines.segment < len(reached)
            and reached[lines.segment] <= lines.begin < lines.end <= self.file.segment_bytes
            and self._mark(lines) == mark
        )

    def _mark(self, lines: Range) -> int:
        end = min(lines.end, lines.begin + _MARK_BYTES)
        return zlib.crc32(self.file.segments[lines.segment][lines.begin : end])

    def _all(self) -> Iterator[tuple[int, int, int]]:
        """Slot, number and count of ranges of each note."""
        for slot in range(self._slots):
            state, count, number = self._head(slot)
            if state in (_SENT, _SETTLED) and count <= _MOST:
                yield slot, number, count

    def _head(self, slot: int) -> tuple[int, int, int]:
        state, count, number = _HEAD.unpack_from(self._header, self._begin(slot))
        return state, count, number

    def _lines(self, slot: int, count: int) -> bytes:
        begin = self._begin(slot) + _HEAD.size
        return self._header[begin : begin + min(count, _MOST) * _LINES.size]

    def _begin(self, slot: int) -> int:
        return self._area + slot * BATCH_SLOT_BYTES


def batch_slots(room: int) -> int:
    """How many notes fit into so many bytes of a header."""
    return max(0, min(room, BATCH_NOTES * BATCH_SLOT_BYTES)) // BATCH_SLOT_BYTES
