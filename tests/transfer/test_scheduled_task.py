"""``ScheduledTransfer`` and ``ScheduledRetention``: one of many has a tick; what fails goes on; what is seen of it."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from chest.chests.memory import MemoryChest
from chest.chests.sql.sqlite.chest import SQLiteChest
from chest.errors import ChestUnavailable, SettingsError
from chest.record.record import Record
from chest.system.threads import start_thread
from chest.transfer import ScheduledRetention, ScheduledTransfer
from tests.processes import run_python
from tests.support import make_record, wait_until
from tests.transfer.conftest import LogChest

HOUR = 3600.0


@pytest.fixture
def url(source: SQLiteChest, tmp_path: Path) -> str:
    source.write([make_record(path=str(place)) for place in range(3)])
    return f"sqlite:///{tmp_path / 'source.sqlite3'}"


@pytest.fixture
def started() -> Iterator[ExitStack]:
    """What is begun in a test, ended after it."""
    with ExitStack() as stack:
        yield stack


def _start(stack: ExitStack, *arguments: Any, **options: Any) -> ScheduledTransfer:
    exporter = ScheduledTransfer(*arguments, **options)
    exporter.start()
    stack.callback(exporter.shutdown)
    return exporter


def test_what_is_recorded_arrives_tick_by_tick(
    started: ExitStack, url: str, source: SQLiteChest, log: LogChest
) -> None:
    exporter = _start(started, url, log, 0.2)
    exporter.start()
    wait_until(lambda: len(log.records) == 3)
    source.write([make_record(path="later")])
    wait_until(lambda: len(log.records) == 4)
    wait_until(lambda: exporter.stats()["runs"] >= 2)
    stats = exporter.stats()
    assert (stats["is_started"], stats["written"], stats["failed_runs"], stats["last_error"]) == (True, 4, 0, None)
    assert stats["next_run_time"] > 0


def test_of_several_one_has_a_tick(started: ExitStack, url: str, tmp_path: Path) -> None:
    target = MemoryChest()
    exporters = [_start(started, url, target, 0.5, name="same") for _ in range(4)]
    wait_until(lambda: sum(each.stats()["runs"] for each in exporters) >= 4)
    first = exporters[0].stats()
    runs, seconds = sum(each.stats()["runs"] for each in exporters), first["last_finished_time"] - _created(exporters)
    assert runs <= seconds / 0.5 + 3, "more runs than ticks"


def _created(exporters: list[ScheduledTransfer]) -> float:
    return min(each._created.timestamp() for each in exporters)


def test_a_target_that_is_down_is_said_once_and_the_next_tick_goes_on(
    started: ExitStack, url: str, log: LogChest, caplog: pytest.LogCaptureFixture
) -> None:
    log.fails_at = {1, 2}
    with caplog.at_level(logging.WARNING, "chest.transfer"):
        exporter = _start(started, url, log, 0.2)
        wait_until(lambda: log.records)
        wait_until(lambda: exporter.stats()["last_error"] is None and exporter.stats()["runs"])
    assert log.paths == ["0", "1", "2"]
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    assert exporter.stats()["failed_runs"] == 2


def test_ticks_that_were_not_finished_are_counted(started: ExitStack, url: str, log: LogChest) -> None:
    log.fails_at = set(range(1, 10_000))
    exporter = _start(started, url, log, 0.2)
    wait_until(lambda: exporter.ticks_behind >= 3)
    other = ScheduledTransfer(url, log, 0.2)
    assert other.ticks_behind == 0
    log.fails_at = set()
    wait_until(lambda: exporter.ticks_behind <= 1)


def test_who_only_follows_sees_how_the_leader_is(started: ExitStack, url: str, log: LogChest) -> None:
    leader = _start(started, url, log, 0.3, name="same")
    wait_until(lambda: leader.stats()["runs"])
    with leader._leader._coordination.lock("leader same"):  # a leader that hangs, wherever it is
        follower = _start(started, url, log, 0.3, name="same")
        wait_until(lambda: follower.stats()["last_finished_time"] is not None)
        wait_until(lambda: follower.ticks_behind >= 3)
        assert follower.stats()["runs"] == 0


def test_run_now_runs_here_whatever_the_timetable_says(url: str, log: LogChest) -> None:
    exporter = ScheduledTransfer(url, log, HOUR)
    assert exporter.run_now().written == 3
    assert exporter.last_result.written == 3
    assert exporter.run_now().written == 0
    with exporter._leader._coordination.lock(f"leader {exporter.name}"):
        assert exporter.run_now() is None
    log.fails_at = {log.writes + 1}
    with SQLiteChest(url) as source:
        source.write([make_record()])
    with pytest.raises(ChestUnavailable):
        exporter.run_now()


def test_shutting_down_ends_a_run_after_its_batch_and_nothing_is_lost(
    url: str, source: SQLiteChest, log: LogChest
) -> None:
    is_sending, go_on = threading.Event(), threading.Event()

    def slowly(record: Record) -> Record:
        is_sending.set()
        go_on.wait(60)
        return record

    exporter = ScheduledTransfer(url, log, 0.2, map=slowly, batch_records=1)
    exporter.start()
    assert is_sending.wait(60)
    assert exporter.stats()["is_running"]
    assert not exporter.shutdown(timeout=0.1)
    go_on.set()
    assert exporter.wait(60)
    assert log.paths == ["0"]
    ScheduledTransfer(url, log, HOUR).run_now()
    assert log.paths == ["0", "1", "2"]


def test_jitter_delays_a_run_and_its_wait_ends_with_shutdown(started: ExitStack, url: str, log: LogChest) -> None:
    exporter = _start(started, url, log, 0.2, jitter_seconds=100_000.0)
    wait_until(lambda: exporter._running.acquire(blocking=False) is False or exporter._running.release())
    assert exporter.shutdown(timeout=60)
    assert log.records == []


def test_retention_is_put_on_a_timetable_the_same_way(url: str, source: SQLiteChest, started: ExitStack) -> None:
    old = ScheduledRetention(url, 0.2, max_rows=1)
    old.start()
    started.callback(old.shutdown)
    wait_until(lambda: len(source.read()) == 1)
    wait_until(lambda: old.stats().get("removed") == 2)
    old.shutdown()  # while it is at its work, no other is
    assert ScheduledRetention(url, "0 3 * * *", max_age=timedelta(days=1)).run_now().removed == 0


def test_where_to_agree_may_be_another_database_or_a_directory(tmp_path: Path, url: str, log: LogChest) -> None:
    source = MemoryChest()
    source.write([make_record()])
    assert ScheduledTransfer(source, log, HOUR, directory=tmp_path / "notes").run_now().written == 1
    exporter = ScheduledTransfer(source, log, HOUR, directory=tmp_path / "other", leader=url)
    assert exporter.run_now().read == 1
    with SQLiteChest(url) as shared:
        assert shared.coordination().value(f"leader {exporter.name}") is not None
    with pytest.raises(SettingsError, match="directory="):
        ScheduledTransfer(source, log, HOUR)
    with pytest.raises(SettingsError, match="leader= a database"):
        ScheduledTransfer(source, log, HOUR, directory=tmp_path, leader=source)


def test_one_that_is_just_beginning_may_be_asked_and_stopped_from_another_thread(
    started: ExitStack, url: str, log: LogChest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a health check and the end of a recorder do, while the exporter's thread begins its exports."""
    is_at_it, may_go_on = threading.Event(), threading.Event()

    def slowly(run: Callable[[], None]) -> None:
        is_at_it.set()
        assert may_go_on.wait(60)
        start_thread(run)

    monkeypatch.setattr("chest.transfer.timetable.start_thread", slowly)
    exporter = ScheduledTransfer(url, log, HOUR)
    thread = threading.Thread(target=exporter.start)
    thread.start()
    assert is_at_it.wait(60)
    assert exporter.stats()["next_run_time"] is None
    exporter.stop()
    may_go_on.set()
    thread.join()
    assert exporter.next_run_time is None
    assert exporter.stats()["is_started"] is False


def test_the_old_name_of_a_scheduled_transfer_works_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    import chest.transfer

    vars(chest.transfer).pop("ScheduledExporter", None)
    for _ in range(2):
        assert chest.transfer.ScheduledExporter is ScheduledTransfer  # type: ignore[attr-defined]
    (message,) = caplog.messages
    assert "ScheduledExporter is now called ScheduledTransfer" in message


# -- in every process ------------------------------------------------------------------------------------------------

_FORKED = """
    import logging, os, sys
    from chest.transfer import start_in_every_process

    class Task:
        name = "nightly"
        def start(self):
            print("begun", "before" if os.getpid() == parent else "after", "the fork", flush=True)

    parent, task = os.getpid(), Task()
    logging.basicConfig(stream=sys.stdout)
    sys.implementation.name, has_lock = sys.argv[1], sys.argv[2] == "with the lock"
    sys._is_gil_enabled = lambda: has_lock
    start_in_every_process(task)
    if pid := os.fork():
        os.waitpid(pid, 0)
    else:
        os._exit(0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
@pytest.mark.parametrize(
    ("interpreter", "lock", "is_begun"),
    [("cpython", "with the lock", True), ("pypy", "with the lock", False), ("cpython", "without the lock", False)],
)
def test_a_forked_child_begins_unless_its_interpreter_can_start_no_thread_there(
    interpreter: str, lock: str, is_begun: bool
) -> None:
    said = run_python(_FORKED, interpreter, lock)
    assert "begun before the fork" in said
    assert ("begun after the fork" in said) == is_begun
    assert ("nightly begins in no forked process" in said) != is_begun
