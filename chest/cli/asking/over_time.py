"""``chest over-time``: how many requests came, failed and were slow, step by step."""

from __future__ import annotations

from collections.abc import Iterator

import click

from chest.cli import record_text
from chest.cli.asking.question import CommandQuestion, question_options
from chest.cli.asking.table import Column, print_basis, table_lines
from chest.cli.asking.units import (
    bar,
    count_text,
    duration_text,
    group_text,
    moment_text,
    rate_text,
    share_text,
    sparkline,
    step_text,
)
from chest.query.timeline import OverTime
from chest.query.timeline import over_time as ask_over_time
from chest.record.messages import printable

_STEPS = 24
_STEPS_OF_GROUPS = 40
_BAR_COLUMNS = 24


@click.command("over-time")
@click.argument("arguments", nargs=-1, metavar="[URL] [FILTER]...")
@click.option(
    "--by", default="", metavar="NAME[,NAME]...", help="A row for each; status divides by its class (2xx, 5xx)."
)
@click.option("--step", metavar="5m", help="How long a step is.  [default: as fits the time range]")
@click.option("--limit", default=10, show_default=True, type=click.IntRange(min=1), help="At most so many groups.")
@question_options
def over_time(
    by: str,
    step: str | None,
    limit: int,
    question: CommandQuestion,
) -> None:
    """Show requests, errors, p50 and p95 over time: a row for each step, or with --by a row for each group.

    FILTER is as in `chest find`. A step without requests has a row as well. Times are UTC.

    \b
    Examples:
      chest over-time --since 6h
      chest over-time --by status --since 1d
      chest over-time --step 5m 'route=/cart' --since 2h --csv
    """
    steps = _STEPS_OF_GROUPS if by else _STEPS
    query = question.query()
    with question.chest() as chest:
        answer = ask_over_time(chest, query, by=by, step=step, columns=steps, groups=limit, seconds=question.seconds)
    if question.is_for_program:
        question.print_rows(answer, step_ns=answer.step_ns)
        return
    width = record_text.terminal_columns()
    for line in _group_lines(answer, width) if answer.by else _step_lines(answer, width):
        click.echo(line)
    for mark in answer.releases:
        click.echo(f"release {printable(mark.release)} first seen {moment_text(mark.time_ns)}", err=True)
    begin, end = moment_text(answer.begin_ns), moment_text(answer.end_ns)
    print_basis(answer, f"{begin} to {end}, in steps of {step_text(answer.step_ns)}; ")


def _step_lines(answer: OverTime, width: int | None) -> Iterator[str]:
    rows = answer.rows
    largest = max((row.requests for row in rows), default=0)
    failed = [row.failed_share for row in rows]
    return table_lines(
        [
            Column("from", [moment_text(row.begin_ns, answer.step_ns) for row in rows]),
            Column("count", [count_text(row.requests) for row in rows]),
            Column("rate", [rate_text(row.per_second) for row in rows], leaves=2),
            Column("errors", list(map(share_text, failed)), colours=["red" if share else None for share in failed]),
            Column("p50", [duration_text(row.p50_ns) for row in rows]),
            Column("p95", [duration_text(row.p95_ns) for row in rows]),
            Column("requests", [bar(row.requests, largest, _BAR_COLUMNS) for row in rows], is_text=True, leaves=1),
        ],
        width,
    )


def _group_lines(answer: OverTime, width: int | None) -> Iterator[str]:
    groups = list(answer.rows_by_group().values())
    names = [[*map(group_text, group), *[""] * len(answer.by)][: len(answer.by)] for group in answer.groups]
    counts = [sum(row.requests for row in rows) for rows in groups]
    failed = [sum(row.requests * row.failed_share for row in rows) for rows in groups]
    return table_lines(
        [
            *(Column(label, [name[place] for name in names], is_text=True) for place, label in enumerate(answer.by)),
            Column("count", list(map(count_text, counts))),
            Column("errors", [share_text(bad / count if count else 0) for bad, count in zip(failed, counts, strict=True)]),
            Column("highest p95", [duration_text(max((row.p95_ns or 0 for row in rows), default=0)) for rows in groups]),
            Column("requests", [sparkline([row.requests for row in rows]) for rows in groups], is_text=True),
            Column("p95", [sparkline([row.p95_ns for row in rows]) for rows in groups], is_text=True, leaves=1),
        ],
        width,
    )  # fmt: skip
