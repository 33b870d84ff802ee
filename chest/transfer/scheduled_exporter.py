"""``ScheduledExporter`` and ``ScheduledRetention``: a transfer, and a retention, on a timetable."""

from __future__ import annotations

from typing import Any, Final

from chest.chests.base import Chest, ReadableChest
from chest.transfer.retention import Retention
from chest.transfer.scheduled import Trigger
from chest.transfer.scheduled_task import ScheduledTask
from chest.transfer.transfer import Transfer

__all__ = ["ScheduledExporter", "ScheduledRetention"]

_SCHEDULE: Final = ("leader", "timezone", "jitter_seconds", "misfire_grace_seconds", "scheduler")


class ScheduledExporter(ScheduledTask):
    """Moves stored records to another chest on a timetable: a :class:`~chest.transfer.transfer.Transfer` once a tick.

    In every worker of a server, and on every host that shares the source, the same is started; one of them has a tick, and
    the others skip it.

    Example::

        exporter = ScheduledExporter("postgresql://db/shop", "influxdb://metrics:8086/org/bucket", 300)
        exporter.start()

    :param source: a chest that can be read, or its URL.
    :param target: a chest, or its URL.
    :param trigger: seconds, a line of a crontab, a moment, or a trigger of APScheduler's.
    :param options: those of :class:`~chest.transfer.transfer.Transfer`, and of
        :class:`~chest.transfer.scheduled_task.ScheduledTask`.
    :raises SettingsError: as they do.
    """

    def __init__(self, source: str | ReadableChest, target: str | Chest, trigger: Trigger, **options: Any) -> None:
        schedule = _taken_from(options)
        transfer = Transfer(source, target, **options)
        super().__init__(transfer, trigger, directory=options.get("directory"), **schedule)


class ScheduledRetention(ScheduledTask):
    """Keeps a chest within bounds on a timetable: a :class:`~chest.transfer.retention.Retention` once a tick.

    :param chest: a chest that can be read, or its URL.
    :param trigger: seconds, a line of a crontab, a moment, or a trigger of APScheduler's.
    :param options: the bounds of :class:`~chest.transfer.retention.Retention`, and the options of
        :class:`~chest.transfer.scheduled_task.ScheduledTask`.
    :raises SettingsError: as they do.
    """

    def __init__(self, chest: str | ReadableChest, trigger: Trigger, **options: Any) -> None:
        schedule = _taken_from(options)
        directory = options.pop("directory", None)
        super().__init__(Retention(chest, **options), trigger, directory=directory, **schedule)


def _taken_from(options: dict[str, Any]) -> dict[str, Any]:
    """The options of the schedule, taken out of all that were given."""
    return {name: options.pop(name) for name in _SCHEDULE if name in options}
