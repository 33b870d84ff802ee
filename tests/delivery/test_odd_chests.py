"""Chests that raise what no chest should, in delivery as it runs: its threads go on, and every record arrives."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from chest import Recorder
from chest.chests.contract import Chest
from chest.chests.memory import MemoryChest
from chest.record.record import Record
from tests.support import make_record, wait_until


class OddChest(Chest):
    """Raises an error in each of its methods, some times in turn, before it does its work."""

    name = "odd:"

    def __init__(self, error: BaseException, times: int) -> None:
        self.error = error
        self.left = {"open": times, "write": times, "close": times}
        self.kept: list[str] = []

    def _maybe_raise(self, method: str) -> None:
        if self.left[method]:
            self.left[method] -= 1
            raise self.error

    def open(self) -> None:
        self._maybe_raise("open")

    def write(self, records: Sequence[Record]) -> None:
        self._maybe_raise("write")
        self.kept += [record.id for record in records]

    def check(self) -> None: ...

    def close(self) -> None:
        self._maybe_raise("close")


class Unspeakable(BaseException):
    def __str__(self) -> str:
        raise ValueError("no words")

    __repr__ = __str__


@pytest.mark.parametrize("others", [0, 1])
@pytest.mark.parametrize(
    "error", [asyncio.CancelledError(), GeneratorExit(), SystemExit(3), StopIteration(), Unspeakable()]
)
def test_whatever_a_chest_raises_no_thread_ends_and_every_record_arrives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, others: int
) -> None:
    monkeypatch.setattr("chest.delivery.backoff.LONGEST_WAIT_SECONDS", 0.05)
    odd = OddChest(error, 3)
    recorder = Recorder(
        [odd, *[MemoryChest() for _ in range(others)]], directory=tmp_path, service="shop", flush_seconds=0.02
    )
    recorder.prepare()
    records = [make_record(recorder.request_side.record_ids) for _ in range(20)]
    for record in records:
        assert recorder.offer(record)
    wait_until(lambda: len(odd.kept) >= 20)
    stats = recorder.stats()
    assert "delivery_restarts" not in stats
    assert "chest_thread_restarts" not in stats
    assert recorder.close(60)
    assert odd.kept == [record.id for record in records]
