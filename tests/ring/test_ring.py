"""Offer and take."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from chest.counters import Counters
from chest.record import Record
from chest.ring.line import Resource, decode_lines
from chest.ring.ring import EARLY_RECORDS, Ring
from chest.ring.segments import ACTIVE, FREE, RETIRED, SEGMENTS, SegmentFile
from chest.row import line_of, row_of
from tests.support import make_record

RESOURCE = Resource("shop", "1.0", "test")
MIB = 1024 * 1024


@pytest.fixture(params=["file", "memory"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> SegmentFile:
    if request.param == "memory":
        return SegmentFile.in_memory(MIB, {})
    return SegmentFile.create(tmp_path / "main.ring", MIB, {"service": "shop"})


@pytest.fixture
def counters() -> Counters:
    return Counters()


@pytest.fixture
def ring(file: SegmentFile, counters: Counters) -> Ring:
    ring = Ring(counters, bytearray(1))
    ring.open(file, RESOURCE)
    ring._mark[0] = 1
    return ring


def drain(ring: Ring) -> list[Record]:
    records: list[Record] = []
    while (chunk := ring.take(64 * 1024)) is not None:
        records += decode_lines(chunk.data, ring.resource)
        ring.commit(chunk)
    return records


def test_a_record_that_was_offered_is_taken_as_it_was(ring: Ring) -> None:
    record = make_record(variables={"name": "Zoë\n\0🎉", "nested": {"a": [1, None, 1.5]}})
    assert ring.offer(record)
    assert drain(ring) == [record]
    assert drain(ring) == []


def test_records_of_one_thread_come_in_the_order_they_were_offered(ring: Ring) -> None:
    records = [make_record(duration_ns=number) for number in range(500)]
    for record in records:
        ring.offer(record)
    assert drain(ring) == records


def test_a_drained_segment_is_zeroed_and_used_again(ring: Ring, file: SegmentFile) -> None:
    offered = 0
    for _ in range(5 * SEGMENTS):
        for _ in range(200):
            assert ring.offer(make_record())
            offered += 1
        offered -= len(drain(ring))
    assert offered == 0
    assert {file.state(index) for index in range(SEGMENTS)} <= {FREE, ACTIVE}
    for index in range(SEGMENTS):
        if file.state(index) == FREE:
            assert file.segments[index][:] == bytes(file.segment_bytes)


def test_a_full_ring_drops_the_newest_and_counts_it(ring: Ring, counters: Counters) -> None:
    kept = 0
    while ring.offer(make_record()):
        kept += 1
    assert not ring.offer(make_record())
    assert counters.snapshot()["dropped"] == {"ring_full": 2}
    assert len(drain(ring)) == kept
    assert ring.offer(make_record())


def test_a_segment_is_not_used_again_before_it_is_committed(ring: Ring, file: SegmentFile) -> None:
    while file.state(0) != RETIRED:
        ring.offer(make_record())
    chunks = []
    while (chunk := ring.take(file.segment_bytes)) is not None:
        chunks.append(chunk)
    assert file.state(0) == RETIRED
    for chunk in chunks:
        ring.commit(chunk)
    assert file.state(0) == FREE


def test_a_line_longer_than_the_piece_asked_for_comes_whole(ring: Ring) -> None:
    record = make_record(variables={"text": "x" * 20_000})
    ring.offer(record)
    chunk = ring.take(100)
    assert chunk is not None
    assert decode_lines(chunk.data, RESOURCE) == [record]


def test_a_record_longer_than_a_segment_is_dropped_and_counted(ring: Ring, counters: Counters) -> None:
    assert not ring.offer(make_record(variables={"text": "x" * MIB}))
    assert counters.snapshot()["dropped"] == {"too_large": 1}
    assert ring.offer(make_record())


def test_a_value_that_json_cannot_hold_costs_the_variables_and_not_the_record(ring: Ring) -> None:
    record = make_record(variables={"thing": object()})
    assert ring.offer(record)
    [taken] = drain(ring)
    assert taken.id == record.id
    assert taken.variables == {}
    assert taken.attributes == {"chest.sanitized": {"variables": "not_encodable"}}


def test_an_offer_before_the_ring_is_open_waits_in_memory(counters: Counters, file: SegmentFile) -> None:
    ring = Ring(counters, bytearray(1))
    records = [make_record(duration_ns=number) for number in range(EARLY_RECORDS)]
    assert all(ring.offer(record) for record in records)
    assert not ring.offer(make_record())
    assert counters.snapshot()["dropped"] == {"before_open": 1}
    ring.open(file, RESOURCE)
    ring._mark[0] = 1
    ring.adopt_early()
    assert drain(ring) == records


def test_what_is_offered_after_the_end_is_dropped_and_counted(ring: Ring, counters: Counters) -> None:
    before = make_record()
    ring.offer(before)
    ring.retract()
    assert not ring.offer(make_record())
    assert counters.snapshot()["dropped"] == {"closed": 1}
    assert drain(ring) == [before]


def test_eight_threads_lose_and_double_nothing(ring: Ring, counters: Counters) -> None:
    each = 3000
    taken: list[Record] = []
    producers_are_done = threading.Event()

    def produce(number: int) -> None:
        for count in range(each):
            while not ring.offer(make_record(duration_ns=number * each + count)):
                pass

    def consume() -> None:
        while not producers_are_done.is_set():
            taken.extend(drain(ring))
        taken.extend(drain(ring))

    consumer = threading.Thread(target=consume)
    producers = [threading.Thread(target=produce, args=(number,)) for number in range(8)]
    for thread in (consumer, *producers):
        thread.start()
    for thread in producers:
        thread.join()
    producers_are_done.set()
    consumer.join()
    assert sorted(record.duration_ns for record in taken) == list(range(8 * each))


def test_a_signal_handler_may_offer_in_the_middle_of_an_offer(ring: Ring) -> None:
    from_handler: list[int] = []

    def handler(*_: object) -> None:
        ring.offer(make_record(duration_ns=-1))
        from_handler.append(1)

    previous = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    taken: list[Record] = []
    offered = 0
    try:
        while len(from_handler) < 200:
            offered += ring.offer(make_record())
            if offered % 500 == 0:
                taken += drain(ring)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    taken += drain(ring)
    assert len([record for record in taken if record.duration_ns >= 0]) == offered
    assert len([record for record in taken if record.duration_ns < 0]) == len(from_handler)


def test_a_finalizer_may_offer_in_the_middle_of_an_offer(ring: Ring) -> None:
    class Offering:
        def __del__(self) -> None:
            ring.offer(make_record(duration_ns=-1))

    class HostileDict(dict):  # type: ignore[type-arg]
        """Encoding it fails, and dropping its exception's frame runs the finalizer while a segment is owned."""

    for _ in range(50):
        ring.offer(make_record(variables=HostileDict(thing=Offering())))
    taken = drain(ring)
    assert len([record for record in taken if record.duration_ns < 0]) == 50
    assert len([record for record in taken if record.duration_ns >= 0]) == 50


def test_a_forked_child_writes_nothing_into_the_ring_of_its_parent(tmp_path: Path, counters: Counters) -> None:
    from chest.ring.process_mark import new_process_mark

    mark = new_process_mark()
    ring = Ring(counters, mark)
    ring.open(SegmentFile.create(tmp_path / "main.ring", MIB, {}), RESOURCE)
    mark[0] = 1
    ring.offer(make_record(duration_ns=1))
    child = os.fork()
    if not child:
        ring.offer(make_record(duration_ns=2))
        os._exit(0 if ring.has_early else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert [record.duration_ns for record in drain(ring)] == [1]


def test_what_one_thread_offers_is_taken_in_its_order_whenever_the_consumer_looks(ring: Ring) -> None:
    offered, taken = [], []
    for count in (1, 150, 1, 700, 300, 2000):
        records = [make_record() for _ in range(count)]
        assert all(ring.offer(record) for record in records)
        offered += records
        taken += drain(ring)
    assert taken == offered


def test_a_segment_that_is_filled_all_the_time_does_not_keep_the_others_waiting(ring: Ring) -> None:
    busy, waiting = ring._any_segment(), ring._any_segment()
    ring._write_line(line_of(row_of(make_record(duration_ns=-1))), waiting)
    ring._idle.append(busy)  # popped first from now on, and the lower one
    taken: list[Record] = []
    for _ in range(SEGMENTS):
        while ring.offer(make_record()):
            pass
        chunk = ring.take(MIB)
        assert chunk is not None
        taken += decode_lines(chunk.data, RESOURCE)
        ring.commit(chunk)
    assert [record for record in taken if record.duration_ns == -1]


def test_a_segment_that_the_consumer_has_emptied_lets_the_others_come_before_it_is_looked_at_again(ring: Ring) -> None:
    busy, waiting = ring._any_segment(), ring._any_segment()
    ring._write_line(line_of(row_of(make_record(duration_ns=-1))), waiting)
    ring._idle.append(busy)
    durations = []
    for _ in range(2):
        assert ring.offer(make_record())
        chunk = ring.take(MIB)
        assert chunk is not None
        durations += [record.duration_ns for record in decode_lines(chunk.data, RESOURCE)]
    assert durations[1] == -1


def test_an_offer_amid_the_opening_in_a_forked_child_takes_no_segment_of_the_parent_s_ring(
    counters: Counters, file: SegmentFile
) -> None:
    class InterruptedNotes:
        def open(self, file: SegmentFile) -> None:
            assert ring.offer(early)

    early = make_record()
    ring = Ring(counters, bytearray(b"\1"))
    ring.open(SegmentFile.in_memory(MIB, {}), RESOURCE)
    assert ring.offer(make_record())
    ring._mark[0], ring._owner_pid = 0, 0  # as a fork leaves it
    ring._in_flight = InterruptedNotes()  # type: ignore[assignment]
    ring.open(file, RESOURCE)
    ring._mark[0] = 1
    ring.adopt_early()
    assert drain(ring) == [early]
    owned = [write for _ in range(SEGMENTS) if (write := ring._any_segment())]
    assert len({id(write.__self__) for write in owned}) == SEGMENTS  # type: ignore[attr-defined]


def test_what_was_written_is_committed_when_all_of_it_is_and_not_before(ring: Ring) -> None:
    assert ring.has_committed(ring.written())
    for _ in range(1000):
        ring.offer(make_record())
    written = ring.written()
    ring.offer(make_record())
    while (chunk := ring.take(8 * 1024)) is not None:
        assert not ring.has_committed(written)
        ring.commit(chunk)
    assert ring.has_committed(written)


def test_what_was_written_stays_committed_when_its_segments_are_used_again(ring: Ring) -> None:
    while ring.offer(make_record()):
        pass
    written = ring.written()
    drain(ring)
    while ring.offer(make_record()):
        pass
    assert ring.has_committed(written)
    assert not ring.has_committed(ring.written())


def test_a_segment_whose_owner_was_ended_by_an_exception_is_handed_back(ring: Ring, file: SegmentFile) -> None:
    lost = ring._any_segment()
    assert lost is not None
    lost(line_of(row_of(make_record(duration_ns=-1))))
    ring._free.pop()
    for _ in range(2):
        ring.reclaim()
    assert [record.duration_ns for record in drain(ring)] == [-1]
    assert len(ring._free) == SEGMENTS
    assert {file.state(index) for index in range(SEGMENTS)} == {FREE}


class SlowWrite:
    """A segment's ``write`` that takes its time, once."""

    def __init__(self, write: Any, is_inside: threading.Event, may_go_on: threading.Event) -> None:
        self._write, self._is_inside, self._may_go_on = write, is_inside, may_go_on
        self.__self__ = write.__self__

    def __call__(self, line: bytes) -> None:
        self._is_inside.set()
        assert self._may_go_on.wait(10)
        self._write(line)


def test_a_segment_that_a_thread_still_holds_is_not_taken_from_it(ring: Ring, monkeypatch: pytest.MonkeyPatch) -> None:
    is_inside, may_go_on = threading.Event(), threading.Event()

    ring._idle.append(SlowWrite(ring._any_segment(), is_inside, may_go_on))
    offering = threading.Thread(target=ring.offer, args=(make_record(duration_ns=-1),))
    offering.start()
    assert is_inside.wait(10)
    for _ in range(3):
        ring.reclaim()
    for _ in range(100):
        ring.offer(make_record())
    may_go_on.set()
    offering.join()
    assert len(ring._free) == SEGMENTS - 2
    assert len(drain(ring)) == 101


def test_an_end_waits_for_offers_under_way_and_says_where_one_is_not_done(
    ring: Ring, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_inside, may_go_on = threading.Event(), threading.Event()

    ring._idle.append(SlowWrite(ring._any_segment(), is_inside, may_go_on))
    offering = threading.Thread(target=ring.offer, args=(make_record(),))
    offering.start()
    assert is_inside.wait(10)
    assert not ring.retract()
    may_go_on.set()
    offering.join()
    assert ring.retract()


def test_an_end_does_not_wait_for_a_segment_that_nobody_holds_any_more(ring: Ring) -> None:
    assert ring._any_segment() is not None
    assert ring.retract()


def test_early_records_are_adopted_by_whoever_comes_first_and_none_is_lost(ring: Ring) -> None:
    ring._mark[0], ring._owner_pid = 0, 0
    records = [make_record(duration_ns=number) for number in range(EARLY_RECORDS)]
    for record in records:
        ring.offer(record)
    ring._owner_pid = os.getpid()
    threads = [threading.Thread(target=ring.adopt_early) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(record.duration_ns for record in drain(ring)) == list(range(EARLY_RECORDS))


def test_an_offer_while_the_ring_has_no_consumer_is_in_the_file_at_once(ring: Ring) -> None:
    ring._mark[0] = 0
    record = make_record()
    assert ring.offer(record)
    assert not ring.has_early
    assert drain(ring) == [record]
