"""What ``flush`` and ``close`` answer: delivered, on disk, and waiting are told apart, and only the first is true."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chest import Recorder
from chest.chests.contract import Chest
from chest.chests.memory import MemoryChest
from chest.delivery.flush import Delivered
from chest.recorder.directory_recovery import recover_directory
from tests.delivery.test_outages import FickleChest, offer
from tests.support import wait_until

Make = Callable[..., Recorder]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    monkeypatch.setattr("chest.delivery.spool_policy.SPOOL_AFTER_SECONDS", 0.1)
    monkeypatch.setattr("chest.delivery.spool_policy.SPOOL_SOON_SECONDS", 0.1)
    monkeypatch.setattr("chest.delivery.own_ring.ADOPT_EVERY_SECONDS", 0.2)
    monkeypatch.setattr("chest.delivery.backoff.LONGEST_WAIT_SECONDS", 0.2)
    made: list[Recorder] = []

    def make(*chests: Chest, **options: object) -> Recorder:
        options = {"flush_seconds": 0.02, "ring_bytes": 1 << 20, "service": "shop", "directory": tmp_path, **options}
        made.append(Recorder(chests, **options))
        return made[-1]

    yield make
    for recorder in made:
        recorder.close(0)


def parts(answer: Delivered) -> tuple[bool, int, int, int]:
    return bool(answer), answer.delivered, answer.spooled, answer.waiting


def test_what_is_in_every_chest_is_delivered(make: Make) -> None:
    recorder = make(MemoryChest("memory:one-delivered"), MemoryChest("memory:other-delivered"))
    offer(recorder, 10)
    assert parts(recorder.flush(60)) == (True, 10, 0, 0)
    assert parts(recorder.close(60)) == (True, 10, 0, 0)
    assert parts(recorder.close()) == (True, 10, 0, 0)


def test_what_was_put_on_disk_for_a_store_that_is_down_is_not_delivered(
    make: Make, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    fickle = FickleChest()
    fickle.is_down = True
    recorder = make(fickle)
    offer(recorder, 10)
    wait_until(lambda: sum(recorder.stats().get("spooled", {}).values()) == 10, 60)
    assert parts(recorder.flush(60)) == (False, 0, 10, 0)
    with caplog.at_level(logging.WARNING, "chest"):
        assert parts(recorder.close(60)) == (False, 0, 10, 0)
    said = caplog.records[-1].getMessage()
    assert said == (
        f"chest: records wait in {tmp_path}: 10 on disk for fickle:. The next process of service shop delivers them,"
        f" or: chest recover {tmp_path}"
    )


def test_what_waits_in_the_ring_is_told_with_the_place(
    make: Make, caplog: pytest.LogCaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chest.delivery.spool_policy.SPOOL_AFTER_SECONDS", 60)
    fickle = FickleChest()
    fickle.is_down = True
    recorder = make(fickle)
    offer(recorder, 10)
    assert parts(recorder.flush(0.3)) == (False, 0, 0, 10)
    with caplog.at_level(logging.WARNING, "chest"):
        assert parts(recorder.close(0.5)) == (False, 0, 0, 10)
    assert f"records wait in {tmp_path}: 10 in the ring." in caplog.records[-1].getMessage()


def test_one_chest_that_is_down_is_enough(make: Make) -> None:
    fickle, steady = FickleChest(), MemoryChest()
    fickle.is_down = True
    recorder = make(fickle, steady)
    offer(recorder, 10)
    wait_until(lambda: sum(recorder.stats().get("spooled", {}).values()) == 10, 60)
    assert parts(recorder.flush(60)) == (False, 0, 10, 0)
    assert len(steady.records) == 10


def test_a_flush_waits_for_what_is_being_taken_from_the_disk(make: Make) -> None:
    fickle = FickleChest()
    fickle.is_down = True
    recorder = make(fickle)
    offer(recorder, 10)
    wait_until(lambda: sum(recorder.stats().get("spooled", {}).values()) == 10, 60)
    fickle.is_down = False
    wait_until(lambda: recorder.flush(1), 60)
    assert parts(recorder.close(60)) == (True, 10, 0, 0)


def test_what_another_process_has_delivered_from_the_disk_is_delivered(make: Make, tmp_path: Path) -> None:
    fickle = FickleChest()
    fickle.is_down = True
    recorder = make(fickle)
    offer(recorder, 10)
    wait_until(lambda: sum(recorder.stats().get("spooled", {}).values()) == 10, 60)
    recorder.close(5)
    assert recorder.close(60).spooled == 10
    other = MemoryChest()
    assert recover_directory(tmp_path, [other], "fickle").records == 10
    assert recorder.close(60).spooled == 0


def test_what_is_lost_with_a_ring_in_memory_is_said(
    make: Make, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    fickle = FickleChest()
    fickle.is_down = True
    recorder = make(fickle, directory=tmp_path / "file")
    offer(recorder, 10)
    with caplog.at_level(logging.WARNING, "chest"):
        assert parts(recorder.close(0.5)) == (False, 0, 0, 10)
    assert "10 records are lost with this process" in caplog.text


def test_the_answer_is_a_number_as_true_and_false_are() -> None:
    assert json.dumps([Delivered(True), Delivered(True, spooled=1), Delivered(False)]) == "[1, 0, 0]"
    assert repr(Delivered(False, spooled=3, waiting=2)) == "<Delivered False: delivered 0, spooled 3, waiting 2>"
    assert Delivered(True) == True  # noqa: E712
