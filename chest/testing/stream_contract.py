"""``StreamChestContract``: the contract of streams, as tests to run over yours.

.. code-block:: python

    class TestMyStream(StreamChestContract):
        @pytest.fixture
        def chest(self, tmp_path):
            with MyStream(f"mystream:{tmp_path}") as chest:
                yield chest
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import ClassVar

from chest.chests.contract import Chest, StreamChest
from chest.record.record import Record
from chest.testing.contract import ChestContract
from chest.testing.records import make_record

__all__ = ["StreamChestContract"]

_AT_ONCE = 5000


class StreamChestContract(ChestContract):
    """What every stream keeps, beside :class:`ChestContract`. A reader of a new name shows what was stored."""

    again_seconds: ClassVar[float] = 60.0
    """How long what a closed reader left may take to be given again."""

    def stored_records(self, chest: Chest) -> list[Record]:
        assert isinstance(chest, StreamChest)
        return _taken(chest, f"look {time.monotonic_ns()}", self.again_seconds)

    def test_a_stream_that_holds_nothing_gives_nothing(self, chest: StreamChest) -> None:
        chest.open()
        reader = chest.reader("one")
        assert reader.pending() == 0
        assert reader.receive(10) == reader.receive(10, 0.05)
        assert not reader.receive(10).records
        reader.close()
        reader.close()

    def test_each_record_is_given_once_and_no_more_than_asked_for(self, chest: StreamChest) -> None:
        chest.write(records := [make_record(request_id=str(place)) for place in range(25)])
        reader = chest.reader("one")
        found: list[Record] = []

        def take() -> bool:
            received = reader.receive(10, 1.0)
            assert len(received.records) <= 10
            found.extend(received.records)
            return len(found) >= len(records)

        _wait_until(take, self.again_seconds)
        assert _by_id(found) == _by_id(records)
        assert not reader.receive(10).records
        assert reader.pending() == 25, "none was acknowledged"
        reader.close()

    def test_what_was_acknowledged_is_not_given_again_and_all_else_is(self, chest: StreamChest) -> None:
        chest.write(records := [make_record(request_id=str(place)) for place in range(20)])
        reader = chest.reader("one")
        _wait_until(lambda: reader.pending() == 20, self.again_seconds)
        first = reader.receive(5, 10.0)
        reader.acknowledge(first)
        assert first.records
        assert reader.pending() == 20 - len(first.records)
        reader.receive(5, 1.0)
        reader.close()
        rest: list[Record] = []

        def take() -> bool:
            rest.extend(_taken(chest, "one", self.again_seconds))
            return len(rest) >= 20 - len(first.records)

        _wait_until(take, self.again_seconds)
        assert _by_id([*first.records, *rest]) == _by_id(records)
        with closing(chest.reader("one")) as reader:
            assert reader.pending() == 0

    def test_each_name_gets_every_record_from_the_oldest_on(self, chest: StreamChest) -> None:
        chest.write(records := [make_record() for _ in range(5)])
        for name in ("one", "two", "a name: of/any text ☃", "postgresql://user:***@host/shop?table=a.b"):
            assert _by_id(_taken(chest, name, self.again_seconds)) == _by_id(records)
        chest.write(more := [make_record()])
        assert _taken(chest, "one", self.again_seconds) == more

    def test_a_reader_that_waits_gets_what_is_written_meanwhile(self, chest: StreamChest) -> None:
        chest.write([make_record()])
        assert len(_taken(chest, "one", self.again_seconds)) == 1
        reader = chest.reader("one")
        writer = threading.Timer(0.2, chest.write, [[record := make_record()]])
        writer.start()
        found: Sequence[Record] = []
        deadline = time.monotonic() + self.again_seconds
        while not found and time.monotonic() < deadline:
            found = reader.receive(10, 5.0).records
        writer.join()
        reader.close()
        assert list(found) == [record]


def _taken(chest: StreamChest, name: str, seconds: float) -> list[Record]:
    """All that a reader of this name gets, acknowledged."""
    deadline = time.monotonic() + seconds
    found: list[Record] = []
    with closing(chest.reader(name)) as reader:
        while (received := reader.receive(_AT_ONCE, 0.2)).records or received.unreadable or reader.pending():
            assert time.monotonic() < deadline, "records are pending and not given"
            found += received.records
            reader.acknowledge(received)
    return found


def _wait_until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.02)


def _by_id(records: Sequence[Record]) -> list[Record]:
    return sorted(records, key=lambda record: record.id)
