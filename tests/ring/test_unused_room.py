"""A ring file that is written no more takes no more of the disk than its records need."""

from __future__ import annotations

import errno
import mmap
from pathlib import Path

import pytest

from chest.record.counters import Counters
from chest.ring.in_flight import InFlight
from chest.ring.line import Resource
from chest.ring.recovery import adopt_orphaned_rings
from chest.ring.segments.file import SegmentFile
from chest.ring.unused_room import give_back_unused_room
from chest.ring.writer import RingWriter
from tests.ring.test_recovery import MIB, leave_ring, recover
from tests.support import make_record

pytestmark = pytest.mark.skipif(not hasattr(mmap, "MADV_REMOVE"), reason="holes in files are made on Linux alone")


def on_disk(path: Path) -> int:
    return path.stat().st_blocks * 512


def test_what_was_reserved_is_given_back_and_every_record_stays(tmp_path: Path) -> None:
    records = leave_ring(tmp_path, count=700)
    path = tmp_path / "main.1.aa.ring"
    before, length = on_disk(path), path.stat().st_size
    give_back_unused_room(path)
    assert on_disk(path) < before / 2
    assert path.stat().st_size == length
    assert recover(tmp_path) == records


def test_what_was_delivered_is_given_back_too_unless_another_process_may_be_delivering_it(tmp_path: Path) -> None:
    records = leave_ring(tmp_path, count=6000)
    path = tmp_path / "main.1.aa.ring"
    (ring,) = adopt_orphaned_rings(tmp_path, Counters())
    pieces = ring.pieces()
    delivered = []
    for _ in range(8):
        some, [(segment, position)] = next(pieces)
        delivered += some
        ring.commit(segment, position)
    ring.release()
    give_back_unused_room(path, keeps_delivered=True)
    kept = on_disk(path)
    give_back_unused_room(path)
    assert on_disk(path) < kept
    assert delivered + recover(tmp_path) == records


def test_requests_that_were_being_served_are_kept(tmp_path: Path) -> None:
    in_flight = InFlight(Counters())
    ring = RingWriter(Counters(), bytearray(b"\1"), in_flight)
    path = tmp_path / "main.1.aa.ring"
    record = make_record()
    file = SegmentFile.create(path, MIB, {"service": "shop", "process": record.id[16:24]})
    ring.open(file, Resource("shop", "1.0", "test"))
    in_flight.begin(record.id[16:], "r1", record.time_ns, "GET", "/served")
    ring.close(forgets_requests=False)
    (tmp_path / "main.1.aa.lock").touch()
    give_back_unused_room(path)
    assert on_disk(path) < 256 * 1024
    assert [(each.id, each.outcome) for each in recover(tmp_path)] == [(record.id, "killed")]


def test_every_ring_of_the_dead_is_made_small_before_the_first_is_delivered(tmp_path: Path) -> None:
    for name in ("main.1.aa", "main.2.bb", "other.3.cc"):
        leave_ring(tmp_path, count=1, name=name)
    rings = adopt_orphaned_rings(tmp_path, Counters())
    next(rings).release()
    assert all(on_disk(path) < 256 * 1024 for path in tmp_path.glob("*.ring"))


def test_a_file_system_without_holes_keeps_the_file_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Whole(mmap.mmap):
        def madvise(self, *_: int) -> None:
            raise OSError(errno.EOPNOTSUPP, "not supported")

    records = leave_ring(tmp_path)
    path = tmp_path / "main.1.aa.ring"
    before = on_disk(path)
    monkeypatch.setattr("chest.ring.unused_room.mmap.mmap", Whole)
    give_back_unused_room(path)
    monkeypatch.undo()
    assert on_disk(path) == before
    assert recover(tmp_path) == records


@pytest.mark.parametrize("content", [b"", b"CHESTRNG", b"x" * MIB])
def test_what_is_not_a_ring_is_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "main.1.aa.ring"
    path.write_bytes(content)
    give_back_unused_room(path)
    give_back_unused_room(tmp_path / "gone.ring")
    assert path.read_bytes() == content
