"""What another process reads of a ring that is being written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chest.record.counters import Counters
from chest.record.record import Record
from chest.record.record_id import RecordIds
from chest.ring.line import Resource
from chest.ring.live_ring_reader import EXTERNAL, LiveRingReader
from chest.ring.lock_file import LockFile
from chest.ring.segments.file import SegmentFile
from chest.ring.writer import RingWriter
from tests.support import make_record

MIB = 1024 * 1024
PAGE = 4096


class Owner:
    """A process's ring, and what its reader sees of it."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "main.1.aa.ring"
        self.ids = RecordIds()
        self.counters = Counters()
        self.lock = LockFile.create(self.path.with_suffix(".lock"))
        resource = Resource("shop", "1.0", "test")
        description = {**resource._asdict(), "recorder": "main", "process": self.ids.process, "exporter": EXTERNAL}
        self.file = SegmentFile.create(self.path, MIB, description)
        self.ring = RingWriter(Counters(), bytearray(b"\1"))
        self.ring.open(self.file, resource, drains_elsewhere=True)

    def offer(self, count: int, **changes: object) -> list[Record]:
        records = [make_record(self.ids, **changes) for _ in range(count)]
        assert all(map(self.ring.offer, records))
        return records

    @property
    def segment(self) -> int:
        [index] = [index for index, segment in enumerate(self.file.segments) if segment.tell()]
        return index

    def cover(self, begin: int, end: int) -> bytes:
        """Put NUL bytes into the segment, and return what was there."""
        segment = self.file.segments[self.segment]
        there = segment[begin:end]
        segment[begin:end] = bytes(end - begin)
        return there

    def uncover(self, begin: int, there: bytes) -> None:
        self.file.segments[self.segment][begin : begin + len(there)] = there

    def reader(self) -> LiveRingReader:
        return LiveRingReader(self.path, SegmentFile.open(self.path), self.lock, self.counters)


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[Owner]:
    owner = Owner(tmp_path)
    yield owner
    owner.ring.close()
    owner.lock.close()


def taken(reader: LiveRingReader) -> list[Record]:
    """Everything there is now."""
    found: list[Record] = []
    for _ in range(20):  # a gap is passed by a take without records
        if (chunk := reader.take(MIB)) is not None:
            found += chunk[0]
    return found


def lose_a_page(owner: Owner) -> int:
    """One page in the middle of what was offered, and about how many records that were in it."""
    middle = owner.file.segments[owner.segment].tell() // 2 // PAGE * PAGE
    return owner.cover(middle, middle + PAGE).count(b"\n")


def test_what_stands_behind_a_page_that_was_lost_before_is_delivered(owner: Owner) -> None:
    records = owner.offer(100)
    lost = lose_a_page(owner)
    found = taken(owner.reader())
    assert set(map(id_of, found)) < set(map(id_of, records))
    assert found[-1] == records[-1]
    assert len(records) - len(found) in range(lost, lost + 2)


@pytest.mark.parametrize("text", ["", "x" * 3 * PAGE], ids=["short", "of several pages"])
@pytest.mark.parametrize("pages_lost", [0, 1])
def test_a_line_whose_end_is_copied_before_its_middle_is_waited_for(owner: Owner, text: str, pages_lost: int) -> None:
    records = owner.offer(100)
    for _ in range(pages_lost):
        lose_a_page(owner)
    begin = owner.file.segments[owner.segment].tell() + 30
    [last] = owner.offer(1, variables={"text": text[:4096], "more": text[4096:8192], "rest": text[8192:]})
    there = owner.cover(begin, owner.file.segments[owner.segment].tell() - 31)
    reader = owner.reader()
    found = taken(reader)
    assert found[-1] == records[-1]
    owner.uncover(begin, there)
    assert taken(reader) == [last]
    assert owner.counters.get("dropped.damaged") == 0


def test_a_line_that_is_being_copied_behind_a_lost_page_is_waited_for_in_a_ring_that_is_read_already(
    owner: Owner,
) -> None:
    owner.offer(100)
    lose_a_page(owner)
    reader = owner.reader()
    begin = owner.file.segments[owner.segment].tell() + 30
    [last] = owner.offer(1)
    there = owner.cover(begin, owner.file.segments[owner.segment].tell() - 31)
    assert last not in taken(reader)
    owner.uncover(begin, there)
    assert taken(reader) == [last]


def id_of(record: Record) -> str:
    return record.id
