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
from chest.transfer import scheduled
from chest.transfer.scheduled import Timetable
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
        self.go_on.wait(30)


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
    assert time.monotonic() - began < 2
    calls.go_on.set()
    count = len(calls.ticks)
    time.sleep(0.3)
    assert len(calls.ticks) == count
    assert timetable.next_run_time is None


def test_the_interpreter_ends_although_a_call_is_in_hand() -> None:
    code = """
        import time
        from chest.transfer.scheduled import Timetable
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
    assert run_python(code, seconds=30) == "ends\n"


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
def test_a_tick_is_due_unless_somebody_had_it(
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


def test_ticks_are_counted_up_to_a_bound(calls: Calls) -> None:
    timetable = _timetable(calls, 60)
    start = _at("2026-01-01T00:00:30+00:00")
    assert timetable.ticks_between(start, start + timedelta(seconds=20)) == 0
    assert timetable.ticks_between(start, start + timedelta(minutes=5)) == 5
    assert timetable.ticks_between(start, start + timedelta(days=30)) == scheduled.MOST_TICKS_COUNTED
    assert timetable.ticks_between(start, start - timedelta(days=1)) == 0


def test_triggers_of_apscheduler_are_taken_as_they_are(calls: Calls) -> None:
    trigger = OrTrigger([CronTrigger(hour=3, timezone=UTC), CronTrigger(hour=15, timezone=UTC)])
    timetable = _timetable(calls, trigger)
    start = _at("2026-01-01T00:00:00+00:00")
    assert timetable.ticks_between(start, start + timedelta(days=2)) == 4


def test_a_clock_that_is_set_back_costs_no_hour(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    timetable = _timetable(calls, 0.2)
    timetable.start()
    try:
        assert timetable._job is not None
        timetable._job.modify(next_run_time=datetime.now(UTC) + timedelta(hours=1))  # as reckoned by the old clock
        count = len(calls.ticks)
        ahead = scheduled._clock_ahead()
        monkeypatch.setattr(scheduled, "_clock_ahead", lambda: ahead - 3600)
        timetable._scheduler.wakeup()
        wait_until(lambda: len(calls.ticks) > count + 1)
    finally:
        timetable.stop()


@pytest.mark.parametrize(
    "options",
    [
        {"trigger": 0}, {"trigger": -5}, {"trigger": True}, {"trigger": float("nan")}, {"trigger": "every day"},
        {"trigger": "99 * * * *"}, {"trigger": "0 3 * * *", "timezone": "Europe/Nowhere"}, {"trigger": None},
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(calls: Calls, options: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        _timetable(calls, **options)
