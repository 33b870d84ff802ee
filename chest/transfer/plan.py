"""``Plan``: a scheduled transfer, or retention, made of a mapping such as an entry of ``CHEST_SCHEDULED_TRANSFERS``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from chest.chests.contract import Chest, ReadableChest
from chest.chests.query import Query
from chest.chests.registry import open_chest
from chest.chests.url_options import refuse_unknown
from chest.errors import SettingsError
from chest.record.record import Record

if TYPE_CHECKING:
    from chest.transfer.scheduled_task import ScheduledTask

__all__ = ["Plan"]

_TRIGGERS: Final = ("every", "cron", "trigger")
_CONDITIONS: Final = ("service", "route", "outcome")
_SCHEDULE: Final = ("timezone", "jitter_seconds", "misfire_grace_seconds", "leader")
_OF_TRANSFER: Final = ("name", "limit", "batch_records", "map", "reject")
_OF_RETENTION: Final = ("max_rows", "max_bytes", "chunk_records", "may_remove_all")
KEYS: Final = (
    "to", "from", "move", "max_age_days", *_TRIGGERS, *_CONDITIONS, *_SCHEDULE, *_OF_TRANSFER, *_OF_RETENTION
)  # fmt: skip


class Plan(NamedTuple):
    """What is done when, checked as far as possible without a store."""

    source: str | ReadableChest | None
    """The source; None: the recorder's own chest."""
    target: str | Chest | None
    """The target; None: it is a retention."""
    trigger: Any
    options: Mapping[str, Any]
    """Of the transfer or the retention, and of the schedule."""

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Self:
        """The plan of a mapping, with ``to`` (a chest) or a bound of a retention (``max_age_days``, ``max_rows``,
        ``max_bytes``); ``every`` (seconds), ``cron`` (a line of a crontab) or, from Python, ``trigger`` (one of APScheduler's); and what else there is:

        ``from``, ``name``, ``move`` (true or false), ``limit``, ``batch_records``, ``service``, ``route``, ``outcome``,
        ``timezone``, ``jitter_seconds``, ``misfire_grace_seconds``, ``leader``, ``chunk_records``, ``may_remove_all``; from Python ``map`` and
        ``reject``.

        :raises SettingsError: an invalid entry.
        :raises MissingDependencyError: APScheduler is not installed.
        """
        refuse_unknown(map(str, entry), KEYS, "A scheduled transfer", written="{}=")
        target = entry.get("to")
        given = [name for name in _TRIGGERS if entry.get(name) is not None]
        if len(given) != 1:
            raise SettingsError("A scheduled transfer needs a timetable: every= seconds, or cron= a line of a crontab")
        options = _transfer_options(entry) if target is not None else _retention_options(entry)
        options |= {name: entry[name] for name in _SCHEDULE if name in entry}
        plan = cls(entry.get("from"), target, entry[given[0]], options)
        plan._check()
        return plan

    def task(
        self,
        source: str | ReadableChest,
        directory: Path,
        dead_letter: Callable[[str, Record, str], object] | None = None,
    ) -> ScheduledTask:
        """The scheduled task; not begun.

        :param source: the source, if the plan names none.
        :param directory: keeps the position if the source cannot.
        :param dead_letter: keeps a record that a chest, named first, refused for good, with the reason named last, if the plan
            has no ``reject`` of its own.
        """
        from chest.transfer.scheduled_transfer import ScheduledRetention, ScheduledTransfer

        chest = self.source or source
        options = dict(self.options)
        if _has_no_coordination(chest):
            options["directory"] = directory
        if self.target is None:
            return ScheduledRetention(chest, self.trigger, **options)
        target = open_chest(self.target) if isinstance(self.target, str) else self.target
        if dead_letter is not None:
            options.setdefault("reject", lambda record, reason: dead_letter(target.name, record, reason))
        return ScheduledTransfer(chest, self.target, self.trigger, **options)

    def _check(self) -> None:
        from chest.transfer.timetable import Timetable

        if isinstance(self.target, str):
            open_chest(self.target)
        Timetable(lambda _: None, self.trigger, name="", timezone=self.options.get("timezone"))


def _transfer_options(entry: Mapping[str, Any]) -> dict[str, Any]:
    options = {name: entry[name] for name in _OF_TRANSFER if name in entry}
    conditions = {name: entry[name] for name in _CONDITIONS if name in entry}
    return {**options, "remove_after": bool(entry.get("move", False)), "query": Query(**conditions)}


def _retention_options(entry: Mapping[str, Any]) -> dict[str, Any]:
    options = {name: entry[name] for name in _OF_RETENTION if name in entry}
    if "max_age_days" in entry:
        options["max_age"] = timedelta(days=entry["max_age_days"])
    if not options.keys() & {"max_age", "max_rows", "max_bytes"}:
        raise SettingsError(
            "A scheduled transfer needs to=, the chest to write to; a retention max_age_days, max_rows or max_bytes"
        )
    return options


def _has_no_coordination(source: str | ReadableChest) -> bool:
    chest = open_chest(source) if isinstance(source, str) else source
    return isinstance(chest, ReadableChest) and chest.coordination() is None
