"""A transfer that is followed goes on, whatever is down meanwhile, until it is stopped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from chest.chests.contract import Received, StreamChest, StreamReader
from chest.chests.memory import MemoryChest
from chest.errors import ChestUnavailable, SchemaMismatch, SettingsError
from chest.record.record import Record
from chest.transfer import StreamTransfer
from chest.transfer.streams.follow import follow_stream
from tests.support import make_record


class Shelf(StreamChest):
    """A stream whose readers share one list, and that fails as it is told."""

    name = "shelf:"

    def __init__(self) -> None:
        self.waiting: list[Record] = []
        self.failures: list[Exception] = []
        self.acknowledged: list[Record] = []

    def reader(self, name: str) -> StreamReader:
        return _ShelfReader(self)

    def open(self) -> None: ...
    def write(self, records: Sequence[Record]) -> None:
        self.waiting += records

    def check(self) -> None: ...
    def close(self) -> None: ...


class _ShelfReader(StreamReader):
    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def receive(self, limit: int, wait_seconds: float = 0.0) -> Received:
        if self._shelf.failures:
            raise self._shelf.failures.pop(0)
        return Received(self._shelf.waiting[:limit])

    def acknowledge(self, received: Received) -> None:
        del self._shelf.waiting[: len(received.records)]
        self._shelf.acknowledged += received.records

    def pending(self) -> int:
        return len(self._shelf.waiting)

    def close(self) -> None: ...


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


class Stop:
    """True after it was asked so often."""

    def __init__(self, times: int) -> None:
        self.left = times

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


def test_it_goes_on_until_it_is_stopped_and_adds_up(shelf: Shelf) -> None:
    target = MemoryChest()
    shelf.write([make_record() for _ in range(5)])
    transfer = StreamTransfer(shelf, target, batch_records=2)
    result = follow_stream(transfer, Stop(8))
    assert (result.read, result.written, result.is_complete) == (5, 5, True)
    assert target.records == shelf.acknowledged


def test_what_is_down_is_waited_for_longer_and_longer_and_said_once(
    shelf: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    shelf.failures = [ChestUnavailable(f"shelf: is down, {number}") for number in range(8)]
    shelf.write([make_record()])
    paused: list[float] = []
    result = follow_stream(StreamTransfer(shelf, MemoryChest()), lambda: bool(shelf.acknowledged), paused.append)
    assert result.written == 1
    assert sum(paused) == 1 + 2 + 4 + 8 + 16 + 30 + 30 + 30
    assert max(paused) <= 1, "it looks each second whether it is to stop"
    assert [record.getMessage() for record in caplog.records] == [
        "chest: memory waits, and loses nothing: shelf: is down, 0",
        "chest: memory works again",
    ]


def test_it_stops_while_it_waits(shelf: Shelf) -> None:
    shelf.failures = [ChestUnavailable("down")] * 100
    paused: list[Any] = []
    follow_stream(StreamTransfer(shelf, MemoryChest()), lambda: len(paused) >= 10, paused.append)
    assert len(paused) == 10


def test_what_was_done_before_a_failure_is_counted_once(shelf: Shelf) -> None:
    class FailsOnce(MemoryChest):
        writes = 0

        def write(self, records: Sequence[Record]) -> None:
            self.writes += 1
            if self.writes == 2:
                raise ChestUnavailable("memory: is down")
            super().write(records)

    shelf.write([make_record() for _ in range(4)])
    transfer = StreamTransfer(shelf, FailsOnce(), batch_records=2)
    result = follow_stream(transfer, lambda: not shelf.waiting, lambda _: None)
    assert (result.read, result.written) == (4, 4)


@pytest.mark.parametrize("error", [SettingsError("wrong"), ValueError("a bug")])
def test_what_waiting_does_not_mend_ends_it(shelf: Shelf, error: Exception) -> None:
    shelf.failures = [error]
    with pytest.raises(type(error)):
        follow_stream(StreamTransfer(shelf, MemoryChest()), Stop(5))


def test_a_table_that_does_not_fit_is_waited_for(shelf: Shelf) -> None:
    shelf.failures = [SchemaMismatch("the table has no column")]
    shelf.write([make_record()])
    assert follow_stream(StreamTransfer(shelf, MemoryChest()), lambda: not shelf.waiting, lambda _: None).written == 1
