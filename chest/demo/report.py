"""What the demonstration shows at the end: the comparison in words, the routes, one record, what to try next."""

from __future__ import annotations

import json
import math
import shlex
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from rich import box
from rich.console import Console
from rich.table import Table

from chest.demo.tally import Tally
from chest.record import Outcome, Record

_NAMED_IDS: Final = 5
_NO_ROUTE: Final = "(no route)"


class RouteSummary(NamedTuple):
    """How one route fared."""

    route: str
    requests: int
    errors: int
    """Requests with a status of 500 and above, or ended by an exception."""
    p50_ms: float
    p95_ms: float


def by_route(records: Iterable[Record]) -> list[RouteSummary]:
    """One summary a route, the most used first."""
    grouped: defaultdict[str, list[Record]] = defaultdict(list)
    for record in records:
        grouped[record.route or _NO_ROUTE].append(record)
    summaries = [_summary(route, members) for route, members in grouped.items()]
    return sorted(summaries, key=lambda summary: (-summary.requests, summary.route))


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile: the smallest value that at least ``percent`` of all values do not exceed."""
    return sorted(values)[max(math.ceil(len(values) * percent / 100) - 1, 0)]


def print_tally(console: Console, tally: Tally) -> None:
    """Whether the store holds what the clients saw, and what else it holds."""
    unanswered = sum(tally.unanswered.values())
    _say(console, f"Clients: {tally.answered + unanswered} requests, {tally.answered} answered, {unanswered} not")
    _say(console, _listed(tally.unanswered))
    _say(
        console,
        f"Store:   {tally.stored} records, {sum(tally.unseen.values())} of them of requests that were not answered",
    )
    _say(console, _listed(tally.unseen))
    _say(console, _verdict(tally), style="bold green" if tally.is_complete else "bold red")


def print_routes(console: Console, records: Iterable[Record]) -> None:
    """A table by route, from the records."""
    table = Table(box=box.ROUNDED if console.is_terminal else None, pad_edge=console.is_terminal)
    table.add_column("route")
    for heading in ("count", "errors", "p50 ms", "p95 ms"):
        table.add_column(heading, justify="right")
    for row in by_route(records):
        table.add_row(row.route, str(row.requests), str(row.errors), f"{row.p50_ms:.1f}", f"{row.p95_ms:.1f}")
    _say(console, "\nBy route, from the store:")
    console.print(table)


def print_record(console: Console, record: Record) -> None:
    """One record, whole."""
    _say(console, "\nOne record:")
    console.print_json(json.dumps(record._asdict()))


def print_next_commands(console: Console, store_url: str, record: Record) -> None:
    """Three commands that look at the same store, to be copied."""
    url, user_id = shlex.quote(store_url), record.variables.get("user_id")
    _say(console, "\nTry next:")
    _say(console, f"  chest find {url} user_id={shlex.quote(str(user_id))}")
    _say(console, f"  chest tail {url}")
    _say(console, f"  chest show {url} {shlex.quote(record.request_id)}")


def _summary(route: str, records: Sequence[Record]) -> RouteSummary:
    durations_ms = [record.duration_ns / 1e6 for record in records]
    errors = sum(record.outcome == Outcome.ERROR or (record.status or 0) >= 500 for record in records)
    return RouteSummary(route, len(records), errors, percentile(durations_ms, 50), percentile(durations_ms, 95))


def _verdict(tally: Tally) -> str:
    if tally.is_complete:
        return f"Every one of the {tally.answered} answered requests is in the store exactly once."
    if not tally.answered:
        return "No request was answered, so nothing was shown."
    faults = []
    if tally.missing:
        faults.append(f"lacks {len(tally.missing)} ({_first(tally.missing)})")
    if tally.doubled:
        faults.append(f"holds {len(tally.doubled)} more than once ({_first(tally.doubled)})")
    return f"Of the {tally.answered} answered requests, the store {' and '.join(faults)}."


def _first(request_ids: Sequence[str]) -> str:
    more = len(request_ids) - _NAMED_IDS
    return ", ".join(request_ids[:_NAMED_IDS]) + (f" and {more} more" if more > 0 else "")


def _listed(counts: Counter[str]) -> str:
    return "         " + ", ".join(f"{count} {name}" for name, count in counts.most_common())


def _say(console: Console, text: str, style: str | None = None) -> None:
    if text.strip():
        console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)
