"""How a recorder is: told as warnings, never worse, from its counters and its chests' checks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from chest import ChestUnavailable, Recorder
from chest.chests.contract import Chest
from chest.chests.memory import MemoryChest
from chest.dockerflow import checks, health
from chest.dockerflow.recorder_checks import RecorderChecks
from chest.errors import LoginRefused
from chest.record.record import Record
from chest.settings.settings import Settings
from tests.support import make_record, wait_until


class Troubled(Chest):
    """Raises what it is told to, in place of whatever it is asked for."""

    def __init__(self, name: str, error: Exception) -> None:
        self.name = name
        self.error = error

    def open(self) -> None:
        raise self.error

    def write(self, records: Sequence[Record]) -> None:
        raise self.error

    def check(self) -> None:
        raise self.error

    def close(self) -> None: ...


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Stub:
    """A recorder with the counters that a test gives it."""

    chests = ()
    settings = Settings()

    def __init__(self, **counters: Any) -> None:
        self.counters = counters

    def stats(self) -> dict[str, Any]:
        ring = {"is_durable": True, "capacity_bytes": 1000, "pending_bytes": self.counters.pop("pending_bytes", 0)}
        return {"ring": ring, "delivery_is_running": True} | self.counters


def run(recorder_checks: RecorderChecks) -> checks.ChecksResults:
    return checks.run_checks(recorder_checks.by_name().items())


def ids(recorder_checks: RecorderChecks) -> set[str]:
    return {found for detail in run(recorder_checks).details.values() for found in detail["messages"]}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    with Recorder([MemoryChest()], directory=tmp_path) as recorder:
        yield recorder


def test_a_recorder_that_delivers_has_nothing_to_say(recorder: Recorder) -> None:
    found = RecorderChecks(recorder)
    assert run(found).level == 0
    recorder.prepare()
    recorder.offer(make_record())
    assert recorder.flush(60)
    assert run(found).statuses == {
        "check_chest_memory": "ok",
        "check_delivery_alive": "ok",
        "check_records_dropped": "ok",
        "check_ring_durable": "ok",
        "check_ring_filling": "ok",
        "check_spool_growing": "ok",
        "check_transfers_on_time": "ok",
    }


def test_checks_are_equal_each_time_so_that_their_results_can_be_kept(recorder: Recorder) -> None:
    found = RecorderChecks(recorder)
    assert found.by_name() == found.by_name()


def test_each_chest_has_a_check_of_its_own(tmp_path: Path) -> None:
    down = ChestUnavailable("memory:shop is down; start it")
    with Recorder([MemoryChest(), MemoryChest(), Troubled("memory:shop", down)], directory=tmp_path) as recorder:
        results = run(RecorderChecks(recorder))
    assert [name for name in results.statuses if "chest" in name] == [
        "check_chest_memory",
        "check_chest_memory_2",
        "check_chest_memory_3",
    ]
    assert results.details == {
        "check_chest_memory_3": {
            "status": "warning",
            "level": 30,
            "messages": {
                health.WARNING_CHEST_UNREACHABLE: "Records cannot be written now (ChestUnavailable); the log says why."
            },
        }
    }


def test_why_a_store_fails_is_in_the_log_and_in_a_heartbeat_only_if_asked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    down = LoginRefused("postgresql://shop_user@db1.example.com/orders refuses the login")
    late = {"archive": {"ticks_behind": 3, "last_error": str(down)}}
    with Recorder([Troubled("postgresql://shop_user@db1.example.com/orders", down)], directory=tmp_path) as recorder:
        hidden, shown = RecorderChecks(recorder), RecorderChecks(recorder, shows_stores=True)
        assert "shop_user" not in f"{run(hidden)}"
        assert "orders" not in f"{run(hidden)}"
        assert "LoginRefused" in f"{run(hidden).details}"
        assert str(down) in caplog.text
        assert str(down) in f"{run(shown).details}"
    stub = Stub(scheduled_transfers=late)
    assert "shop_user" not in f"{run(RecorderChecks(stub))}"  # type: ignore[arg-type]
    assert str(down) in f"{run(RecorderChecks(stub, shows_stores=True))}"  # type: ignore[arg-type]


def test_what_a_chest_of_the_user_s_raises_is_not_shown(tmp_path: Path) -> None:
    with Recorder([Troubled("it's mine", ValueError("hunter2"))], directory=tmp_path) as recorder:
        results = run(RecorderChecks(recorder))
    assert results.details["check_chest_it_s_mine"]["messages"] == {
        health.WARNING_CHEST_UNREACHABLE: "The chest's check raised ValueError."
    }


def test_a_real_ring_that_fills_is_told(tmp_path: Path) -> None:
    chest = Troubled("down", ChestUnavailable("down"))
    recorder = Recorder([chest], directory=tmp_path, ring_bytes=1 << 20, shutdown_seconds=0)
    found = RecorderChecks(recorder)
    recorder.prepare()
    assert health.WARNING_RING_FILLING not in ids(found)
    while recorder.offer(make_record(variables={"text": "x" * 4000})):
        pass
    assert {health.WARNING_RING_FILLING, health.WARNING_RECORDS_DROPPED} <= ids(found)
    messages = run(found).details["check_records_dropped"]["messages"]
    assert messages[health.WARNING_RECORDS_DROPPED].startswith(
        "Records were dropped; by this process since it began: ring_full "
    )
    recorder.close(0)


def test_drops_are_told_for_five_minutes_after_the_last(clock: Clock) -> None:
    stub = Stub(dropped={"ring_full": 1})
    found = RecorderChecks(stub, clock)  # type: ignore[arg-type]
    assert ids(found) == {health.WARNING_RECORDS_DROPPED}
    clock.now += 299
    assert ids(found) == {health.WARNING_RECORDS_DROPPED}
    clock.now += 2
    assert ids(found) == set()
    stub.counters["dropped"] = {"ring_full": 1, "rejected": 1}
    assert ids(found) == {health.WARNING_RECORDS_DROPPED}


def test_counters_that_begin_anew_are_not_taken_for_drops(clock: Clock) -> None:
    stub = Stub(dropped={"ring_full": 5})
    found = RecorderChecks(stub, clock)  # type: ignore[arg-type]
    ids(found)
    clock.now += 301
    stub.counters["dropped"] = {}
    assert ids(found) == set()
    stub.counters["dropped"] = {"ring_full": 1}
    assert ids(found) == {health.WARNING_RECORDS_DROPPED}


@pytest.mark.parametrize(("few", "more"), [({"sqlite:///a.db": 3}, {"sqlite:///a.db": 3, "memory": 2})])
def test_a_spool_that_grows_is_told_for_five_minutes(few: Any, more: Any, clock: Clock) -> None:
    stub = Stub(spooled=few)
    found = RecorderChecks(stub, clock)  # type: ignore[arg-type]
    assert ids(found) == {health.WARNING_SPOOL_GROWING}
    clock.now += 301
    assert ids(found) == set()
    stub.counters["spooled"] = more
    assert ids(found) == {health.WARNING_SPOOL_GROWING}


@pytest.mark.kept_memory
def test_a_ring_that_a_kill_would_lose_is_told_until_it_is_in_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chest.delivery.own_ring.ADOPT_EVERY_SECONDS", 0.05)
    monkeypatch.setattr("chest.recorder.ring_keeper._FIRST_WAIT_SECONDS", 0.1)
    rings = tmp_path / "rings"
    rings.touch()
    with Recorder([MemoryChest()], directory=rings) as recorder:
        assert ids(RecorderChecks(recorder)) == set()  # no request was served yet
        recorder.prepare()
        assert ids(RecorderChecks(recorder)) == {health.WARNING_RING_IN_MEMORY}
        rings.unlink()
        wait_until(lambda: not ids(RecorderChecks(recorder)), 60)
    assert ids(RecorderChecks(recorder)) == set()


def test_an_exporter_that_ended_is_told_while_records_wait() -> None:
    assert ids(RecorderChecks(Stub(delivery_is_running=False))) == set()  # type: ignore[arg-type]
    waiting = Stub(delivery_is_running=False, pending_bytes=10)
    assert ids(RecorderChecks(waiting)) == {health.WARNING_DELIVERY_STOPPED}  # type: ignore[arg-type]


def test_a_real_exporter_that_could_not_be_started_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise RuntimeError("can't start new thread")

    with Recorder([MemoryChest()], directory=tmp_path) as recorder:
        with monkeypatch.context() as patched:
            patched.setattr("chest.delivery.background.BackgroundDelivery.start", refused)
            recorder.prepare()
            recorder.offer(make_record())
            assert ids(RecorderChecks(recorder)) == {health.WARNING_DELIVERY_STOPPED}
        recorder.request_side.fork_guard[0] = 0
        recorder.prepare()
        wait_until(lambda: not ids(RecorderChecks(recorder)))


def test_an_exporter_is_not_missed_where_another_process_delivers(tmp_path: Path) -> None:
    with Recorder([MemoryChest()], directory=tmp_path, delivery="external") as recorder:
        recorder.prepare()
        recorder.offer(make_record())
        assert recorder.stats()["ring"]["pending_bytes"] > 0
        assert ids(RecorderChecks(recorder)) == set()


def test_a_transfer_that_is_late_is_told_with_its_reason() -> None:
    late = {"ticks_behind": 3, "last_error": "the target is down."}
    on_time = {"ticks_behind": 1, "last_error": None}
    found = RecorderChecks(Stub(scheduled_transfers={"archive": late, "metrics": on_time}), shows_stores=True)  # type: ignore[arg-type]
    (message,) = found.check_transfers_on_time()
    assert message.msg == "Transfer archive is 3 ticks behind: the target is down."
    assert message.id == health.WARNING_TRANSFER_BEHIND == health.WARNING_EXPORT_BEHIND
    assert found.check_exports_on_time() == [message], "by its former name"


def test_the_spool_of_a_recorder_whose_chest_is_down_is_told(tmp_path: Path) -> None:
    down = Troubled("down:", ChestUnavailable("the store is down"))
    with Recorder([down], directory=tmp_path, service="shop") as recorder:
        of_recorder = RecorderChecks(recorder)
        assert of_recorder.check_spool_growing() == []
        recorder.prepare()
        assert recorder.offer(make_record(recorder.request_side.record_ids))
        wait_until(lambda: "spooled" in recorder.stats())
        [message] = of_recorder.check_spool_growing()
        assert (message.id, message.level) == ("chest.health.W004", checks.WARNING)
