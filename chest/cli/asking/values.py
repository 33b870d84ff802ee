"""``chest values``: which fields and variables there are, and which values they have most often."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from chest.cli import record_text
from chest.cli.asking.question import CommandQuestion, question_options
from chest.cli.asking.table import Column, print_basis, table_lines
from chest.cli.asking.units import NOTHING, count_text, duration_text, number_of, share_text, value_text
from chest.query.distribution import Values, ValuesRow
from chest.query.distribution import values as ask_values
from chest.query.meaning import OPERATORS
from chest.record.messages import printable

_FEWEST_NUMBERS = 20
"""Of a number with more values the spread says more than its most frequent ones."""


@click.command()
@click.argument("arguments", nargs=-1, metavar="[URL] [NAME|FILTER]...")
@click.option(
    "--limit", default=10, show_default=True, type=click.IntRange(min=1), help="At most so many values of each."
)
@question_options
def values(
    limit: int,
    question: CommandQuestion,
) -> None:
    """Show the most frequent values of fields, variables and attributes; without a NAME, every name there is.

    The answer rests on some thousands of records, drawn at random, and says so if there are more. FILTER is as in `chest find`.

    \b
    Examples:
      chest values
      chest values plan user_id 'status>=500' --since 1d
      chest values postgresql://shop@db/shop attr.http.response.body.size --json
    """
    conditions = [argument for argument in question.arguments if any(operator in argument for operator in OPERATORS)]
    names = [argument for argument in question.arguments if argument not in conditions]
    query = question.query(conditions)
    with question.chest() as chest:
        answer = ask_values(chest, query, names=names, limit=limit, seconds=question.seconds)
    if question.is_for_program:
        question.print_rows(answer, names=list(map(_plain, answer.rows)))
        return
    width = record_text.terminal_columns()
    for line in _values_lines(answer.rows, width) if names else _names_lines(answer, width):
        click.echo(line)
    print_basis(answer)


def _names_lines(answer: Values, width: int | None) -> Iterator[str]:
    """A row for each name."""
    rows = answer.rows
    return table_lines(
        [
            Column("name", [printable(row.name) for row in rows], is_text=True),
            Column("type", ["/".join(row.types) or NOTHING for row in rows], is_text=True, leaves=1),
            Column("present", [share_text(row.share) for row in rows]),
            Column("distinct", [count_text(row.distinct) for row in rows]),
            Column("most often", [_most_often(row) for row in rows], is_text=True),
        ],
        width,
    )


def _most_often(row: ValuesRow) -> str:
    if _is_spread(row):
        return _spread(row)
    return ", ".join(f"{value_text(row.name, each.value)} {share_text(each.share)}" for each in row.top[:3])


def _values_lines(rows: Sequence[ValuesRow], width: int | None) -> Iterator[str]:
    """A table for each name."""
    for place, row in enumerate(rows):
        if place:
            yield ""
        types = f"{' or '.join(row.types)}; " if row.types else ""
        spread = f"; {_spread(row)}" if _is_spread(row) else ""
        yield f"{click.style(printable(row.name), bold=True)}: {types}{share_text(row.share)} have it; {number_of(row.distinct, 'value')}{spread}"
        if row.top:
            yield from table_lines(
                [
                    Column("value", [value_text(row.name, each.value) for each in row.top], is_text=True),
                    Column("count", [count_text(each.requests) for each in row.top]),
                    Column("share", [share_text(each.share) for each in row.top]),
                ],
                width,
            )


def _is_spread(row: ValuesRow) -> bool:
    return row.smallest is not None and row.distinct > _FEWEST_NUMBERS


def _spread(row: ValuesRow) -> str:
    numbers = row.smallest, row.middle, row.largest
    if row.name == "duration":
        low, middle, high = map(duration_text, numbers)
    else:
        low, middle, high = ("" if number is None else f"{number:,.6g}" for number in numbers)
    return f"{low} to {high}, half of them up to {middle}"


def _plain(row: ValuesRow) -> dict[str, object]:
    return {
        "name": row.name,
        "types": row.types,
        "share": row.share,
        "distinct": row.distinct,
        "smallest": row.smallest,
        "middle": row.middle,
        "largest": row.largest,
    }
