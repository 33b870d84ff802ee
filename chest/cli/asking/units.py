"""Durations, shares, counts and times, short enough for a column of a table; and bars."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from chest.record.messages import printable

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS: Final = (("d", 86_400e9), ("h", 3600e9), ("m", 60e9), ("s", 1e9), ("ms", 1e6), ("µs", 1e3))
_RANGE: Final = re.compile(r"(>=|<|)([0-9.e+]+)")
_BARS: Final = "▁▂▃▄▅▆▇█"
_DAY_NS: Final = 86_400 * 10**9
NOTHING: Final = "-"


def duration_text(duration_ns: float | None) -> str:
    """In the largest unit of which it is at least one, with three digits; ``-`` for None."""
    if duration_ns is None:
        return NOTHING
    for unit, size in _UNITS:
        if duration_ns >= size:
            return f"{_three_digits(duration_ns / size)}{unit}"
    return f"{duration_ns:.0f}ns"


def step_text(step_ns: int) -> str:
    """A whole number of the largest unit that divides it."""
    return next((f"{step_ns // int(size)}{unit}" for unit, size in _UNITS if step_ns % int(size) == 0), f"{step_ns}ns")


def count_text(count: float) -> str:
    """Whole, with commas."""
    return f"{round(count):,}"


def number_of(count: int, noun: str) -> str:
    """``1 group``, ``2 groups``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def rate_text(per_second: float) -> str:
    """A second, a minute or an hour: the shortest of which there is at least one."""
    if not per_second:
        return "0"
    for unit, seconds in (("s", 1), ("min", 60)):
        if per_second * seconds >= 1:
            return f"{_three_digits(per_second * seconds)}/{unit}"
    return f"{_three_digits(per_second * 3600)}/h"


def share_text(share: float) -> str:
    """In percent; a small share that is not 0 does not look like it."""
    if 0 < share < 0.001:
        return "<0.1%"
    return f"{share * 100:.0f}%" if share in (0, 1) else f"{share * 100:.1f}%"


def change_text(now: float | None, before: float | None) -> str:
    """By how much it grew, in percent; ``new`` if there was nothing before."""
    if not before:
        return "new" if now else NOTHING
    change = (now or 0) / before - 1
    return f"{change * 100:+.0f}%" if change < 10 else f"x{change + 1:.0f}"


def points_text(difference: float) -> str:
    """The difference of two shares, in percentage points."""
    return f"{difference * 100:+.1f}"


def group_text(value: str | None) -> str:
    """The value of a group."""
    return "(none)" if value is None else printable(value) or '""'


def value_text(name: str, value: str | None) -> str:
    """A value of this field or variable, or a range of its numbers: a duration in its unit."""
    range_of = _RANGE.fullmatch(value or "") if name == "duration" else None
    return f"{range_of[1]}{duration_text(float(range_of[2]))}" if range_of else group_text(value)


def moment_text(time_ns: int, step_ns: int = 1) -> str:
    """In UTC; without the time of day if a step is whole days, without seconds if it is whole minutes."""
    moment = _EPOCH + timedelta(microseconds=time_ns // 1000)
    if step_ns % _DAY_NS == 0:
        return f"{moment:%Y-%m-%d}"
    return f"{moment:%m-%d %H:%M}" if step_ns % (60 * 10**9) == 0 else f"{moment:%m-%d %H:%M:%S}"


def sparkline(values: Sequence[float | None]) -> str:
    """One character a value, as high as its part of the largest; a blank for nothing."""
    largest = max((value or 0 for value in values), default=0)
    return "".join(_BARS[math.ceil(value / largest * len(_BARS)) - 1] if value else " " for value in values)


def bar(value: float, largest: float, columns: int) -> str:
    """A bar as long as the value's part of the largest; anything above 0 can be seen."""
    return "█" * math.ceil(value / largest * columns) if value else ""


def _three_digits(number: float) -> str:
    return f"{number:,.0f}" if number >= 99.95 else f"{number:.1f}" if number >= 9.995 else f"{number:.2f}"
