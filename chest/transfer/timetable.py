"""``Timetable``: a function called at every tick of a trigger, by a thread of ours or by an APScheduler scheduler of the user's."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final
from uuid import uuid4

from chest.system.threads import WakeEvent, new_lock, start_thread
from chest.transfer.triggers import A_MOMENT, BaseTrigger, Trigger, trigger_of

__all__ = ["Timetable", "Trigger"]

logger = logging.getLogger("chest.transfer")

ALIAS: Final = "chest"
"""Our job store and our executor in a scheduler of the user's. A memory store: what we call holds locks, which no other can pickle."""
LONGEST_WAIT_SECONDS: Final = 15.0
"""How soon a clock that was set back is noticed."""
_SET_BACK_SECONDS: Final = 1.0
MOST_TICKS_COUNTED: Final = 1000
SAME_TICK: Final = timedelta(seconds=60)
"""A tick that another had this long after ours was not had by a clock that differs: ours was set back."""
_ROUNDING: Final = timedelta(milliseconds=5)


class Timetable:
    """Calls a function with the time of each tick, in a daemon thread; one call at a time, late ticks as one.

    Ticks that are given in seconds fall on whole multiples of them since 1970, so that all processes and hosts have the same.

    :param run: called with the tick's time. What it raises is logged.
    :param trigger: see :data:`Trigger`.
    :param timezone: of a crontab line and a moment without one, such as ``"Europe/Berlin"``; None: the machine's.
    :param jitter_seconds: each call waits for a random part of this.
    :param misfire_grace_seconds: how late a tick may begin; None: however late.
    :param scheduler: an APScheduler scheduler of the user's, running or not, that has the ticks; None: a thread of ours has.
    :raises SettingsError: the trigger is invalid.
    """

    def __init__(
        self,
        run: Callable[[datetime], object],
        trigger: Trigger,
        *,
        name: str,
        timezone: str | tzinfo | None = None,
        jitter_seconds: float = 0.0,
        misfire_grace_seconds: float | None = None,
        scheduler: Any = None,
    ) -> None:
        self._trigger, jitter = trigger_of(trigger, timezone)
        self.jitter_seconds = jitter_seconds or jitter
        self._run, self._name, self._scheduler = run, name, scheduler
        self._grace = None if misfire_grace_seconds is None else max(1, math.ceil(misfire_grace_seconds))
        self._ticks: _OwnTicks | _SchedulerTicks | None = None

    def start(self) -> None:
        """Begin to call. The thread belongs to this process: after a fork, make a timetable anew."""
        calls = _Calls(self._run, self._name)
        ticks: _OwnTicks | _SchedulerTicks
        if self._scheduler is None:
            ticks = _OwnTicks(self._trigger, calls, self._grace)
        else:
            ticks = _SchedulerTicks(self._trigger, calls, self._grace, self._scheduler)
        ticks.start()
        self._ticks = ticks  # last: others may ask or stop it at any moment

    def stop(self) -> None:
        """Call no more. A call in hand goes on, and is not waited for."""
        ticks, self._ticks = self._ticks, None
        if ticks is not None:
            ticks.stop()

    def pause(self) -> None:
        """Leave ticks out until :meth:`resume`."""
        if self._ticks is not None:
            self._ticks.pause()

    def resume(self) -> None:
        """Go on with the next tick."""
        if self._ticks is not None:
            self._ticks.resume()

    @property
    def next_run_time(self) -> datetime | None:
        """The time of the next tick; None if no tick is left, or while paused."""
        ticks = self._ticks
        return None if ticks is None else ticks.next_run_time

    def is_due(self, tick: datetime, last: datetime | None) -> bool:
        """True if this tick is still to be had, if ``last`` is the latest that any process had."""
        if last is None or last - tick > SAME_TICK:
            return True
        following: datetime | None = self._trigger.get_next_fire_time(last, last + A_MOMENT)
        return following is not None and following <= tick + _ROUNDING

    def ticks_between(self, after: datetime, until: datetime) -> int:
        """How many ticks there were, counted up to a thousand."""
        tick = self._trigger.get_next_fire_time(None, after + A_MOMENT)
        count = 0
        while tick is not None and after < tick <= until and count < MOST_TICKS_COUNTED:
            count += 1
            tick = self._trigger.get_next_fire_time(tick, tick + A_MOMENT)
        return count


class _Calls:
    """Calls a function in a thread of the operating system, for which the interpreter does not wait at its exit."""

    def __init__(self, run: Callable[[datetime], object], name: str) -> None:
        self._run, self.name = run, name
        self._lock = new_lock()

    def begin(self, tick: datetime) -> None:
        """Call it; left out while the call before it goes on."""
        if not self._lock.acquire(blocking=False):
            logger.debug("%s: the tick of %s is left out, as the run before it goes on", self.name, tick)
            return
        try:
            start_thread(lambda: self._call(tick))
        except RuntimeError as error:
            self._lock.release()
            logger.error("chest: %s cannot run at %s: %s. It runs at the next tick.", self.name, tick, error)

    def _call(self, tick: datetime) -> None:
        try:
            self._run(tick)
        except BaseException:
            logger.exception("chest: %s failed, and goes on at the next tick", self.name)
        finally:
            self._lock.release()


class _OwnTicks:
    """Waits for each tick in a daemon thread, and notices a clock that was set back."""

    def __init__(self, trigger: BaseTrigger, calls: _Calls, grace_seconds: int | None) -> None:
        self._trigger, self._calls, self._grace_seconds = trigger, calls, grace_seconds
        self._lock = new_lock()
        self._woken = WakeEvent()
        self._is_stopped = self._is_paused = False
        self._ahead = _clock_ahead()
        self._next: datetime | None = None

    def start(self) -> None:
        self._next = self._trigger.get_next_fire_time(None, _now())
        start_thread(self._run)

    def stop(self) -> None:
        self._is_stopped = True
        self._woken.set()

    def pause(self) -> None:
        self._is_paused = True

    def resume(self) -> None:
        with self._lock:
            if self._next is not None:  # else the last tick was had
                self._next = self._trigger.get_next_fire_time(None, _now())
            self._is_paused = False
        self._woken.set()

    @property
    def next_run_time(self) -> datetime | None:
        return None if self._is_paused else self._next

    def _run(self) -> None:
        while not self._is_stopped:
            try:
                wait_seconds = self._turn()
            except Exception:
                logger.exception("chest: %s: the time of the next tick cannot be computed", self._calls.name)
                wait_seconds = LONGEST_WAIT_SECONDS
            self._woken.wait(wait_seconds)

    def _turn(self) -> float:
        """Begin a call if one is due; how many seconds until it is to be looked again."""
        with self._lock:
            now = _now()
            self._heed_clock(now)
            tick = None if self._is_paused else self._take_due(now)
            following = self.next_run_time
        if tick is not None and not self._is_stopped:
            if self._grace_seconds is not None and (now - tick).total_seconds() > self._grace_seconds:
                logger.warning(
                    "chest: %s: the run that was due at %s is left out, since it is too late for it",
                    self._calls.name,
                    tick,
                )
            else:
                self._calls.begin(tick)
        wait_seconds = LONGEST_WAIT_SECONDS if following is None else (following - now).total_seconds()
        return max(0.0, min(wait_seconds, LONGEST_WAIT_SECONDS))

    def _take_due(self, now: datetime) -> datetime | None:
        """The latest tick that is due, as one for all before it; None if none is."""
        tick = None
        while self._next is not None and self._next <= now:
            tick = self._next
            self._next = self._trigger.get_next_fire_time(tick, now)
        return tick

    def _heed_clock(self, now: datetime) -> None:
        """A tick that was reckoned by a clock that was ahead would not come until the clock is there again."""
        ahead = _clock_ahead()
        if ahead < self._ahead - _SET_BACK_SECONDS and self._next is not None:
            following = self._trigger.get_next_fire_time(None, now)
            if following is not None and following < self._next:
                self._next = following
        self._ahead = ahead


class _SchedulerTicks:
    """Has the ticks of an APScheduler scheduler: a job that tells whether a tick is in time, and an event that tells which it is."""

    def __init__(self, trigger: BaseTrigger, calls: _Calls, grace_seconds: int | None, scheduler: Any) -> None:
        self._trigger, self._calls, self._grace_seconds, self._scheduler = trigger, calls, grace_seconds, scheduler
        self._id = f"{ALIAS}-{uuid4().hex}"
        self._is_in_time = False
        self._job: Any = None

    def start(self) -> None:
        from apscheduler.events import EVENT_JOB_SUBMITTED

        _add_ours(self._scheduler)
        self._scheduler.add_listener(self._submitted, EVENT_JOB_SUBMITTED)
        self._job = self._scheduler.add_job(
            self._in_time, self._trigger, id=self._id, name=self._calls.name, jobstore=ALIAS, executor=ALIAS,
            coalesce=True, max_instances=1, misfire_grace_time=self._grace_seconds,
        )  # fmt: skip

    def _in_time(self) -> None:
        """Called in the scheduler's thread; not for a tick that is too late."""
        self._is_in_time = True

    def _submitted(self, event: Any) -> None:
        """Called after it in the same thread."""
        if event.job_id == self._id and self._is_in_time:
            self._is_in_time = False
            self._calls.begin(event.scheduled_run_times[-1])

    def stop(self) -> None:
        from apscheduler.jobstores.base import JobLookupError

        self._scheduler.remove_listener(self._submitted)
        try:
            self._job.remove()
        except JobLookupError:  # a date that has passed
            pass

    def pause(self) -> None:
        self._job.pause()

    def resume(self) -> None:
        self._job.resume()

    @property
    def next_run_time(self) -> datetime | None:
        job = self._scheduler.get_job(self._id, ALIAS)
        next_run_time: datetime | None = None if job is None else getattr(job, "next_run_time", None)
        return next_run_time


def _add_ours(scheduler: Any) -> None:
    """Our job store, and an executor that calls in the scheduler's thread, once a scheduler."""
    from apscheduler.executors.debug import DebugExecutor
    from apscheduler.jobstores.memory import MemoryJobStore

    for add, made in ((scheduler.add_jobstore, MemoryJobStore()), (scheduler.add_executor, DebugExecutor())):
        try:
            add(made, ALIAS)
        except ValueError:  # another timetable has added it
            pass


def _now() -> datetime:
    return datetime.now(UTC)


def _clock_ahead() -> float:
    return _now().timestamp() - time.monotonic()
