"""``chest heatmap``: how many requests took how long, and when."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator
from typing import Final

import click

from chest.cli import record_text
from chest.cli.asking.question import CommandQuestion, question_options
from chest.cli.asking.table import print_basis
from chest.cli.asking.units import count_text, duration_text, moment_text, step_text
from chest.query.timeline import Heatmap
from chest.query.timeline import heatmap as ask_heatmap
from chest.record.messages import printable

_SHADES: Final = "░▒▓█"
_LABEL_COLUMNS: Final = 8
_COLUMNS_IN_A_PIPE: Final = 80
_MOST_COLUMNS: Final = 120


@click.command()
@click.argument("arguments", nargs=-1, metavar="[URL] [FILTER]...")
@click.option(
    "--rows", default=16, show_default=True, type=click.IntRange(min=2), help="At most so many bands of duration."
)
@question_options
def heatmap(
    rows: int,
    question: CommandQuestion,
) -> None:
    """Draw durations against time: the darker a cell, the more requests it holds. It shows if there are two kinds of requests.

    The axis is logarithmic; the label is the shortest duration of a row. A top row marked with + holds the few requests that
    took far longer than all others, however long. FILTER is as in `chest find`. Times are UTC.

    \b
    Examples:
      chest heatmap --since 6h
      chest heatmap 'route=/items/<id>' --since 1d --rows 30
      chest heatmap --since 1d --csv
    """
    width = record_text.terminal_columns() or _COLUMNS_IN_A_PIPE
    columns = min(width - _LABEL_COLUMNS - 1, _MOST_COLUMNS)
    query = question.query()
    with question.chest() as chest:
        answer = ask_heatmap(chest, query, columns=columns, bands=rows, seconds=question.seconds)
    if question.is_for_program:
        question.print_rows(answer, step_ns=answer.step_ns)
        return
    most = max((max(band.counts) for band in answer.bands), default=0)
    if not most:
        print_basis(answer, "No requests match; ")
        return
    for line in _lines(answer, most):
        click.echo(line)
    for mark in answer.releases:
        click.echo(f"▲ release {printable(mark.release)} first seen {moment_text(mark.time_ns)}", err=True)
    print_basis(answer, f"A cell is {step_text(answer.step_ns)} wide and has up to {count_text(most)} requests; ")


def _lines(answer: Heatmap, most: float) -> Iterator[str]:
    """The slowest on top, and the time axis below."""
    for band in reversed(answer.bands):
        label = f"{duration_text(band.low_ns)}{'+' if band.is_overflow else ' '}"
        cells = "".join(_shade(count, most) for count in band.counts)
        yield f"{label:>{_LABEL_COLUMNS}} {cells}".rstrip()
    if answer.releases:
        places = {bisect_right(answer.columns, mark.time_ns) - 1 for mark in answer.releases}
        yield " " * (_LABEL_COLUMNS + 1) + "".join("▲" if place in places else " " for place in range(max(places) + 1))
    begin, end = (moment_text(time_ns, answer.step_ns) for time_ns in (answer.columns[0], answer.columns[-1]))
    blanks = len(answer.columns) - len(begin) - len(end)
    yield " " * (_LABEL_COLUMNS + 1) + (f"{begin}{' ' * blanks}{end}" if blanks > 0 else begin)


def _shade(count: float, most: float) -> str:
    """By the logarithm, so that one request can be seen beside a thousand."""
    if not count:
        return " "
    share = math.log1p(count) / math.log1p(most)
    return _SHADES[max(0, math.ceil(share * len(_SHADES)) - 1)]
