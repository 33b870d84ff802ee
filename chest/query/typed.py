"""Values as users type them: a duration, a moment, a status, an outcome; in commands and in filters alike."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Final

from chest.record.record import Outcome
from chest.settings.option import nearest

__all__ = ["OUTCOMES", "Misspelt", "duration_ns", "is_duration", "moment_ns", "outcome", "statuses"]


class Misspelt(ValueError):
    """A text that was perhaps meant otherwise.

    :param meant: what was perhaps meant; None if nothing is near.
    """

    def __init__(self, reason: str, meant: str | None) -> None:
        super().__init__(reason)
        self.meant = meant


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(us|µs|ms|s|m|h|d|w)")
_NANOSECONDS: Final = {
    "us": 10**3,
    "µs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
    "d": 86_400 * 10**9,
    "w": 7 * 86_400 * 10**9,
}
_STATUS_CLASS: Final = re.compile(r"([1-5])xx", re.IGNORECASE)
_STATUS_RANGE: Final = re.compile(r"([0-9]{3})(?:-([0-9]{3}))?")
OUTCOMES: Final = tuple(value for name, value in vars(Outcome).items() if name.isupper())


def is_duration(text: str) -> bool:
    """True if it is a number with a unit of time."""
    return _DURATION.fullmatch(text.strip()) is not None


def duration_ns(text: str) -> int:
    """``200ms``, ``1.5s``, ``2h`` in nanoseconds."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError("expected a number and ms, s, m, h, d or w, such as 200ms or 1.5s")
    nanoseconds = float(match[1]) * _NANOSECONDS[match[2]]
    if nanoseconds == inf:
        raise ValueError("expected a shorter duration: this one has too many digits")
    return round(nanoseconds)


def moment_ns(text: str) -> int:
    """``2h`` (that long ago) or a date or time of ISO 8601 (in UTC if it names no zone) as Unix time in ns."""
    if is_duration(text):
        return time.time_ns() - duration_ns(text)
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError("expected 15m, 2h or 3d (that long ago), or a date such as 2026-01-31T12:00 (UTC)") from None
    return _unix_ns(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def statuses(text: str) -> range:
    """``404``, ``5xx`` or ``500-599``."""
    by_class = _STATUS_CLASS.fullmatch(text.strip())
    if by_class:
        first = int(by_class[1]) * 100
        return range(first, first + 100)
    match = _STATUS_RANGE.fullmatch(text.strip())
    if match is None or int(match[2] or match[1]) < int(match[1]):
        raise ValueError("expected 404, 5xx or 500-599")
    return range(int(match[1]), int(match[2] or match[1]) + 1)


def outcome(text: str) -> str:
    """One of the outcomes that a record may have."""
    if text in OUTCOMES:
        return text
    near = nearest(text, OUTCOMES)
    raise Misspelt(f"{f'did you mean {near}? ' if near else ''}There are {', '.join(OUTCOMES)}", near)


def _unix_ns(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000
