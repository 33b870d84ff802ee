"""``ScheduledTransfer`` and ``ScheduledRetention``: a transfer, and a retention, on a timetable."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta, tzinfo
from pathlib import Path
from typing import Any, Final, TypedDict, Unpack

from chest.chests.contract import Chest, ReadableChest
from chest.chests.query import Query
from chest.transfer.retention import Retention
from chest.transfer.scheduled_task import ScheduledTask
from chest.transfer.timetable import Trigger
from chest.transfer.transfer import Change, Reject, Transfer

__all__ = ["ScheduledRetention", "ScheduledTransfer"]

_SCHEDULE: Final = ("leader", "timezone", "jitter_seconds", "misfire_grace_seconds", "scheduler")


class ScheduleOptions(TypedDict, total=False):
    """What :class:`~chest.transfer.scheduled_task.ScheduledTask` may be told."""

    leader: str | ReadableChest | None
    directory: Path | str | None
    timezone: str | tzinfo | None
    jitter_seconds: float
    misfire_grace_seconds: float | None
    scheduler: Any


class TransferScheduleOptions(ScheduleOptions, total=False):
    """Beside them, what :class:`~chest.transfer.transfer.Transfer` may be told."""

    query: Query
    map: Change | None
    limit: int | None
    remove_after: bool
    batch_records: int
    name: str | None
    reject: Reject | None


class ScheduledRetentionOptions(ScheduleOptions, total=False):
    """Beside them, what :class:`~chest.transfer.retention.Retention` may be told."""

    max_age: timedelta | None
    max_rows: int | None
    max_bytes: int | None
    chunk_records: int
    may_remove_all: bool


class ScheduledTransfer(ScheduledTask):
    """Moves stored records to another chest on a timetable: a :class:`~chest.transfer.transfer.Transfer` once a tick.

    In every worker of a server, and on every host that shares the source, the same is started; one of them has a tick, and
    the others skip it.

    Example::

        transfer = ScheduledTransfer("postgresql://db/shop", "influxdb://metrics:8086/org/bucket", 300)
        transfer.start()

    :param source: a chest that can be read, or its URL.
    :param target: a chest, or its URL.
    :param trigger: seconds, a line of a crontab, a moment, or a trigger of APScheduler's.
    :param options: those of :class:`~chest.transfer.transfer.Transfer`, and of
        :class:`~chest.transfer.scheduled_task.ScheduledTask`.
    :raises SettingsError: as they do.
    """

    def __init__(
        self,
        source: str | ReadableChest,
        target: str | Chest,
        trigger: Trigger,
        **options: Unpack[TransferScheduleOptions],
    ) -> None:
        schedule, others = _divided(options)
        super().__init__(Transfer(source, target, **others), trigger, directory=options.get("directory"), **schedule)


class ScheduledRetention(ScheduledTask):
    """Keeps a chest within bounds on a timetable: a :class:`~chest.transfer.retention.Retention` once a tick.

    :param chest: a chest that can be read, or its URL.
    :param trigger: seconds, a line of a crontab, a moment, or a trigger of APScheduler's.
    :param options: the bounds of :class:`~chest.transfer.retention.Retention`, and the options of
        :class:`~chest.transfer.scheduled_task.ScheduledTask`.
    :raises SettingsError: as they do.
    """

    def __init__(
        self, chest: str | ReadableChest, trigger: Trigger, **options: Unpack[ScheduledRetentionOptions]
    ) -> None:
        schedule, bounds = _divided(options)
        directory = bounds.pop("directory", None)
        super().__init__(Retention(chest, **bounds), trigger, directory=directory, **schedule)


def _divided(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of the schedule, and the others."""
    schedule = {name: value for name, value in options.items() if name in _SCHEDULE}
    return schedule, {name: value for name, value in options.items() if name not in _SCHEDULE}
