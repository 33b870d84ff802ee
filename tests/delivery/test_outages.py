"""Chests that are late, hang or are down: no other chest waits, and nothing is lost."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from chest import ChestUnavailable, Recorder
from chest.chests.contract import Chest
from chest.chests.memory import MemoryChest
from chest.delivery.spool.dead_letters import DeadLetters
from chest.delivery.spool.file import SpoolFile
from chest.delivery.spool.place import spool_path
from chest.record.record import Record
from tests.support import lose_patience_soon, make_record, wait_until

Make = Callable[..., Recorder]


class FickleChest(Chest):
    """Takes records, is down or hangs, as it is told; keeps the ids of what it took."""

    def __init__(self, name: str = "fickle:") -> None:
        self.name = name
        self.is_down = False
        self.answers = threading.Event()
        self.answers.set()
        self.kept: Counter[str] = Counter()
        self.order: list[str] = []
        self.seconds = 0.0
        self.tries = 0

    def open(self) -> None: ...

    def write(self, records: Sequence[Record]) -> None:
        self.tries += 1
        self.answers.wait(60)
        if self.is_down:
            raise ChestUnavailable(f"{self.name} is down")
        time.sleep(self.seconds)
        # A new one, as the test may be looking at the other: without the GIL it must not change then.
        self.kept = self.kept + Counter(record.id for record in records)
        self.order += [record.path for record in records]

    def check(self) -> None: ...

    def close(self) -> None: ...


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Recorders in one directory that lose their patience ten times as fast as real ones."""
    lose_patience_soon(monkeypatch)
    made: list[Recorder] = []

    def make(*chests: Chest, **options: object) -> Recorder:
        options = {"flush_seconds": 0.02, "ring_bytes": 1 << 20, "service": "shop", **options}
        recorder = Recorder(chests, directory=tmp_path, **options)
        made.append(recorder)
        return recorder

    yield make
    for recorder in made:
        for chest in recorder.chests:
            if isinstance(chest, FickleChest):
                chest.is_down = False
                chest.answers.set()
        recorder.close(5)


def offer(recorder: Recorder, count: int, path: str = "/", pause: float = 0.0) -> list[str]:
    """Offer so many records; the ids of those that were taken."""
    taken = []
    recorder.prepare()
    for _ in range(count):
        record = make_record(recorder.request_side.record_ids, path=path)
        if recorder.offer(record):
            taken.append(record.id)
        if pause:
            time.sleep(pause)
    return taken


def spooled(directory: Path, chest: Chest) -> int:
    file = SpoolFile(spool_path(directory, chest.name))
    try:
        return file.size().records if file.exists() else 0
    finally:
        file.close()


@pytest.mark.parametrize("trouble", ["down", "hanging"])
def test_a_chest_in_trouble_holds_up_neither_another_nor_the_ring(tmp_path: Path, make: Make, trouble: str) -> None:
    steady, fickle = MemoryChest(), FickleChest()
    fickle.is_down = trouble == "down"
    if trouble == "hanging":
        fickle.answers.clear()
    recorder = make(fickle, steady)
    ids: list[str] = []
    for _ in range(30):  # four times what the ring holds
        ids += offer(recorder, 500)
        expected = len(ids)
        wait_until(lambda expected=expected: len(steady.records) == expected)  # type: ignore[misc]
    assert len(ids) == 15_000
    assert "dropped" not in recorder.stats()
    fickle.is_down = False
    fickle.answers.set()
    wait_until(lambda: len(fickle.kept) == len(ids))
    assert set(fickle.kept) == set(ids)
    assert max(fickle.kept.values()) == 1
    wait_until(lambda: spooled(tmp_path, fickle) == 0)  # a batch leaves the spool after the chest has it


def test_the_only_chest_being_down_costs_disk_and_no_record(tmp_path: Path, make: Make) -> None:
    fickle = FickleChest()
    fickle.is_down = True
    recorder = make(fickle, ring_bytes=2 << 20)
    ids = []
    for number in range(20):
        ids += offer(recorder, 500)
        wait_until(lambda number=number: spooled(tmp_path, fickle) >= 500 * (number - 4))  # type: ignore[misc]
    assert len(ids) == 10_000
    stats = recorder.stats()
    assert stats["spooled"]["fickle:"] >= 500 * 15
    assert stats["spool"]["fickle:"]["records"] == stats["spooled"]["fickle:"]
    assert recorder.stats()["ring"]["pending_bytes"] < recorder.stats()["ring"]["capacity_bytes"]
    fickle.is_down = False
    wait_until(lambda: set(fickle.kept) == set(ids))
    assert max(fickle.kept.values()) == 1


def test_an_outage_of_a_moment_is_not_written_to_disk(tmp_path: Path, make: Make) -> None:
    fickle = FickleChest()
    fickle.is_down = True
    recorder = make(fickle)
    ids = offer(recorder, 100)
    wait_until(lambda: fickle.tries)
    fickle.is_down = False
    wait_until(lambda: set(fickle.kept) == set(ids))
    assert not spool_path(tmp_path, fickle.name).exists()


def test_new_records_and_those_on_disk_both_make_progress(tmp_path: Path, make: Make) -> None:
    fickle = FickleChest()
    fickle.is_down = True
    recorder = make(fickle, batch_records=50)
    old = offer(recorder, 2000, "/old")
    wait_until(lambda: spooled(tmp_path, fickle) == 2000)
    fickle.seconds = 0.02
    fickle.is_down = False
    new: list[str] = []
    begin = time.monotonic()
    while not set(old) <= fickle.kept.keys():  # new ones come all the time, and the old ones are delivered
        new += offer(recorder, 10, "/new", pause=0.001)
        assert time.monotonic() - begin < 60
    last_old = max(place for place, path in enumerate(fickle.order) if path == "/old")
    assert "/new" in fickle.order[:last_old]
    fickle.seconds = 0
    wait_until(lambda: set(fickle.kept) == {*old, *new})


def test_a_slow_chest_gets_everything_and_the_other_does_not_wait_for_it(make: Make) -> None:
    steady, slow = MemoryChest(), FickleChest()
    slow.answers.clear()
    recorder = make(slow, steady, batch_records=100)
    ids = offer(recorder, 3000)
    wait_until(lambda: len(steady.records) == 3000)
    assert not slow.kept
    slow.answers.set()
    wait_until(lambda: set(slow.kept) == set(ids))


def test_what_is_on_disk_is_delivered_by_the_next_process(tmp_path: Path, make: Make) -> None:
    fickle = FickleChest()
    fickle.is_down = True
    recorder = make(fickle)
    ids = offer(recorder, 300)
    wait_until(lambda: spooled(tmp_path, fickle) == 300)
    recorder.close(0.2)
    successor = FickleChest()
    next_one = make(successor)
    next_one.prepare()
    wait_until(lambda: set(successor.kept) == set(ids))
    wait_until(lambda: next_one.stats().get("unspooled") == {"fickle:": 300})  # counted when it is taken off the disk


def test_at_the_end_what_only_one_of_the_chests_has_is_put_on_disk_for_the_other(tmp_path: Path, make: Make) -> None:
    steady, fickle = FickleChest("steady:"), FickleChest()
    fickle.is_down = True
    recorder = make(fickle, steady)
    ids = offer(recorder, 50)
    wait_until(lambda: set(steady.kept) == set(ids))
    answer = recorder.close(60)
    assert (bool(answer), answer.spooled, answer.waiting) == (False, 50, 0)
    assert spooled(tmp_path, fickle) == 50
    assert list(tmp_path.glob("*.ring")) == []


def test_a_chest_that_hangs_keeps_a_close_no_longer_than_its_timeout_and_loses_nothing(
    tmp_path: Path, make: Make
) -> None:
    hanging = FickleChest("a:"), FickleChest("b:")
    for chest in hanging:
        chest.answers.clear()
    recorder = make(*hanging)
    ids = offer(recorder, 200)
    wait_until(lambda: all(chest.tries for chest in hanging))
    begin = time.monotonic()
    assert not recorder.close(0.5)
    assert time.monotonic() - begin < 20  # they would hang for a minute
    for chest in hanging:  # what hangs ends with its process, and so does what it holds
        chest.is_down = True
        chest.answers.set()
    successors = FickleChest("a:"), FickleChest("b:")
    make(*successors).prepare()
    wait_until(lambda: all(set(chest.kept) == set(ids) for chest in successors))


def test_with_no_room_on_disk_records_wait_in_the_ring_and_nothing_breaks(
    tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(SpoolFile, "add", full)
    fickle = FickleChest()
    fickle.is_down = True
    recorder = make(fickle)
    ids = offer(recorder, 10_000)
    wait_until(lambda: recorder.stats().get("spool_failed", 0) >= 1)
    assert recorder.stats()["dropped"] == {"ring_full": 10_000 - len(ids)}
    fickle.is_down = False
    wait_until(lambda: set(fickle.kept) == set(ids))


def test_with_no_room_on_disk_a_dead_chest_gives_up_its_own_so_that_the_others_lose_nothing(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    steady, fickle = MemoryChest(), FickleChest()
    fickle.is_down = True
    recorder = make(fickle, steady, spool_bytes=0)
    ids: list[str] = []
    while len(ids) < 8000:
        ids += offer(recorder, 50, pause=0.0001)
    wait_until(lambda: len(steady.records) > 4000)
    assert recorder.stats()["dropped"].keys() == {"no_spool"}


def test_a_record_that_is_refused_goes_to_the_dead_letters(tmp_path: Path, make: Make) -> None:
    from tests.delivery.test_worker import ScriptedChest

    chest = ScriptedChest()
    recorder = make(chest)
    recorder.prepare()
    records = [
        make_record(recorder.request_side.record_ids, path="/poison" if number == 3 else "/") for number in range(6)
    ]
    for record in records:
        recorder.offer(record)
    wait_until(lambda: len(chest.kept) == 5)
    file = SpoolFile(spool_path(tmp_path, chest.name))
    [letter] = DeadLetters(file).list()
    file.close()
    assert letter.record.id == records[3].id
    assert letter.reason == "poison"
    assert abs(letter.died_ns / 1e9 - time.time()) < 60
    assert recorder.stats()["dead_letters"] == {"scripted:": 1}
    assert "dropped" not in recorder.stats()
