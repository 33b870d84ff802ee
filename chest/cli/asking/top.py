"""``chest top``: which routes, releases, users cost the most time, fail most often, are slowest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from chest.cli import record_text
from chest.cli.asking.question import CommandQuestion, question_options
from chest.cli.asking.table import Column, print_basis, table_lines
from chest.cli.asking.units import (
    NOTHING,
    change_text,
    count_text,
    duration_text,
    group_text,
    moment_text,
    number_of,
    points_text,
    rate_text,
    share_text,
    sparkline,
)
from chest.cli.conditions import perhaps_meant
from chest.query.names import name_of
from chest.query.ranking import SORTS, Top, TopRow
from chest.query.ranking import top as ask_top


@click.command()
@click.argument("arguments", nargs=-1, metavar="[URL] [FILTER]...")
@click.option(
    "--by",
    default="route",
    show_default=True,
    metavar="NAME[,NAME]...",
    help="A row for each: field, variable, attr.NAME.",
)
@click.option("--sort", default="total", show_default=True, type=click.Choice(list(SORTS)), help="The largest first.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(min=1), help="At most so many rows.")
@click.option("--against", metavar="1d", help="Compare with the period so much earlier.")
@question_options
def top(
    by: str,
    sort: str,
    limit: int,
    against: str | None,
    question: CommandQuestion,
) -> None:
    """Show how many requests each route had, how many failed, how long they took, and when they came.

    FILTER is as in `chest find`. Errors are requests that failed by the application's or the server's fault. Total is the
    time of all requests together: the first row costs the most. A small screen shows fewer columns.

    \b
    Examples:
      chest top --since 1d
      chest top --by release --since 2h --against 1d
      chest top --by user_id --sort count 'status>=500'
      chest top chest.sqlite3 --by route,plan --sort p95 --limit 5 --json
    """
    query = question.query()
    with question.chest() as chest:
        answer = ask_top(chest, query, by=by, sort=sort, limit=limit, against=against, seconds=question.seconds)
    if question.is_for_program:
        question.print_rows(answer, groups=answer.groups)
        return
    for line in top_lines(answer, record_text.terminal_columns(), has_before=against is not None):
        click.echo(line)
    shown = f", {len(answer.rows):,} of them shown" if len(answer.rows) < answer.groups else ""
    begin, end = moment_text(answer.begin_ns), moment_text(answer.end_ns)
    is_empty = all(value is None for row in answer.rows for value in row.group)
    hint = perhaps_meant(map(name_of, answer.by)) if is_empty and answer.rows else ""
    print_basis(answer, f"{begin} to {end}; {number_of(answer.groups, 'group')}{shown}{hint}; ")


def top_lines(answer: Top, width: int | None, *, has_before: bool) -> Iterator[str]:
    """The answer as a table: its rows, the groups that were put together, and all requests."""
    rows = [*answer.rows, *([answer.others] if answer.others else []), answer.everything]
    names = [list(map(group_text, row.group)) for row in answer.rows]
    blank = [""] * (len(answer.by) - 1)
    names += [["(others)", *blank]] if answer.others else []
    names.append(["(all)", *blank])
    yield from table_lines(
        [
            *(
                Column(label, [name[place] for name in names], is_text=True)
                for place, label in enumerate(answer.by)
            ),
            *_figures(rows),
            *(_changes(rows) if has_before else ()),
            Column("over time", [sparkline(row.over_time) for row in rows], is_text=True, leaves=2),
        ],
        width,
    )  # fmt: skip


def _figures(rows: Sequence[TopRow]) -> Iterator[Column]:
    yield Column("count", [count_text(row.requests) for row in rows])
    yield Column("rate", [rate_text(row.per_second) for row in rows], leaves=1)
    failed = [row.failed_share for row in rows]
    yield Column("errors", list(map(share_text, failed)), colours=["red" if share else None for share in failed])
    yield Column("p50", [duration_text(row.p50_ns) for row in rows])
    yield Column("p95", [duration_text(row.p95_ns) for row in rows])
    yield Column("p99", [duration_text(row.p99_ns) for row in rows], leaves=4)
    yield Column("max", [duration_text(row.longest_ns) for row in rows], leaves=3)
    yield Column("total", [duration_text(row.total_ns) for row in rows])


def _changes(rows: Sequence[TopRow]) -> Iterator[Column]:
    """What changed against the period before."""
    pairs = [(row, row.before) for row in rows]
    yield Column("count ±", [change_text(row.requests, before.requests if before else None) for row, before in pairs])
    yield Column(
        "errors ±",
        [points_text(row.failed_share - before.failed_share) if before else NOTHING for row, before in pairs],
    )
    yield Column("p95 ±", [change_text(row.p95_ns, before.p95_ns) if before else NOTHING for row, before in pairs])
