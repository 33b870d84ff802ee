"""Ends that are not clean: a chest that hangs, a recorder that is forgotten, a file that is taken away, nobody who prepared."""

from __future__ import annotations

import gc
import os
import sqlite3
import textwrap
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from chest import ChestError, ChestMiddleware, ChestUnavailable, Recorder, RecordRejected
from chest.chests.memory import MemoryChest
from chest.chests.registry import sqlite_url
from chest.counters import Counters
from chest.delivery.lane import Lane
from chest.directory_recovery import recover_directory
from chest.record import Record
from tests.delivery.test_lane import ScriptedChest
from tests.processes import run_python
from tests.ring.test_recovery import leave_ring
from tests.support import make_record, wait_until

_STUCK = """
    import sys, time
    from chest import Recorder
    from chest.chests.memory import MemoryChest
    from tests.support import make_record
    class Stuck(MemoryChest):
        def write(self, records):
            time.sleep({write})
            super().write(records)
        def close(self):
            time.sleep({close})
    recorder = Recorder([Stuck()], directory=sys.argv[1], shutdown_seconds=0.5, ring_bytes=1 << 20)
    recorder.prepare()
    recorder.offer(make_record(recorder.record_ids))
"""


@pytest.mark.parametrize(("write", "close"), [(600, 0), (0, 600)])
def test_a_chest_that_hangs_does_not_keep_the_process_from_ending(tmp_path: Path, write: int, close: int) -> None:
    run_python(_STUCK.format(write=write, close=close), tmp_path)
    chest = MemoryChest()
    assert recover_directory(tmp_path, [chest]).records == (1 if write else 0)


def test_records_offered_where_nobody_prepared_are_delivered_at_the_exit(tmp_path: Path) -> None:
    code = """
        import sys
        from pathlib import Path
        from chest import Recorder
        from tests.support import make_record
        place = Path(sys.argv[1])
        recorder = Recorder([f"sqlite:///{place}/chest.sqlite3"], directory=place / "rings", ring_bytes=1 << 20)
        for _ in range(3):
            recorder.offer(make_record(recorder.record_ids))
    """
    run_python(code, tmp_path)
    with sqlite3.connect(tmp_path / "chest.sqlite3") as connection:
        assert connection.execute("SELECT count(*) FROM chest_records").fetchone() == (3,)
    connection.close()
    assert list((tmp_path / "rings").iterdir()) == []


def test_a_recorder_that_is_forgotten_delivers_ends_its_thread_and_removes_its_file(tmp_path: Path) -> None:
    chest = MemoryChest()
    descriptors = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        recorder = Recorder([chest], directory=tmp_path, ring_bytes=1 << 20)
        recorder.prepare()
        recorder.offer(make_record(recorder.record_ids))
        del recorder
    gc.collect()
    wait_until(lambda: not list(tmp_path.iterdir()))
    assert len(chest.records) == 5
    wait_until(lambda: len(os.listdir("/proc/self/fd")) <= descriptors)


def test_a_file_that_was_taken_away_is_noticed_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("chest.delivery.exporter.ADOPT_EVERY_SECONDS", 0.1)
    chest = MemoryChest()
    with Recorder([chest], directory=tmp_path, ring_bytes=1 << 20) as recorder:
        recorder.prepare()
        for path in tmp_path.iterdir():
            path.unlink()
        wait_until(lambda: not recorder.stats()["ring"]["is_durable"])
        wait_until(lambda: recorder.stats().get("ring_file_lost") == 1)
        recorder.offer(make_record(recorder.record_ids))
    assert len(chest.records) == 1
    assert "taken away" in caplog.text


def test_a_program_that_closes_all_descriptors_keeps_its_own_files_whole(tmp_path: Path) -> None:
    code = """
        import os, sys
        from pathlib import Path
        from chest import Recorder
        from chest.chests.memory import MemoryChest
        from tests.support import make_record
        place = Path(sys.argv[1])
        chest = MemoryChest()
        recorder = Recorder([chest], directory=place / "rings", ring_bytes=1 << 20)
        recorder.prepare()
        os.closerange(3, 256)
        theirs = [os.open(place / f"orders-{number}", os.O_RDWR | os.O_CREAT) for number in range(40)]
        for descriptor in theirs:
            os.write(descriptor, b"x" * 100_000)
        for _ in range(30):
            for _ in range(300):
                recorder.offer(make_record(recorder.record_ids))
            assert recorder.flush(5)
        recorder._look_after_file()
        recorder.close()
        assert len(chest.records) == 9000
        for descriptor in theirs:
            os.fstat(descriptor)
    """
    run_python(code, tmp_path)
    assert {path.read_bytes() for path in tmp_path.glob("orders-*")} == {b"x" * 100_000}


def test_a_ring_with_damaged_lines_is_set_aside_and_counted(tmp_path: Path) -> None:
    records = leave_ring(tmp_path, count=5)
    path = tmp_path / "main.1.aa.ring"
    content = path.read_bytes()
    path.write_bytes(content.replace(records[2].id[16:].encode(), b"0" * 16))
    recovered = recover_directory(tmp_path, [MemoryChest()])
    assert (recovered.rings, recovered.records, recovered.damaged) == (1, 4, 1)
    assert [left.name for left in tmp_path.iterdir()] == ["main.1.aa.ring.damaged"]


def test_a_chest_that_names_one_offender_at_a_time_gets_every_other_record_once() -> None:
    class OneAtATime(ScriptedChest):
        def write(self, records: Sequence[Record]) -> None:
            refused = [record.id for record in records if record.path == "/poison"]
            if refused:
                raise RecordRejected("poison", refused[:1])
            self.kept += records

    chest, counters = OneAtATime(), Counters()
    records = [make_record(path="/poison" if number % 2 else "/") for number in range(2000)]
    assert Lane(chest, counters).deliver(records)
    assert chest.kept == records[::2]
    assert counters.get("dropped.rejected") == 1000


def test_what_was_written_before_another_half_failed_is_not_written_again() -> None:
    class NoTransactions(ScriptedChest):
        def write(self, records: Sequence[Record]) -> None:
            if len(records) > 2:
                raise RecordRejected("one of them", ())
            if self.raises and records[0].duration_ns >= 2:
                raise self.raises.pop()
            self.kept += records

    chest = NoTransactions(ChestUnavailable("down"))
    lane = Lane(chest, Counters())
    records = [make_record(duration_ns=number) for number in range(4)]
    assert not lane.deliver(records)
    assert lane.deliver(records)
    assert chest.kept == records


def test_dead_rings_wait_while_a_chest_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chest.delivery.exporter.ADOPT_EVERY_SECONDS", 0.02)
    leave_ring(tmp_path, count=10, service="app")
    steady, down = MemoryChest(), ScriptedChest(*[ChestUnavailable("down", 0.01)] * 100_000)
    with Recorder([steady, down], directory=tmp_path, ring_bytes=1 << 20) as recorder:
        recorder.prepare()
        wait_until(lambda: down.writes > 10 or recorder.counters.get("failed_writes.scripted:") > 10)
        time.sleep(0.2)
        written = recorder.counters.get("written.memory")
        down.raises.clear()
        wait_until(lambda: len(down.kept) == 10)
    assert written <= 10
    assert len(steady.records) == 10


def test_no_usable_directory_and_no_chest_is_said_and_the_request_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def unusable(*_: object) -> Path:
        raise ChestError("nowhere to write")

    monkeypatch.setattr("chest.recorder.default_directory", unusable)
    monkeypatch.setattr("chest.recorder.DirectoryError", ChestError)
    monkeypatch.delenv("CHEST_URLS", raising=False)
    recorder = Recorder(ring_bytes=1 << 20)
    recorder.prepare()
    recorder.offer(make_record(recorder.record_ids))
    assert not recorder.flush(0.3)
    assert "nowhere to write" in caplog.text
    assert not recorder.close(0.2)
    assert recorder.stats()["dropped"] == {"undelivered": 1}


def test_a_second_close_tells_what_the_first_one_did(tmp_path: Path) -> None:
    recorder = Recorder([ScriptedChest(*[ChestUnavailable("down", 9)] * 1000)], directory=tmp_path, ring_bytes=1 << 20)
    recorder.prepare()
    recorder.offer(make_record(recorder.record_ids))
    answers: list[bool] = []
    closers = [threading.Thread(target=lambda: answers.append(recorder.close(0.3))) for _ in range(3)]
    for closer in closers:
        closer.start()
    for closer in closers:
        closer.join()
    assert answers == [False] * 3
    assert not recorder.flush(0.1)


def test_a_name_that_is_no_part_of_a_file_name_is_refused() -> None:
    with pytest.raises(ChestError, match="part of a file's name"):
        Recorder(name="a/b")


def test_an_application_that_writes_to_its_context_works_with_recording_off() -> None:
    def app(environ, start_response):  # type: ignore[no-untyped-def]
        environ["chest.context"]["user_id"] = 1
        start_response("200 OK", [])
        return [textwrap.dedent("done").encode()]

    wrapped = ChestMiddleware(app, enabled=False, chests=[sqlite_url(Path("/nowhere/chest.sqlite3"))])
    assert wrapped({}, lambda *_: None) == [b"done"]  # type: ignore[arg-type,return-value]
