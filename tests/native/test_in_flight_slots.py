"""Slots of requests that are being served, written in C."""

from __future__ import annotations

import mmap
import os

import pytest

from chest.native import IS_NATIVE
from chest.record.counters import Counters
from chest.record.record_id import RecordIds
from chest.ring.in_flight import InFlight, Slot, killed_requests
from chest.ring.line import Resource
from chest.ring.segments.file import SegmentFile
from tests.support import make_record

MIB = 1024 * 1024
RESOURCE = Resource("shop", "1.0", "test")

if not IS_NATIVE and "CI" not in os.environ:
    pytest.skip("Chest was installed without its compiled part", allow_module_level=True)


def test_of_a_longer_note_nothing_is_seen_once_a_shorter_one_is_written() -> None:
    file = SegmentFile.in_memory(MIB, {})
    in_flight = InFlight(Counters())
    in_flight.open(file)
    ids = RecordIds()
    for path in ("/" + "a" * 400, "/b", "/" + "c" * 5000, "/d"):
        record = make_record(ids, path=path)
        slot = in_flight.begin(record.id[16:], record.request_id, record.time_ns, "GET", path)
        assert slot is not None
        [found] = killed_requests(file, RESOURCE, ids.process)
        assert path.startswith(found.path)
        assert (len(path) < 500) == (found.path == path)
        in_flight.end(slot)
        assert killed_requests(file, RESOURCE, ids.process) == []
    file.close()


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 600])
def test_a_slot_is_never_written_past_its_end(size: int) -> None:
    memory = mmap.mmap(-1, 4096)
    slot = Slot(memory, 512, 512, [])
    slot.write(b"x" * size)
    assert memory[:512] == bytes(512)
    assert memory[1024:] == bytes(3072)
    assert memory[512:1024].rstrip(b"\0") == b"x" * min(size, 512)
