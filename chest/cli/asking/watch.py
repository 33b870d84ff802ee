"""``chest watch``: the table of ``chest top``, redrawn until Ctrl-C."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import chain

import click

from chest.chests.contract import ReadableChest
from chest.cli import record_text
from chest.cli.asking.question import progress_line, query_of
from chest.cli.asking.top import top_lines
from chest.cli.asking.units import moment_text
from chest.cli.chest_choice import readable_chest, service_option, split_url
from chest.cli.conditions import typed
from chest.errors import ChestUnavailable, SchemaMismatch
from chest.query.ranking import SORTS
from chest.query.ranking import top as ask_top
from chest.query.typed import duration_ns
from chest.record.messages import printable

_LINES_AROUND = 4
"""Of a screen: heading, all requests, what the table rests on, and one that stays free."""


@click.command()
@click.argument("arguments", nargs=-1, metavar="[URL] [FILTER]...")
@click.option("--by", default="route", show_default=True, metavar="NAME[,NAME]...", help="A row for each.")
@click.option("--sort", default="count", show_default=True, type=click.Choice(list(SORTS)), help="The largest first.")
@click.option(
    "--last", default="15m", show_default=True, callback=typed(duration_ns), metavar="15m", help="Requests of so long."
)
@click.option(
    "--every", default=2.0, show_default=True, type=click.FloatRange(min=0.1), help="Seconds between two tables."
)
@service_option
def watch(arguments: tuple[str, ...], by: str, sort: str, last: int, every: float, service: str | None) -> None:
    """Show the table of `chest top` for the last minutes, and redraw it until Ctrl-C.

    In a pipe each table is printed below the one before. A store that is down is waited for. A program asks `chest top --since 15m
    --json` instead: what changes all the time is neither one JSON object nor one CSV table.

    \b
    Examples:
      chest watch
      chest watch --by status,route --last 5m
      chest watch postgresql://shop@db/shop 'duration>1s' --sort p95 --every 5
    """
    url, conditions = split_url(arguments)
    with readable_chest(url, service) as chest:
        tables = _tables(chest, conditions, by, sort, last, every, service)
        with progress_line(chest.name, every, "a shorter --last"):
            tables = chain([next(tables)], tables)
        if sys.stdout.isatty():
            _redraw(tables)
        else:
            for table in tables:
                click.echo(f"{table}\n")


def _tables(
    chest: ReadableChest, conditions: Sequence[str], by: str, sort: str, last_ns: int, every: float, service: str | None
) -> Iterator[str]:
    """A table now and after each pause; what the conditions say of time is read anew for each."""
    while True:
        query = query_of(conditions, time.time_ns() - last_ns, None, service)
        size = shutil.get_terminal_size()
        try:
            answer = ask_top(chest, query, by=by, sort=sort, limit=max(size.lines - _LINES_AROUND, 1), seconds=every)
            lines = top_lines(answer, record_text.terminal_columns(), has_before=False)
            yield "\n".join((*lines, f"{moment_text(answer.end_ns)} UTC; {answer.basis}"))
        except SchemaMismatch:
            raise
        except ChestUnavailable as error:
            yield f"chest: waiting: {printable(str(error))}"
        time.sleep(every)


def _redraw(tables: Iterator[str]) -> None:
    from rich.console import Console  # which takes 0.05 s to load, and only this needs it
    from rich.live import Live
    from rich.text import Text

    with Live(console=Console(), screen=True, auto_refresh=False) as live:
        for table in tables:
            live.update(Text.from_ansi(table, no_wrap=True), refresh=True)
