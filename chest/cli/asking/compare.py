"""``chest compare``: what is different about some requests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import click

from chest.cli import record_text
from chest.cli.asking.question import CommandQuestion, question_options
from chest.cli.asking.table import Column, print_basis, table_lines
from chest.cli.asking.units import count_text, duration_text, points_text, share_text, value_text
from chest.cli.conditions import filter_of
from chest.query.comparison import Compared
from chest.query.comparison import compare as ask_compare
from chest.query.difference import Difference, ValueShare
from chest.record.messages import printable

_VALUES_SHOWN = 3
"""Of each name; the most different come first."""


@click.command()
@click.argument("arguments", nargs=-1, metavar="[URL] [FILTER]...")
@click.option(
    "--slower-than", metavar="200ms|p95", help="They also took longer than this, or than this percentile of all."
)
@click.option("--among", metavar="FILTER", help="Look only at requests for which this holds, on both sides.")
@click.option("--against", metavar="FILTER", help="Compare with these.  [default: all others]")
@click.option("--limit", default=10, show_default=True, type=click.IntRange(min=1), help="At most so many names.")
@click.option("--all", "with_chance", is_flag=True, help="Also differences that may be chance.")
@question_options
@click.pass_context
def compare(
    ctx: click.Context,
    slower_than: str | None,
    among: str | None,
    against: str | None,
    limit: int,
    with_chance: bool,
    question: CommandQuestion,
) -> None:
    """Show what is different about the requests of FILTER: fields and variables whose values differ, the most different first.

    Each row has a value, the share of these requests that has it, the share of the others, and the difference in percentage
    points, with an interval that holds in all likelihood. Names by which the requests were chosen are not compared, nor
    names with a value of its own for almost each request. The exit code is 1 if no difference is clear.

    \b
    Examples:
      chest compare --slower-than p95 --since 1d
      chest compare 'status>=500' --since 2h
      chest compare --slower-than 200ms --among 'route=/items/<id>'
      chest compare release=1.1 --against release=1.0 --json
    """
    both, others = (None if text is None else filter_of([text]) for text in (among, against))
    query = question.query()
    with question.chest() as chest:
        answer = ask_compare(
            chest, query, filter=both or "", against=others, slower_than=slower_than, seconds=question.seconds
        )  # fmt: skip
    shown = replace(answer, rows=(answer.rows if with_chance else answer.clear)[:limit])
    if question.is_for_program:
        sides = {"selected": answer.selected, "rest": answer.rest, "slower_than_ns": answer.slower_than_ns}
        question.print_rows(shown, **sides, left_out=answer.left_out)
    elif shown.rows:
        for line in compare_lines(shown, record_text.terminal_columns()):
            click.echo(line)
    if not question.is_for_program:
        print_basis(answer, _said(answer, bool(shown.rows)))
    ctx.exit(0 if answer.clear else 1)


def compare_lines(answer: Compared, width: int | None) -> Iterator[str]:
    """The differences as a table, each name with its most different values."""
    rows = [(place, row, each) for row in answer.rows for place, each in enumerate(_shown(row))]
    yield from table_lines(
        [
            Column("name", [printable(row.name) if place == 0 else "" for place, row, _ in rows], is_text=True),
            Column("value", [value_text(row.name, each.value) for _, row, each in rows], is_text=True),
            Column("these", [share_text(each.selected_share) for _, _, each in rows]),
            Column("others", [share_text(each.rest_share) for _, _, each in rows]),
            Column("difference", [points_text(each.difference) for _, _, each in rows]),
            Column("at least and at most", [f"{points_text(each.low)} to {points_text(each.high)}" for _, _, each in rows], leaves=1),
        ],
        width,
    )  # fmt: skip


def _shown(row: Difference) -> list[ValueShare]:
    """The values that differ clearly, or the first."""
    clear = [each for each in row.values if each.low > 0 or each.high < 0]
    return (clear or list(row.values))[:_VALUES_SHOWN]


def _said(answer: Compared, has_rows: bool) -> str:
    slower = "" if answer.slower_than_ns is None else f" slower than {duration_text(answer.slower_than_ns)}"
    sides = f"{count_text(answer.selected)} records{slower}, and {count_text(answer.rest)} others"
    if not answer.selected or not answer.rest:
        return f"{sides}: nothing to compare; "
    return f"{sides}; " if has_rows else f"{sides}: no clear difference (--all shows every one); "
