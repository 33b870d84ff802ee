"""What a person types to say which records are meant: times, durations, statuses, ``name=value``."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

import click

_T = TypeVar("_T")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h|d|w)")
_NANOSECONDS: Final = {
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
    "d": 86_400 * 10**9,
    "w": 7 * 86_400 * 10**9,
}
_STATUS_CLASS: Final = re.compile(r"([1-5])xx", re.IGNORECASE)
_STATUS_RANGE: Final = re.compile(r"([0-9]{3})(?:-([0-9]{3}))?")


def typed(parse: Callable[[str], _T]) -> Callable[[click.Context, click.Parameter, str | None], _T | None]:
    """A callback for an option that is read by ``parse``, whose ``ValueError`` says the expected form."""

    def callback(ctx: click.Context, param: click.Parameter, value: str | None) -> _T | None:
        try:
            return None if value is None else parse(value)
        except ValueError as error:
            raise click.BadParameter(f"{value!r}: {error}", ctx, param) from None

    return callback


def duration_ns(text: str) -> int:
    """``200ms``, ``1.5s``, ``2h`` in nanoseconds."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError("expected a number and ms, s, m, h, d or w, such as 200ms or 1.5s")
    return round(float(match[1]) * _NANOSECONDS[match[2]])


def moment_ns(text: str) -> int:
    """``2h`` (that long ago) or a date or time of ISO 8601 (in UTC, where it names no zone) as Unix time in ns."""
    if _DURATION.fullmatch(text.strip()):
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


def variables(arguments: Iterable[str]) -> dict[str, str]:
    """``name=value`` arguments as a mapping."""
    wanted: dict[str, str] = {}
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not equals or not name:
            raise click.UsageError(f"{argument!r} is neither name=value nor the URL of a chest")
        if name in wanted:
            raise click.UsageError(f"{name!r} is given twice: a record has one value for it")
        wanted[name] = value
    return wanted


def _unix_ns(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000
