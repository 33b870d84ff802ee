"""``ChestWorker``: batches on their way to one chest, its failures, and its spool."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import pytest

from chest.chests.contract import Chest
from chest.delivery.backoff import FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS
from chest.delivery.batch import Batch
from chest.delivery.worker import ChestWorker
from chest.delivery.writer import ChestWriter, batch_write
from chest.errors import ChestUnavailable, RecordRejected
from chest.record.counters import Counters
from chest.record.record import Record
from tests.support import make_record


class ScriptedChest(Chest):
    """Raises what it is told, else keeps the records; refuses those whose path is ``/poison``."""

    def __init__(self, *raises: BaseException, names_the_refused: bool = True) -> None:
        self.name = "scripted:"
        self.raises = list(raises)
        self.names_the_refused = names_the_refused
        self.kept: list[Record] = []
        self.writes = 0
        self.is_open = False

    def open(self) -> None:
        self.is_open = True

    def write(self, records: Sequence[Record]) -> None:
        self.writes += 1
        if self.raises:
            raise self.raises.pop(0)
        refused = [record.id for record in records if record.path == "/poison"]
        if refused:
            raise RecordRejected("poison", refused if self.names_the_refused else ())
        self.kept += records

    def check(self) -> None: ...

    def close(self) -> None:
        self.is_open = False


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class UnspeakableError(ChestUnavailable):
    def __str__(self) -> str:
        raise ValueError("no words")


def writer_of(chest: Chest) -> tuple[ChestWriter, Counters, Clock]:
    counters, clock = Counters(), Clock()
    return ChestWriter(chest, counters, clock), counters, clock


def test_a_batch_is_written_once_and_counted() -> None:
    chest = ScriptedChest()
    writer, counters, _ = writer_of(chest)
    records = [make_record(), make_record()]
    assert writer.write(batch_write(records))
    assert chest.is_open
    assert chest.kept == records
    assert counters.get("written.scripted:") == 2


@pytest.mark.parametrize(
    "error",
    [
        ChestUnavailable("down"),
        OSError("reset"),
        MemoryError(),
        ZeroDivisionError(),
        SystemExit(1),
        GeneratorExit(),
        asyncio.CancelledError(),
        UnspeakableError("down"),
    ],
)
def test_whatever_a_chest_raises_the_batch_is_kept_for_later(error: BaseException) -> None:
    chest = ScriptedChest(error)
    writer, counters, clock = writer_of(chest)
    assert not writer.write(batch_write([make_record()]))
    assert counters.get("failed_writes.scripted:") == 1
    assert writer.seconds_to_wait() > 0
    clock.now += writer.seconds_to_wait()
    assert writer.seconds_to_wait() == 0
    assert writer.write(batch_write([make_record()]))
    assert len(chest.kept) == 1


def test_the_wait_grows_up_to_its_cap_and_is_anything_below(monkeypatch: pytest.MonkeyPatch) -> None:
    ranges: list[tuple[float, float]] = []

    def longest(low: float, high: float) -> float:
        ranges.append((low, high))
        return high

    monkeypatch.setattr("chest.delivery.backoff.random.uniform", longest)
    writer, _, clock = writer_of(ScriptedChest(*[ChestUnavailable("down")] * 20))
    for _ in range(20):
        writer.write(batch_write([make_record()]))
        assert writer.seconds_to_wait() == pytest.approx(ranges[-1][1])
        clock.now += 100
    assert {low for low, _ in ranges} == {0}
    assert [high for _, high in ranges][:4] == [FIRST_WAIT_SECONDS * 2**doubled for doubled in range(4)]
    assert ranges[-1][1] == LONGEST_WAIT_SECONDS


def test_the_store_is_given_the_time_it_asked_for() -> None:
    writer, _, _ = writer_of(ScriptedChest(ChestUnavailable("busy", retry_after=77)))
    writer.write(batch_write([make_record()]))
    assert writer.seconds_to_wait() == 77


def test_a_store_that_asks_to_be_tried_at_once_and_fails_again_is_given_ever_more_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("chest.delivery.backoff.random.uniform", lambda low, high: high)
    writer, _, clock = writer_of(ScriptedChest(*[ChestUnavailable("busy", retry_after=0)] * 10))
    waits = []
    for _ in range(10):
        writer.write(batch_write([make_record()]))
        waits.append(writer.seconds_to_wait())
        clock.now += 100
    assert waits[:3] == pytest.approx([FIRST_WAIT_SECONDS * 2**doubled for doubled in range(3)])
    assert waits[-1] == pytest.approx(LONGEST_WAIT_SECONDS)


@pytest.mark.parametrize("names_the_refused", [True, False])
def test_a_record_that_is_refused_costs_no_other_record(names_the_refused: bool) -> None:
    chest = ScriptedChest(names_the_refused=names_the_refused)
    writer, counters, _ = writer_of(chest)
    records = [make_record(path="/poison" if number in (3, 4, 90) else "/") for number in range(100)]
    assert writer.write(batch_write(records))
    assert chest.kept == [record for record in records if record.path == "/"]
    assert counters.snapshot()["dropped"] == {"rejected": 3}
    assert counters.get("written.scripted:") == 97


def test_a_failure_is_logged_once_and_so_is_its_end(caplog: pytest.LogCaptureFixture) -> None:
    writer, _, _ = writer_of(ScriptedChest(*[ChestUnavailable("down for maintenance")] * 3))
    with caplog.at_level(logging.INFO, "chest.delivery"):
        for _ in range(4):
            writer.write(batch_write([make_record()]))
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    assert "down for maintenance" in caplog.records[0].message
    assert "again after 3" in caplog.records[1].message


def test_a_handler_of_the_application_s_that_raises_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise RuntimeError("no log today")

    handler = Broken()
    logging.getLogger("chest.delivery").addHandler(handler)
    try:
        writer, counters, clock = writer_of(ScriptedChest(ChestUnavailable("down")))
        assert not writer.write(batch_write([make_record()]))
        clock.now += 100
        assert writer.write(batch_write([make_record()]))
    finally:
        logging.getLogger("chest.delivery").removeHandler(handler)
    assert counters.get("failed_writes.scripted:") == 1


def test_a_chest_in_a_hurry_is_told_what_is_left_and_again_when_that_is_much_less() -> None:
    class Told(ScriptedChest):
        def __init__(self) -> None:
            super().__init__()
            self.told: list[float] = []

        def wait_at_most(self, seconds: float) -> bool:
            self.told.append(seconds)
            return seconds > 1

    chest = Told()
    clock = Clock()
    worker = ChestWorker(chest, Counters(), clock)
    worker.writer.set_deadline(clock.now + 3)
    for seconds in (0.0, 0.1, 0.1, 1.0, 1.0):
        clock.now += seconds
        worker.put(Batch([make_record()], 1))
        worker.step()
    assert chest.told == [3.0, pytest.approx(1.8), pytest.approx(0.8)]
    assert len(chest.kept) == 4, "the last is left to the next start"
    assert worker.writer.should_give_up
    clock.now += 1
    assert not worker.step()
    assert len(chest.told) == 3
