"""The endpoints that answer questions about many requests; each is an answer of ``chest.query``, in milliseconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from chest.chests.asking.conditions import Condition, Name
from chest.chests.contract import Query, ReadableChest
from chest.dashboard.parameters import ParameterError, Parameters
from chest.dashboard.reply import Reply, basis_of, milliseconds
from chest.query.comparison import compare as ask_compare
from chest.query.distribution import ValuesRow
from chest.query.distribution import values as ask_values
from chest.query.language import narrowed
from chest.query.ranking import TopRow
from chest.query.ranking import top as ask_top
from chest.query.timeline import heatmap as ask_heatmap
from chest.query.timeline import over_time as ask_over_time
from chest.query.typed import duration_ns
from chest.query.wording import condition_text
from chest.record.messages import cut

__all__ = ["compare", "heatmap", "names", "over_time", "top", "values"]

_MOST_STEPS: Final = 2000
_MOST_ROWS: Final = 1000
_TOP_VALUES: Final = 10
_LONGEST_VALUE: Final = 1000
"""Characters of a value in a list; the record has it whole."""


def over_time(chest: ReadableChest, parameters: Parameters, seconds: float) -> Reply:
    """Rate, failures and durations, step by step, for each group."""
    answer = ask_over_time(
        chest, parameters.query(), by=_by(parameters), columns=parameters.whole("steps", 60, _MOST_STEPS),
        groups=parameters.whole("limit", 10, _MOST_ROWS), seconds=seconds,
    )  # fmt: skip
    rows = [
        {
            "group": _group_text(row.group),
            "time_ms": milliseconds(row.begin_ns),
            "requests": row.requests,
            "rate_per_s": row.per_second,
            "errors": row.requests * row.failed_share,
            "p50_ms": milliseconds(row.p50_ns),
            "p95_ms": milliseconds(row.p95_ns),
            "p99_ms": milliseconds(row.p99_ns),
        }
        for row in answer.rows
    ]
    groups = [
        {
            **_group(answer.by, group),
            "rows": [
                {name: value for name, value in row.items() if name != "group"}
                for row, of in zip(rows, answer.rows, strict=True)
                if of.group == group
            ],
        }
        for group in answer.groups
    ]
    return Reply({**_about(answer), "step_ms": milliseconds(answer.step_ns), "groups": groups, "releases": []}, rows)


def heatmap(chest: ReadableChest, parameters: Parameters, seconds: float) -> Reply:
    """How many requests took how long, and when. With ``name`` and ``value`` those that have this value."""
    answer = ask_heatmap(
        chest, narrowed(parameters.query(), _of_value(parameters)), columns=parameters.whole("columns", 60, _MOST_STEPS),
        bands=parameters.whole("rows", 40, 500), seconds=seconds,
    )  # fmt: skip
    bands = [band for band in answer.bands if not band.is_overflow]
    above = [band for band in answer.bands if band.is_overflow]
    columns = range(len(answer.columns))
    value = {
        **_about(answer),
        "step_ms": milliseconds(answer.step_ns),
        "times_ms": [milliseconds(begin_ns) for begin_ns in answer.columns],
        "bounds_ms": [milliseconds(band.low_ns) for band in bands]
        + [milliseconds(band.high_ns) for band in bands[-1:]],
        "counts": [[band.counts[column] for band in bands] for column in columns],
        "errors": [[band.failed[column] for band in bands] for column in columns],
        "overflow": above[0].counts if above else [],
        "overflow_errors": above[0].failed if above else [],
        "overflow_ms": milliseconds(above[0].high_ns) if above else None,
        "releases": [],
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


def top(chest: ReadableChest, parameters: Parameters, seconds: float) -> Reply:
    """One row a group, sorted; with ``against`` also the period before."""
    answer = ask_top(
        chest, parameters.query(), by=_by(parameters) or "route", sort=parameters.text("sort", "total"),
        limit=parameters.whole("limit", 20, _MOST_ROWS), against=_shift_ns(parameters), seconds=seconds,
    )  # fmt: skip
    rows = [_top_row(answer.by, row) for row in answer.rows]
    table = [
        {
            **{name: value for name, value in row.items() if name not in ("values", "condition", "spark", "before")},
            **({f"{name}_before": value for name, value in (_figures(of.before) if of.before else {}).items()}),
        }
        for row, of in zip(rows, answer.rows, strict=True)
    ]
    value = {
        **_about(answer),
        "step_ms": milliseconds(answer.step_ns),
        "by": answer.by,
        "rows": rows,
        "groups": answer.groups,
        "others": None if answer.others is None else _top_row((), replace(answer.others, group=())),
        "everything": _top_row((), answer.everything),
    }
    columns = {name: None for row in table for name in row}
    return Reply(value, [{**columns, **row} for row in table])


def values(chest: ReadableChest, parameters: Parameters, seconds: float) -> Reply:
    """The values that fields and variables have most often."""
    answer = ask_values(
        chest, parameters.query(), names=parameters.texts("name"),
        limit=parameters.whole("limit", _TOP_VALUES, _MOST_ROWS), seconds=seconds,
    )  # fmt: skip
    rows: list[dict[str, Any]] = [
        {
            "name": row.name,
            "type": row.types[0] if row.types else None,
            "types": row.types,
            "present_share": row.share,
            "distinct": row.distinct,
            "smallest": row.smallest,
            "middle": row.middle,
            "largest": row.largest,
            "top": _top_values(row),
        }
        for row in answer.rows
    ]
    table = [
        {"name": row["name"], "value": each["value"], "count": each["count"], "share": each["share"]}
        for row in rows
        for each in row["top"]
    ]
    return Reply({**_about(answer), "rows": rows, "left_out": answer.left_out}, table)


def compare(chest: ReadableChest, parameters: Parameters, seconds: float) -> Reply:
    """What is different about the requests of a selection."""
    selection = narrowed(parameters.filter("selection"), _of_times(parameters))
    against = parameters.filter("against") if parameters.texts("against") else None
    base = parameters.query()
    selected = replace(selection, since_ns=base.since_ns, until_ns=base.until_ns)
    answer = ask_compare(
        chest, selected, filter=replace(base, since_ns=None, until_ns=None), against=against, seconds=seconds
    )
    rows = [
        {
            "name": row.name,
            "value": each.value and cut(each.value, _LONGEST_VALUE),
            "condition": each.condition if len(each.condition or "") <= 2 * _LONGEST_VALUE else None,
            "these_share": each.selected_share,
            "others_share": each.rest_share,
            "difference": each.difference,
            "low": each.low,
            "high": each.high,
            "is_clear": each.low > 0 or each.high < 0,
        }
        for row in answer.rows[: parameters.whole("limit", 50, _MOST_ROWS)]
        for each in row.values
    ]
    value = {
        **_about(answer),
        "these": answer.selected,
        "others": answer.rest,
        "left_out": answer.left_out[:_MOST_ROWS],
        "rows": rows,
    }
    return Reply(value, rows)


def names(chest: ReadableChest, parameters: Parameters, seconds: float) -> Reply:
    """What can be typed: every field and variable; with ``name`` its values."""
    wanted = parameters.text("name")
    answer = ask_values(
        chest, parameters.query(), names=[wanted] if wanted else (),
        limit=parameters.whole("limit", 50, _MOST_ROWS), seconds=seconds,
    )  # fmt: skip
    if wanted:
        rows = [each for row in answer.rows for each in _top_values(row)]
        return Reply({**_about(answer), "name": wanted, "values": rows}, rows)
    listed = [
        {"name": row.name, "type": row.types[0] if row.types else None, "present_share": row.share}
        for row in answer.rows
    ]
    return Reply({**_about(answer), "names": listed}, listed)


def _top_values(row: ValuesRow) -> list[dict[str, Any]]:
    return [
        {
            "value": cut(each.value, _LONGEST_VALUE),
            "share": each.share,
            "count": each.requests,
            "condition": _condition(row.name, each.value),
        }
        for each in row.top
    ]


def _condition(name: str, value: str | None) -> str | None:
    """The filter that selects a value; None if it is too long for a URL."""
    return condition_text(name, value) if len(value or "") <= _LONGEST_VALUE else None


def _about(answer: Any) -> dict[str, Any]:
    """What every answer says."""
    return {
        "basis": basis_of(answer.basis),
        "begin_ms": milliseconds(answer.begin_ns),
        "end_ms": milliseconds(answer.end_ns),
    }


def _by(parameters: Parameters) -> list[str]:
    return [name for text in parameters.texts("by") for name in text.split(",") if name]


def _shift_ns(parameters: Parameters) -> int | None:
    text = parameters.text("against")
    try:
        return duration_ns(text) if text else None
    except ValueError as error:
        raise ParameterError("against", str(error)) from None


def _of_value(parameters: Parameters) -> Query:
    """The condition that ``name`` and ``value`` are."""
    name, value = parameters.text("name"), parameters.text("value")
    if not name:
        return Query()
    text = condition_text(name, value or None)
    if text is None:
        raise ParameterError("name", f"no filter can say {name!r}")
    return Parameters({"filter": [text]}).filter()


def _of_times(parameters: Parameters) -> Query:
    """``from`` and ``to``: as a condition, since they are a part of the time range."""
    span = parameters.milliseconds_ns("from"), parameters.milliseconds_ns("to")
    if span == (None, None):
        return Query()
    return Query(conditions=(Condition(Name("field", "time_ns"), "between", (span,)),))


def _group_text(group: Sequence[str | None]) -> str | None:
    """One value as it is; several joined."""
    if not group or group == (None,):
        return None
    return cut(", ".join("-" if value is None else value for value in group), _LONGEST_VALUE)


def _group(by: Sequence[str], group: Sequence[str | None]) -> dict[str, Any]:
    """A group by its values, and the filter that selects it; None if it is made of several."""
    conditions = [_condition(name, value) for name, value in zip(by, group, strict=False)]
    is_one = len(group) == len(by) and all(conditions)
    return {
        "group": _group_text(group),
        "values": [value and cut(value, _LONGEST_VALUE) for value in group],
        "condition": " ".join(map(str, conditions)) if is_one else None,
    }


def _top_row(by: Sequence[str], row: TopRow) -> dict[str, Any]:
    before = row.before
    return {
        **_group(by, row.group),
        **_figures(row),
        "spark": row.over_time,
        "before": None if before is None else _figures(before),
    }


def _figures(row: TopRow) -> Mapping[str, Any]:
    return {
        "requests": row.requests,
        "rate_per_s": row.per_second,
        "error_share": row.failed_share,
        "p50_ms": milliseconds(row.p50_ns),
        "p95_ms": milliseconds(row.p95_ns),
        "p99_ms": milliseconds(row.p99_ns),
        "max_ms": milliseconds(row.longest_ns),
        "total_ms": milliseconds(row.total_ns),
    }
