"""The thread between the ring and the workers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from chest.delivery.background import BackgroundDelivery
from chest.delivery.batch import Batch
from chest.delivery.loop import DeliveryLoop
from chest.delivery.worker import ChestWorker
from chest.delivery.workers import ChestWorkers
from chest.errors import ChestUnavailable
from chest.record.counters import Counters
from chest.record.record import Record
from chest.ring.line import Lineage, Resource
from chest.ring.reader import RingReader
from chest.ring.segments.file import SegmentFile
from chest.ring.writer import RingWriter
from chest.system.threads import start_thread
from tests.delivery.test_worker import ScriptedChest
from tests.support import make_record, refuse_thread, wait_until, without_delivery_threads

Make = Callable[..., BackgroundDelivery]


@pytest.fixture
def ring() -> RingWriter:
    ring = RingWriter(Counters(), bytearray(b"\1"))
    ring.open(SegmentFile.in_memory(1024 * 1024, {}), Resource("shop", "1.0", "test"))
    return ring


@pytest.fixture
def make(ring: RingWriter) -> Iterator[Make]:
    made: list[BackgroundDelivery] = []

    def make(*chests: ScriptedChest, died: Callable[[], None] = lambda: None, **options: float) -> BackgroundDelivery:
        counters = Counters()
        exporter = BackgroundDelivery(
            RingReader(ring, counters),
            [ChestWorker(chest, counters) for chest in chests],
            counters,
            adopt=lambda: iter(()),
            died=died,
            flush_seconds=options.get("flush_seconds", 0.05),
            batch_records=int(options.get("batch_records", 100)),
            lineage=Lineage("01234567"),
        )
        made.append(exporter)
        return exporter

    yield make
    for exporter in made:
        exporter.stop(time.monotonic() + 2, is_durable=False)


def test_records_reach_every_chest(ring: RingWriter, make: Make) -> None:
    chests = ScriptedChest(), ScriptedChest()
    exporter = make(*chests)
    exporter.start()
    records = [make_record() for _ in range(250)]
    for record in records:
        ring.offer(record)
    wait_until(lambda: all(len(chest.kept) == 250 for chest in chests))
    assert chests[0].kept == chests[1].kept == records
    wait_until(lambda: RingReader(ring, Counters()).pending_bytes() == 0)  # a moment later


def test_a_batch_that_one_chest_could_not_take_goes_to_the_other_only_once(ring: RingWriter, make: Make) -> None:
    steady, shaky = ScriptedChest(), ScriptedChest(ChestUnavailable("down", 0.01), ChestUnavailable("down", 0.01))
    exporter = make(steady, shaky)
    exporter.start()
    ring.offer(make_record())
    wait_until(lambda: shaky.kept)
    assert steady.kept == shaky.kept
    assert steady.writes == 1


def test_a_flush_is_done_when_everything_before_it_is_written(ring: RingWriter, make: Make) -> None:
    chest = ScriptedChest()
    exporter = make(chest, flush_seconds=60)
    exporter.start()
    ring.offer(make_record())
    ticket = exporter.ask_for_flush()
    wait_until(lambda: exporter.is_flushed(ticket))
    assert len(chest.kept) == 1


def test_the_first_records_of_a_process_wait_for_others_of_their_batch_too(ring: RingWriter, make: Make) -> None:
    chest = ScriptedChest()
    exporter = make(chest, flush_seconds=60)
    ring.offer(make_record())
    exporter.turn_without_thread()
    assert not chest.kept


def test_what_comes_while_a_batch_is_written_waits_for_others_of_its_own_batch(ring: RingWriter, make: Make) -> None:
    class BusyChest(ScriptedChest):
        def write(self, records: Sequence[Record]) -> None:
            sizes.append(len(records))
            if len(sizes) < 20:
                ring.offer(make_record())  # under load there is always one more
            super().write(records)

    sizes: list[int] = []
    exporter = make(BusyChest(), flush_seconds=60)
    ring.offer(make_record())
    exporter.ask_for_flush()
    exporter.turn_without_thread()
    exporter.turn_without_thread()
    assert sizes == [1]
    assert RingReader(ring, Counters()).pending_bytes()
    exporter.ask_for_flush()
    exporter.turn_without_thread()
    assert sizes == [1, 1]


def test_a_backlog_is_written_in_whole_batches_one_after_another(ring: RingWriter, make: Make) -> None:
    chest = ScriptedChest()
    exporter = make(chest, flush_seconds=60, batch_records=10)
    for _ in range(1000):
        ring.offer(make_record())
    exporter.ask_for_flush()
    exporter.turn_without_thread()
    assert len(chest.kept) == 1000


def test_stopping_delivers_what_there_is(ring: RingWriter, make: Make) -> None:
    chest = ScriptedChest()
    exporter = make(chest, flush_seconds=60)
    exporter.start()
    for _ in range(1000):
        ring.offer(make_record())
    assert exporter.stop(time.monotonic() + 5, is_durable=False)
    assert not exporter.is_running
    assert len(chest.kept) == 1000


class Watched(ScriptedChest):
    """Remembers who wrote to it, and what it was told to wait."""

    def __init__(self, promises: bool = True) -> None:
        super().__init__()
        self.promises = promises
        self.writers: list[int] = []
        self.told: list[float] = []

    def write(self, records: Sequence[Record]) -> None:
        self.writers.append(threading.get_ident())
        super().write(records)

    def wait_at_most(self, seconds: float) -> bool:
        self.told.append(seconds)
        return self.promises


def test_stopping_before_the_thread_was_started_has_one_started_for_the_last_round(
    ring: RingWriter, make: Make
) -> None:
    chest = Watched()
    ring.offer(make_record())
    assert make(chest).stop(time.monotonic() + 5, is_durable=True)
    assert len(chest.kept) == 1
    assert chest.writers != [threading.get_ident()]
    assert chest.told == []


def test_stopping_with_nothing_to_deliver_opens_no_chest(ring: RingWriter, make: Make) -> None:
    chest = Watched()
    assert make(chest).stop(time.monotonic() + 5, is_durable=True)
    assert not chest.is_open
    assert chest.writes == 0


@pytest.mark.parametrize("is_durable", [True, False])
@pytest.mark.parametrize("promises", [True, False])
def test_if_no_thread_can_be_had_the_caller_writes_to_chests_that_keep_it_no_longer_or_whose_records_would_be_lost(
    ring: RingWriter, make: Make, monkeypatch: pytest.MonkeyPatch, is_durable: bool, promises: bool
) -> None:
    without_delivery_threads(monkeypatch, refuse_thread)
    chest = Watched(promises)
    ring.offer(make_record())
    is_written = promises or not is_durable
    assert make(chest).stop(time.monotonic() + 5, is_durable=is_durable) == is_written
    assert chest.writers == [threading.get_ident()] * is_written
    assert len(chest.told) == is_durable
    assert all(4 < seconds <= 5 for seconds in chest.told)


def test_stopping_with_a_dead_chest_ends_by_the_deadline_and_says_that_something_is_left(
    ring: RingWriter, make: Make
) -> None:
    exporter = make(ScriptedChest(*[ChestUnavailable("down", 0.01)] * 100_000))
    exporter.start()
    ring.offer(make_record())
    begin = time.monotonic()
    assert not exporter.stop(begin + 0.3, is_durable=False)
    assert time.monotonic() < begin + 5


def test_a_thread_that_ends_by_itself_says_so(ring: RingWriter, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def end(*_: object) -> None:
        raise SystemExit

    died: list[int] = []
    exporter = make(ScriptedChest(), died=lambda: died.append(1))
    monkeypatch.setattr(RingReader, "take", end)
    exporter.start()
    ring.offer(make_record())
    wait_until(lambda: died)
    assert not exporter.is_running


def test_what_is_committed_is_what_every_chest_has(tmp_path: Path) -> None:
    ring = RingWriter(Counters(), bytearray(b"\1"))
    file = SegmentFile.create(tmp_path / "a.ring", 1024 * 1024, {})
    ring.open(file, Resource("shop", "1.0", "test"))
    chest = ScriptedChest(ChestUnavailable("down", 0.0))
    counters = Counters()
    exporter = BackgroundDelivery(
        RingReader(ring, counters), [ChestWorker(chest, counters)], counters, adopt=lambda: iter(()), died=lambda: None, flush_seconds=0.05,
        batch_records=10, lineage=Lineage("01234567"),
    )  # fmt: skip
    ring.offer(make_record())
    index = next(index for index, segment in enumerate(file.segments) if segment.tell())
    exporter.ask_for_flush()
    exporter.turn_without_thread()
    assert file.committed(index) == 0
    exporter.ask_for_flush(tries_now=True)
    wait_until(lambda: (exporter.turn_without_thread(), chest.kept)[1])
    exporter.turn_without_thread()
    assert file.committed(index) == file.segments[index].tell()


def test_an_idle_ring_is_looked_at_less_often_until_a_record_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    ring = RingWriter(Counters(), bytearray(b"\1"))
    ring.open(SegmentFile.in_memory(8 << 20, {}), Resource("shop", "1.0", "test"))
    chest, counters, naps = ScriptedChest(), Counters(), []
    exporter = BackgroundDelivery(
        RingReader(ring, counters), [ChestWorker(chest, counters)], counters, adopt=lambda: iter(()), died=lambda: None, flush_seconds=0.2,
        batch_records=100, lineage=Lineage("01234567"),
    )  # fmt: skip
    step = exporter.loop.step

    def noted() -> float | None:
        naps.append(step())
        return None if naps[-1] is None else 0.001

    monkeypatch.setattr(exporter.loop, "step", noted)
    exporter.start()
    wait_until(lambda: naps[-3:] == [0.2] * 3)
    ring.offer(make_record())
    wait_until(lambda: chest.kept)
    assert 0.05 in naps[naps.index(0.2) :]
    exporter.stop(time.monotonic() + 2, is_durable=False)


@pytest.mark.parametrize("is_begun_first", [True, False])
def test_an_exception_of_a_signal_handler_amid_a_start_leaves_one_thread_on_the_ring_and_no_more(
    ring: RingWriter, make: Make, monkeypatch: pytest.MonkeyPatch, is_begun_first: bool
) -> None:
    def interrupted(run: Callable[[], None]) -> None:
        has_begun = threading.Event()

        def begin() -> None:
            if not is_begun_first:
                time.sleep(0.05)
            has_begun.set()
            run()

        start_thread(begin)
        if is_begun_first:
            assert has_begun.wait(60)
            time.sleep(0.05)
        raise KeyboardInterrupt

    chest = ScriptedChest()
    died: list[int] = []
    exporter = make(chest, died=lambda: died.append(1))
    turning: list[int] = []
    step = exporter.loop.step

    def noted() -> float | None:
        turning.append(threading.get_ident())
        return step()

    monkeypatch.setattr(exporter.loop, "step", noted)
    with monkeypatch.context() as patched:
        without_delivery_threads(patched, interrupted)
        with pytest.raises(KeyboardInterrupt):
            exporter.start()
    assert exporter.is_running == is_begun_first
    if not exporter.is_running:
        exporter.start()
    for number in range(50):
        ring.offer(make_record(duration_ns=number))
    wait_until(lambda: len(chest.kept) == 50, 60)
    assert exporter.stop(time.monotonic() + 30, is_durable=False)
    assert len(set(turning)) == 1
    assert not exporter.is_running
    assert died == []


def test_a_batch_for_which_there_was_no_memory_is_delivered_by_the_next_thread(
    ring: RingWriter, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit, raises = ChestWorkers.submit, [MemoryError()]

    def submit_at_the_second_try(workers: ChestWorkers, records: Sequence[Record], **more: bool) -> Batch:
        if raises:
            raise raises.pop()
        return submit(workers, records, **more)

    monkeypatch.setattr(ChestWorkers, "submit", submit_at_the_second_try)
    chest, died = ScriptedChest(), threading.Event()
    exporter = make(chest, died=died.set)
    ring.offer(make_record())
    exporter.start()
    assert died.wait(60)
    assert exporter.stop(time.monotonic() + 60, is_durable=True)
    assert len(chest.kept) == 1


def test_a_flush_in_another_thread_does_not_step_amid_the_last_round(
    ring: RingWriter, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Flushed(ScriptedChest):
        def write(self, records: Sequence[Record]) -> None:
            flush = threading.Thread(target=exporter.turn_without_thread)
            flush.start()
            flush.join()
            super().write(records)

    turns: list[int] = []
    without_delivery_threads(monkeypatch, refuse_thread)
    monkeypatch.setattr(DeliveryLoop, "turn", lambda _: turns.append(1))
    chest = Flushed()
    exporter = make(chest)
    ring.offer(make_record())
    assert exporter.stop(time.monotonic() + 60, is_durable=False)
    assert len(chest.kept) == 1
    assert not turns
