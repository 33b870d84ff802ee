"""``chest tail``: the records stored last, and each one that comes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from typing import Final

import click

from chest.chests.contract import Cursor, Query, ReadableChest, StoredRecord
from chest.cli import record_text
from chest.cli.chest_choice import readable_chest, service_option
from chest.errors import ChestUnavailable, SchemaMismatch
from chest.record.messages import printable

_PAGE_RECORDS: Final = 1000
_LATE_NS: Final = 5 * 10**9
"""What workers deliver beside each other is out of order by less."""
_POLL_SECONDS: Final = 0.5
"""Half of what a person takes for "at once"; reading past the end of a table costs a store microseconds."""


@click.command()
@click.argument("url", required=False)
@click.option(
    "-n", "--lines", default=10, show_default=True, type=click.IntRange(min=0), help="First the last of these."
)
@click.option("--follow/--no-follow", default=True, help="Wait for more (the default), or end.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@service_option
def tail(url: str | None, lines: int, follow: bool, as_json: bool, service: str | None) -> None:
    """Show the records stored last, then what comes.

    In the order of storing, so that nothing is missed: a record that was delivered late comes late, and is marked by a + behind its
    time if a later request stands above it. Times are UTC, of the request's begin.

    \b
    Examples:
      chest tail
      chest tail chest.sqlite3 --no-follow -n 50
      chest tail postgresql://shop@db/shop --service shop --json
    """
    columns = record_text.terminal_columns()
    text_of = record_text.json_line if as_json else _Lines(columns).text
    query = Query(service=service)
    with readable_chest(url, service) as chest:
        cursor = chest.newest()
        for stored in last(chest, query, cursor, lines):
            click.echo(text_of(stored))
            cursor = stored.cursor
        if follow:
            for stored in coming(chest, query, cursor):
                click.echo(text_of(stored))


class _Lines:
    """Records as lines, those marked that stand below a request which began later.

    :param columns: see :func:`record_text.line`.
    """

    def __init__(self, columns: int | None) -> None:
        self._columns = columns
        self._newest_ns = 0

    def text(self, stored: StoredRecord) -> str:
        time_ns = stored.record.time_ns
        is_late = time_ns < self._newest_ns - _LATE_NS
        self._newest_ns = max(self._newest_ns, time_ns)
        return record_text.line(stored, self._columns, is_late=is_late)


def last(chest: ReadableChest, query: Query, newest: Cursor | None, count: int) -> deque[StoredRecord]:
    """The ``count`` records stored last that match, oldest first.

    Chests are read forward only. If cursors are numbers, ever longer stretches at the end are tried, since most
    often the last ``count`` numbers are the last ``count`` records; else all is read.
    """
    kept: deque[StoredRecord] = deque(maxlen=count)
    if newest is None or count == 0:
        return kept
    span = count
    while isinstance(newest, int) and span < newest and len(kept) < count:
        kept = deque(pages(chest, query, newest - span), maxlen=count)
        span *= 16
    return kept if len(kept) == count else deque(pages(chest, query, None), maxlen=count)


def pages(chest: ReadableChest, query: Query, after: Cursor | None) -> Iterator[StoredRecord]:
    """Every record after a cursor that matches, read page by page."""
    while True:
        page = chest.read(query, after=after, limit=_PAGE_RECORDS)
        yield from page
        if len(page) < _PAGE_RECORDS:
            return
        after = page[-1].cursor


def coming(chest: ReadableChest, query: Query, after: Cursor | None) -> Iterator[StoredRecord]:
    """Every record that is stored from now on; a store that is down is waited for, which is said once."""
    is_waiting = False
    while True:
        try:
            for stored in pages(chest, query, after):
                after = stored.cursor
                yield stored
            is_waiting = False
        except SchemaMismatch:
            raise
        except ChestUnavailable as error:
            if not is_waiting:
                click.echo(f"chest: waiting: {printable(str(error))}", err=True)
            is_waiting = True
        time.sleep(_POLL_SECONDS)
