"""When an external delivery writes what it finds; what becomes of it when processes die is in tests/kill/test_sidecar.py."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from chest.delivery.external import ExternalDelivery, OtherRings
from chest.delivery.worker import ChestWorker
from chest.record.counters import Counters
from chest.record.record import Record
from tests.delivery.test_worker import ScriptedChest
from tests.processes import running_python
from tests.support import wait_until

_WORKER = """
    import sys
    from pathlib import Path
    from chest import Recorder
    from tests.support import make_record

    recorder = Recorder(
        ["memory:not-here"], directory=Path(sys.argv[1]), service="shop", ring_bytes=1 << 20, delivery="external"
    )
    recorder.prepare()
    for line in sys.stdin:  # so many records, of about 1,000 bytes
        taken = 0
        for _ in range(int(line)):
            taken += recorder.offer(make_record(recorder.request_side.record_ids, variables={"text": "x" * 800}))
        print(taken, flush=True)
"""


class Worker:
    """A process that records and leaves delivery to others."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def offer(self, count: int) -> None:
        assert self.try_offer(count) == count

    def try_offer(self, count: int) -> int:
        """How many of them the ring took."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(count, file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline())


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    (tmp_path / "rings").mkdir(mode=0o700)
    with running_python(_WORKER, tmp_path / "rings") as process:
        yield Worker(process)


@contextmanager
def delivering(tmp_path: Path, chest: ScriptedChest) -> Iterator[ExternalDelivery]:
    counters = Counters()
    delivery = ExternalDelivery(
        tmp_path / "rings",
        [ChestWorker(chest, counters)],
        counters,
        adopt=lambda: iter(()),
        flush_seconds=60,
        batch_records=100,
    )
    try:
        yield delivery
    finally:
        delivery.stop(30)
        delivery.run()


def step_until(delivery: ExternalDelivery, condition: Callable[[], object]) -> None:
    wait_until(lambda: (delivery.loop.step(), condition())[1], 60)


def test_what_comes_while_a_batch_is_written_waits_for_others_of_its_own_batch(tmp_path: Path, worker: Worker) -> None:
    class BusyChest(ScriptedChest):
        def write(self, records: Sequence[Record]) -> None:
            sizes.append(len(records))
            if len(sizes) < 20:
                worker.offer(1)  # under load there is always one more
            super().write(records)

    sizes: list[int] = []
    with delivering(tmp_path, BusyChest()) as delivery:
        worker.offer(1)
        step_until(delivery, lambda: sizes)
        for _ in range(5):
            delivery.loop.step()
        assert sizes == [1]
    assert delivery.loop.is_drained
    assert sum(sizes) >= 20  # at the end all of it is written


def test_a_backlog_is_written_in_whole_batches_one_after_another(tmp_path: Path, worker: Worker) -> None:
    chest = ScriptedChest()
    worker.offer(450)
    with delivering(tmp_path, chest) as delivery:
        step_until(delivery, lambda: len(chest.kept) == 450)
    assert chest.writes <= 5


def test_a_ring_that_fills_is_emptied_however_young_what_it_holds_is(tmp_path: Path, worker: Worker) -> None:
    chest = ScriptedChest()
    with delivering(tmp_path, chest) as delivery:
        worker.offer(1)
        step_until(delivery, lambda: chest.kept)
        worker.offer(10)
        for _ in range(5):
            delivery.loop.step()
        assert len(chest.kept) == 1  # the next is due in a minute
        worker.offer(400)
        step_until(delivery, lambda: len(chest.kept) == 411)


class SlowChest(ScriptedChest):
    """Takes two seconds for what a ring of a megabyte holds."""

    def write(self, records: Sequence[Record]) -> None:
        time.sleep(0.002 * len(records))
        super().write(records)


def test_a_drain_of_what_is_there_goes_on_as_long_as_something_is_delivered(tmp_path: Path, worker: Worker) -> None:
    chest = SlowChest()
    worker.offer(900)
    with delivering(tmp_path, chest) as delivery:
        delivery.stop_when_drained(0.9)  # a batch of 100 takes less, and all take more
        assert delivery.run()
    assert len(chest.kept) == 900


def test_a_drain_of_what_is_there_ends_although_more_comes_all_the_time(tmp_path: Path, worker: Worker) -> None:
    class BusyChest(ScriptedChest):
        def write(self, records: Sequence[Record]) -> None:
            worker.offer(len(records))
            super().write(records)

    chest = BusyChest()
    worker.offer(10)
    with delivering(tmp_path, chest) as delivery:
        delivery.stop_when_drained(0.1)
        delivery.run()
    assert len(chest.kept) >= 10


def test_a_ring_holds_none_of_what_it_held_first_once_it_was_found_empty_and_that_is_delivered(
    tmp_path: Path, worker: Worker
) -> None:
    """A segment, of which the file tells only that it is in use, may hold more."""
    worker.offer(10)
    rings = OtherRings(tmp_path / "rings", Counters(), flush_seconds=60, batch_records=100)
    try:
        rings.prepare()
        (batcher,) = rings.batchers()
        assert rings.may_hold_first(10)
        assert batcher.fill()
        assert rings.may_hold_first(9)
        assert not rings.may_hold_first(10)
    finally:
        rings.release()


def test_a_drain_of_what_is_there_ends_if_the_store_takes_nothing(tmp_path: Path, worker: Worker) -> None:
    may_answer = threading.Event()

    class SilentChest(ScriptedChest):
        def write(self, records: Sequence[Record]) -> None:
            assert may_answer.wait(100)

    worker.offer(450)
    with delivering(tmp_path, SilentChest()) as delivery:
        delivery.stop_when_drained(0.2)
        assert not delivery.run()
        may_answer.set()


def test_a_chest_that_does_not_answer_and_has_no_spool_loses_its_records_and_the_one_beside_it_none(
    tmp_path: Path, worker: Worker
) -> None:
    class SilentChest(ScriptedChest):
        def write(self, records: Sequence[Record]) -> None:
            assert may_answer.wait(100)

    may_answer = threading.Event()
    chest, counters = ScriptedChest(), Counters()
    workers = [ChestWorker(each, counters) for each in (chest, SilentChest())]
    delivery = ExternalDelivery(
        tmp_path / "rings", workers, counters, adopt=lambda: iter(()), flush_seconds=0.01, batch_records=100
    )
    total = 0

    def offer_and_step() -> bool:
        nonlocal total
        total += worker.try_offer(20)
        delivery.loop.step()
        return total >= 3000  # three times what the ring holds

    try:
        wait_until(offer_and_step, 60)
        assert counters.get("dropped.no_spool") > 1000
    finally:
        may_answer.set()
        delivery.stop(30)
        delivery.run()
    assert len(chest.kept) == total
