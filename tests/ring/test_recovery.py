"""Adopting what dead processes left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chest.record.counters import Counters
from chest.record.record import Record
from chest.record.record_id import RecordIds
from chest.ring.line import Resource
from chest.ring.lock_file import LockFile
from chest.ring.orphaned_ring import OrphanedRing
from chest.ring.recovery import adopt_orphaned_rings, look_for_orphaned_rings
from chest.ring.segments.batch_notes import BatchNotes, Range
from chest.ring.segments.file import SegmentFile
from chest.ring.segments.header import BATCH_SLOT_BYTES
from chest.ring.writer import RingWriter
from tests.support import examples, make_record, wait_until

MIB = 1024 * 1024


def leave_ring(
    directory: Path, count: int = 50, name: str = "main.1.aa", more: dict[str, str] | None = None, **description: str
) -> list[Record]:
    """A ring file as a dead process leaves it; the records that are in it."""
    ids = RecordIds()
    description = {"service": "shop", "release": "1.0", "host": "test", "recorder": "main", **description}
    ring = RingWriter(Counters(), bytearray(b"\1"))
    lock = LockFile.create(directory / f"{name}.lock")
    file = SegmentFile.create(directory / f"{name}.ring", MIB, {**description, "process": ids.process})
    ring.open(file, Resource("shop", "1.0", "test"))
    records = [make_record(ids, duration_ns=number, variables=more or {}) for number in range(count)]
    for record in records:
        ring.offer(record)
    ring.close()
    lock.close()
    return records


def recover(directory: Path, counters: Counters | None = None) -> list[Record]:
    return deliver(adopt_orphaned_rings(directory, counters or Counters()))


def deliver(rings: Iterable[OrphanedRing]) -> list[Record]:
    found: list[Record] = []
    for ring in rings:
        for records, ends in ring.pieces():
            found += records
            for segment, position in ends:
                ring.commit(segment, position)
        ring.remove()
    return found


def test_the_records_of_a_dead_process_are_found_and_its_files_removed(tmp_path: Path) -> None:
    records = leave_ring(tmp_path)
    assert recover(tmp_path) == records
    assert list(tmp_path.iterdir()) == []


def test_the_ring_that_waits_for_the_longest_time_comes_first(tmp_path: Path) -> None:
    for name, seconds in (("main.30.aa", 300), ("main.100.bb", 100), ("main.20.cc", 200)):
        leave_ring(tmp_path, name=name)
        os.utime(tmp_path / f"{name}.ring", (seconds, seconds))
    found = []
    for ring in adopt_orphaned_rings(tmp_path, Counters()):
        found.append(ring.path.name)
        ring.release()
    assert found == ["main.100.bb.ring", "main.20.cc.ring", "main.30.aa.ring"]


def test_a_ring_whose_owner_lives_is_left_alone(tmp_path: Path) -> None:
    code = """
        import sys
        from pathlib import Path
        from chest.ring.lock_file import LockFile
        from chest.ring.segments.file import SegmentFile
        directory = Path(sys.argv[1])
        lock = LockFile.create(directory / "main.7.bb.lock")
        file = SegmentFile.create(directory / "main.7.bb.ring", 1024 * 1024, {"process": "00"})
        print("ready", flush=True)
        sys.stdin.read()
    """
    arguments = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"ready\n"
        assert list(adopt_orphaned_rings(tmp_path, Counters())) == []
        assert (tmp_path / "main.7.bb.ring").exists()
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        wait_until(lambda: not (recover(tmp_path) or list(tmp_path.iterdir())))


def test_a_ring_of_this_very_process_is_left_alone(tmp_path: Path) -> None:
    lock = LockFile.create(tmp_path / "main.1.aa.lock")
    SegmentFile.create(tmp_path / "main.1.aa.ring", MIB, {}).close()
    assert list(adopt_orphaned_rings(tmp_path, Counters())) == []
    assert not lock.try_lock(5) or (tmp_path / "main.1.aa.ring").exists()
    lock.close()


def test_what_was_committed_is_not_delivered_again(tmp_path: Path) -> None:
    records = leave_ring(tmp_path, count=2000)
    [ring] = adopt_orphaned_rings(tmp_path, Counters())
    pieces = ring.pieces()
    first, [(segment, position)] = next(pieces)
    ring.commit(segment, position)
    pieces.close()  # type: ignore[attr-defined]
    ring.release()
    assert 0 < len(first) < 2000
    assert recover(tmp_path) == records[len(first) :]


def test_a_line_torn_by_a_kill_is_left_out(tmp_path: Path) -> None:
    records = leave_ring(tmp_path, count=3)
    file = SegmentFile.open(tmp_path / "main.1.aa.ring")
    [segment] = [segment for segment in file.segments if segment[0:1] != b"\0"]
    end = segment.find(b"\0")
    segment[end - 40 : end] = bytes(40)
    file.close()
    counters = Counters()
    assert recover(tmp_path, counters) == records[:2]
    assert counters.get("dropped.damaged") == 0


def test_only_rings_of_the_same_service_and_recorder_are_adopted(tmp_path: Path) -> None:
    leave_ring(tmp_path, name="a.1.aa")
    leave_ring(tmp_path, name="b.1.aa", recorder="other")
    leave_ring(tmp_path, name="c.1.aa", service="bank")
    found = []
    for ring in adopt_orphaned_rings(tmp_path, Counters(), "shop", "main"):
        found.append(ring.path.name)
        ring.release()
    assert found == ["a.1.aa.ring"]


@pytest.mark.parametrize("content", [b"", b"garbage", b"CHESTRNG" + bytes(5000), bytes(200_000)])
def test_a_file_that_is_not_a_ring_is_set_aside_once_and_counted(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "main.9.cc.ring").write_bytes(content)
    (tmp_path / "main.9.cc.lock").touch()
    counters = Counters()
    assert recover(tmp_path, counters) == []
    assert recover(tmp_path, counters) == []
    assert counters.get("rings_unreadable") == 1
    assert (tmp_path / "main.9.cc.ring.unreadable").read_bytes() == content


def test_of_a_ring_that_was_cut_all_that_is_left_is_delivered_and_the_file_set_aside(tmp_path: Path) -> None:
    records = leave_ring(tmp_path)
    path = tmp_path / "main.1.aa.ring"
    os.truncate(path, path.stat().st_size - 4096)
    counters = Counters()
    assert recover(tmp_path, counters) == records
    assert [each.name for each in tmp_path.iterdir()] == ["main.1.aa.ring.damaged"]
    assert "shorter than its header says" in str(counters.snapshot()["last_error"])
    assert "main.1.aa.ring.damaged" in str(counters.snapshot()["last_error"])


def test_of_a_ring_that_was_cut_amid_its_lines_those_before_the_cut_are_delivered(tmp_path: Path) -> None:
    records = leave_ring(tmp_path)
    path = tmp_path / "main.1.aa.ring"
    end = path.read_bytes().rindex(records[30].id[16:].encode())
    os.truncate(path, end)
    assert recover(tmp_path) == records[:30]
    assert (tmp_path / "main.1.aa.ring.damaged").stat().st_size == end


def test_what_stands_behind_a_lost_page_is_delivered_too_and_the_loss_is_counted(tmp_path: Path) -> None:
    records = leave_ring(tmp_path, count=200)
    path = tmp_path / "main.1.aa.ring"
    content = bytearray(path.read_bytes())
    lost = content.index(records[100].id[16:].encode()) // 4096 * 4096
    content[lost : lost + 4096] = bytes(4096)
    path.write_bytes(content)
    counters = Counters()
    found = recover(tmp_path, counters)
    assert all(record in records for record in found)
    assert found[0] == records[0]
    assert found[-1] == records[-1]
    assert len(found) > 170
    assert counters.get("dropped.damaged") >= 1
    assert (tmp_path / "main.1.aa.ring.damaged").exists()


@pytest.mark.parametrize("whole", [0, 1], ids=["without its line end", "with its line end"])
@pytest.mark.parametrize("texts", [0, 3], ids=["short", "of several pages"])
def test_a_last_line_whose_middle_was_not_yet_copied_is_not_damage(tmp_path: Path, texts: int, whole: int) -> None:
    more = {f"text{number}": "x" * 4096 for number in range(texts)}
    records = leave_ring(tmp_path, count=20, more=more)
    path = tmp_path / "main.1.aa.ring"
    content = bytearray(path.read_bytes())
    begin = content.index(records[19].id[16:].encode())
    end = content.index(b"\n", begin)
    content[begin + 5 : end - 31] = bytes(end - 31 - begin - 5)
    content[end] = ord("\n") if whole else 0
    path.write_bytes(content)
    counters = Counters()
    assert recover(tmp_path, counters) == records[:19]
    assert counters.snapshot() == Counters().snapshot()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("lost", [slice(0, 64), slice(0, 4096), slice(8, 40), slice(1024, 4096)])
def test_a_ring_without_its_header_is_read_line_by_line(tmp_path: Path, lost: slice) -> None:
    records = leave_ring(tmp_path)
    path = tmp_path / "main.1.aa.ring"
    content = bytearray(path.read_bytes())
    content[lost] = bytes(lost.stop - lost.start)
    path.write_bytes(content)
    assert [record.id for record in recover(tmp_path)] == [record.id for record in records]
    assert (tmp_path / "main.1.aa.ring.damaged").exists()


@pytest.mark.parametrize("is_of_earlier_release", [False, True])
def test_if_the_header_is_lost_no_note_of_a_batch_is_read_as_a_line(
    tmp_path: Path, is_of_earlier_release: bool
) -> None:
    records = leave_ring(tmp_path)
    path = tmp_path / "main.1.aa.ring"
    file = SegmentFile.open(path)
    _, begin, slots = file.batch_area
    BatchNotes(file).note([Range(index, 0, 10) for index, segment in enumerate(file.segments) if segment[0]])
    file.close()
    content = bytearray(path.read_bytes())
    content[:64] = bytes(64)
    if is_of_earlier_release:
        del content[begin : begin + slots * BATCH_SLOT_BYTES]
    path.write_bytes(content)
    counters = Counters()
    assert [record.id for record in recover(tmp_path, counters)] == [record.id for record in records]
    assert counters.get("dropped.damaged") == 0


def test_a_file_that_is_set_aside_takes_the_place_of_none(tmp_path: Path) -> None:
    for _ in range(3):
        leave_ring(tmp_path)
        os.truncate(tmp_path / "main.1.aa.ring", 300_000)
        recover(tmp_path)
    names = sorted(each.name for each in tmp_path.iterdir())
    assert names == ["main.1.aa.ring.damaged", "main.1.aa.ring.damaged-2", "main.1.aa.ring.damaged-3"]


def test_a_ring_that_is_delivered_and_cannot_be_removed_is_not_delivered_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = leave_ring(tmp_path)
    os.truncate(tmp_path / "main.1.aa.ring", 300_000)

    def refuse(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    counters = Counters()
    with monkeypatch.context() as patched:
        patched.setattr(os, "rename", refuse)
        (ring,) = adopt_orphaned_rings(tmp_path, counters)
        assert deliver([ring]) == records
    assert "Read-only file system" in str(counters.snapshot()["last_error"])
    assert recover(tmp_path) == []
    ring.release()  # as the end of the process would


def test_a_ring_of_a_later_format_is_left_for_the_release_that_reads_it(tmp_path: Path) -> None:
    leave_ring(tmp_path)
    path = tmp_path / "main.1.aa.ring"
    content = bytearray(path.read_bytes())
    content[8] = 99
    path.write_bytes(content)
    assert recover(tmp_path) == []
    assert path.read_bytes() == content


def test_a_look_through_files_that_are_no_rings_lets_others_have_their_turn_and_finds_real_ones_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chest.ring.recovery._LOOK_SECONDS", 0)
    for number in range(1500):
        (tmp_path / f"0-{number}.ring").touch()
    leave_ring(tmp_path)
    found = look_for_orphaned_rings(tmp_path, Counters())
    first = [next(found), next(found)]
    (ring,) = [each for each in first if each is not None]
    ring.release()
    assert [next(found) for _ in range(100)] == [None] * 100


def test_links_directories_and_other_files_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "directory.ring").mkdir()
    (tmp_path / "link.ring").symlink_to("/etc/passwd")
    (tmp_path / "link.lock").symlink_to("/etc/passwd")
    (tmp_path / "notes.txt").write_text("not ours")
    before = sorted(tmp_path.iterdir())
    assert recover(tmp_path) == []
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="takes root")
def test_a_ring_of_another_user_is_left_alone_unless_the_directory_is_that_user_s_too(tmp_path: Path) -> None:
    leave_ring(tmp_path)
    path = tmp_path / "main.1.aa.ring"
    content = path.read_bytes()
    os.chown(path, 65534, 65534)
    counters = Counters()
    assert recover(tmp_path, counters) == []
    assert path.read_bytes() == content
    assert "belongs to user 65534" in counters.snapshot()["last_error"]
    os.chown(tmp_path, 65534, 65534)
    assert recover(tmp_path, counters) != []


def test_a_directory_that_is_not_there_holds_no_rings(tmp_path: Path) -> None:
    assert recover(tmp_path / "nowhere") == []


def test_what_a_process_that_died_while_opening_its_ring_left_is_swept_away(tmp_path: Path) -> None:
    for name in ("main.5.dd.lock", "main.5.dd.new"):
        (tmp_path / name).touch()
    recover(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    long_ago = time.time() - 3600
    for path in tmp_path.iterdir():
        os.utime(path, (long_ago, long_ago))
    recover(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_two_processes_that_recover_one_directory_share_the_rings(tmp_path: Path) -> None:
    expected = {record.id for number in range(20) for record in leave_ring(tmp_path, name=f"main.{number}.aa")}
    code = """
        import sys
        from pathlib import Path
        from chest.record.counters import Counters
        from chest.ring.recovery import adopt_orphaned_rings, look_for_orphaned_rings
        sys.stdin.readline()
        for ring in adopt_orphaned_rings(Path(sys.argv[1]), Counters()):
            for records, _ in ring.pieces():
                print(*(record.id for record in records), sep="\\n")
            ring.remove()
    """
    arguments = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)]
    workers = [subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    found = [line for worker in workers for line in worker.communicate()[0].split()]
    assert len(found) == len(expected)
    assert set(found) == expected


def test_two_threads_of_one_process_that_recover_one_directory_never_have_the_same_ring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [record.id for number in range(40) for record in leave_ring(tmp_path, name=f"main.{number}.aa")]
    found: list[str] = []
    begin = threading.Barrier(4)
    open_file = os.open

    def slow_open(*arguments: Any) -> int:
        time.sleep(0.0005)  # as a busy disk does it: the others come in between
        return open_file(*arguments)

    monkeypatch.setattr(os, "open", slow_open)

    def adopt() -> None:
        begin.wait()
        for ring in adopt_orphaned_rings(tmp_path, Counters()):
            for records, _ in ring.pieces():
                found.extend(record.id for record in records)
            ring.remove()

    threads = [threading.Thread(target=adopt) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted(expected)


@pytest.mark.slow
@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_never_raises_and_invents_no_record(tmp_path: Path, data: st.DataObject) -> None:
    for left in tmp_path.iterdir():
        left.unlink()
    offered = {record.id for record in leave_ring(tmp_path, count=40)}
    path = tmp_path / "main.1.aa.ring"
    content = bytearray(path.read_bytes())
    used = content.index(b"[", 4096)
    for _ in range(data.draw(st.integers(1, 8))):
        area = data.draw(st.sampled_from([range(640), range(1024, 1300), range(used, used + 10_000)]))
        at = data.draw(st.integers(area.start, area.stop - 1))
        noise = data.draw(st.binary(min_size=1, max_size=64))
        content[at : at + len(noise)] = noise
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content))) :]
    path.write_bytes(content)
    assert {record.id for record in recover(tmp_path)} <= offered
