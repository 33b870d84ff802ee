"""``Timetable``: a function called at every tick of a trigger; the one file that knows APScheduler."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final, TypeAlias
from uuid import uuid4

from chest.errors import MissingDependencyError, SettingsError
from chest.native import new_lock, new_reentrant_lock, start_thread
from chest.transfer.crontab import cron_fields

try:
    from apscheduler.executors.base import BaseExecutor, run_job
    from apscheduler.jobstores.base import JobLookupError
    from apscheduler.jobstores.memory import MemoryJobStore
    from apscheduler.schedulers.base import STATE_STOPPED, BaseScheduler
    from apscheduler.triggers.base import BaseTrigger
    from apscheduler.triggers.cron import CronTrigger
    from apscheduler.triggers.date import DateTrigger
    from apscheduler.triggers.interval import IntervalTrigger
except ModuleNotFoundError as error:
    raise MissingDependencyError("A timetable needs APScheduler: pip install 'wsgi-chest[schedule]'") from error

__all__ = ["Timetable", "Trigger"]

Trigger: TypeAlias = "float | timedelta | str | datetime | BaseTrigger"
"""Seconds, a line of a crontab, a moment, or a trigger of APScheduler's."""

ALIAS: Final = "chest"
"""Our job store and our executor in a scheduler. A memory store: what we call holds locks, which no other can pickle."""
LONGEST_WAIT_SECONDS: Final = 15.0
"""How soon a clock that was set back is noticed."""
_SET_BACK_SECONDS: Final = 1.0
MOST_TICKS_COUNTED: Final = 1000
SAME_TICK: Final = timedelta(seconds=60)
"""A tick that another had this long after ours was not had by a clock that differs: ours was set back."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_A_MOMENT: Final = timedelta(microseconds=1)
_ROUNDING: Final = timedelta(milliseconds=5)


class Timetable:
    """Calls a function with the time of each tick, in a daemon thread; one call at a time, late ticks as one.

    Ticks that are given in seconds fall on whole multiples of them since 1970, so that all processes and hosts have the same.

    :param run: called with the tick's time. What it raises is logged by APScheduler.
    :param trigger: see :data:`Trigger`.
    :param timezone: of a crontab line and a moment without one, such as ``"Europe/Berlin"``; None: the machine's.
    :param jitter_seconds: each call waits for a random part of this.
    :param misfire_grace_seconds: how late a tick may begin; None: however late.
    :param scheduler: a scheduler of the user's, running or not; none: one is made, and ended by :meth:`stop`.
    :raises SettingsError: the trigger cannot be meant.
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
        scheduler: BaseScheduler | None = None,
    ) -> None:
        self._trigger, jitter = _trigger_of(trigger, timezone)
        self.jitter_seconds = jitter_seconds or jitter
        self._run, self._name = run, name
        self._grace = None if misfire_grace_seconds is None else max(1, math.ceil(misfire_grace_seconds))
        self._given = scheduler
        self._scheduler: BaseScheduler | None = None
        self._job: Any = None

    def start(self) -> None:
        """Begin to call. The thread belongs to this process: after a fork, make a timetable anew."""
        self._scheduler = self._given or _Scheduler()
        _add_ours(self._scheduler)
        self._job = self._scheduler.add_job(
            _Call(self._run), self._trigger, id=f"{ALIAS}-{uuid4().hex}", name=self._name, jobstore=ALIAS,
            executor=ALIAS, coalesce=True, max_instances=1, misfire_grace_time=self._grace,
        )  # fmt: skip
        if self._given is None:
            self._scheduler.start()

    def stop(self) -> None:
        """Call no more. A call in hand goes on; nobody waits for it here."""
        scheduler, self._scheduler = self._scheduler, None
        if scheduler is None:
            return
        if self._given is None:
            scheduler.shutdown(wait=False)
        else:
            try:
                self._job.remove()
            except JobLookupError:  # a date that has passed
                pass

    def pause(self) -> None:
        """Leave ticks out until :meth:`resume`."""
        self._job.pause()

    def resume(self) -> None:
        """Go on with the next tick."""
        self._job.resume()

    @property
    def next_run_time(self) -> datetime | None:
        """When the next tick is; None when there is none, or while paused."""
        if self._scheduler is None:
            return None
        job = self._scheduler.get_job(self._job.id, ALIAS)
        next_run_time: datetime | None = None if job is None else getattr(job, "next_run_time", None)
        return next_run_time

    def is_due(self, tick: datetime, last: datetime | None) -> bool:
        """Whether this tick is still to be had, when ``last`` is the latest that anybody had."""
        if last is None or last - tick > SAME_TICK:
            return True
        following: datetime | None = self._trigger.get_next_fire_time(last, last + _A_MOMENT)
        return following is not None and following <= tick + _ROUNDING

    def ticks_between(self, after: datetime, until: datetime) -> int:
        """How many ticks there were, counted up to a thousand."""
        tick = self._trigger.get_next_fire_time(None, after + _A_MOMENT)
        count = 0
        while tick is not None and after < tick <= until and count < MOST_TICKS_COUNTED:
            count += 1
            tick = self._trigger.get_next_fire_time(tick, tick + _A_MOMENT)
        return count


class _Call:
    """What APScheduler calls: the executor says beforehand at which tick."""

    def __init__(self, run: Callable[[datetime], object]) -> None:
        self._run = run
        self.tick = datetime.now(UTC)

    def __call__(self) -> None:
        self._run(self.tick)


class _DaemonExecutor(BaseExecutor):  # type: ignore[misc]  # APScheduler has no types
    """A thread a call, for which the interpreter does not wait at its exit, as it does for APScheduler's own.

    The thread is the operating system's, also under gevent: see ``chest/native.py``.
    """

    def _do_submit_job(self, job: Any, run_times: list[datetime]) -> None:
        def run() -> None:
            try:
                job.func.tick = run_times[-1]
                events = run_job(job, job._jobstore_alias, run_times, self._logger.name)
            except BaseException as error:  # noqa: BLE001 - as APScheduler's executors do
                self._run_job_error(job.id, error, error.__traceback__)
            else:
                self._run_job_success(job.id, events)

        start_thread(run)


class _Scheduler(BaseScheduler):  # type: ignore[misc]
    """A scheduler of ours; of all that it could do, it calls our jobs, and it notices a clock that was set back.

    Its thread and its locks are the operating system's, also under gevent: it begins in the exporter's thread, which has no
    hub that runs.
    """

    def __init__(self) -> None:
        super().__init__(timezone=UTC)
        self._ahead = _clock_ahead()
        self._woken = new_lock()

    def start(self, paused: bool = False) -> None:
        super().start(paused)
        start_thread(self._main_loop)

    def shutdown(self, wait: bool = False) -> None:
        """End; who is called goes on."""
        super().shutdown(wait)
        self.wakeup()

    def wakeup(self) -> None:
        """Look for what is due at once."""
        try:
            self._woken.release()
        except RuntimeError:  # it is awake
            pass

    def _main_loop(self) -> None:
        wait_seconds = 0.0
        while self.state != STATE_STOPPED:
            self._woken.acquire(timeout=wait_seconds)
            if self.state != STATE_STOPPED:
                wait_seconds = self._process_jobs()

    def _create_lock(self) -> Any:
        return new_reentrant_lock()

    def _create_default_executor(self) -> BaseExecutor:
        return _DaemonExecutor()

    def _process_jobs(self) -> float:
        wait = super()._process_jobs()
        ahead = _clock_ahead()
        if ahead < self._ahead - _SET_BACK_SECONDS:
            self._reckon_anew()
        self._ahead = ahead
        return LONGEST_WAIT_SECONDS if wait is None else min(wait, LONGEST_WAIT_SECONDS)

    def _reckon_anew(self) -> None:
        """The next ticks were reckoned by a clock that was ahead: without this, none would come until it is there again."""
        for job in self.get_jobs():
            following = job.trigger.get_next_fire_time(None, datetime.now(UTC))
            if job.next_run_time is not None and following is not None and following < job.next_run_time:
                job.modify(next_run_time=following)


def _clock_ahead() -> float:
    return time.time() - time.monotonic()


def _add_ours(scheduler: BaseScheduler) -> None:
    """Our job store and executor, once a scheduler."""
    for add, made in ((scheduler.add_jobstore, MemoryJobStore()), (scheduler.add_executor, _DaemonExecutor())):
        try:
            add(made, ALIAS)
        except ValueError:  # another timetable has added it
            pass


def _trigger_of(given: Trigger, timezone: str | tzinfo | None) -> tuple[BaseTrigger, float]:
    """The trigger without its jitter, and the jitter: a tick has to be the same for all who may have it."""
    if isinstance(given, BaseTrigger):
        trigger, jitter = copy.copy(given), getattr(given, "jitter", None)
        if jitter:
            trigger.jitter = None
        return trigger, float(jitter or 0)
    try:
        return _made_trigger(given, timezone), 0.0
    except SettingsError:
        raise
    except (ValueError, TypeError, LookupError) as error:
        raise SettingsError(f"The trigger {given!r} with timezone={timezone!r} cannot be meant: {error}.") from error


def _made_trigger(given: float | timedelta | str | datetime, timezone: str | tzinfo | None) -> BaseTrigger:
    if isinstance(given, str):
        return CronTrigger(**cron_fields(given), timezone=timezone)
    if isinstance(given, datetime):
        return DateTrigger(given, timezone)
    seconds = given.total_seconds() if isinstance(given, timedelta) else float(given)
    if isinstance(given, bool) or not 0.1 <= seconds < timedelta(days=36500).total_seconds():
        raise SettingsError(f"The trigger {given!r} cannot be meant: seconds, at least 0.1; or a line of a crontab.")
    return IntervalTrigger(seconds=seconds, start_date=_EPOCH)
