"""``Timetable``: when it calls, whose tick it is, and what clocks and schedulers do to it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.combining import OrTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from chest.errors import SettingsError
from chest.transfer import timetable as timetable_module
from chest.transfer.timetable import Timetable
from chest.transfer.triggers import trigger_of
from tests.processes import run_python
from tests.support import wait_until


class Calls:
    """What was called."""

    def __init__(self) -> None:
        self.ticks: list[datetime] = []
        self.threads: list[bool] = []
        self.go_on = threading.Event()
        self.go_on.set()

    def __call__(self, tick: datetime) -> None:
        self.ticks.append(tick)
        self.threads.append(threading.current_thread().daemon)
        self.go_on.wait(60)


@pytest.fixture
def calls() -> Iterator[Calls]:
    calls = Calls()
    yield calls
    calls.go_on.set()


def _timetable(calls: Any, trigger: Any, **options: Any) -> Timetable:
    return Timetable(calls, trigger, name="test", **options)


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_seconds_are_ticks_on_whole_multiples(calls: Calls) -> None:
    timetable = _timetable(calls, 0.2)
    timetable.start()
    try:
        wait_until(lambda: len(calls.ticks) >= 3)
    finally:
        timetable.stop()
    assert all(abs((tick.timestamp() / 0.2) - round(tick.timestamp() / 0.2)) < 0.05 for tick in calls.ticks)
    assert all(calls.threads)


def test_a_call_that_takes_long_is_the_only_one_and_late_ticks_are_one(calls: Calls) -> None:
    timetable = _timetable(calls, 0.1)
    calls.go_on.clear()
    timetable.start()
    try:
        wait_until(lambda: calls.ticks)
        time.sleep(0.5)
        assert len(calls.ticks) == 1
        calls.go_on.set()
        wait_until(lambda: len(calls.ticks) >= 2)
    finally:
        timetable.stop()


def test_no_call_comes_after_stop_and_stop_does_not_wait(calls: Calls) -> None:
    timetable = _timetable(calls, 0.1)
    calls.go_on.clear()
    timetable.start()
    wait_until(lambda: calls.ticks)
    began = time.monotonic()
    timetable.stop()
    assert time.monotonic() - began < 20  # the call goes on for a minute
    calls.go_on.set()
    count = len(calls.ticks)
    time.sleep(0.3)
    assert len(calls.ticks) == count
    assert timetable.next_run_time is None


def test_the_interpreter_ends_although_a_call_is_in_hand() -> None:
    code = """
        import time
        from chest.transfer.timetable import Timetable
        from datetime import datetime
        began = []
        def run(tick):
            began.append(tick)
            time.sleep(600)
        timetable = Timetable(run, 0.1, name="test")
        timetable.start()
        while not began:
            time.sleep(0.01)
        print("ends")
    """
    assert run_python(code) == "ends\n"


def test_pausing_leaves_ticks_out(calls: Calls) -> None:
    timetable = _timetable(calls, 0.1)
    timetable.start()
    try:
        timetable.pause()
        assert timetable.next_run_time is None
        wait_until(lambda: calls.go_on.is_set())
        count = len(calls.ticks)
        time.sleep(0.3)
        assert len(calls.ticks) <= count + 1
        timetable.resume()
        wait_until(lambda: len(calls.ticks) > count + 1)
        assert timetable.next_run_time is not None
    finally:
        timetable.stop()


def test_a_moment_is_one_tick(calls: Calls) -> None:
    moment = datetime.now(UTC) + timedelta(seconds=0.1)
    timetable = _timetable(calls, moment)
    timetable.start()
    wait_until(lambda: calls.ticks)
    assert calls.ticks == [moment]
    assert not timetable.is_due(moment, moment)
    timetable.stop()


def test_a_scheduler_of_the_user_takes_our_job_beside_its_own(calls: Calls) -> None:
    pickling = MemoryJobStore()
    scheduler = BackgroundScheduler(jobstores={"default": pickling}, executors={"default": ThreadPoolExecutor(1)})
    scheduler.start()
    try:
        timetables = [_timetable(calls, 0.1, scheduler=scheduler) for _ in range(2)]
        for timetable in timetables:
            timetable.start()
        wait_until(lambda: len(calls.ticks) > 3)
        assert len(scheduler.get_jobs(jobstore="chest")) == 2
        assert scheduler.get_jobs(jobstore="default") == []
        for timetable in timetables:
            timetable.stop()
        assert scheduler.get_jobs() == []
        assert scheduler.running
    finally:
        scheduler.shutdown(wait=False)


def test_the_jitter_of_a_trigger_is_taken_out_so_that_all_have_the_same_ticks(calls: Calls) -> None:
    theirs = IntervalTrigger(seconds=60, jitter=10)
    timetable = _timetable(calls, theirs)
    assert timetable.jitter_seconds == 10
    assert theirs.jitter == 10
    tick = _at("2026-01-01T00:00:00+00:00")
    assert timetable.is_due(tick + timedelta(seconds=60), tick)


@pytest.mark.parametrize(
    ("trigger", "last", "tick", "is_due"),
    [
        (60, None, "2026-01-01T00:01:00", True),
        (60, "2026-01-01T00:01:00", "2026-01-01T00:01:00", False),
        (60, "2026-01-01T00:01:00", "2026-01-01T00:02:00", True),
        (60, "2026-01-01T00:02:00", "2026-01-01T00:01:30", False),
        (60, "2026-01-01T01:01:00", "2026-01-01T00:01:00", True),
        ("0 3 * * *", "2026-01-01T03:00:00", "2026-01-01T03:00:00", False),
        ("0 3 * * *", "2026-01-01T03:00:00", "2026-01-02T03:00:00", True),
    ],
    ids=["first", "had", "next", "had by a clock ahead", "our clock was set back", "cron, had", "cron, next"],
)
def test_a_tick_is_due_unless_another_process_had_it(
    calls: Calls, trigger: Any, last: str | None, tick: str, is_due: bool
) -> None:
    timetable = _timetable(calls, trigger, timezone="UTC")
    before = None if last is None else _at(last).replace(tzinfo=UTC)
    assert timetable.is_due(_at(tick).replace(tzinfo=UTC), before) is is_due


def test_cron_in_a_time_zone_keeps_to_its_clocks_through_daylight_saving(calls: Calls) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    timetable = _timetable(calls, "30 3 * * *", timezone="Europe/Berlin")
    spring = [datetime(2026, 3, day, 3, 30, tzinfo=berlin) for day in (28, 29, 30)]
    assert timetable.ticks_between(spring[0], spring[2]) == 2
    assert timetable.is_due(spring[1], spring[0])
    assert not timetable.is_due(spring[1] - timedelta(minutes=1), spring[0])
    autumn = datetime(2026, 10, 24, 3, 30, tzinfo=berlin).astimezone(UTC)
    assert not timetable.is_due(autumn + timedelta(hours=24), autumn)
    assert timetable.is_due(autumn + timedelta(hours=25), autumn)


@pytest.mark.parametrize(
    ("line", "zone", "after", "ticks"),
    [
        ("0 0 * * *", "Europe/Berlin", "2026-03-28T12:00", ["28T23:00", "29T22:00", "30T22:00"]),
        ("0 0 * * *", "Europe/Helsinki", "2026-03-28T12:00", ["28T22:00", "29T21:00", "30T21:00"]),
        ("@daily", "America/New_York", "2026-03-07T12:00", ["08T05:00", "09T04:00", "10T04:00"]),
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", ["29T01:30", "30T00:30"]),
        ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00", ["25T00:30", "26T01:30"]),
        ("30 2 * * *", "Europe/Berlin", "2026-10-25T00:45", ["26T01:30"]),
        ("*/30 * * * *", "Europe/Berlin", "2026-10-25T00:15", ["25T00:30", "25T01:00", "25T01:30", "25T02:00"]),
        ("*/30 * * * *", "Europe/Berlin", "2026-03-29T00:15", ["29T00:30", "29T01:00", "29T01:30"]),
        ("0 * * * *", "Australia/Lord_Howe", "2026-04-04T13:30", ["04T14:00", "04T15:30", "04T16:30"]),
        ("0 0 * * *", "Pacific/Apia", "2011-12-28T12:00", ["29T10:00", "30T10:00"]),
        ("0 12 29 2 *", "UTC", "2026-01-01T00:00", ["29T12:00"]),
        ("0 0 31 2 *", "UTC", "2026-01-01T00:00", []),
    ],
)
def test_a_crontab_s_line_has_each_of_its_ticks_once_when_clocks_are_changed(
    line: str, zone: str, after: str, ticks: list[str]
) -> None:
    trigger, _ = trigger_of(line, zone)
    found, tick = [], datetime.fromisoformat(after).replace(tzinfo=UTC)
    for _ in ticks or [""]:
        tick = trigger.get_next_fire_time(None, tick + timedelta(microseconds=1))
        if tick is None:
            break
        found.append(f"{tick:%dT%H:%M}")
    assert found == ticks


def test_ticks_are_counted_soon_also_where_clocks_are_changed(calls: Calls) -> None:
    timetable = _timetable(calls, "* * * * *", timezone="Europe/Berlin")
    start = _at("2026-10-24T20:00:00+00:00")
    begin = time.process_time()
    assert timetable.ticks_between(start, start + timedelta(hours=8)) == 480
    assert time.process_time() - begin < 5.0


def test_ticks_are_counted_up_to_a_bound(calls: Calls) -> None:
    timetable = _timetable(calls, 60)
    start = _at("2026-01-01T00:00:30+00:00")
    assert timetable.ticks_between(start, start + timedelta(seconds=20)) == 0
    assert timetable.ticks_between(start, start + timedelta(minutes=5)) == 5
    assert timetable.ticks_between(start, start + timedelta(days=30)) == timetable_module.MOST_TICKS_COUNTED
    assert timetable.ticks_between(start, start - timedelta(days=1)) == 0


def test_triggers_of_apscheduler_are_taken_as_they_are(calls: Calls) -> None:
    trigger = OrTrigger([CronTrigger(hour=3, timezone=UTC), CronTrigger(hour=15, timezone=UTC)])
    timetable = _timetable(calls, trigger)
    start = _at("2026-01-01T00:00:00+00:00")
    assert timetable.ticks_between(start, start + timedelta(days=2)) == 4


def test_a_clock_that_is_set_back_costs_no_hour(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    ahead = timedelta(hours=1)
    monkeypatch.setattr(timetable_module, "_now", lambda: datetime.now(UTC) + ahead)
    timetable = _timetable(calls, 0.2)
    timetable.start()
    try:
        wait_until(lambda: calls.ticks, 60)
        ahead = timedelta()
        count = len(calls.ticks)
        wait_until(lambda: len(calls.ticks) > count + 2, 60)
        assert calls.ticks[-1] < datetime.now(UTC) + timedelta(minutes=1)
    finally:
        timetable.stop()


@pytest.mark.parametrize("has_scheduler", [False, True])
def test_a_tick_that_is_too_late_is_left_out(calls: Calls, has_scheduler: bool) -> None:
    scheduler = BackgroundScheduler() if has_scheduler else None
    timetable = _timetable(
        calls, datetime.now(UTC) - timedelta(seconds=5), misfire_grace_seconds=1, scheduler=scheduler
    )
    timetable.start()
    if scheduler is not None:
        scheduler.start()
    try:
        wait_until(lambda: timetable.next_run_time is None, 60)
        time.sleep(0.1)
        assert calls.ticks == []
    finally:
        timetable.stop()
        if scheduler is not None:
            scheduler.shutdown()


def test_a_call_that_raises_is_logged_and_the_next_tick_comes(caplog: pytest.LogCaptureFixture) -> None:
    ticks: list[datetime] = []

    def fail(tick: datetime) -> None:
        ticks.append(tick)
        raise RuntimeError("no luck today")

    timetable = _timetable(fail, 0.1)
    timetable.start()
    try:
        wait_until(lambda: len(ticks) > 1, 60)
    finally:
        timetable.stop()
    assert "no luck today" in caplog.text


@pytest.mark.parametrize(
    "options",
    [
        {"trigger": 0}, {"trigger": -5}, {"trigger": True}, {"trigger": float("nan")}, {"trigger": "every day"},
        {"trigger": "99 * * * *"}, {"trigger": "0 3 * * *", "timezone": "Europe/Nowhere"}, {"trigger": None},
    ],
)  # fmt: skip
def test_what_is_invalid_is_refused(calls: Calls, options: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        _timetable(calls, **options)
