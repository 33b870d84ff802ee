"""``chest find``: the records for which some conditions hold."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Final

import click

from chest.chests.asking.cube import Step
from chest.chests.contract import Query, ReadableChest, StoredRecord
from chest.cli import record_text
from chest.cli.chest_choice import readable_chest, service_option
from chest.cli.conditions import Selection, perhaps_meant, selection_options
from chest.cli.tail import pages
from chest.query.nearby import MOST_NEIGHBOURS, neighbours
from chest.query.question import BUDGET_SECONDS
from chest.record.messages import printable

_MOST_READ: Final = 5000
"""If more are found, the store counts them, and only the last of them are read."""
_COLUMNS: Final = 200
"""Of time, in which they are counted."""


@click.command()
@selection_options
@click.option(
    "--limit", default=100, show_default=True, type=click.IntRange(min=1), help="Show at most this many, the latest."
)
@click.option(
    "--joined", is_flag=True, help="Also the other records with the same request_id: of jobs, events, services."
)
@click.option("--before", metavar="ID", help="Show what the same user did before this request.")
@click.option("--after", metavar="ID", help="Show what came after it; may be combined with --before.")
@click.option(
    "--by", default="user", show_default=True, metavar="user|host|worker|NAME", help="What --before and --after share."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@service_option
@click.pass_context
def find(
    ctx: click.Context,
    limit: int,
    joined: bool,
    before: str | None,
    after: str | None,
    by: str,
    as_json: bool,
    selection: Selection,
) -> None:
    """Find records by their fields, variables and attributes.

    FILTER is one or more conditions, which all hold for each record that is found: user_id=42 status>=500 duration>200ms
    plan!=free path~/checkout error=* plan=free,pro since=2h. 123 finds 123 and "123"; a name with dots looks into nested values
    (cart.total>9.5). attr.NAME is an attribute, var.NAME a variable that has a field's name. Quote what the shell would take
    for its own: 'status>=500'. The options say the same as conditions do.

    The request that began last stands at the bottom. The command shows on standard
    error how many records it looked through; --since makes them fewer. The exit code is 1 if none is found.

    \b
    Examples:
      chest find user_id=42 --since 1h
      chest find --user 42 --since 1h
      chest find chest.sqlite3 --status 5xx --route "/items/<id>"
      chest find 'status>=500' 'duration>200ms' plan=free since=2h --json
      chest find method=JOB outcome=error --joined
      chest find --before 9f86d081 --after 9f86d081 --limit 5
      chest find --before 9f86d081 --by worker --since 1h
    """
    if before or after:
        _show_around(selection, before, after, by, limit, as_json=as_json)
        return
    with readable_chest(selection.url, selection.service) as chest:
        found, count, seen = _search(chest, selection.query, limit)
        if joined:
            found = _joined(chest, found)
    columns = record_text.terminal_columns()
    for stored in found:
        click.echo(record_text.json_line(stored) if as_json else record_text.line(stored, columns))
    shown = f", the last {limit:,} shown" if count > limit else ""
    hint = "" if count else perhaps_meant(condition.name for condition in selection.query.conditions)
    click.echo(f"{count:,} found{shown}; looked through {seen:,} records{hint}", err=True)
    ctx.exit(0 if count else 1)


def _show_around(
    selection: Selection, before: str | None, after: str | None, by: str, limit: int, *, as_json: bool
) -> None:
    """The neighbours of a request, and the request itself, in the order in which they began."""
    wanted = before or after or ""
    if before and after and before != after:
        raise click.UsageError("--before and --after: give the same ID to both, or only one of them.")
    most = min(limit, MOST_NEIGHBOURS)
    with readable_chest(selection.url, selection.service) as chest:
        found = neighbours(
            chest, wanted, selection.query, by=by, before=most if before else 0, after=most if after else 0
        )
    columns = record_text.terminal_columns()
    for stored in (*found.before, found.record, *found.after):
        click.echo(record_text.json_line(stored) if as_json else record_text.line(stored, columns))
    shared = "the request has none" if found.value is None else printable(found.value)
    rest = "" if found.basis.is_exact else "; the budget ended, there may be others"
    click.echo(f"{len(found.before):,} before and {len(found.after):,} after; {found.by}: {shared}{rest}", err=True)


def _search(chest: ReadableChest, wanted: Query, limit: int) -> tuple[list[StoredRecord], int, int]:
    """The last ``limit`` requests found in the order in which they began, how many were found, and among how many records.

    "0 among 48,113" tells a wrong condition from a wrong store. A store that does not count by itself gives all of the time and
    service, which are counted and compared here.
    """
    scope = Query(service=wanted.service, since_ns=wanted.since_ns, until_ns=wanted.until_ns)
    if type(chest).sample is not ReadableChest.sample:
        few = list(islice(pages(chest, wanted, None), _MOST_READ))
        if len(few) < _MOST_READ:
            found, count = _last_begun(few, limit)
        else:
            end, counted = _end_of_many(chest, wanted, limit)
            found, read = _last_begun(pages(chest, end, None), limit)
            count = read if counted is None else counted
        return found, count, chest.sample(scope, size=1).basis.of
    seen = Counter[bool]()

    def matching() -> Iterator[StoredRecord]:
        for stored in pages(chest, scope, None):
            seen[matches := wanted.matches(stored.record)] += 1
            if matches:
                yield stored

    found, count = _last_begun(matching(), limit)
    return found, count, seen.total()


def _last_begun(records: Iterable[StoredRecord], limit: int) -> tuple[list[StoredRecord], int]:
    """Those that began last, in the order in which they began, and how many there were."""
    found: list[tuple[int, int, StoredRecord]] = []  # a heap; where they began at once, in the order of storing
    count = 0
    for count, stored in enumerate(records, 1):
        entry = (stored.record.time_ns, count, stored)
        (heapq.heappush if len(found) < limit else heapq.heappushpop)(found, entry)
    return [stored for _, _, stored in sorted(found)], count


def _end_of_many(chest: ReadableChest, wanted: Query, limit: int) -> tuple[Query, int | None]:
    """The query, narrowed to the end of its time range that has so many; and how many there are in all, which the store counts.

    If the store cannot count them within the budget, the query as it is, and None.
    """
    first_ns, last_ns = chest.time_range(wanted) or (0, 0)
    step = Step(first_ns, (last_ns - first_ns) // _COLUMNS + 1)
    columns: Counter[int] = Counter()
    cube = chest.cube(wanted, step=step, seconds=BUDGET_SECONDS)
    if not cube.basis.is_exact:
        return wanted, None
    for cell in cube.cells:
        columns[cell.column] += cell.records
    left, begin_ns = limit, first_ns
    for column in sorted(columns, reverse=True):
        left, begin_ns = left - columns[column], step.begin_ns + column * step.width_ns
        if left <= 0:
            break
    return replace(wanted, since_ns=begin_ns), columns.total()


def _joined(chest: ReadableChest, found: list[StoredRecord]) -> list[StoredRecord]:
    """These and the other records of their requests, in the order in which they began."""
    wanted = {stored.record.request_id for stored in found}
    every = (stored for stored in pages(chest, Query(), None) if stored.record.request_id in wanted)
    return sorted(every, key=_beginning) if wanted else []


def _beginning(stored: StoredRecord) -> int:
    return stored.record.time_ns
