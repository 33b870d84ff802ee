"""``chest new``: which errors, statuses, routes, releases and values were first seen lately."""

from __future__ import annotations

import click

from chest.cli import record_text
from chest.cli.asking.question import CommandQuestion, question_options
from chest.cli.asking.table import Column, print_basis, table_lines
from chest.cli.asking.units import count_text, moment_text, number_of, value_text
from chest.query.meaning import OPERATORS
from chest.query.novelty import news
from chest.record.messages import printable

_SINCE = "1d"


@click.command()
@click.argument("arguments", nargs=-1, metavar="[URL] [NAME|FILTER]...")
@click.option(
    "--limit", default=20, show_default=True, type=click.IntRange(min=1), help="At most so many values of each name."
)
@question_options
def new(limit: int, question: CommandQuestion) -> None:
    """Show the errors, statuses, routes and releases that no request had before --since (1d), and new values of each NAME.

    A row has when the value was first and last seen, and how many requests have it since then. "Before" is all that is stored. If
    the budget ends, the answer says how many records it looked through. Names with very many values, such as ids, take long.
    FILTER is as in `chest find`. Times are UTC.

    \b
    Examples:
      chest new
      chest new --since 2h service=shop
      chest new plan attr.user_agent.original --since 1d --json
    """
    conditions = [argument for argument in question.arguments if any(operator in argument for operator in OPERATORS)]
    names = [argument for argument in question.arguments if argument not in conditions]
    since = _SINCE if question.since_ns is None else question.since_ns
    query = question.without_since().query(conditions)
    with question.chest() as chest:
        answer = news(chest, query, since=since, names=names, limit=limit, seconds=question.seconds)
    if question.is_for_program:
        question.print_rows(
            answer, since_ns=answer.since_ns, names=answer.names, before=answer.before, left_out=answer.left_out
        )
        return
    rows = answer.values
    if rows:
        columns = [
            Column("name", [printable(row.name) for row in rows], is_text=True),
            Column("value", [value_text(row.name, row.value) for row in rows], is_text=True),
            Column("first seen", [moment_text(row.first_ns) for row in rows]),
            Column("last seen", [moment_text(row.last_ns) for row in rows]),
            Column("count", [count_text(row.requests) for row in rows]),
        ]
        for line in table_lines(columns, record_text.terminal_columns()):
            click.echo(line)
    left_out = f", {answer.left_out:,} more left out" if answer.left_out else ""
    older = "" if answer.before else "; no record is older, so all is new"
    print_basis(answer, f"{number_of(len(rows), 'new value')} since {moment_text(answer.since_ns)}{left_out}{older}; ")
