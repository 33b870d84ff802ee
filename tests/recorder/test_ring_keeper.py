"""A ring is in a file that survives a kill, whatever becomes of its file, with an exporter and without."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from chest import Recorder
from chest.chests.memory import MemoryChest
from chest.delivery.own_ring import ADOPT_EVERY_SECONDS
from chest.native import IS_NATIVE
from chest.recorder.directory_recovery import recover_directory
from tests.processes import running_python
from tests.support import make_record, wait_until

_WORKER = """
    import contextlib, logging, os, resource, sys, time
    from pathlib import Path
    import chest.delivery.own_ring, chest.recorder.process_state, chest.recorder.ring_keeper
    chest.delivery.own_ring.ADOPT_EVERY_SECONDS = chest.recorder.process_state.ADOPT_EVERY_SECONDS = 0.05
    chest.recorder.ring_keeper._FIRST_WAIT_SECONDS = 0.1
    from chest import Recorder
    from chest.chests.contract import Chest
    from chest.errors import ChestUnavailable
    from tests.support import make_record

    class Down(Chest):
        name = "down"
        def open(self): ...
        def write(self, records): raise ChestUnavailable("down")
        def check(self): ...
        def close(self): ...

    logging.disable(logging.CRITICAL)
    recorder = Recorder(
        [Down()], directory=Path(sys.argv[1]), service="shop", ring_bytes=1 << 20, delivery=sys.argv[2], spool_bytes=0
    )
    recorder.prepare()
    for line in sys.stdin:
        what, _, count = line.partition(" ")
        if what == "offer":
            for _ in range(int(count)):
                assert recorder.offer(make_record(recorder.request_side.record_ids))
        elif what == "lose":
            deadline = time.monotonic() + 60
            while recorder.stats().get("ring_file_lost", 0) < int(count) or not recorder.stats()["ring"]["is_durable"]:
                assert time.monotonic() < deadline, recorder.stats()
                time.sleep(0.01)
        elif what == "starve":
            most = max(map(int, os.listdir("/proc/self/fd")))
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
            with contextlib.suppress(OSError):
                while True:
                    os.open(os.devnull, os.O_RDONLY)  # also the unused numbers below
        elif what == "miss":
            while recorder.stats().get("ring_file_lost", 0) < int(count):
                time.sleep(0.01)
            time.sleep(0.2)
        elif what == "close":
            recorder.close(0.1)
        print("done", flush=True)
"""


class Worker:
    """A process that records, and whose store is down."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def do(self, what: str, count: int = 0) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(what, count, file=self.process.stdin, flush=True)
        assert self.process.stdout.readline() == "done\n"


@pytest.fixture(params=["thread", "external"])
def worker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Worker]:
    (tmp_path / "rings").mkdir(mode=0o700)
    with running_python(_WORKER, tmp_path / "rings", request.param) as process:
        yield Worker(process)


def recovered(tmp_path: Path) -> int:
    chest = MemoryChest()
    recover_directory(tmp_path / "rings", [chest])
    assert len({record.id for record in chest.records}) == len(chest.records)
    return len(chest.records)


@pytest.mark.kept_memory
@pytest.mark.parametrize("suffixes", [(".ring", ".lock"), (".ring",), (".lock",)])
def test_a_ring_whose_files_are_removed_goes_on_in_another_with_all_that_it_holds(
    worker: Worker, tmp_path: Path, suffixes: tuple[str, ...]
) -> None:
    worker.do("offer", 100)
    for times in (1, 2):
        for path in tmp_path.glob("rings/*"):
            if path.suffix in suffixes:
                path.unlink()
        worker.do("lose", times)
        worker.do("offer", 100)
    worker.process.kill()
    worker.process.wait()
    assert recovered(tmp_path) == 300
    assert [path.name for path in tmp_path.glob("rings/*") if path.suffix != ".group"] == []


@pytest.mark.parametrize("worker", ["thread"], indirect=True)
def test_a_ring_whose_lock_is_removed_stays_in_its_file_while_no_other_can_be_had(
    worker: Worker, tmp_path: Path
) -> None:
    worker.do("offer", 100)
    worker.do("starve")
    for path in tmp_path.glob("rings/*.lock"):
        path.unlink()
    worker.do("miss", 1)
    worker.do("offer", 100)
    worker.process.kill()
    worker.process.wait()
    for path in tmp_path.glob("rings/*.ring"):
        os.utime(path, (0, 0))  # a minute later
    assert recovered(tmp_path) + recovered(tmp_path) == 200  # the first one may only give the ring a lock again


@pytest.mark.kept_memory
def test_a_ring_whose_directory_was_moved_away_goes_on_in_a_new_one(worker: Worker, tmp_path: Path) -> None:
    worker.do("offer", 100)
    (tmp_path / "rings").rename(tmp_path / "moved")
    worker.do("lose", 1)
    worker.do("offer", 100)
    worker.process.kill()
    worker.process.wait()
    assert recovered(tmp_path) == 200


@pytest.mark.kept_memory
def test_a_process_that_ends_right_after_its_ring_was_removed_leaves_it_in_another_file(
    worker: Worker, tmp_path: Path
) -> None:
    worker.do("offer", 100)
    for path in tmp_path.glob("rings/*"):
        path.unlink()
    worker.do("close")
    worker.process.kill()
    worker.process.wait()
    assert recovered(tmp_path) == 100


@pytest.mark.skipif(not IS_NATIVE, reason="without its compiled part Chest cannot go on behind a SIGBUS")
def test_a_ring_that_is_cut_costs_what_was_in_it_and_no_record_that_comes_later(worker: Worker, tmp_path: Path) -> None:
    worker.do("offer", 100)
    for path in tmp_path.glob("rings/*.ring"):
        os.truncate(path, 0)
    worker.do("lose", 1)  # at rest
    worker.do("offer", 50)
    for path in tmp_path.glob("rings/*.ring"):
        os.truncate(path, 200_000)  # behind what is written
    worker.do("offer", 50)
    worker.do("lose", 2)
    worker.do("offer", 100)
    worker.process.kill()
    worker.process.wait()
    assert recovered(tmp_path) >= 199  # one may begin in the page where the other was cut
    assert len(list(tmp_path.glob("rings/*.ring.damaged"))) == 1


@pytest.mark.skipif(not IS_NATIVE, reason="without its compiled part Chest cannot go on behind a SIGBUS")
def test_what_was_lost_with_a_page_is_counted_and_the_rest_is_delivered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("chest.delivery.own_ring.ADOPT_EVERY_SECONDS", 0.05)
    chest = MemoryChest()
    with Recorder([chest], directory=tmp_path, ring_bytes=1 << 20, flush_seconds=60) as recorder:
        recorder.prepare()
        for _ in range(50):
            recorder.offer(make_record(recorder.request_side.record_ids))
        for path in tmp_path.glob("*.ring"):
            os.truncate(path, 0)
        for _ in range(50):
            recorder.offer(make_record(recorder.request_side.record_ids))
        wait_until(lambda: recorder.stats().get("ring_file_lost") == 1, 60)
        assert recorder.flush(60)
        lost = recorder.stats()["dropped"]["damaged"]
        assert 40 <= lost <= 60  # about how many there were
        assert lost + len(chest.records) in range(98, 103)  # a torn line or two are told by their length
        assert recorder.stats()["ring"]["is_durable"]
    assert "was removed, replaced or cut" in caplog.text


@pytest.mark.kept_memory
def test_a_ring_that_had_no_file_at_first_moves_into_one_and_spools_from_then_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("chest.delivery.own_ring.ADOPT_EVERY_SECONDS", 0.05)
    monkeypatch.setattr("chest.recorder.ring_keeper._FIRST_WAIT_SECONDS", 0.1)
    rings = tmp_path / "rings"
    rings.touch()
    chest = MemoryChest()
    with Recorder([chest], directory=rings, ring_bytes=1 << 20, flush_seconds=60) as recorder:
        recorder.prepare()
        recorder.offer(make_record(recorder.request_side.record_ids))
        assert not recorder.stats()["ring"]["is_durable"]
        rings.unlink()
        wait_until(lambda: recorder.stats()["ring"]["is_durable"], 60)
        recorder.offer(make_record(recorder.request_side.record_ids))
        assert next(rings.glob("*.ring")).read_bytes().count(b"/items/1") == 2
        wait_until(lambda: all(worker.spool is not None for worker in recorder.lifecycle.state.workers), 60)
    assert len(chest.records) == 2
    assert list(rings.glob("*.ring")) == []
    assert "The ring is in a file again" in caplog.text


def test_the_times_of_both_files_are_renewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chest.ring.owned_ring_file._RENEW_EVERY_SECONDS", 0.0)
    monkeypatch.setattr("chest.delivery.own_ring.ADOPT_EVERY_SECONDS", 0.05)
    with Recorder([MemoryChest()], directory=tmp_path, ring_bytes=1 << 20) as recorder:
        recorder.prepare()
        paths = [*tmp_path.glob("*.ring"), *tmp_path.glob("*.lock")]
        assert len(paths) == 2
        for path in paths:
            os.utime(path, (0, 0))
        wait_until(lambda: all(path.stat().st_mtime > 0 and path.stat().st_atime > 0 for path in paths), 60)
    assert ADOPT_EVERY_SECONDS < 60  # the age from which a ring without a lock is taken for a dead process's
