"""The thread between the ring and the lanes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from chest.counters import Counters
from chest.delivery.exporter import Exporter
from chest.delivery.lane import Lane
from chest.errors import ChestUnavailable
from chest.record import Record
from chest.ring.line import Lineage, Resource
from chest.ring.ring import Ring
from chest.ring.segments import SegmentFile
from tests.delivery.test_lane import ScriptedChest
from tests.support import make_record, wait_until

Make = Callable[..., Exporter]


@pytest.fixture
def ring() -> Ring:
    ring = Ring(Counters(), bytearray(b"\1"))
    ring.open(SegmentFile.in_memory(1024 * 1024, {}), Resource("shop", "1.0", "test"))
    return ring


@pytest.fixture
def make(ring: Ring) -> Iterator[Make]:
    made: list[Exporter] = []

    def make(*chests: ScriptedChest, died: Callable[[], None] = lambda: None, **options: float) -> Exporter:
        counters = Counters()
        exporter = Exporter(
            ring,
            [Lane(chest, counters) for chest in chests],
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


def test_records_reach_every_chest(ring: Ring, make: Make) -> None:
    chests = ScriptedChest(), ScriptedChest()
    exporter = make(*chests)
    exporter.start()
    records = [make_record() for _ in range(250)]
    for record in records:
        ring.offer(record)
    wait_until(lambda: all(len(chest.kept) == 250 for chest in chests))
    assert chests[0].kept == chests[1].kept == records
    assert ring.pending_bytes() == 0


def test_a_batch_that_one_chest_could_not_take_goes_to_the_other_only_once(ring: Ring, make: Make) -> None:
    steady, shaky = ScriptedChest(), ScriptedChest(ChestUnavailable("down", 0.01), ChestUnavailable("down", 0.01))
    exporter = make(steady, shaky)
    exporter.start()
    ring.offer(make_record())
    wait_until(lambda: shaky.kept)
    assert steady.kept == shaky.kept
    assert steady.writes == 1


def test_a_flush_is_done_when_everything_before_it_is_written(ring: Ring, make: Make) -> None:
    chest = ScriptedChest()
    exporter = make(chest, flush_seconds=60)
    exporter.start()
    ring.offer(make_record())
    ticket = exporter.ask_for_flush()
    wait_until(lambda: exporter.is_flushed(ticket))
    assert len(chest.kept) == 1


def test_the_first_records_of_a_process_wait_for_others_of_their_batch_too(ring: Ring, make: Make) -> None:
    chest = ScriptedChest()
    exporter = make(chest, flush_seconds=60)
    ring.offer(make_record())
    exporter.turn_without_thread()
    assert not chest.kept


def test_what_comes_while_a_batch_is_written_waits_for_others_of_its_own_batch(ring: Ring, make: Make) -> None:
    class BusyChest(ScriptedChest):
        def write(self, records: Sequence[Record]) -> None:
            sizes.append(len(records))
            if len(sizes) < 20:
                ring.offer(make_record())  # under load there is always one more
            super().write(records)

    sizes: list[int] = []
    exporter = make(BusyChest(), flush_seconds=60)
    ring.offer(make_record())
    exporter._asked += 1  # as a flush does
    exporter.turn_without_thread()
    exporter.turn_without_thread()
    assert sizes == [1]
    assert ring.pending_bytes()
    exporter._asked += 1
    exporter.turn_without_thread()
    assert sizes == [1, 1]


def test_a_backlog_is_written_in_whole_batches_one_after_another(ring: Ring, make: Make) -> None:
    chest = ScriptedChest()
    exporter = make(chest, flush_seconds=60, batch_records=10)
    for _ in range(1000):
        ring.offer(make_record())
    exporter._asked += 1
    exporter.turn_without_thread()
    assert len(chest.kept) == 1000


def test_stopping_delivers_what_there_is(ring: Ring, make: Make) -> None:
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


def test_stopping_before_the_thread_was_started_has_one_started_for_the_last_round(ring: Ring, make: Make) -> None:
    chest = Watched()
    ring.offer(make_record())
    assert make(chest).stop(time.monotonic() + 5, is_durable=True)
    assert len(chest.kept) == 1
    assert chest.writers != [threading.get_ident()]
    assert chest.told == []


def test_stopping_with_nothing_to_deliver_opens_no_chest(ring: Ring, make: Make) -> None:
    chest = Watched()
    assert make(chest).stop(time.monotonic() + 5, is_durable=True)
    assert not chest.is_open
    assert chest.writes == 0


@pytest.mark.parametrize("is_durable", [True, False])
@pytest.mark.parametrize("promises", [True, False])
def test_where_no_thread_can_be_had_the_caller_writes_to_chests_that_keep_it_no_longer_or_whose_records_would_be_lost(
    ring: Ring, make: Make, monkeypatch: pytest.MonkeyPatch, is_durable: bool, promises: bool
) -> None:
    def refuse(run: Callable[[], None]) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("chest.delivery.exporter.start_thread", refuse)
    chest = Watched(promises)
    ring.offer(make_record())
    is_written = promises or not is_durable
    assert make(chest).stop(time.monotonic() + 5, is_durable=is_durable) == is_written
    assert chest.writers == [threading.get_ident()] * is_written
    assert len(chest.told) == is_durable
    assert all(4 < seconds <= 5 for seconds in chest.told)


def test_stopping_with_a_dead_chest_ends_by_the_deadline_and_says_that_something_is_left(
    ring: Ring, make: Make
) -> None:
    exporter = make(ScriptedChest(*[ChestUnavailable("down", 0.01)] * 100_000))
    exporter.start()
    ring.offer(make_record())
    begin = time.monotonic()
    assert not exporter.stop(begin + 0.3, is_durable=False)
    assert time.monotonic() < begin + 5


def test_a_thread_that_ends_by_itself_says_so(ring: Ring, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def end(_: int) -> None:
        raise SystemExit

    died: list[int] = []
    exporter = make(ScriptedChest(), died=lambda: died.append(1))
    monkeypatch.setattr(ring, "take", end)
    exporter.start()
    ring.offer(make_record())
    wait_until(lambda: died)
    assert not exporter.is_running


def test_what_is_committed_is_what_every_chest_has(tmp_path: Path) -> None:
    ring = Ring(Counters(), bytearray(b"\1"))
    file = SegmentFile.create(tmp_path / "a.ring", 1024 * 1024, {})
    ring.open(file, Resource("shop", "1.0", "test"))
    chest = ScriptedChest(ChestUnavailable("down", 0.0))
    counters = Counters()
    exporter = Exporter(
        ring, [Lane(chest, counters)], counters, adopt=lambda: iter(()), died=lambda: None, flush_seconds=0.05,
        batch_records=10, lineage=Lineage("01234567"),
    )  # fmt: skip
    ring.offer(make_record())
    index = next(index for index, segment in enumerate(file.segments) if segment.tell())
    exporter._hand_out()
    assert file.committed(index) == 0
    exporter._delivery.try_now()
    exporter._hand_out()
    assert file.committed(index) == file.segments[index].tell()


def test_where_nothing_comes_it_looks_more_seldom_and_a_record_ends_that(monkeypatch: pytest.MonkeyPatch) -> None:
    ring = Ring(Counters(), bytearray(b"\1"))
    ring.open(SegmentFile.in_memory(8 << 20, {}), Resource("shop", "1.0", "test"))
    chest, counters, naps = ScriptedChest(), Counters(), []
    exporter = Exporter(
        ring, [Lane(chest, counters)], counters, adopt=lambda: iter(()), died=lambda: None, flush_seconds=0.2,
        batch_records=100, lineage=Lineage("01234567"),
    )  # fmt: skip
    take = exporter._nap.take

    def noted(seconds: float | None) -> None:
        naps.append(seconds)
        take(0.001)

    monkeypatch.setattr(exporter._nap, "take", noted)
    exporter.start()
    wait_until(lambda: naps[-3:] == [0.2] * 3)
    ring.offer(make_record())
    wait_until(lambda: chest.kept)
    assert 0.05 in naps[naps.index(0.2) :]
    exporter.stop(time.monotonic() + 2, is_durable=False)
