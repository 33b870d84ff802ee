"""``ScheduledTransfers``: the scheduled transfers and retentions of a recorder, begun in every process that records."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chest.chests.contract import ReadableChest
from chest.record.record import Record
from chest.transfer.plan import Plan
from chest.transfer.result import TaskStats

if TYPE_CHECKING:
    from chest.transfer.scheduled_task import ScheduledTask

__all__ = ["ScheduledTransfers"]

logger = logging.getLogger("chest.transfer")


class ScheduledTransfers:
    """The scheduled transfers and retentions of one recorder.

    They begin in the delivery thread: in every process that records, also after a fork, and never in one that only forks. All
    processes have the same timetables; one of them does the work of a tick.

    :param entries: see :meth:`~chest.transfer.plan.Plan.of`.
    :param source: gives the recorder's own chest, as a URL if it has one: a transfer reads on connections of its own.
    :param directory: gives the recorder's directory.
    :param dead_letter: keeps a record that a chest, named first, refused for good, with the reason named last; what it raises
        leaves the record to the next tick. None: such a record is logged, and stays in the source.
    :raises SettingsError: an entry is invalid.
    """

    def __init__(
        self,
        entries: Sequence[Mapping[str, Any]],
        source: Callable[[], str | ReadableChest],
        directory: Callable[[], Path],
        dead_letter: Callable[[str, Record, str], object] | None = None,
    ) -> None:
        self._plans = [Plan.of(entry) for entry in entries]
        self._source, self._directory, self._dead_letter = source, directory, dead_letter
        self._tasks: list[ScheduledTask] = []
        self._is_stopped = False
        self._failed: set[ScheduledTask] = set()

    def add(self, task: ScheduledTask) -> None:
        """Have the recorder begin it in each of its processes, within 5 s, and end it when it closes."""
        self._tasks.append(task)

    def plan(self, entry: Mapping[str, Any]) -> None:
        """Add what a mapping says; see :meth:`~chest.transfer.plan.Plan.of`."""
        self._plans.append(Plan.of(entry))

    def start(self) -> None:
        """Begin in this process what has not begun; harmless to repeat, and cheap. Raises nothing."""
        while self._plans and not self._is_stopped:
            plan = self._plans.pop()
            try:
                self._tasks.append(plan.task(self._source(), self._directory(), self._dead_letter))
            except Exception as error:  # noqa: BLE001 - the others are to begin
                logger.error("chest: an entry of CHEST_SCHEDULED_TRANSFERS cannot begin: %s", error)
        for task in tuple(self._tasks):
            if not self._is_stopped:
                self._start(task)

    def _start(self, task: ScheduledTask) -> None:
        try:
            task.start()
            if self._is_stopped:  # by another thread, in the meantime
                task.stop()
        except Exception as error:  # noqa: BLE001 - it is tried again, and said once
            if task not in self._failed:
                self._failed.add(task)
                logger.error("chest: %s cannot begin: %s", task.name, error)

    def stop(self) -> None:
        """No more ticks; a run in hand ends after its batch. Does not wait."""
        self._is_stopped = True
        for task in self._tasks:
            task.stop()

    def wait(self, deadline: float) -> bool:
        """Wait until runs in hand have ended; False when one did not until ``deadline`` (monotonic seconds)."""
        return not [task for task in self._tasks if not task.wait(max(0.0, deadline - time.monotonic()))]

    def stats(self) -> dict[str, TaskStats]:
        """How each is, by name: see ``ticks_behind`` and ``last_error``."""
        return {task.name: task.stats() for task in tuple(self._tasks)}
