"""Ends that are not clean: a chest that hangs, a recorder that is forgotten, a file that is taken away, a recorder that was not prepared."""

from __future__ import annotations

import contextlib
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
from chest.delivery.writer import ChestWriter, batch_write
from chest.record.counters import Counters
from chest.record.record import Record
from chest.recorder.directory_recovery import recover_directory
from tests.delivery.test_worker import ScriptedChest
from tests.processes import run_python, running_python
from tests.ring.test_recovery import leave_ring
from tests.support import lose_patience_soon, make_record, wait_until

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
    recorder.offer(make_record(recorder.request_side.record_ids))
"""


@pytest.mark.parametrize(("write", "close"), [(600, 0), (0, 600)])
def test_a_chest_that_hangs_does_not_keep_the_process_from_ending(tmp_path: Path, write: int, close: int) -> None:
    run_python(_STUCK.format(write=write, close=close), tmp_path)
    chest = MemoryChest()
    assert recover_directory(tmp_path, [chest]).records == (1 if write else 0)


def test_records_offered_to_an_unprepared_recorder_are_delivered_at_the_exit(tmp_path: Path) -> None:
    code = """
        import sys
        from pathlib import Path
        from chest import Recorder
        from tests.support import make_record
        place = Path(sys.argv[1])
        recorder = Recorder([f"sqlite:///{place}/chest.sqlite3"], directory=place / "rings", ring_bytes=1 << 20)
        for _ in range(3):
            recorder.offer(make_record(recorder.request_side.record_ids))
    """
    run_python(code, tmp_path)
    with sqlite3.connect(tmp_path / "chest.sqlite3") as connection:
        assert connection.execute("SELECT count(*) FROM chest_records").fetchone() == (3,)
    connection.close()
    assert list((tmp_path / "rings").iterdir()) == []


def test_a_process_that_ends_at_once_delivers_what_another_one_has_left(tmp_path: Path) -> None:
    leave_ring(tmp_path, count=1)
    chest = MemoryChest()
    recorder = Recorder([chest], directory=tmp_path, ring_bytes=1 << 20, service="shop")
    recorder.offer(make_record(recorder.request_side.record_ids))
    assert recorder.close(60)
    assert len(chest.records) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_recorder_that_is_forgotten_delivers_ends_its_thread_and_removes_its_file(tmp_path: Path) -> None:
    chest = MemoryChest()
    descriptors = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        recorder = Recorder([chest], directory=tmp_path, ring_bytes=1 << 20)
        recorder.prepare()
        recorder.offer(make_record(recorder.request_side.record_ids))
        del recorder
    gc.collect()
    wait_until(lambda: not list(tmp_path.iterdir()))
    assert len(chest.records) == 5
    wait_until(lambda: len(os.listdir("/proc/self/fd")) <= descriptors)


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
                recorder.offer(make_record(recorder.request_side.record_ids))
            assert recorder.flush(60)
        recorder.lifecycle.state.look_after_file()
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
    assert ChestWriter(chest, counters).write(batch_write(records))
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
    writer = ChestWriter(chest, Counters())
    records = [make_record(duration_ns=number) for number in range(4)]
    batch = batch_write(records)
    assert not writer.write(batch)
    assert writer.write(batch)
    assert chest.kept == records


def test_what_the_dead_left_is_spooled_for_a_chest_that_fails_and_given_to_the_others_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_patience_soon(monkeypatch)
    leave_ring(tmp_path, count=10, service="app")
    steady, down = MemoryChest(), ScriptedChest(*[ChestUnavailable("down", 0.01)] * 100_000)
    with Recorder([steady, down], directory=tmp_path, ring_bytes=1 << 20) as recorder:
        recorder.prepare()
        wait_until(lambda: len(steady.records) == 10, seconds=60)
        wait_until(lambda: len(list(tmp_path.glob("*.ring"))) == 1, seconds=60)
        assert not down.kept
        down.raises.clear()
        wait_until(lambda: len(down.kept) == 10, seconds=60)


@pytest.mark.parametrize("ending", ["", "os._exit(0)", "os.kill(os.getpid(), 9)"], ids=["exit", "quick-exit", "kill"])
def test_processes_that_end_in_an_outage_leave_no_more_on_disk_than_their_records(
    tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is killed before it can have given up its store, and the next one finds what it left."""
    lose_patience_soon(monkeypatch)
    code = f"""
        import os, sys
        from pathlib import Path
        from chest import ChestUnavailable, Recorder
        from chest.chests.memory import MemoryChest
        from tests.support import make_record
        class Down(MemoryChest):
            def write(self, records):
                raise ChestUnavailable("down")
        recorder = Recorder([Down()], directory=Path(sys.argv[1]), shutdown_seconds=0.2)
        recorder.prepare()
        recorder.offer(make_record(recorder.request_side.record_ids))
        {ending}
    """
    for _ in range(3):
        with contextlib.suppress(AssertionError):
            run_python(code, tmp_path)
    chest = ScriptedChest(*[ChestUnavailable("down")] * 1_000_000)
    with Recorder([chest], directory=tmp_path, shutdown_seconds=0.2) as recorder:
        recorder.prepare()
        wait_until(
            lambda: len(list(tmp_path.glob("*.ring"))) == 1 or recorder.request_side.counters.get("spooled.scripted:"),
            seconds=60,
        )
        recorder.offer(make_record(recorder.request_side.record_ids))
    assert sum(path.stat().st_blocks * 512 for path in tmp_path.iterdir()) < 1 << 20
    arrived = MemoryChest()
    recover_directory(tmp_path, [arrived], spooled_for="scripted")
    assert len(arrived.records) == 4


@pytest.mark.parametrize("exporter", ["thread", "external"])
def test_what_a_killed_process_reserved_is_given_back_though_no_store_answers(tmp_path: Path, exporter: str) -> None:
    """The next process looks before it waits for the store, and where another process is to deliver, too."""
    code = """
        import os, sys, time
        from pathlib import Path
        from chest import Recorder
        from chest.chests.memory import MemoryChest
        from tests.support import lose_patience_soon, make_record, wait_until
        class Silent(MemoryChest):
            def open(self):
                time.sleep(600)
        place = Path(sys.argv[1])
        left = list(place.glob("*.ring"))
        recorder = Recorder([Silent()], directory=place, delivery=sys.argv[2], spool_bytes=0)
        recorder.prepare()
        recorder.offer(make_record(recorder.request_side.record_ids))
        wait_until(lambda: all(path.stat().st_blocks * 512 < 1 << 20 for path in left), 60)
        print(len(left), flush=True)
        os.kill(os.getpid(), 9)
    """
    for number in range(3):
        with running_python(code, tmp_path, exporter) as process:
            assert process.communicate(timeout=100)[0] == f"{number}\n"


_PREPARING = """
    import logging, sys, time
    from pathlib import Path
    import chest.recorder.lifecycle as lifecycle
    from chest.recorder.ring_keeper import RingKeeper
    from chest import ChestMiddleware, Recorder
    from chest.chests.memory import MemoryChest

    logging.basicConfig(format="%(message)s")
    recorder = Recorder([MemoryChest()], directory=Path(sys.argv[1]), ring_bytes=1 << 20, shutdown_seconds=20)
    app = ChestMiddleware(lambda environ, start_response: [b""], recorder=recorder)
    working, tries = RingKeeper.begin, []

    def failing(*_, **__):
        tries.append(1)
        raise OSError(12, "Cannot allocate memory")

    def request(count):
        for _ in range(count):
            app({}, lambda *_: None)
"""


def test_what_keeps_a_process_from_getting_ready_is_not_tried_in_each_request_is_said_and_counts_what_is_lost(
    tmp_path: Path,
) -> None:
    code = f"""{_PREPARING}
    lifecycle._FIRST_PAUSE_SECONDS = lifecycle._LONGEST_PAUSE_SECONDS = 3600.0
    RingKeeper.begin = failing
    request(1500)
    assert len(tries) == 1
    stats = recorder.stats()
    assert stats["prepare_failed"] == 1 and stats["dropped"] == {{"before_open": 500}}, stats
    assert not recorder.close()
    assert recorder.stats()["dropped"] == {{"before_open": 500, "undelivered": 1000}}, recorder.stats()
    """
    with running_python(code, tmp_path, stderr=True) as process:
        said = process.communicate(timeout=60)[1]
    assert process.returncode == 0, said
    assert said.count("this process cannot record yet") == 1
    assert said.count("1000 records are lost with this process") == 1


def test_a_process_that_gets_ready_at_a_later_try_delivers_what_waited(tmp_path: Path) -> None:
    code = f"""{_PREPARING}
    lifecycle._LONGEST_PAUSE_SECONDS = 0.01
    RingKeeper.begin = failing
    request(10)
    RingKeeper.begin = working
    deadline = time.monotonic() + 60
    while not recorder.request_side.fork_guard[0] and time.monotonic() < deadline:
        request(1)
    assert recorder.close(60)
    assert len(recorder.chests[0].records) >= 11
    """
    run_python(code, tmp_path)


def test_a_recorder_that_is_collected_shortly_before_the_exit_delivers(tmp_path: Path) -> None:
    code = """
        import gc, sys
        from pathlib import Path
        from chest import Recorder
        from tests.support import make_record
        place = Path(sys.argv[1])
        recorder = Recorder([f"sqlite:///{place}/chest.sqlite3"], directory=place / "rings", flush_seconds=60, shutdown_seconds=30)
        recorder.prepare()
        for _ in range(50):
            recorder.offer(make_record(recorder.request_side.record_ids))
        del recorder
        gc.collect()
    """
    run_python(code, tmp_path)
    with contextlib.closing(sqlite3.connect(tmp_path / "chest.sqlite3")) as connection:
        assert connection.execute("SELECT count(*) FROM chest_records").fetchone() == (50,)
    assert list((tmp_path / "rings").iterdir()) == []


def test_what_a_test_waits_for_is_delivered_by_all_recorders_at_the_same_time(tmp_path: Path) -> None:
    code = """
        import sys, threading
        from chest import Recorder
        from chest.chests.memory import MemoryChest
        from chest.recorder.ending.hooks import flush_recorders
        from tests.support import make_record
        both_write = threading.Barrier(2)
        class Waits(MemoryChest):
            def write(self, records):
                both_write.wait(60)
                super().write(records)
        chests = [Waits(), Waits()]
        recorders = [Recorder([chest], directory=sys.argv[1], name=f"r{number}", flush_seconds=60.0) for number, chest in enumerate(chests)]
        for recorder in recorders:
            recorder.prepare()
            recorder.offer(make_record(recorder.request_side.record_ids))
        print(flush_recorders(50), [len(chest.records) for chest in chests])
    """
    assert run_python(code, tmp_path) == "True [1, 1]\n"


def test_a_flush_that_another_delivery_was_asked_for_is_asked_for_anew(tmp_path: Path) -> None:
    code = """
        import sys
        from chest import Recorder
        from chest.chests.memory import MemoryChest
        from chest.delivery.background import AskedFlush
        from tests.support import make_record
        import time
        recorder = Recorder([chest := MemoryChest()], directory=sys.argv[1], flush_seconds=60.0)
        recorder.prepare()
        recorder.offer(make_record(recorder.request_side.record_ids))
        for asked in (AskedFlush(None, 0), AskedFlush(object(), 10**6)):
            print(recorder.lifecycle.flush(time.monotonic() + 50, asked=asked), len(chest.records))
    """
    assert run_python(code, tmp_path) == "True 1\nTrue 1\n"


def test_what_an_exit_loses_with_a_ring_in_memory_is_said(tmp_path: Path) -> None:
    code = """
        import logging, sys
        from pathlib import Path
        from chest import Recorder
        from tests.support import make_record
        logging.basicConfig(format="%(message)s")
        Path(sys.argv[1], "file").touch()
        recorder = Recorder(["postgresql://nobody@127.0.0.1:1/nothing"], directory=Path(sys.argv[1], "file"), shutdown_seconds=0.2)
        recorder.prepare()
        for _ in range(7):
            recorder.offer(make_record(recorder.request_side.record_ids))
    """
    with running_python(code, tmp_path, stderr=True) as process:
        said = process.communicate(timeout=60)[1]
    assert "7 records are lost with this process" in said
    assert "CHEST_DIRECTORY" in said


_ENDING = """
    import sys, time
    from pathlib import Path
    from chest import Recorder
    from chest.chests.memory import MemoryChest
    from tests.support import make_record

    class Stuck(MemoryChest):
        def write(self, records):
            time.sleep(600)

    place = Path(sys.argv[1])
    chests = [[Stuck()] for _ in range(6)] + [[f"ndjson:{place}/records.ndjson"]]
    recorders = [
        Recorder(chest, name=f"r{n}", directory=place / "rings", ring_bytes=1 << 20, shutdown_seconds=6, flush_seconds=60)
        for n, chest in enumerate(chests)
    ]
    for recorder in recorders:
        recorder.prepare()
        recorder.offer(make_record(recorder.request_side.record_ids))
    print("ready", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.parametrize("hook", ["", "from chest.gunicorn import worker_exit; worker_exit(None, None)"])
def test_a_process_takes_shutdown_seconds_to_end_however_much_there_is_to_end(tmp_path: Path, hook: str) -> None:
    """Seven recorders one after the other would take 36 s and more."""
    with running_python(f"{_ENDING}    {hook}\n", tmp_path) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "ready\n"
        began = time.monotonic()
        process.stdin.close()
        assert process.wait(60) == 0
        assert time.monotonic() - began < 25
    assert (tmp_path / "records.ndjson").read_text().count("\n") == 1


def test_no_usable_directory_and_no_chest_is_said_and_the_request_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def unusable(*_: object) -> Path:
        raise ChestError("nowhere to write")

    monkeypatch.setattr("chest.recorder.recorder_chests.is_under_test", lambda: False)
    monkeypatch.setattr("chest.recorder.lifecycle.default_directory", unusable)
    monkeypatch.setattr("chest.recorder.ring_keeper.DirectoryError", ChestError)
    monkeypatch.delenv("CHEST_URLS", raising=False)
    recorder = Recorder(ring_bytes=1 << 20)
    recorder.prepare()
    recorder.offer(make_record(recorder.request_side.record_ids))
    assert not recorder.flush(0.3)
    assert "nowhere to write" in caplog.text
    assert not recorder.close(0.2)
    assert recorder.stats()["dropped"] == {"undelivered": 1}


def test_a_second_close_tells_what_the_first_one_did(tmp_path: Path) -> None:
    recorder = Recorder([ScriptedChest(*[ChestUnavailable("down", 9)] * 1000)], directory=tmp_path, ring_bytes=1 << 20)
    recorder.prepare()
    recorder.offer(make_record(recorder.request_side.record_ids))
    answers: list[bool] = []
    closers = [threading.Thread(target=lambda: answers.append(recorder.close(0.3))) for _ in range(3)]
    for closer in closers:
        closer.start()
    for closer in closers:
        closer.join()
    assert answers == [False] * 3
    assert not recorder.flush(0.1)


def test_a_name_that_cannot_be_part_of_a_file_name_is_refused() -> None:
    with pytest.raises(ChestError, match="part of a file's name"):
        Recorder(name="a/b")


def test_an_application_that_writes_to_its_context_works_with_recording_off() -> None:
    def app(environ, start_response):  # type: ignore[no-untyped-def]
        environ["chest.context"]["user_id"] = 1
        start_response("200 OK", [])
        return [textwrap.dedent("done").encode()]

    wrapped = ChestMiddleware(app, enabled=False, chests=[sqlite_url(Path("/nowhere/chest.sqlite3"))])
    assert wrapped({}, lambda *_: None) == [b"done"]  # type: ignore[arg-type,return-value]
