"""The endpoint that says what is new: errors and values with when they were first and last seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from chest.chests.contract import ReadableChest
from chest.dashboard.parameters import Parameters
from chest.dashboard.reply import Reply, milliseconds
from chest.dashboard.shown import LONGEST_VALUE, about, shown_condition
from chest.query.novelty import NewValue, news
from chest.record.messages import cut

__all__ = ["new"]

_MOST_VALUES: Final = 1000


def new(chest: ReadableChest, parameters: Parameters, seconds: float) -> Reply:
    """Errors, statuses, routes, releases, and the values of the variables that are named, which were first seen since ``since``."""
    query = parameters.query()
    since = {} if query.since_ns is None else {"since": query.since_ns}
    answer = news(
        chest, replace(query, since_ns=None), names=parameters.texts("name"),
        limit=parameters.whole("limit", 100, _MOST_VALUES), seconds=seconds, **since,
    )  # fmt: skip
    rows = [_row(value) for value in answer.values]
    value = {
        **about(answer),
        "since_ms": milliseconds(answer.since_ns),
        "before": answer.before,
        "left_out": answer.left_out,
        "errors": [row for row in rows if row["name"] == "error"],
        "values": [row for row in rows if row["name"] != "error"],
    }
    return Reply(value, rows)


def _row(value: NewValue) -> dict[str, Any]:
    return {
        "name": value.name,
        "value": cut(value.value, LONGEST_VALUE),
        "first_seen_ms": milliseconds(value.first_ns),
        "last_seen_ms": milliseconds(value.last_ns),
        "count": value.requests,
        "condition": shown_condition(value.name, value.value),
    }
