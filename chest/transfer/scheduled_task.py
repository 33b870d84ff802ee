"""``ScheduledTask``: work that is done at the ticks of a timetable, by one of all processes at each tick."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any, Final, Protocol, cast

from chest.chests.contract import ReadableChest
from chest.chests.registry import open_chest
from chest.chests.upkeep import CoordinationStore
from chest.errors import SettingsError
from chest.record.messages import safe_message
from chest.system.fork_guard import call_in_child, check_fork
from chest.system.threads import Lock, new_lock, sleep
from chest.transfer.every_process import only_forks
from chest.transfer.journal import coordination_of
from chest.transfer.leader import Leader
from chest.transfer.result import TaskStats
from chest.transfer.timetable import Timetable, Trigger

__all__ = ["ScheduledTask"]

logger = logging.getLogger("chest.transfer")

SHUTDOWN_SECONDS: Final = 3.0
_JITTER_STEP_SECONDS: Final = 0.05


class Task(Protocol):
    """What can be put on a timetable."""

    name: str
    source: ReadableChest

    def run(self, *, stop: Callable[[], bool]) -> Any:
        """Do it; a dataclass of numbers says what was done, among them ``is_complete``."""

    def close(self) -> None:
        """Let go of what was opened."""


class ScheduledTask:
    """Runs a task at the ticks of a timetable, in one of all the processes that have the same.

    :param task: what to run.
    :param trigger: seconds, a line of a crontab, a moment, or a trigger of APScheduler's.
    :param leader: a database in which processes with the same timetable elect the one that runs it: a readable chest or its
        URL; none: the source's own, else ``directory``.
    :param directory: holds the lock of the processes of one host and the position reached, if the source cannot.
    :param timezone: of a crontab line, such as ``"Europe/Berlin"``; none: the machine's.
    :param jitter_seconds: each run waits for a random part of this, so that many hosts do not ask a target at once.
    :param misfire_grace_seconds: how late a tick may begin; none: however late. Several late ones are one.
    :param scheduler: an APScheduler scheduler of yours to put the job into.
    :raises SettingsError: the trigger or the leader is invalid.
    """

    def __init__(
        self,
        task: Task,
        trigger: Trigger,
        *,
        leader: str | ReadableChest | None = None,
        directory: Path | str | None = None,
        timezone: str | tzinfo | None = None,
        jitter_seconds: float = 0.0,
        misfire_grace_seconds: float | None = None,
        scheduler: Any = None,
    ) -> None:
        self.name = task.name
        self._task = task
        self._leader = Leader(_agreed(task.source, leader, directory), task.name)
        self._schedule: dict[str, Any] = {
            "trigger": trigger, "timezone": timezone, "jitter_seconds": jitter_seconds,
            "misfire_grace_seconds": misfire_grace_seconds, "scheduler": scheduler,
        }  # fmt: skip
        self._timetable = self._new_timetable()
        self._is_started = self._is_inherited = False
        call_in_child(self._note_fork)
        self._is_stopping = False
        self._running: Lock = new_lock()
        self._is_running = False
        self._created = datetime.now(UTC)
        self.last_result: Any = None
        """What the last run in this process did; None when there was none."""
        self.last_error: str | None = None
        """Why the last run in this process failed; None when it did not."""
        self._counts = {"runs": 0, "failed_runs": 0}

    def start(self) -> None:
        """Begin, in this process; harmless if it has begun. A forked child begins for itself.

        Under a server, let a recorder do it (``recorder.scheduled_transfers.add(...)``): it starts in each worker.
        """
        check_fork()
        if self._is_started:
            return
        if self._is_inherited:
            self._timetable = self._new_timetable()
            self._running, self._is_running, self._is_inherited = new_lock(), False, False
        self._is_started, self._is_stopping = True, False
        self._timetable.start()
        if self._is_stopping:  # by another thread, in the meantime
            self._timetable.stop()

    def stop(self) -> None:
        """No more ticks, and a run in hand ends after its batch. Does not wait."""
        check_fork()
        if self._is_started:
            self._is_stopping, self._is_started = True, False
            self._timetable.stop()

    def _note_fork(self) -> None:
        """In a forked child: what its parent began is its parent's."""
        self._is_inherited = self._is_inherited or self._is_started
        self._is_started = False

    def wait(self, timeout: float) -> bool:
        """Wait so many seconds for a run in hand; False when it goes on.

        A run that is left behind is done by the process that has the next tick.
        """
        if not self._running.acquire(timeout=max(0.0, timeout)):
            return False
        self._running.release()
        return True

    def shutdown(self, timeout: float = SHUTDOWN_SECONDS) -> bool:
        """:meth:`stop` and :meth:`wait`."""
        self.stop()
        return self.wait(timeout)

    def pause(self) -> None:
        """Leave ticks out in this process until :meth:`resume`; others may have them."""
        self._timetable.pause()

    def resume(self) -> None:
        """Go on with the next tick."""
        self._timetable.resume()

    def run_now(self) -> Any:
        """Run in this thread, whatever the timetable says; None if another process is running it.

        :raises ChestError: why it failed.
        """
        with self._running, self._leader.lead() as is_leader:
            return self._run(None) if is_leader else None

    @property
    def next_run_time(self) -> datetime | None:
        """When this process has the next tick; None while it is paused or not begun."""
        return self._timetable.next_run_time

    @property
    def ticks_behind(self) -> int:
        """How many ticks were not followed by a finished run, as far as this process knows; the present one is not counted."""
        since = self._leader.turn.finished or self._created
        return max(0, self._timetable.ticks_between(since, datetime.now(UTC)) - 1)

    def stats(self) -> TaskStats:
        """How it is, from memory alone: fit for a health check."""
        next_run_time, finished = self.next_run_time, self._leader.turn.finished
        stats = {
            "is_started": self._is_started,
            "is_running": self._is_running,
            "next_run_time": None if next_run_time is None else next_run_time.timestamp(),
            "last_finished_time": None if finished is None else finished.timestamp(),
            "ticks_behind": self.ticks_behind,
            **self._counts,
            "last_result": None if self.last_result is None else vars(self.last_result),
            "last_error": self.last_error,
        }
        return cast(TaskStats, stats)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    def _new_timetable(self) -> Timetable:
        return Timetable(self._tick, name=self.name, **self._schedule)

    def _tick(self, tick: datetime) -> None:
        """One tick; nothing that goes wrong leaves it."""
        if only_forks():
            return
        with self._running:
            try:
                self._wait_for_jitter()
                if self._is_stopped():
                    return
                with self._leader.lead(lambda last: self._timetable.is_due(tick, last)) as is_leader:
                    if is_leader:
                        self._run(tick)
            except Exception as error:  # noqa: BLE001 - there is a next tick
                self._failed(error)
            finally:
                self._leader.close()

    def _run(self, tick: datetime | None) -> Any:
        self._is_running = True
        is_finished = False
        try:
            result = self._task.run(stop=self._is_stopped)
            is_finished = result.is_complete
        finally:
            self._is_running = False
            self._leader.done(tick, is_finished=is_finished)
        self._succeeded(result)
        return result

    def _succeeded(self, result: Any) -> None:
        self._counts["runs"] += 1
        for name, count in vars(result).items():
            if type(count) is int:
                self._counts[name] = self._counts.get(name, 0) + count
        self.last_result = result
        if self.last_error is not None:
            logger.warning("chest: %s works again", self.name)
            self.last_error = None
        logger.debug("%s: %s", self.name, result)

    def _failed(self, error: Exception) -> None:
        self._counts["failed_runs"] += 1
        message = safe_message(error)
        if self.last_error is None:
            logger.error("chest: %s failed, and goes on at the next tick from where it stopped: %s", self.name, message)
        self.last_error = message

    def _is_stopped(self) -> bool:
        return self._is_stopping

    def _wait_for_jitter(self) -> None:
        until = time.monotonic() + random.uniform(0, self._timetable.jitter_seconds)  # noqa: S311 - not a secret
        while time.monotonic() < until and not self._is_stopped():
            sleep(min(_JITTER_STEP_SECONDS, max(0.0, until - time.monotonic())))


def _agreed(
    source: ReadableChest, leader: str | ReadableChest | None, directory: Path | str | None
) -> CoordinationStore:
    if leader is None:
        return coordination_of(source, directory)
    chest = open_chest(leader) if isinstance(leader, str) else leader
    coordination = chest.coordination() if isinstance(chest, ReadableChest) else None
    if coordination is None:
        raise SettingsError(
            f"{chest.name} offers no lock that processes share: give leader= a database, such as postgresql://…."
        )
    return coordination
