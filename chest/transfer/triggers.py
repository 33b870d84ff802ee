"""Triggers: APScheduler's, and our own for a crontab line: APScheduler's follows the clocks of a zone and numbers weekdays differently."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo

from chest.errors import MissingDependencyError, SettingsError

try:
    from apscheduler.triggers.base import BaseTrigger
    from apscheduler.triggers.cron import CronTrigger
    from apscheduler.triggers.date import DateTrigger
    from apscheduler.triggers.interval import IntervalTrigger
except ModuleNotFoundError as error:
    raise MissingDependencyError("A timetable needs APScheduler: pip install 'wsgi-chest[schedule]'") from error

__all__ = ["A_MOMENT", "BaseTrigger", "Trigger", "cron_fields", "trigger_of"]

Trigger: TypeAlias = "float | timedelta | str | datetime | BaseTrigger"
"""Seconds, a line of a crontab, a moment, or a trigger of APScheduler's."""

A_MOMENT: Final = timedelta(microseconds=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")
_PART: Final = re.compile(r"(?:(\*)|([0-7])(?:-([0-7]))?)(?:/([1-7]))?")
_NICKNAMES: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


_A_DAY: Final = timedelta(days=1)
"""No zone changes its clocks twice within a day, nor by more than one (Samoa, 2011)."""


def next_instant(
    next_wall_time: Callable[[datetime], datetime | None], start: datetime, zone: tzinfo, *, is_repeated: bool
) -> datetime | None:
    """The first moment, not before ``start``, at which the clocks of a zone show one of the times asked for, in UTC; None: never.

    A time that is left out in spring is had as long after the change as it lies after the hour that is missing: 02:30 at 03:30. One that
    comes twice in autumn is had the first time, or both times if ``is_repeated``.

    :param next_wall_time: gives the first time asked for that is not before the one it is given; both without a zone.
    """
    offsets = _offsets_around(start, zone)
    wall_time = next_wall_time(_wall(start + min(offsets)))
    found: datetime | None = None
    while wall_time is not None and (found is None or wall_time - max(offsets) < _wall(found)):
        moments = _moments_of(wall_time, zone)[: 1 + is_repeated]
        found = min((each for each in (found, *moments) if each is not None and each >= start), default=None)
        if found is not None:
            offsets |= _offsets_around(found, zone)
        wall_time = next_wall_time(wall_time + timedelta(microseconds=1))
    return found


def _moments_of(wall_time: datetime, zone: tzinfo) -> list[datetime]:
    """When the zone's clocks show this time: once, or twice while they are set back."""
    first, second = (wall_time.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    return [first, second] if second > first else [first]


def _offsets_around(moment: datetime, zone: tzinfo) -> set[timedelta]:
    """By how much the zone's clocks are ahead of UTC here, and beyond a change that is no farther away than it is large."""
    offsets = {(moment + each).astimezone(zone).utcoffset() or timedelta() for each in (-_A_DAY, timedelta(), _A_DAY)}
    change = max(offsets) - min(offsets)
    return {(moment + each).astimezone(zone).utcoffset() or timedelta() for each in (-change, timedelta(), change)}


def _wall(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)


def cron_fields(line: str) -> dict[str, str]:
    """``minute``, ``hour``, ``day``, ``month`` and ``day_of_week`` of a line such as ``*/5 8-18 * * 1-5``.

    0 and 7 are Sunday (crontab(5)); APScheduler's own ``from_crontab`` takes 0 for Monday.

    :raises SettingsError: it is no such line, or it names days of the month and of the week, of which cron takes either
        and APScheduler only what is both.
    """
    fields = _NICKNAMES.get(line.strip(), line).split()
    if len(fields) != 5:
        raise SettingsError(
            f"{line!r} is not a line of a crontab: it has five fields, minute, hour, day, month and weekday, such as '*/5 * * * *'."
        )
    minute, hour, day, month, weekday = fields
    if day != "*" and weekday != "*":
        raise SettingsError(
            f"{line!r} names days of the month and of the week: cron would take either. Leave one of them *, or give"
            " APScheduler's CronTrigger, or an OrTrigger of two."
        )
    return {"minute": minute, "hour": hour, "day": day, "month": month, "day_of_week": _weekdays(weekday)}


def _weekdays(field: str) -> str:
    return field if field == "*" else ",".join(_days(part.lower()) for part in field.split(","))


def _days(part: str) -> str:
    """The days of ``1-5``, ``*/2`` or ``0`` by name; APScheduler judges everything else."""
    match = _PART.fullmatch(part)
    if match is None:
        return part
    first, last = (0, 6) if match[1] else (int(match[2]), int(match[3] or (6 if match[4] else match[2])))
    return ",".join(_DAYS[day] for day in range(first, last + 1, int(match[4] or 1))) or part


class _CrontabTrigger(BaseTrigger):  # type: ignore[misc]
    """The ticks of a crontab's line, reckoned on the clocks of a zone by :func:`next_instant`.

    APScheduler's own trigger is right in UTC. In a zone it leaves out midnight after the clocks went forward, and before
    3.11.2 it finds no end in the hour that comes twice.
    """

    __slots__ = ("_is_repeated", "_of_clocks", "_zone")

    def __init__(self, line: str, timezone: str | tzinfo | None) -> None:
        fields = cron_fields(line)
        zone = CronTrigger(timezone=timezone).timezone
        name = getattr(zone, "zone", None)  # pytz's, which cannot be put to a time by replace()
        self._zone: tzinfo = zone if name is None else ZoneInfo(name)
        self._of_clocks = CronTrigger(**fields, timezone=UTC)
        self._is_repeated = fields["hour"].startswith("*")

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime | None:
        start = now if previous_fire_time is None else min(now, previous_fire_time + A_MOMENT)
        return next_instant(self._next_wall_time, start.astimezone(UTC), self._zone, is_repeated=self._is_repeated)

    def _next_wall_time(self, wall_time: datetime) -> datetime | None:
        found: datetime | None = self._of_clocks.get_next_fire_time(None, wall_time.replace(tzinfo=UTC))
        return None if found is None else found.replace(tzinfo=None)

    def __str__(self) -> str:
        return f"{self._of_clocks} in {self._zone}"


def trigger_of(given: Trigger, timezone: str | tzinfo | None) -> tuple[BaseTrigger, float]:
    """The trigger without its jitter, and the jitter: a tick has to be the same in all processes."""
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
        raise SettingsError(f"The trigger {given!r} with timezone={timezone!r} is invalid: {error}.") from error


def _made_trigger(given: float | timedelta | str | datetime, timezone: str | tzinfo | None) -> BaseTrigger:
    if isinstance(given, str):
        return _CrontabTrigger(given, timezone)
    if isinstance(given, datetime):
        return DateTrigger(given, timezone)
    seconds = given.total_seconds() if isinstance(given, timedelta) else float(given)
    if isinstance(given, bool) or not 0.1 <= seconds < timedelta(days=36500).total_seconds():
        raise SettingsError(f"The trigger {given!r} is invalid: give seconds, at least 0.1, or a line of a crontab.")
    return IntervalTrigger(seconds=seconds, start_date=_EPOCH)
