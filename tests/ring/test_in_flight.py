"""Requests that are being served, noted where the death of their process does not take them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chest.chests.memory import MemoryChest
from chest.delivery.workers import workers_for
from chest.record.counters import Counters
from chest.record.record import Record
from chest.record.record_id import RecordIds
from chest.recorder.directory_recovery import cleaned_killed_request, recover_directory
from chest.ring.in_flight import InFlight, Noted, Slot, clear_killed_requests, killed_requests, noted_in
from chest.ring.line import Resource
from chest.ring.lock_file import LockFile
from chest.ring.segments.file import SegmentFile
from chest.ring.writer import RingWriter
from tests.ring.test_recovery import recover
from tests.support import make_record

MIB = 1024 * 1024
RESOURCE = Resource("shop", "1.0", "test")
SLOTS = 256

ids = RecordIds()


@pytest.fixture
def file() -> Iterator[SegmentFile]:
    file = SegmentFile.in_memory(MIB, {})
    yield file
    file.close()


@pytest.fixture
def counters() -> Counters:
    return Counters()


@pytest.fixture
def in_flight(file: SegmentFile, counters: Counters) -> InFlight:
    in_flight = InFlight(counters)
    in_flight.open(file)
    return in_flight


def begin(in_flight: InFlight, path: str = "/items/1", request_id: str = "r1", method: str = "GET") -> Slot | None:
    return in_flight.begin(ids.new(0)[16:], request_id, time.time_ns(), method, path)


def found_in(file: SegmentFile) -> list[Record]:
    return killed_requests(file, RESOURCE, ids.process)


def test_a_request_that_has_not_ended_leaves_a_record_with_the_id_that_it_would_have_had(
    file: SegmentFile, in_flight: InFlight
) -> None:
    time_ns = time.time_ns()
    tail = ids.new(time_ns)[16:]
    in_flight.begin(tail, "the-request", time_ns, "POST", "/orders")
    assert in_flight.count == 1
    [record] = found_in(file)
    assert record == Record(
        f"{time_ns:016x}{tail}", "the-request", time_ns, 0, "POST", "/orders", None, None, "killed", None, {}, {}, *RESOURCE
    )  # fmt: skip


def test_a_request_that_has_ended_leaves_none(file: SegmentFile, in_flight: InFlight) -> None:
    slot = begin(in_flight)
    assert slot is not None
    in_flight.end(slot)
    assert found_in(file) == []
    assert in_flight.count == 0


def test_a_short_line_in_the_place_of_a_long_one_leaves_nothing_of_it(file: SegmentFile, in_flight: InFlight) -> None:
    slot = begin(in_flight, "/" + "long" * 90)
    assert slot is not None
    in_flight.end(slot)
    begin(in_flight, "/a")
    assert [record.path for record in found_in(file)] == ["/a"]


def test_if_no_slot_is_free_the_request_goes_without_and_is_counted(
    file: SegmentFile, in_flight: InFlight, counters: Counters
) -> None:
    assert all(begin(in_flight) for _ in range(SLOTS))
    assert begin(in_flight) is None
    assert counters.get("in_flight_skipped") == 1
    assert len(found_in(file)) == SLOTS
    clear_killed_requests(file)
    assert found_in(file) == []


@pytest.mark.parametrize("path", ["/" + "a" * 5000, "/" + "\u00e9" * 400, "/" + "\U0001f600" * 200, "/" + '"\\' * 300])
def test_a_path_that_is_too_long_for_its_slot_is_cut(file: SegmentFile, in_flight: InFlight, path: str) -> None:
    begin(in_flight, path)
    [record] = found_in(file)
    assert path.startswith(record.path)
    assert len(record.path.encode()) > 150


@pytest.mark.parametrize("length", range(380, 490, 3))
def test_of_a_line_that_is_cut_in_its_scheme_the_scheme_is_unknown(
    file: SegmentFile, in_flight: InFlight, length: int
) -> None:
    in_flight.begin(ids.new(0)[16:], "r1", time.time_ns(), "GET", "/" + "a" * length, "https")
    assert noted_in(file) in ((Noted("GET", "https"),), (Noted("GET", ""),))


def test_text_that_cannot_be_encoded_costs_the_note_and_not_the_request(
    file: SegmentFile, in_flight: InFlight, counters: Counters
) -> None:
    assert begin(in_flight, "/\ud800") is None
    assert counters.get("in_flight_skipped") == 1
    assert in_flight.count == 0
    assert found_in(file) == []


def test_a_request_that_ends_after_the_file_was_closed_hands_nothing_back(in_flight: InFlight) -> None:
    slot = begin(in_flight)
    assert slot is not None
    in_flight.close()
    other = SegmentFile.in_memory(MIB, {})
    in_flight.open(other)
    in_flight.end(slot)
    assert in_flight.idle == []
    assert all(begin(in_flight) not in (None, slot) for _ in range(SLOTS))
    assert begin(in_flight) is None
    other.close()


def test_an_object_is_made_for_no_more_slots_than_were_needed_at_a_time(in_flight: InFlight) -> None:
    for _ in range(3):
        first, second = begin(in_flight), begin(in_flight)
        assert in_flight.count == 2
        assert first is not None
        assert second is not None
        in_flight.end(first)
        in_flight.end(second)
    assert (in_flight.count, len(in_flight.idle)) == (0, 2)


@pytest.mark.last_reference
def test_a_slot_that_no_request_has_any_more_is_handed_back_and_notes_nothing(
    file: SegmentFile, in_flight: InFlight
) -> None:
    kept = begin(in_flight, "/kept")
    for _ in range(SLOTS - 1):
        begin(in_flight)  # whose requests ended by an exception during their end
    in_flight.reclaim()
    assert [record.path for record in found_in(file)] == ["/kept"]
    assert len(in_flight.idle) == SLOTS - 1
    assert kept is not None
    in_flight.end(kept)
    del kept
    assert in_flight.count == 0
    assert all(begin(in_flight) for _ in range(SLOTS))
    in_flight.reclaim()
    in_flight.reclaim()
    assert in_flight.count == 0


def test_a_signal_that_ends_the_making_of_a_slot_costs_no_slot(
    in_flight: InFlight, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> Slot:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("chest.ring.in_flight.Slot", interrupted)
        with pytest.raises(KeyboardInterrupt):
            begin(in_flight)
    assert all(begin(in_flight) for _ in range(SLOTS))


@given(torn_at=st.integers(0, 200), flipped=st.integers(0, 200), to=st.integers(0, 255))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_nothing_is_made_of_a_torn_or_damaged_slot_that_was_not_noted(torn_at: int, flipped: int, to: int) -> None:
    file = SegmentFile.in_memory(MIB, {})
    in_flight = InFlight(Counters())
    in_flight.open(file)
    begin(in_flight)
    [whole] = found_in(file)
    header, offset, _, length = file.in_flight_area
    content = header[offset : offset + length]
    header[offset + torn_at : offset + length] = bytes(length - torn_at)
    assert found_in(file) in ([], [whole])
    header[offset : offset + length] = content
    header[offset + flipped] = to
    for record in found_in(file):
        assert record.id == whole.id
        assert record.time_ns == whole.time_ns
    file.close()


@given(st.binary(max_size=2048))
@settings(deadline=None)
def test_no_content_of_the_area_makes_recovery_raise(content: bytes) -> None:
    file = SegmentFile.in_memory(MIB, {})
    header, offset, _, _ = file.in_flight_area
    header[offset : offset + len(content)] = content
    assert found_in(file) == []
    clear_killed_requests(file)
    file.close()


def leave_requests(directory: Path, paths: list[str]) -> list[Record]:
    """A ring file of a dead process with one record, of which the slot is not cleared yet, and requests in flight."""
    own = RecordIds()
    ring_flight = InFlight(Counters())
    ring = RingWriter(Counters(), bytearray(b"\1"), ring_flight)
    lock = LockFile.create(directory / "main.1.aa.lock")
    description = {**RESOURCE._asdict(), "recorder": "main", "process": own.process}
    ring.open(SegmentFile.create(directory / "main.1.aa.ring", MIB, description), RESOURCE)
    record = make_record(own)
    ring.offer(record)
    ring_flight.begin(record.id[16:], record.request_id, record.time_ns, record.method, record.path)
    for path in paths:
        time_ns = time.time_ns()
        ring_flight.begin(own.new(time_ns)[16:], path, time_ns, "GET", path)
    ring.close(forgets_requests=False)
    lock.close()
    return [record]


def test_recovery_gives_the_records_of_the_ring_first_and_then_the_requests_that_have_none(tmp_path: Path) -> None:
    records = leave_requests(tmp_path, ["/a", "/b"])
    counters = Counters()
    found = recover(tmp_path, counters)
    assert found[:1] == records
    assert sorted((record.path, record.outcome) for record in found[1:]) == [("/a", "killed"), ("/b", "killed")]
    assert counters.get("killed") == 2
    assert list(tmp_path.iterdir()) == []


def test_a_killed_process_leaves_its_request(tmp_path: Path) -> None:
    child = os.fork()
    if not child:
        try:
            leave_requests(tmp_path, [])
            lock = LockFile.create(tmp_path / "main.2.bb.lock")
            own = RecordIds()
            file = SegmentFile.create(tmp_path / "main.2.bb.ring", MIB, {"process": own.process})
            in_flight = InFlight(Counters())
            in_flight.open(file)
            now = time.time_ns()
            in_flight.begin(own.new(now)[16:], "last words", now, "GET", "/slow")
            os.kill(os.getpid(), signal.SIGKILL)
            lock.close()
        finally:
            os._exit(1)
    os.waitpid(child, 0)
    assert [record.request_id for record in recover(tmp_path) if record.outcome == "killed"] == ["last words"]


def test_what_was_noted_in_a_hurry_is_cleaned_before_it_is_stored() -> None:
    raw = make_record(path="http://bob:hunter2@host/caf\u00c3\u00a9", method="M" * 100, request_id="a\0b")
    clean = cleaned_killed_request(raw)
    assert clean.path == "http://bob:[REDACTED]@host/caf\u00e9"
    assert len(clean.method) == 32
    assert clean.request_id == "a\ufffdb"


def test_recovery_delivers_the_record_that_waits_in_a_spool_before_the_note_of_its_request(tmp_path: Path) -> None:
    own = RecordIds()
    flight = InFlight(Counters())
    ring = RingWriter(Counters(), bytearray(b"\1"), flight)
    lock = LockFile.create(tmp_path / "main.1.aa.lock")
    description = {**RESOURCE._asdict(), "recorder": "main", "process": own.process}
    ring.open(SegmentFile.create(tmp_path / "main.1.aa.ring", MIB, description), RESOURCE)
    record = make_record(own)
    flight.begin(record.id[16:], record.request_id, record.time_ns, record.method, record.path)
    ring.close(forgets_requests=False)
    lock.close()
    chest = MemoryChest()
    [worker] = workers_for([chest], Counters(), tmp_path, MIB)
    assert worker.spool is not None
    assert worker.spool.add([record])
    worker.spool.close()
    recover_directory(tmp_path, [chest])
    assert [each.outcome for each in chest.records] in (["ok"], ["ok", "killed"])
