"""A segment belongs to the one offer that has it, also at the end, and is not lost with that."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from chest.record.counters import Counters
from chest.record.row import line_of, row_of
from chest.ring.reader import RingReader
from chest.ring.segments.file import DRAINED, FREE, RETIRED, SegmentFile
from chest.ring.segments.header import SEGMENTS
from chest.ring.writer import RingWriter
from tests.ring.rings import MIB, RESOURCE, drain, pool_of
from tests.support import make_record


@pytest.fixture
def counters() -> Counters:
    return Counters()


@pytest.fixture
def file() -> SegmentFile:
    return SegmentFile.in_memory(MIB, {})


@pytest.fixture
def ring(file: SegmentFile, counters: Counters) -> RingWriter:
    ring = RingWriter(counters, bytearray(b"\1"))
    ring.open(file, RESOURCE)
    return ring


@pytest.fixture
def reader(ring: RingWriter, counters: Counters) -> RingReader:
    return RingReader(ring, counters)


@pytest.mark.last_reference
def test_a_segment_whose_owner_was_ended_by_an_exception_is_handed_back(
    ring: RingWriter, file: SegmentFile, reader: RingReader
) -> None:
    lost = pool_of(ring).take()
    assert lost is not None
    lost(line_of(row_of(make_record(duration_ns=-1))))
    pool_of(ring).free.pop()
    ring.reclaim()
    assert len(pool_of(ring).free) == SEGMENTS - 1
    del lost
    ring.reclaim()
    assert [record.duration_ns for record in drain(reader)] == [-1]
    assert len(pool_of(ring).free) == SEGMENTS
    assert {file.state(index) for index in range(SEGMENTS)} == {FREE}


@pytest.mark.last_reference
@pytest.mark.parametrize("state", [RETIRED, DRAINED])
def test_a_segment_that_is_lost_on_its_way_to_another_process_or_back_is_used_again(
    ring: RingWriter, file: SegmentFile, state: int
) -> None:
    pool = pool_of(ring)
    pool.drains_elsewhere = True
    write = pool.take()
    assert write is not None
    index = pool.index_of(write)
    pool.retire(write)
    del write
    assert pool.retired.popleft()  # and the owner is ended by an exception
    file.set_state(index, state)
    ring.reclaim()
    ring.reclaim()
    assert [pool.index_of(each) for each in pool.retired] == [index]
    file.set_state(index, DRAINED)  # as the other process does
    assert pool.index_of(pool.take_back()) == index


class SlowWrite:
    """A segment's ``write`` that takes its time, once."""

    def __init__(self, write: Any, is_inside: threading.Event, may_go_on: threading.Event) -> None:
        self._write, self._is_inside, self._may_go_on = write, is_inside, may_go_on
        self.__self__ = write.__self__

    def __call__(self, line: bytes) -> None:
        self._is_inside.set()
        assert self._may_go_on.wait(60)
        self._write(line)


def test_a_segment_that_a_thread_still_holds_is_not_taken_from_it(
    ring: RingWriter, monkeypatch: pytest.MonkeyPatch, reader: RingReader
) -> None:
    is_inside, may_go_on = threading.Event(), threading.Event()

    pool_of(ring).idle.append(SlowWrite(pool_of(ring).take(), is_inside, may_go_on))
    offering = threading.Thread(target=ring.offer, args=(make_record(duration_ns=-1),))
    offering.start()
    assert is_inside.wait(60)
    for _ in range(3):
        ring.reclaim()
    for _ in range(100):
        ring.offer(make_record())
    may_go_on.set()
    offering.join()
    assert len(pool_of(ring).free) == SEGMENTS - 2
    assert len(drain(reader)) == 101


def test_an_end_waits_for_offers_under_way_and_says_where_one_is_not_done(
    ring: RingWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_inside, may_go_on = threading.Event(), threading.Event()

    pool_of(ring).idle.append(SlowWrite(pool_of(ring).take(), is_inside, may_go_on))
    offering = threading.Thread(target=ring.offer, args=(make_record(),))
    offering.start()
    assert is_inside.wait(60)
    assert not ring.stop_accepting()
    may_go_on.set()
    offering.join()
    assert ring.stop_accepting()


@pytest.mark.last_reference
def test_an_end_does_not_wait_for_a_segment_that_has_lost_its_owner(ring: RingWriter) -> None:
    assert pool_of(ring).take() is not None
    assert ring.stop_accepting()


def test_a_file_is_closed_although_a_mapping_counts_a_user(ring: RingWriter, file: SegmentFile) -> None:
    with memoryview(file.in_flight_area[0]):
        assert ring.close() is file
    assert all(segment.closed for segment in file.segments)
