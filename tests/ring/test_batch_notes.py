"""Which lines are in which batch, as the next reader of a ring finds it."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest

from chest.record.counters import Counters
from chest.ring.recovery import adopt_orphaned_rings
from chest.ring.segments.batch_notes import BatchNotes, Range
from chest.ring.segments.file import SegmentFile
from chest.ring.segments.header import BATCH_NOTES, BATCH_SLOT_BYTES
from tests.fixtures.left import RELEASES, ring_in
from tests.ring.test_recovery import leave_ring

NAME = "main.1.aa.ring"
DESCRIPTION = {"process": "01234567"}
SENT, SETTLED = 1, 2


@pytest.fixture
def file(tmp_path: Path) -> SegmentFile:
    """A ring with ten lines in each of two segments."""
    made = SegmentFile.create(tmp_path / "notes.ring", 1 << 20, DESCRIPTION)
    for segment in made.segments[:2]:
        for number in range(10):
            segment.write(b"%09d\n" % number)
    return made


def begins(file: SegmentFile) -> list[int]:
    return [file.committed(index) for index in range(len(file.segments))]


def put_note(file: SegmentFile, slot: int, state: int, number: int, lines: Range) -> None:
    """A note as it stands in the file, of a writer that was killed or erred."""
    header, area, _ = file.batch_area
    first_line = file.segments[lines.segment][lines.begin : min(lines.end, lines.begin + 64)]
    begin = area + slot * BATCH_SLOT_BYTES
    header[begin : begin + 24] = struct.pack("<BBxxIIIII", state, 1, number, *lines, zlib.crc32(first_line))


def left(file: SegmentFile) -> list[tuple[list[Range], bool]]:
    return [(batch.ranges, batch.is_settled) for batch in BatchNotes(file).left(begins(file))]


def test_what_was_sent_is_left_in_its_batches_in_their_order_with_what_lies_between(file: SegmentFile) -> None:
    notes = BatchNotes(file)
    first, second = [Range(0, 0, 20), Range(1, 10, 30)], [Range(0, 20, 50)]
    for batch in (first, second):
        assert notes.note(batch) is not None
    assert left(file) == [([Range(1, 0, 10)], False), (first, False), (second, False)]


def test_a_batch_that_is_noted_again_keeps_its_note(file: SegmentFile) -> None:
    slot = BatchNotes(file).note([Range(0, 0, 20)])
    assert BatchNotes(file).note([Range(0, 0, 20)]) == slot
    assert len(left(file)) == 1


def test_a_settled_batch_whose_segment_is_not_committed_is_not_left_to_be_sent(file: SegmentFile) -> None:
    notes = BatchNotes(file)
    notes.note([Range(0, 0, 20)])
    slot = notes.note([Range(0, 20, 30)])
    assert slot is not None
    notes.settle(slot)
    assert left(file) == [([Range(0, 0, 20)], False), ([Range(0, 20, 30)], True)]


def test_what_is_committed_is_not_left(file: SegmentFile) -> None:
    notes = BatchNotes(file)
    slot = notes.note([Range(0, 0, 20), Range(1, 0, 10)])
    assert slot is not None
    notes.settle(slot)
    file.set_committed(0, 20)  # and a kill before the other
    assert left(file) == [([Range(1, 0, 10)], True)]


def test_a_note_of_lines_that_were_replaced_by_others_is_not_believed(file: SegmentFile) -> None:
    notes = BatchNotes(file)
    notes.note([Range(0, 0, 20)])
    file.clear(0, 100)
    file.segments[0].write(b"another 1\nanother 2\n")
    assert left(file) == []
    for number in range(BATCH_NOTES):
        assert notes.note([Range(1, number * 10, number * 10 + 10)]) is not None, "its slot is free again"


def test_more_batches_than_there_is_room_for_are_not_noted_and_take_no_other_s_place(file: SegmentFile) -> None:
    notes = BatchNotes(file)
    for number in range(BATCH_NOTES):
        assert notes.note([Range(0, number * 10, number * 10 + 10)]) is not None
    assert notes.note([Range(1, 0, 10)]) is None
    assert len(left(file)) == BATCH_NOTES


def test_what_is_settled_behind_a_batch_that_hangs_is_never_forgotten_and_takes_the_room_of_one_note(
    file: SegmentFile,
) -> None:
    notes = BatchNotes(file)
    first = [Range(0, 0, 10)]
    notes.note(first)
    for begin in range(10, 100, 10):
        slot = notes.note([Range(0, begin, begin + 10), Range(1, begin, begin + 10)])
        assert slot is not None
        notes.settle(slot)
    assert left(file) == [
        (first, False),
        ([Range(0, 10, 100)], True),
        ([Range(1, 0, 10)], False),
        ([Range(1, 10, 100)], True),
    ]
    file.set_committed(0, 50)  # and a kill before the rest
    assert left(file)[0] == ([Range(0, 50, 100)], True)


def test_a_kill_while_notes_are_gathered_does_not_have_anything_sent_again(file: SegmentFile) -> None:
    notes = BatchNotes(file)
    for begin in (10, 20):
        slot = notes.note([Range(0, begin, begin + 10)])
        assert slot is not None
        put_note(file, slot, SETTLED, 1, Range(0, begin, begin + 10))
    put_note(file, 5, SETTLED, 0, Range(0, 10, 30))
    assert left(file) == [([Range(0, 0, 10)], False), ([Range(0, 10, 20)], True), ([Range(0, 20, 30)], True)]


def test_a_batch_that_begins_in_a_lost_page_is_not_noted_and_such_a_note_is_not_believed(file: SegmentFile) -> None:
    lost = Range(2, 0, 100)
    assert BatchNotes(file).note([lost]) is None
    put_note(file, 0, SENT, 1, lost)
    assert left(file) == []


def test_a_note_with_the_highest_number_is_damaged_and_keeps_no_batch_from_being_noted(file: SegmentFile) -> None:
    for slot in range(BATCH_NOTES):
        put_note(file, slot, SENT, 0xFFFFFFFF, Range(1, 0, 10))
    notes = BatchNotes(file)
    assert notes.note([Range(0, 0, 20)]) is not None
    assert left(file) == [([Range(0, 0, 20)], False)]


def test_what_was_not_sent_is_cut_at_whole_lines_by_its_place_alone(tmp_path: Path) -> None:
    file = SegmentFile.create(tmp_path / "long.ring", 16 << 20, DESCRIPTION)
    for number in range(30_000):
        file.segments[0].write(b"%09d\n" % number)
    BatchNotes(file).note([Range(0, 200_000, 200_010)])
    cut = [(each.begin, each.end) for ranges, _ in left(file) for each in ranges]
    assert cut == [(0, 65_530), (65_530, 131_060), (131_060, 196_590), (196_590, 200_000), (200_000, 200_010)]


def test_a_ring_without_room_for_notes_is_read_as_before(tmp_path: Path) -> None:
    """As those before the first release made them."""
    file = SegmentFile.open(ring_in(tmp_path, RELEASES[0]))
    (used,) = [index for index, segment in enumerate(file.segments) if segment[0]]
    assert BatchNotes(file).note([Range(used, 0, 10)]) is None
    assert left(file) == []


def test_recovery_gives_a_batch_as_it_was_sent_and_once(tmp_path: Path) -> None:
    records = leave_ring(tmp_path, count=150)
    file = SegmentFile.open(tmp_path / NAME)
    (index,) = [index for index, segment in enumerate(file.segments) if segment[0:1] != b"\0"]
    text = file.segments[index][:]
    ends = [0]
    for count in (60, 15, 45):
        for _ in range(count):
            ends[-1] = text.index(b"\n", ends[-1]) + 1
        ends.append(ends[-1])
    notes = BatchNotes(file)
    slots = [notes.note([Range(index, begin, end)]) for begin, end in zip([0, *ends], ends[:3], strict=False)]
    assert slots[1] is not None
    notes.settle(slots[1])
    file.close()
    (ring,) = adopt_orphaned_rings(tmp_path, Counters())
    pieces = [piece for piece, _ in ring.pieces()]
    ring.release()
    assert pieces[0] == records[:60]
    assert pieces[1] == []
    assert pieces[2] == records[75:120]
    assert [record for piece in pieces[3:] for record in piece] == records[120:]
