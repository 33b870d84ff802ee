"""``Plan``: an export, or a retention, as a mapping says it, such as an entry of ``CHEST_EXPORTS``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from chest.chests.base import Chest, ReadableChest
from chest.chests.query import Query
from chest.chests.registry import open_chest
from chest.errors import SettingsError
from chest.option import nearest
from chest.record import Record

if TYPE_CHECKING:
    from chest.transfer.scheduled_task import ScheduledTask

__all__ = ["Plan"]

_TRIGGERS: Final = ("every", "cron", "trigger")
_CONDITIONS: Final = ("service", "route", "outcome")
_SCHEDULE: Final = ("timezone", "jitter_seconds", "misfire_grace_seconds", "leader")
_OF_EXPORT: Final = ("name", "limit", "batch_records", "map", "reject")
_OF_RETENTION: Final = ("max_rows", "max_bytes", "chunk_records")
_KEYS: Final = (
    "to", "from", "move", "max_age_days", *_TRIGGERS, *_CONDITIONS, *_SCHEDULE, *_OF_EXPORT, *_OF_RETENTION
)  # fmt: skip


class Plan(NamedTuple):
    """What is to be done when, checked as far as it can be without a store."""

    source: str | ReadableChest | None
    """From where; None: from the recorder's own chest."""
    target: str | Chest | None
    """To where; None: it is a retention."""
    trigger: Any
    options: Mapping[str, Any]
    """Of the transfer or the retention, and of the schedule."""

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Self:
        """The plan of a mapping, with ``to`` (a chest) or a bound of a retention (``max_age_days``, ``max_rows``,
        ``max_bytes``); ``every`` (seconds), ``cron`` (a line of a crontab) or, from Python, ``trigger`` (one of APScheduler's); and what else there is:

        ``from``, ``name``, ``move`` (true or false), ``limit``, ``batch_records``, ``service``, ``route``, ``outcome``,
        ``timezone``, ``jitter_seconds``, ``misfire_grace_seconds``, ``leader``, ``chunk_records``; from Python ``map`` and
        ``reject``.

        :raises SettingsError: it cannot be meant as it stands.
        :raises MissingDependencyError: APScheduler is not installed.
        """
        _refuse_unknown(entry)
        target = entry.get("to")
        given = [name for name in _TRIGGERS if entry.get(name) is not None]
        if len(given) != 1:
            raise SettingsError("An export needs a timetable: every= so many seconds, or cron= a line of a crontab.")
        options = _export_options(entry) if target is not None else _retention_options(entry)
        options |= {name: entry[name] for name in _SCHEDULE if name in entry}
        plan = cls(entry.get("from"), target, entry[given[0]], options)
        plan._check()
        return plan

    def task(
        self,
        source: str | ReadableChest,
        directory: Path,
        bury: Callable[[str, Record, str], object] | None = None,
    ) -> ScheduledTask:
        """What does it; not begun.

        :param source: the chest to take where the plan names none.
        :param directory: where the place reached is kept if not in the source.
        :param bury: keeps a record that a chest, named first, refused for good, with the reason named last, where the plan
            has no ``reject`` of its own.
        """
        from chest.transfer.scheduled_exporter import ScheduledExporter, ScheduledRetention

        chest = self.source or source
        options = dict(self.options)
        if _has_no_ledger(chest):
            options["directory"] = directory
        if self.target is None:
            return ScheduledRetention(chest, self.trigger, **options)
        target = open_chest(self.target) if isinstance(self.target, str) else self.target
        if bury is not None:
            options.setdefault("reject", lambda record, reason: bury(target.name, record, reason))
        return ScheduledExporter(chest, self.target, self.trigger, **options)

    def _check(self) -> None:
        from chest.transfer.scheduled import Timetable

        if isinstance(self.target, str):
            open_chest(self.target)
        Timetable(lambda _: None, self.trigger, name="", timezone=self.options.get("timezone"))


def _refuse_unknown(entry: Mapping[str, Any]) -> None:
    for key in entry:
        if key not in _KEYS:
            near = nearest(str(key), _KEYS)
            hint = f"did you mean {near!r}?" if near else f"there are {', '.join(_KEYS)}."
            raise SettingsError(f"An export has no {key!r}; {hint}")


def _export_options(entry: Mapping[str, Any]) -> dict[str, Any]:
    options = {name: entry[name] for name in _OF_EXPORT if name in entry}
    conditions = {name: entry[name] for name in _CONDITIONS if name in entry}
    return {**options, "remove_after": bool(entry.get("move", False)), "query": Query(**conditions)}


def _retention_options(entry: Mapping[str, Any]) -> dict[str, Any]:
    options = {name: entry[name] for name in _OF_RETENTION if name in entry}
    if "max_age_days" in entry:
        options["max_age"] = timedelta(days=entry["max_age_days"])
    if not options.keys() & {"max_age", "max_rows", "max_bytes"}:
        raise SettingsError(
            "An export needs to=, the chest to write to; a retention max_age_days, max_rows or max_bytes."
        )
    return options


def _has_no_ledger(source: str | ReadableChest) -> bool:
    chest = open_chest(source) if isinstance(source, str) else source
    return isinstance(chest, ReadableChest) and chest.ledger() is None
