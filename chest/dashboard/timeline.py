"""The endpoints that divide requests by time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from chest.chests.contract import Query, ReadableChest
from chest.dashboard.parameters import ParameterError, Parameters
from chest.dashboard.reply import Reply, milliseconds
from chest.dashboard.shown import about, group_text, names_by, shown_group
from chest.query.language import narrowed
from chest.query.novelty import ReleaseMark
from chest.query.timeline import TimeRow
from chest.query.timeline import heatmap as ask_heatmap
from chest.query.timeline import over_time as ask_over_time
from chest.query.wording import condition_text

__all__ = ["heatmap", "over_time"]

_MOST_STEPS: Final = 2000
_MOST_GROUPS: Final = 1000
_MOST_BANDS: Final = 500


def over_time(chest: ReadableChest, parameters: Parameters, seconds: float) -> Reply:
    """Rate, failures and durations, step by step, for each group."""
    answer = ask_over_time(
        chest, parameters.query(), by=names_by(parameters), columns=parameters.whole("steps", 60, _MOST_STEPS),
        groups=parameters.whole("limit", 10, _MOST_GROUPS), seconds=seconds,
    )  # fmt: skip
    groups = [
        {**shown_group(answer.by, group), "rows": list(map(_row, rows))}
        for group, rows in answer.rows_by_group().items()
    ]
    return Reply(
        {
            **about(answer),
            "step_ms": milliseconds(answer.step_ns),
            "groups": groups,
            "releases": _releases(answer.releases),
        },
        [{"group": group_text(row.group), **_row(row)} for row in answer.rows],
    )


def _row(row: TimeRow) -> dict[str, Any]:
    return {
        "time_ms": milliseconds(row.begin_ns),
        "requests": row.requests,
        "rate_per_s": row.per_second,
        "errors": row.requests * row.failed_share,
        "p50_ms": milliseconds(row.p50_ns),
        "p95_ms": milliseconds(row.p95_ns),
        "p99_ms": milliseconds(row.p99_ns),
    }


def heatmap(chest: ReadableChest, parameters: Parameters, seconds: float) -> Reply:
    """How many requests took how long, and when. With ``name`` and ``value`` those that have this value."""
    answer = ask_heatmap(
        chest, narrowed(parameters.query(), _of_value(parameters)), columns=parameters.whole("columns", 60, _MOST_STEPS),
        bands=parameters.whole("rows", 40, _MOST_BANDS), seconds=seconds,
    )  # fmt: skip
    bands = [band for band in answer.bands if not band.is_overflow]
    above = [band for band in answer.bands if band.is_overflow]
    columns = range(len(answer.columns))
    value = {
        **about(answer),
        "step_ms": milliseconds(answer.step_ns),
        "times_ms": [milliseconds(begin_ns) for begin_ns in answer.columns],
        "bounds_ms": [milliseconds(band.low_ns) for band in bands]
        + [milliseconds(band.high_ns) for band in bands[-1:]],
        "counts": [[band.counts[column] for band in bands] for column in columns],
        "errors": [[band.failed[column] for band in bands] for column in columns],
        "overflow": above[0].counts if above else [],
        "overflow_errors": above[0].failed if above else [],
        "overflow_ms": milliseconds(above[0].high_ns) if above else None,
        "releases": _releases(answer.releases),
    }
    rows = [
        {
            "time_ms": milliseconds(begin_ns),
            "low_ms": milliseconds(band.low_ns),
            "high_ms": milliseconds(band.high_ns),
            "is_overflow": band.is_overflow,
            "requests": band.counts[column],
            "errors": band.failed[column],
        }
        for column, begin_ns in enumerate(answer.columns)
        for band in answer.bands
    ]
    return Reply(value, rows)


def _of_value(parameters: Parameters) -> Query:
    """The condition that ``name`` and ``value`` are."""
    name, value = parameters.text("name"), parameters.text("value")
    if not name:
        return Query()
    text = condition_text(name, value or None)
    if text is None:
        raise ParameterError("name", f"no filter can say {name!r}")
    return Parameters({"filter": [text]}).filter()


def _releases(marks: Sequence[ReleaseMark]) -> list[dict[str, Any]]:
    return [{"time_ms": milliseconds(mark.time_ns), "release": mark.release} for mark in marks]
