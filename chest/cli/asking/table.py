"""An answer on the terminal, in a pipe, as JSON and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import click
from rich.cells import cell_len, set_cell_size

from chest.cli.record_text import json_text
from chest.query.answer import Answer
from chest.record.messages import printable

_GAP: Final = 2
_LONG_TEXT: Final = 32
_NARROWEST_TEXT: Final = 10


class Column(NamedTuple):
    """A column of a table."""

    heading: str
    cells: Sequence[str]
    is_text: bool = False
    """Stands on the left, and is cut if the table is too wide."""
    leaves: int = 0
    """Of a table that is too wide the column with the largest number is left out first; 0: never."""
    colours: Sequence[str | None] = ()


def table_lines(columns: Sequence[Column], width: int | None) -> Iterator[str]:
    """The table, line by line, no wider than a terminal.

    :param width: None: as wide as it is, as for a pipe.
    """
    kept = list(columns)
    sizes = [max(map(cell_len, (column.heading, *column.cells))) for column in kept]
    if width is not None:
        _cut_texts(kept, sizes, width, _LONG_TEXT)
        while _total(sizes) > width and any(column.leaves for column in kept):
            place = max(range(len(kept)), key=lambda place: kept[place].leaves)
            del kept[place], sizes[place]
        _cut_texts(kept, sizes, width, _NARROWEST_TEXT)
    yield click.style(_line(kept, sizes, [column.heading for column in kept]), bold=True)
    for row in range(len(kept[0].cells)):
        colours = [column.colours[row] if column.colours else None for column in kept]
        yield _line(kept, sizes, [column.cells[row] for column in kept], colours)


def print_rows(answer: Answer, *, as_csv: bool, **more: Any) -> None:
    """The answer for a program: its table as CSV; or one JSON object with what it rests on, on one line.

    :param more: further members of the JSON object.
    """
    rows = answer.table()
    if as_csv:
        print_basis(answer)
        print_csv(rows)
        return
    click.echo(
        json_text(
            {
                "basis": answer.basis._asdict(),
                "begin_ns": answer.begin_ns,
                "end_ns": answer.end_ns,
                **more,
                "rows": list(rows),
            }
        )
    )


def print_csv(rows: Sequence[Mapping[str, Any]]) -> None:
    """The rows as CSV, with a heading. A value that is a mapping or a list is JSON."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if rows:
        writer.writerow(map(_cell, rows[0]))
        writer.writerows([_cell(value) for value in row.values()] for row in rows)
    click.echo(text.getvalue(), nl=False)


def print_basis(answer: Answer, said: str = "") -> None:
    """On standard error: what the answer rests on."""
    click.echo(f"{said}{answer.basis}", err=True)


def _cut_texts(columns: Sequence[Column], sizes: list[int], width: int, narrowest: int) -> None:
    """Make the widest texts smaller, down to a size, until the table fits."""
    while _total(sizes) > width:
        texts = [place for place, column in enumerate(columns) if column.is_text and sizes[place] > narrowest]
        if not texts:
            return
        sizes[max(texts, key=sizes.__getitem__)] -= 1


def _total(sizes: Sequence[int]) -> int:
    return sum(sizes) + _GAP * (len(sizes) - 1)


def _line(
    columns: Sequence[Column], sizes: Sequence[int], cells: Sequence[str], colours: Sequence[str | None] = ()
) -> str:
    parts = []
    for place, (column, size, cell) in enumerate(zip(columns, sizes, cells, strict=True)):
        if cell_len(cell) > size:
            cell = f"{set_cell_size(cell, size - 1)}…"
        blanks = " " * (size - cell_len(cell))
        if column.is_text and place == len(columns) - 1:
            blanks = ""
        colour = colours[place] if colours else None
        shown = click.style(cell, fg=colour) if colour else cell
        parts.append(f"{shown}{blanks}" if column.is_text else f"{blanks}{shown}")
    return (" " * _GAP).join(parts).rstrip()


def _cell(value: Any) -> Any:
    if isinstance(value, dict | list):
        return json_text(value)
    return printable(value) if isinstance(value, str) else value
