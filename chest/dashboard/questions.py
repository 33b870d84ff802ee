"""The endpoints that divide requests by their values; each is an answer of ``chest.query``, in milliseconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from chest.chests.asking.conditions import Condition, Name
from chest.chests.contract import Query, ReadableChest
from chest.dashboard.parameters import ParameterError, Parameters
from chest.dashboard.reply import Reply, milliseconds
from chest.dashboard.shown import LONGEST_VALUE, about, names_by, shown_condition, shown_group
from chest.query.comparison import compare as ask_compare
from chest.query.distribution import ValuesRow
from chest.query.distribution import values as ask_values
from chest.query.language import narrowed
from chest.query.ranking import TopRow
from chest.query.ranking import top as ask_top
from chest.query.typed import duration_ns
from chest.record.messages import cut

__all__ = ["compare", "names", "top", "values"]

_MOST_ROWS: Final = 1000
_TOP_VALUES: Final = 10


def top(chest: ReadableChest, parameters: Parameters, seconds: float) -> Reply:
    """One row a group, sorted; with ``against`` also the period before."""
    answer = ask_top(
        chest, parameters.query(), by=names_by(parameters) or "route", sort=parameters.text("sort", "total"),
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
        **about(answer),
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
    return Reply({**about(answer), "rows": rows, "left_out": answer.left_out}, table)


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
            "value": each.value and cut(each.value, LONGEST_VALUE),
            "condition": each.condition if len(each.condition or "") <= 2 * LONGEST_VALUE else None,
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
        **about(answer),
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
        return Reply({**about(answer), "name": wanted, "values": rows}, rows)
    listed = [
        {"name": row.name, "type": row.types[0] if row.types else None, "present_share": row.share}
        for row in answer.rows
    ]
    return Reply({**about(answer), "names": listed}, listed)


def _top_values(row: ValuesRow) -> list[dict[str, Any]]:
    return [
        {
            "value": cut(each.value, LONGEST_VALUE),
            "share": each.share,
            "count": each.requests,
            "condition": shown_condition(row.name, each.value),
        }
        for each in row.top
    ]


def _shift_ns(parameters: Parameters) -> int | None:
    text = parameters.text("against")
    try:
        return duration_ns(text) if text else None
    except ValueError as error:
        raise ParameterError("against", str(error)) from None


def _of_times(parameters: Parameters) -> Query:
    """``from`` and ``to``: as a condition, since they are a part of the time range."""
    span = parameters.milliseconds_ns("from"), parameters.milliseconds_ns("to")
    if span == (None, None):
        return Query()
    return Query(conditions=(Condition(Name("field", "time_ns"), "between", (span,)),))


def _top_row(by: Sequence[str], row: TopRow) -> dict[str, Any]:
    before = row.before
    return {
        **shown_group(by, row.group),
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
