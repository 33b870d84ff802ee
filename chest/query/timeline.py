"""``over_time``: rate, failures and durations, step by step; ``heatmap``: how many requests took how long, and when."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any, Final

from chest.chests.asking.cube import OTHERS, Cell, Group, Step
from chest.chests.asking.durations import BUCKETS_A_DOUBLING, bounds_ns
from chest.errors import SettingsError
from chest.query.answer import Answer, Counts, counted
from chest.query.names import label_of, name_of
from chest.query.novelty import RELEASE, ReleaseMark, releases_of
from chest.query.question import Filter, Question, Source, asked, seconds_between

__all__ = ["Band", "Heatmap", "OverTime", "TimeRow", "heatmap", "over_time"]

_MOST_RELEASES: Final = 50
"""Told apart, for the marks; the smallest beyond are put together."""
_MOST_FOLDED: Final = 2000
"""With more columns the releases are counted by themselves: together with them there would be too many cells."""
_MOST_ROWS: Final = 20_000
"""Steps times groups; beyond, fewer groups are told apart."""
_STATUS_CLASSES: Final = 6
_SHARE_BELOW: Final = 0.999
"""The share of requests that the axis of a heatmap is made for; far above them is one band, the overflow."""
_OVERFLOW_DOUBLINGS: Final = 2


@dataclass(frozen=True)
class TimeRow:
    """The requests of one group that began within one step. As :class:`~chest.query.TopRow`."""

    begin_ns: int
    group: Group
    requests: float
    per_second: float
    failed_share: float
    p50_ns: float | None
    p95_ns: float | None
    p99_ns: float | None


@dataclass(frozen=True)
class OverTime(Answer):
    """One row for each step and group, in the order of time; a step without requests also has a row.

    :param by: the names that divide the requests.
    :param groups: the groups, the largest first.
    :param releases: the releases that were first seen within the time range, but for the one that it begins with.
    """

    by: tuple[str, ...]
    step_ns: int
    groups: tuple[Group, ...]
    rows: tuple[TimeRow, ...]
    releases: tuple[ReleaseMark, ...] = ()

    def rows_by_group(self) -> dict[Group, list[TimeRow]]:
        """The rows of each group, in the order of time; the largest group first."""
        found: dict[Group, list[TimeRow]] = {group: [] for group in self.groups}
        for row in self.rows:
            found[row.group].append(row)
        return found

    def table(self) -> Sequence[dict[str, Any]]:
        return [
            {
                "begin_ns": row.begin_ns,
                **dict(
                    zip(self.by, chain(row.group, repeat(OTHERS[0])), strict=False)
                ),  # OTHERS has one value for all names
                "requests": row.requests,
                "per_second": row.per_second,
                "failed_share": row.failed_share,
                "p50_ns": row.p50_ns,
                "p95_ns": row.p95_ns,
                "p99_ns": row.p99_ns,
            }
            for row in self.rows
        ]


def over_time(
    source: Source,
    filter: Filter = "",  # noqa: A002
    *,
    by: str | Sequence[str] = (),
    step: str | int | None = None,
    columns: int = 60,
    groups: int = 10,
    seconds: float | None = None,
) -> OverTime:
    """Rate, share of failed requests, p50 and p95 by step of time.

    :param source: a chest, or the URL of one.
    :param filter: which requests.
    :param by: names to divide by; ``status`` divides by its class: 2xx, 5xx.
    :param step: how long a step is, such as ``5m``; None: so that there are at most ``columns``.
    :param groups: the most groups to tell apart; fewer if there would be more than 20,000 rows.
    :param seconds: the budget; None: 10.
    """
    names = [name for name in (by.split(",") if isinstance(by, str) else by) if name]
    has_class = "status" in names
    names = [name for name in names if name != "status"]
    try:
        meant = tuple(map(name_of, names))
    except ValueError as error:
        raise SettingsError(f"{error}.") from None
    with asked(source, filter, seconds) as question:
        width = question.step(columns) if step is None else question.step_of(step)
        groups = max(
            1, min(groups, _MOST_ROWS // len(question.columns(width)) // (_STATUS_CLASSES if has_class else 1))
        )
        is_folded = not meant and len(question.columns(width)) <= _MOST_FOLDED
        cube = question.cube((RELEASE,) if is_folded else meant, width, _MOST_RELEASES if is_folded else groups)
        has_releases = is_folded or meant == (RELEASE,)
        by_release = cube if has_releases else question.cube((RELEASE,), question.step(60), _MOST_RELEASES)
        releases = releases_of(question, by_release)
        places = question.columns(width)

    def group_of(cell: Cell) -> Group:
        group = cell.group if meant else ()
        return (_class_text(cell.status_class), *group) if has_class else group

    by_place = counted(cube.cells, lambda cell: (cell.column, group_of(cell)))
    sizes: defaultdict[Group, float] = defaultdict(float)
    for (_, group), counts in by_place.items():
        sizes[group] += counts.requests
    ranked = sorted(sizes, key=sizes.__getitem__, reverse=True) or ([] if names or has_class else [()])
    rows = [
        _time_row(question, width, place, group, by_place.get((place, group)) or Counts())
        for place in places
        for group in ranked
    ]
    labels = (*(("status",) if has_class else ()), *map(label_of, meant))
    return OverTime(
        cube.basis, question.begin_ns, question.end_ns, labels, width.width_ns, tuple(ranked), tuple(rows), releases
    )  # fmt: skip


@dataclass(frozen=True)
class Band:
    """A row of a heatmap: durations from ``low_ns`` on and below ``high_ns``."""

    low_ns: int
    high_ns: int
    counts: tuple[float, ...]
    """Requests by column of time."""
    failed: tuple[float, ...]
    """Those of them that failed."""
    is_overflow: bool = False
    """True if it is the one above the axis, which is higher than the others: it holds the slowest requests there are."""


@dataclass(frozen=True)
class Heatmap(Answer):
    """How many requests took how long, and when.

    :param columns: where each column of time begins, in Unix time.
    :param bands: the shortest durations first; each the same number of times as long as the one before, but for the overflow.
    :param releases: as :attr:`OverTime.releases`.
    """

    step_ns: int
    columns: tuple[int, ...]
    bands: tuple[Band, ...]
    releases: tuple[ReleaseMark, ...] = ()

    def table(self) -> Sequence[dict[str, Any]]:
        return [
            {
                "begin_ns": begin_ns,
                "low_ns": band.low_ns,
                "high_ns": band.high_ns,
                "requests": requests,
                "failed": failed,
            }
            for band in self.bands
            for begin_ns, requests, failed in zip(self.columns, band.counts, band.failed, strict=True)
        ]


def heatmap(
    source: Source,
    filter: Filter = "",  # noqa: A002
    *,
    columns: int = 60,
    bands: int = 40,
    seconds: float | None = None,
) -> Heatmap:
    """How many requests took how long, and when: on an axis where each band is as many times as long as the one below.

    :param source: a chest, or the URL of one.
    :param filter: which requests.
    :param columns: the most columns of time.
    :param bands: the most bands of duration.
    :param seconds: the budget; None: 10.
    """
    with asked(source, filter, seconds) as question:
        step = question.step(columns)
        cube = question.cube((RELEASE,), step, _MOST_RELEASES)
        releases = releases_of(question, cube)
        places = question.columns(step)
    counts = counted((cell for cell in cube.cells if cell.column in places), lambda cell: (cell.bucket, cell.column))
    begins = tuple(step.begin_ns + place * step.width_ns for place in places)
    found = _bands(counts, places, bands)
    return Heatmap(cube.basis, question.begin_ns, question.end_ns, step.width_ns, begins, tuple(found), releases)


def _bands(counts: Mapping[tuple[int, int], Counts], places: range, most: int) -> list[Band]:
    sizes: defaultdict[int, float] = defaultdict(float)
    for (bucket, _), each in counts.items():
        sizes[bucket] += each.requests
    if not sizes:
        return []
    lowest, highest, top = min(sizes), max(sizes), _bucket_below(sizes)
    has_overflow = highest > top + _OVERFLOW_DOUBLINGS * BUCKETS_A_DOUBLING
    end = (top if has_overflow else highest) + 1
    height = next(height for height in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512) if -(-(end - lowest) // height) <= most)
    edges = [*range(lowest, end, height)]
    cuts = [(low, min(low + height, highest + 1)) for low in edges]
    if has_overflow:
        cuts.append((cuts[-1][1], highest + 1))
    return [
        _band(counts, places, low, high, is_overflow=has_overflow and high == highest + 1)
        for low, high in cuts
        if low < high
    ]


def _band(counts: Mapping[tuple[int, int], Counts], places: range, low: int, high: int, *, is_overflow: bool) -> Band:
    cells = [[counts.get((bucket, place)) for bucket in range(low, high)] for place in places]
    return Band(
        bounds_ns(low)[0],
        bounds_ns(high - 1)[1],
        tuple(sum(each.requests for each in column if each) for column in cells),
        tuple(sum(each.failed for each in column if each) for column in cells),
        is_overflow,
    )


def _bucket_below(sizes: dict[int, float]) -> int:
    """The bucket that the given share of the requests is not above."""
    left = sum(sizes.values()) * _SHARE_BELOW
    for bucket in sorted(sizes):
        left -= sizes[bucket]
        if left <= 0:
            return bucket
    return max(sizes)


def _class_text(status_class: int) -> str | None:
    return f"{status_class}xx" if status_class else None


def _time_row(question: Question, step: Step, place: int, group: Group, counts: Counts) -> TimeRow:
    begin_ns = step.begin_ns + place * step.width_ns
    end_ns = begin_ns + step.width_ns
    rate = question.per_second(counts.requests, begin_ns, end_ns, min(1.0, seconds_between(begin_ns, end_ns)))
    return TimeRow(
        begin_ns, group, counts.requests, rate, counts.failed_share,
        counts.percentile_ns(0.5), counts.percentile_ns(0.95), counts.percentile_ns(0.99),
    )  # fmt: skip
