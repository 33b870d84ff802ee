"""One thread serves all recorders of a process, and a store that is slow holds none of the others up."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from chest import Recorder
from chest.chests.memory import MemoryChest
from chest.delivery import delivery_threads
from chest.delivery.delivery_threads import DeliveryThreads
from chest.record.record import Record
from tests.processes import run_python
from tests.support import make_record, wait_until, without_delivery_threads

Make = Callable[..., Recorder]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Recorders of a process that has no others."""
    without_delivery_threads(monkeypatch, None)
    made: list[Recorder] = []

    def make(chest: MemoryChest, **options: object) -> Recorder:
        options = {"flush_seconds": 0.02, "ring_bytes": 1 << 20, "shutdown_seconds": 30, **options}
        recorder = Recorder([chest], name=f"r{len(made)}", directory=tmp_path, **options)  # type: ignore[arg-type]
        recorder.prepare()
        made.append(recorder)
        return recorder

    yield make
    for recorder in made:
        recorder.close(0.5)


class Held(MemoryChest):
    """Answers when it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.goes_on = threading.Event()
        self.is_asked = threading.Event()

    def write(self, records: Sequence[Record]) -> None:
        self.is_asked.set()
        assert self.goes_on.wait(60)
        super().write(records)


class Writer(MemoryChest):
    """Knows in which threads it was written to."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: set[int] = set()

    def write(self, records: Sequence[Record]) -> None:
        self.threads.add(threading.get_ident())
        super().write(records)


def offer(recorder: Recorder, count: int = 1) -> None:
    for _ in range(count):
        assert recorder.offer(make_record(recorder.request_side.record_ids))


def test_many_recorders_take_three_threads_while_their_stores_answer(tmp_path: Path) -> None:
    """In a process of its own: one delivers, one watches over it, and one waits for a SIGTERM for as long as the process lives."""
    code = """
        import os, sys
        from pathlib import Path
        from chest import Recorder
        from chest.chests.memory import MemoryChest
        from chest.delivery import delivery_threads
        from tests.support import make_record, wait_until
        delivery_threads._LATE_SECONDS = 30.0  # on a machine that has much to do
        before = len(os.listdir("/proc/self/task"))
        recorders = [
            Recorder([MemoryChest()], name=f"r{n}", directory=Path(sys.argv[1]), flush_seconds=0.02, ring_bytes=1 << 20)
            for n in range(20)
        ]
        for recorder in recorders:
            recorder.prepare()
            recorder.offer(make_record(recorder.request_side.record_ids))
        wait_until(lambda: all(recorder.chests[0].records for recorder in recorders), 60)
        assert len(os.listdir("/proc/self/task")) - before <= 3
        for recorder in recorders:
            assert recorder.close(60)
        wait_until(lambda: len(os.listdir("/proc/self/task")) - before <= 1, 60)
    """
    run_python(code, tmp_path)


@pytest.mark.parametrize("is_slow_first", [True, False])
def test_a_store_that_does_not_answer_holds_no_other_recorder_up(make: Make, is_slow_first: bool) -> None:
    slow, quick = Held(), MemoryChest()
    recorders = [make(chest) for chest in ([slow, quick] if is_slow_first else [quick, slow])]
    for recorder in recorders:
        offer(recorder)
    assert slow.is_asked.wait(60)
    wait_until(lambda: len(quick.records) == 1, 60)
    offer(recorders[is_slow_first], 10)
    wait_until(lambda: len(quick.records) == 11, 60)
    late = make(later := MemoryChest())
    offer(late)
    wait_until(lambda: len(later.records) == 1, 60)
    assert not slow.records
    slow.goes_on.set()
    wait_until(lambda: len(slow.records) == 1, 60)


def test_a_recorder_that_was_slow_shares_a_thread_again(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery_threads, "_APART_SECONDS", 0.1)
    slow, quick = Held(), Writer()
    recorders = [make(slow), make(quick)]
    offer(recorders[0])
    assert slow.is_asked.wait(60)
    offer(recorders[1])
    wait_until(lambda: quick.records, 60)
    threads = DeliveryThreads.of_this_process()
    assert threads.count == 2
    slow.goes_on.set()
    wait_until(lambda: threads.count == 1, 60)
    for recorder in recorders:
        offer(recorder, 5)
        assert recorder.close(60)
    assert (len(slow.records), len(quick.records)) == (6, 6)


def test_a_recorder_that_ends_leaves_the_thread_to_the_others_and_the_last_one_ends_it(make: Make) -> None:
    chests = [MemoryChest(), MemoryChest()]
    first, second = map(make, chests)
    offer(first)
    assert first.close(60)
    assert len(chests[0].records) == 1
    offer(second)
    wait_until(lambda: chests[1].records, 60)
    assert second.close(60)
    threads = DeliveryThreads.of_this_process()
    wait_until(lambda: threads.count == 0, 60)
    third = make(chest := MemoryChest())
    offer(third)
    wait_until(lambda: chest.records, 60)


def test_if_no_thread_can_be_had_to_move_to_the_exporters_stay_and_go_on(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[object] = []

    def refuse(run: Callable[[], None]) -> None:
        refused.append(run)
        raise RuntimeError("can't start new thread")

    slow, quick = Held(), MemoryChest()
    recorders = [make(slow), make(quick)]
    with monkeypatch.context() as patched:
        patched.setattr(delivery_threads, "start_thread", refuse)
        offer(recorders[0])
        assert slow.is_asked.wait(60)
        offer(recorders[1])
        wait_until(lambda: len(refused) > 1, 60)
        assert not quick.records
        slow.goes_on.set()
        wait_until(lambda: quick.records and slow.records, 60)


def test_an_exit_without_threads_delivers_what_another_recorder_s_store_holds_up(tmp_path: Path) -> None:
    """As since CPython 3.12, which starts no thread at the exit of the interpreter."""
    code = """
        import sys, time
        from pathlib import Path
        from chest import Recorder
        from chest.chests.memory import MemoryChest
        from chest.delivery import delivery_threads
        from tests.support import make_record

        class Stuck(MemoryChest):
            def write(self, records):
                time.sleep(600)

        place = Path(sys.argv[1])
        recorders = [
            Recorder(chest, name=f"r{n}", directory=place / "rings", ring_bytes=1 << 20, flush_seconds=60, shutdown_seconds=5)
            for n, chest in enumerate([[Stuck()], [f"sqlite:///{place}/chest.sqlite3"]])
        ]
        for recorder in recorders:
            recorder.prepare()
            recorder.offer(make_record(recorder.request_side.record_ids))
        def refuse(run):
            raise RuntimeError("can't create new thread at interpreter shutdown")
        delivery_threads.start_thread = refuse
    """
    run_python(code, tmp_path)
    with contextlib.closing(sqlite3.connect(tmp_path / "chest.sqlite3")) as connection:
        assert connection.execute("SELECT count(*) FROM chest_records").fetchone() == (1,)
