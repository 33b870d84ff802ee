"""Offer and take."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from chest import native
from chest.record.counters import Counters
from chest.record.record import Record
from chest.record.row import line_of, row_of
from chest.ring.in_flight import InFlight
from chest.ring.line import decode_lines
from chest.ring.reader import Chunk, RingReader
from chest.ring.segments.batch_notes import BatchNotes, Range
from chest.ring.segments.file import ACTIVE, FREE, RETIRED, SegmentFile
from chest.ring.segments.header import SEGMENTS
from chest.ring.writer import PRE_OPEN_RECORDS, RingWriter
from tests.ring.rings import MIB, RESOURCE, drain, pool_of
from tests.support import examples, make_record


@pytest.fixture(params=["file", "memory"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> SegmentFile:
    if request.param == "memory":
        return SegmentFile.in_memory(MIB, {})
    return SegmentFile.create(tmp_path / "main.ring", MIB, {"service": "shop"})


@pytest.fixture
def counters() -> Counters:
    return Counters()


@pytest.fixture
def guard() -> bytearray:
    return bytearray(b"\1")


@pytest.fixture
def ring(file: SegmentFile, counters: Counters, guard: bytearray) -> RingWriter:
    ring = RingWriter(counters, guard)
    ring.open(file, RESOURCE)
    return ring


@pytest.fixture
def reader(ring: RingWriter, counters: Counters) -> RingReader:
    return RingReader(ring, counters)


def test_what_another_reader_has_sent_is_taken_in_pieces(ring: RingWriter, file: SegmentFile) -> None:
    records = [make_record() for _ in range(100)]
    assert all(map(ring.offer, records))
    [(index, end)] = [(index, segment.tell()) for index, segment in enumerate(file.segments) if segment.tell()]
    BatchNotes(file).note([Range(index, 0, end)])
    pool_of(ring).drains_elsewhere = True
    reader = RingReader(ring, Counters())
    reader.drain_here()
    chunks: list[Chunk] = []
    while (chunk := reader.take(8192)) is not None:
        chunks.append(chunk)
    assert len(chunks) > 2
    assert all(len(chunk.data) <= 8192 for chunk in chunks)
    assert [bool(chunk.left) for chunk in chunks] == [True] * (len(chunks) - 1) + [False]
    assert chunks[-1].left == 0, "of one batch"
    assert [record for chunk in chunks for record in decode_lines(chunk.data, RESOURCE)] == records


def test_a_closed_ring_has_no_notes(ring: RingWriter, reader: RingReader) -> None:
    assert reader.notes is not None
    ring.close()
    assert reader.notes is None


def segments_to_be_had(ring: RingWriter) -> int:
    """How many of the segments an offer may take: not those of others, nor those that wait for the reader."""
    owned = []
    while (write := pool_of(ring).take()) is not None:
        owned.append(write)
    pool_of(ring).idle.extend(owned)
    return len({id(write.__self__) for write in owned})  # type: ignore[attr-defined]


def test_a_record_that_was_offered_is_taken_as_it_was(ring: RingWriter, reader: RingReader) -> None:
    record = make_record(variables={"name": "Zoë\n\0🎉", "nested": {"a": [1, None, 1.5]}})
    assert ring.offer(record)
    assert drain(reader) == [record]
    assert drain(reader) == []


def test_records_of_one_thread_come_in_the_order_they_were_offered(ring: RingWriter, reader: RingReader) -> None:
    records = [make_record(duration_ns=number) for number in range(500)]
    for record in records:
        ring.offer(record)
    assert drain(reader) == records


def test_a_drained_segment_is_zeroed_and_used_again(ring: RingWriter, file: SegmentFile, reader: RingReader) -> None:
    offered = 0
    for _ in range(5 * SEGMENTS):
        for _ in range(200):
            assert ring.offer(make_record())
            offered += 1
        offered -= len(drain(reader))
    assert offered == 0
    assert {file.state(index) for index in range(SEGMENTS)} <= {FREE, ACTIVE}
    for index in range(SEGMENTS):
        if file.state(index) == FREE:
            assert file.segments[index][:] == bytes(file.segment_bytes)


def test_a_full_ring_drops_the_newest_and_counts_it(ring: RingWriter, counters: Counters, reader: RingReader) -> None:
    kept = 0
    while ring.offer(make_record()):
        kept += 1
    assert not ring.offer(make_record())
    assert counters.snapshot()["dropped"] == {"ring_full": 2}
    assert len(drain(reader)) == kept
    assert ring.offer(make_record())


def test_a_segment_is_not_used_again_before_it_is_committed(
    ring: RingWriter, file: SegmentFile, reader: RingReader
) -> None:
    while file.state(0) != RETIRED:
        ring.offer(make_record())
    chunks = []
    while (chunk := reader.take(file.segment_bytes)) is not None:
        chunks.append(chunk)
    assert file.state(0) == RETIRED
    for chunk in chunks:
        reader.commit_to(chunk.segment, chunk.end)
    assert file.state(0) == FREE


def test_a_line_longer_than_the_piece_asked_for_comes_whole(ring: RingWriter, reader: RingReader) -> None:
    record = make_record(variables={"text": "x" * 20_000})
    ring.offer(record)
    chunk = reader.take(100)
    assert chunk is not None
    assert decode_lines(chunk.data, RESOURCE) == [record]


def test_a_record_longer_than_a_segment_is_dropped_and_counted(ring: RingWriter, counters: Counters) -> None:
    assert not ring.offer(make_record(variables={"text": "x" * MIB}))
    assert counters.snapshot()["dropped"] == {"too_large": 1}
    assert ring.offer(make_record())


def test_a_value_that_json_cannot_hold_costs_the_variables_and_not_the_record(
    ring: RingWriter, reader: RingReader
) -> None:
    record = make_record(variables={"thing": object()})
    assert ring.offer(record)
    [taken] = drain(reader)
    assert taken.id == record.id
    assert taken.variables == {}
    assert taken.attributes == {"chest.sanitized": {"variables": "not_encodable"}}


def test_an_offer_before_the_ring_is_open_waits_in_memory(counters: Counters, file: SegmentFile) -> None:
    guard = bytearray(1)
    ring = RingWriter(counters, guard)
    records = [make_record(duration_ns=number) for number in range(PRE_OPEN_RECORDS)]
    assert all(ring.offer(record) for record in records)
    assert not ring.offer(make_record())
    assert counters.snapshot()["dropped"] == {"before_open": 1}
    ring.open(file, RESOURCE)
    guard[0] = 1
    ring.flush_pre_open_buffer()
    assert drain(RingReader(ring, counters)) == records


def test_what_is_offered_after_the_end_is_dropped_and_counted(
    ring: RingWriter, counters: Counters, reader: RingReader
) -> None:
    before = make_record()
    ring.offer(before)
    ring.stop_accepting()
    assert not ring.offer(make_record())
    assert counters.snapshot()["dropped"] == {"closed": 1}
    assert drain(reader) == [before]


@pytest.mark.slow
def test_eight_threads_lose_and_double_nothing(ring: RingWriter, counters: Counters, reader: RingReader) -> None:
    each = examples(4000)
    taken: list[Record] = []
    producers_are_done = threading.Event()

    def produce(number: int) -> None:
        for count in range(each):
            while not ring.offer(make_record(duration_ns=number * each + count)):
                pass

    def consume() -> None:
        while not producers_are_done.is_set():
            taken.extend(drain(reader))
        taken.extend(drain(reader))

    consumer = threading.Thread(target=consume)
    producers = [threading.Thread(target=produce, args=(number,)) for number in range(8)]
    for thread in (consumer, *producers):
        thread.start()
    for thread in producers:
        thread.join()
    producers_are_done.set()
    consumer.join()
    assert sorted(record.duration_ns for record in taken) == list(range(8 * each))


def test_a_signal_handler_may_offer_in_the_middle_of_an_offer(ring: RingWriter, reader: RingReader) -> None:
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
                taken += drain(reader)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    taken += drain(reader)
    assert len([record for record in taken if record.duration_ns >= 0]) == offered
    assert len([record for record in taken if record.duration_ns < 0]) == len(from_handler)


@pytest.mark.last_reference
def test_a_finalizer_may_offer_in_the_middle_of_an_offer(ring: RingWriter, reader: RingReader) -> None:
    class FastRing:
        def __del__(self) -> None:
            ring.offer(make_record(duration_ns=-1))

    class HostileDict(dict):  # type: ignore[type-arg]
        """Encoding it fails, and dropping its exception's frame runs the finalizer while a segment is owned."""

    for _ in range(50):
        ring.offer(make_record(variables=HostileDict(thing=FastRing())))
    taken = drain(reader)
    assert len([record for record in taken if record.duration_ns < 0]) == 50
    assert len([record for record in taken if record.duration_ns >= 0]) == 50


def test_a_forked_child_writes_nothing_into_the_ring_of_its_parent(tmp_path: Path, counters: Counters) -> None:
    from chest.system.fork_guard import new_fork_guard

    guard = new_fork_guard()
    ring = RingWriter(counters, guard)
    ring.open(SegmentFile.create(tmp_path / "main.ring", MIB, {}), RESOURCE)
    guard[0] = 1
    ring.offer(make_record(duration_ns=1))
    child = os.fork()
    if not child:
        ring.offer(make_record(duration_ns=2))
        os._exit(0 if ring.has_pre_open_records else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert [record.duration_ns for record in drain(RingReader(ring, counters))] == [1]


def test_what_one_thread_offers_is_taken_in_its_order_whenever_the_consumer_looks(
    ring: RingWriter, reader: RingReader
) -> None:
    offered, taken = [], []
    for count in (1, 150, 1, 700, 300, 2000):
        records = [make_record() for _ in range(count)]
        assert all(ring.offer(record) for record in records)
        offered += records
        taken += drain(reader)
    assert taken == offered


def test_a_segment_that_is_filled_all_the_time_does_not_keep_the_others_waiting(
    ring: RingWriter, reader: RingReader
) -> None:
    busy, waiting = pool_of(ring).take(), pool_of(ring).take()
    ring.write_line(line_of(row_of(make_record(duration_ns=-1))), waiting)
    pool_of(ring).idle.append(busy)  # popped first from now on, and the lower one
    taken: list[Record] = []
    for _ in range(SEGMENTS):
        while ring.offer(make_record()):
            pass
        chunk = reader.take(MIB)
        assert chunk is not None
        taken += decode_lines(chunk.data, RESOURCE)
        reader.commit_to(chunk.segment, chunk.end)
    assert [record for record in taken if record.duration_ns == -1]


def test_a_segment_that_the_consumer_has_emptied_lets_the_others_come_before_it_is_looked_at_again(
    ring: RingWriter, reader: RingReader
) -> None:
    busy, waiting = pool_of(ring).take(), pool_of(ring).take()
    ring.write_line(line_of(row_of(make_record(duration_ns=-1))), waiting)
    pool_of(ring).idle.append(busy)
    durations = []
    for _ in range(2):
        assert ring.offer(make_record())
        chunk = reader.take(MIB)
        assert chunk is not None
        durations += [record.duration_ns for record in decode_lines(chunk.data, RESOURCE)]
    assert durations[1] == -1


def test_an_offer_amid_the_opening_in_a_forked_child_takes_no_segment_of_the_parent_s_ring(
    counters: Counters, file: SegmentFile
) -> None:
    class InterruptingSlots(InFlight):
        def open(self, file: SegmentFile) -> None:
            if not guard[0]:
                assert ring.offer(early)

    guard, early = bytearray(b"\1"), make_record()
    ring = RingWriter(counters, guard, InterruptingSlots(counters))
    ring.open(SegmentFile.in_memory(MIB, {}), RESOURCE)
    assert ring.offer(make_record())
    guard[0] = 0  # as the kernel does
    ring.forget()
    ring.open(file, RESOURCE)
    guard[0] = 1
    ring.flush_pre_open_buffer()
    assert drain(RingReader(ring, counters)) == [early]
    assert segments_to_be_had(ring) == SEGMENTS


def test_what_was_written_is_committed_when_all_of_it_is_and_not_before(ring: RingWriter, reader: RingReader) -> None:
    assert reader.has_committed(reader.written())
    for _ in range(1000):
        ring.offer(make_record())
    written = reader.written()
    ring.offer(make_record())
    while (chunk := reader.take(8 * 1024)) is not None:
        assert not reader.has_committed(written)
        reader.commit_to(chunk.segment, chunk.end)
    assert reader.has_committed(written)


def test_what_was_written_stays_committed_when_its_segments_are_used_again(
    ring: RingWriter, reader: RingReader
) -> None:
    while ring.offer(make_record()):
        pass
    written = reader.written()
    drain(reader)
    while ring.offer(make_record()):
        pass
    assert reader.has_committed(written)
    assert not reader.has_committed(reader.written())


def test_pre_open_records_are_moved_by_the_thread_that_comes_first_and_none_is_lost(
    file: SegmentFile, counters: Counters
) -> None:
    ring = RingWriter(counters, bytearray(1))
    records = [make_record(duration_ns=number) for number in range(PRE_OPEN_RECORDS)]
    for record in records:
        ring.offer(record)
    ring.open(file, RESOURCE)
    threads = [threading.Thread(target=ring.flush_pre_open_buffer) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken = drain(RingReader(ring, counters))
    assert sorted(record.duration_ns for record in taken) == list(range(PRE_OPEN_RECORDS))


def test_an_offer_while_the_ring_has_no_reader_is_in_the_file_at_once(
    ring: RingWriter, reader: RingReader, guard: bytearray
) -> None:
    guard[0] = 0
    record = make_record()
    assert ring.offer(record)
    assert not ring.has_pre_open_records
    assert drain(reader) == [record]


@pytest.mark.skipif(not native.IS_NATIVE, reason="Chest is not compiled here")
def test_pages_are_in_memory_before_records_are_written_into_them(
    ring: RingWriter, reader: RingReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ring.file is not None
    segment, asked = ring.file.segments[0], []
    monkeypatch.setattr("chest.ring.reader._READY_BYTES", 8 * 1024)
    monkeypatch.setattr(native, "fault_in", lambda of, *pages: asked.append(pages) if of is segment else None)
    for _ in range(len(segment) // 1024):
        ring.offer_line(b"x" * 1023 + b"\n")
        assert reader.take(MIB) is not None
    assert asked[0] == (1024, 9 * 1024)
    assert [begin for begin, _ in asked[1:]] == [end for _, end in asked[:-1]], "each page once"
    assert asked[-1][1] == len(segment)
