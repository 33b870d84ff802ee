"""``chest find``: the records for which some conditions hold."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import click

from chest.chests.asking.conditions import Condition, Name
from chest.chests.asking.cube import Basis, Cube, Step
from chest.chests.asking.reading import Reading
from chest.chests.contract import Query, ReadableChest, StoredRecord
from chest.cli import record_text
from chest.cli.asking.question import progress_line, seconds_option
from chest.cli.asking.table import print_csv
from chest.cli.chest_choice import readable_chest, service_option
from chest.cli.conditions import Selection, perhaps_meant, selection_options
from chest.query.nearby import MOST_NEIGHBOURS, neighbours
from chest.query.record_fields import record_fields
from chest.record.messages import printable

_MOST_READ: Final = 5000
"""If more are found, the store counts them, and only the last of them are read."""
_COLUMNS: Final = 200
"""Of time, in which they are counted."""
_ASKED_AT_ONCE: Final = 500
"""Ids in a question: each is a value that is bound."""


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
@seconds_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--csv", "as_csv", is_flag=True, help="As CSV, a record a row; variables and attributes are JSON.")
@service_option
@click.pass_context
def find(
    ctx: click.Context,
    limit: int,
    joined: bool,
    before: str | None,
    after: str | None,
    by: str,
    seconds: float,
    as_json: bool,
    as_csv: bool,
    selection: Selection,
) -> None:
    """Find records by their fields, variables and attributes.

    FILTER is one or more conditions, which all hold for each record that is found: user_id=42 status>=500 duration>200ms
    plan!=free path~/checkout error=* plan=free,pro since=2h. 123 finds 123 and "123"; a name with dots looks into nested values
    (cart.total>9.5). attr.NAME is an attribute, var.NAME a variable that has a field's name. Quote what the shell would take
    for its own: 'status>=500'. The options say the same as conditions do.

    The request that began last stands at the bottom. The command shows on standard
    error how many records it looked through; --since makes them fewer. If the budget ends first, it shows what it has found among
    the records stored last, and says so. The exit code is 1 if none is found.

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
        found, said = _around(selection, before, after, by, limit, seconds)
    else:
        found, said = _matching(selection, limit, seconds, is_joined=joined)
    if as_csv:
        print_csv(list(map(record_fields, found)))
    else:
        columns = record_text.terminal_columns()
        for stored in found:
            click.echo(record_text.json_line(stored) if as_json else record_text.line(stored, columns))
    click.echo(said, err=True)
    ctx.exit(0 if found else 1)


def _matching(
    selection: Selection, limit: int, seconds: float, *, is_joined: bool
) -> tuple[Sequence[StoredRecord], str]:
    """What was found, and what to say of it."""
    with readable_chest(selection.url, selection.service) as chest, progress_line(chest.name, seconds):
        reading = Reading(chest, seconds)
        result = _search(chest, selection.query, limit, reading)
        found = _joined(reading, result.records) if is_joined else result.records
    count = len(result.records)
    shown = f", the last {count:,} shown" if result.matching > count else ""
    hint = "" if result.matching else perhaps_meant(condition.name for condition in selection.query.conditions)
    if not result.is_counted:
        found_text = f"{f'at least {result.matching:,}' if result.matching else 'none'} found{shown}"
        return (
            found,
            f"{found_text}; the budget of {seconds:g} s ended after {result.seen}: --since makes them fewer, --seconds gives it longer",
        )
    missing = "" if reading.is_whole else f"; the budget of {seconds:g} s ended, so some may not be shown"
    return found, f"{result.matching:,} found{shown}; looked through {result.seen}{missing}{hint}"


def _around(
    selection: Selection, before: str | None, after: str | None, by: str, limit: int, seconds: float
) -> tuple[Sequence[StoredRecord], str]:
    """The neighbours of a request, and the request itself, in the order in which they began; and what to say of them."""
    wanted = before or after or ""
    if before and after and before != after:
        raise click.UsageError("--before and --after: give the same ID to both, or only one of them.")
    most = min(limit, MOST_NEIGHBOURS)
    with readable_chest(selection.url, selection.service) as chest, progress_line(chest.name, seconds, ""):
        found = neighbours(
            chest, wanted, selection.query, by=by, before=most if before else 0, after=most if after else 0, seconds=seconds,
        )  # fmt: skip
    shared = "the request has none" if found.value is None else printable(found.value)
    rest = "" if found.basis.is_exact else f"; the budget of {seconds:g} s ended, there may be others"
    said = f"{len(found.before):,} before and {len(found.after):,} after; {found.by}: {shared}{rest}"
    return (*found.before, found.record, *found.after), said


class _Result(NamedTuple):
    """What a search came to."""

    records: list[StoredRecord]
    """Those that began last, in the order in which they began."""
    matching: int
    """How many match; if they are not counted, at least so many."""
    is_counted: bool
    """False if the budget ended before all were counted."""
    seen: str
    """Among which records they were looked for."""


def _search(chest: ReadableChest, wanted: Query, limit: int, reading: Reading) -> _Result:
    """The last ``limit`` requests found.

    "0 among 48,113" tells a wrong condition from a wrong store. A store that does not count by itself gives all of the time and
    service, which are counted and compared here. If the budget ends, one that counts has given what was stored last.
    """
    if type(chest).sample is not ReadableChest.sample:
        few = chest.latest(wanted, limit=_MOST_READ, seconds=reading.seconds_left())
        found, count = _last_begun(reversed(few.records), limit)
        if len(few.records) < _MOST_READ:
            return _Result(found, count, few.basis.is_exact, _seen(few.basis))
        end, counted = _end_of_many(chest, wanted, limit, reading.seconds_left())
        if end is not None:
            last, _ = _last_begun(reading.records(end), limit)
            found = last if reading.is_whole else found
        total = max(count, sum(cell.records for cell in counted.cells))
        return _Result(found, total, counted.basis.is_exact, _seen(counted.basis))
    scope = Query(service=wanted.service, since_ns=wanted.since_ns, until_ns=wanted.until_ns)
    seen = Counter[bool]()

    def matching() -> Iterator[StoredRecord]:
        for stored in reading.records(scope):
            seen[matches := wanted.matches(stored.record)] += 1
            if matches:
                yield stored

    found, count = _last_begun(matching(), limit)
    return _Result(
        found, count, reading.is_whole, f"{'' if reading.is_whole else 'the first '}{seen.total():,} records"
    )


def _seen(basis: Basis) -> str:
    return f"{basis.of:,} records" if basis.is_exact else f"the last {basis.read:,} of {basis.of:,} records"


def _last_begun(records: Iterable[StoredRecord], limit: int) -> tuple[list[StoredRecord], int]:
    """Those that began last, in the order in which they began, and how many there were."""
    found: list[tuple[int, int, StoredRecord]] = []  # a heap; where they began at once, in the order of storing
    count = 0
    for count, stored in enumerate(records, 1):
        entry = (stored.record.time_ns, count, stored)
        (heapq.heappush if len(found) < limit else heapq.heappushpop)(found, entry)
    return [stored for _, _, stored in sorted(found)], count


def _end_of_many(chest: ReadableChest, wanted: Query, limit: int, seconds: float | None) -> tuple[Query | None, Cube]:
    """The query, narrowed to the end of its time range that has so many; and the store's counts of all, by time.

    If the store cannot count them within the budget, None, and what it has counted.
    """
    first_ns, last_ns = chest.time_range(wanted) or (0, 0)
    step = Step(first_ns, (last_ns - first_ns) // _COLUMNS + 1)
    columns: Counter[int] = Counter()
    cube = chest.cube(wanted, step=step, seconds=seconds)
    if not cube.basis.is_exact:
        return None, cube
    for cell in cube.cells:
        columns[cell.column] += cell.records
    left, begin_ns = limit, first_ns
    for column in sorted(columns, reverse=True):
        left, begin_ns = left - columns[column], step.begin_ns + column * step.width_ns
        if left <= 0:
            break
    return replace(wanted, since_ns=begin_ns), cube


def _joined(reading: Reading, found: Sequence[StoredRecord]) -> list[StoredRecord]:
    """These and the other records of their requests, in the order in which they began."""
    wanted = sorted({stored.record.request_id for stored in found})
    every = {stored.record.id: stored for stored in found}
    for start in range(0, len(wanted), _ASKED_AT_ONCE):
        some = Condition(Name("field", "request_id"), "equals", tuple(wanted[start : start + _ASKED_AT_ONCE]))
        every |= {stored.record.id: stored for stored in reading.records(Query(conditions=(some,)))}
    return sorted(every.values(), key=lambda stored: stored.record.time_ns)
