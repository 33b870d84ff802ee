"""A line of a crontab as the fields that APScheduler takes; its weekdays are counted otherwise."""

from __future__ import annotations

import re
from typing import Final

from chest.errors import SettingsError

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


def cron_fields(line: str) -> dict[str, str]:
    """``minute``, ``hour``, ``day``, ``month`` and ``day_of_week`` of a line such as ``*/5 8-18 * * 1-5``.

    0 and 7 are Sunday (crontab(5)), where APScheduler's own ``from_crontab`` takes 0 for Monday.

    :raises SettingsError: it is no such line, or it names days of the month and of the week, of which cron takes either
        and APScheduler only what is both.
    """
    fields = _NICKNAMES.get(line.strip(), line).split()
    if len(fields) != 5:
        raise SettingsError(
            f"{line!r} is no line of a crontab: five fields, minute, hour, day, month and weekday, such as '*/5 * * * *'."
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
    """The days of ``1-5``, ``*/2`` or ``0`` by name; what is none of these is APScheduler's to judge."""
    match = _PART.fullmatch(part)
    if match is None:
        return part
    first, last = (0, 6) if match[1] else (int(match[2]), int(match[3] or (6 if match[4] else match[2])))
    return ",".join(_DAYS[day] for day in range(first, last + 1, int(match[4] or 1))) or part
