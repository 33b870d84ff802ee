"""``chest forget``: remove the records of a person, or others that conditions name, from a chest for good."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import click

from chest.chests.contract import Chest, Query, ReadableChest
from chest.cli.chest_choice import label_of, readable_chest, resolve_chests, resolve_directory, service_option
from chest.cli.conditions import Selection, selection_options
from chest.cli.tail import pages
from chest.errors import SettingsError
from chest.record.messages import printable

_REMOVED_AT_ONCE: Final = 500
"""A few milliseconds in SQLite, for which a writer waits."""
_RECLAIMED_AT_ONCE_BYTES: Final = 1024 * 1024


@click.command()
@selection_options
@click.option("--dry-run", is_flag=True, help="Show how many records match, and remove none.")
@click.option("--yes", is_flag=True, help="Do not ask; needed if standard input is no terminal.")
@service_option
@click.pass_context
def forget(
    ctx: click.Context,
    dry_run: bool,
    yes: bool,
    selection: Selection,
) -> None:
    """Remove the records of a person, or others that conditions name.

    The conditions are those of chest find, and at least one is needed. The command shows how
    many records match before and after, and what it does not look at. The exit code is 1 if none matched, or if some still do
    because they were delivered meanwhile.

    \b
    Examples:
      chest forget user_id=42 --dry-run
      chest forget --user 42 --dry-run
      chest forget sqlite:///chest.sqlite3 user_id=42 --yes
    """
    wanted, service = selection.query, selection.service
    if wanted == Query(service=service):
        raise click.UsageError("say which records: a condition such as user_id=42, or --user, --route, --since, ...")
    with readable_chest(selection.url, service, only_reads=False) as chest:
        count = found = _told(chest, wanted)
        if found and not dry_run:
            _require_consent(found, is_given=yes)
            removed = _remove(chest, wanted)
            count = sum(1 for _ in pages(chest, wanted, None))
            click.echo(f"Records removed: {removed:,}; matching now: {count:,}")
        click.echo("Not looked at, and may hold such records too:")
        for line in _not_reached(chest.name, service):
            click.echo(f"- {printable(line)}")
    ctx.exit(0 if found and (dry_run or not count) else 1)


def _told(chest: ReadableChest, wanted: Query) -> int:
    """How many match, which is said."""
    count, first_ns, last_ns = 0, 0, 0
    for stored in pages(chest, wanted, None):
        count += 1
        time_ns = stored.record.time_ns
        first_ns, last_ns = min(first_ns or time_ns, time_ns), max(last_ns, time_ns)
    period = f", from {_day(first_ns)} to {_day(last_ns)} (UTC)" if count else ""
    click.echo(f"Records matching in {printable(chest.name)}: {count:,}{period}")
    return count


def _day(time_ns: int) -> str:
    return f"{datetime.fromtimestamp(time_ns / 1e9, UTC):%Y-%m-%d}"


def _require_consent(count: int, *, is_given: bool) -> None:
    """See that the user means it.

    :raises click.Abort: no.
    :raises click.UsageError: standard input is not a terminal.
    """
    if is_given:
        return
    if not _has_terminal():
        raise click.UsageError("nothing was removed: standard input is not a terminal to ask on; add --yes")
    click.confirm(f"Remove {count:,} records for good?", abort=True)


def _has_terminal() -> bool:
    return sys.stdin.isatty()


def _remove(chest: ReadableChest, wanted: Query) -> int:
    """Remove what matches, a page at a time; then give the room back, if the chest can."""
    removed, after = 0, None
    while page := chest.read(wanted, after=after, limit=_REMOVED_AT_ONCE):
        removed += chest.remove(page)
        after = page[-1].cursor
    retention = chest.retention()
    if retention is not None:
        while retention.reclaim(_RECLAIMED_AT_ONCE_BYTES):
            pass
        retention.close()
    return removed


def _not_reached(name: str, service: str | None) -> Iterator[str]:
    """Other places that may hold such records, by name as far as this host knows."""
    try:
        directory = f" in {resolve_directory(service)}"
    except SettingsError:
        directory = ""
    yield f"what waits to be delivered (rings, spools){directory}: run chest drain or chest recover, then this command again"
    yield f"dead letters{directory}: chest dead list, chest dead drop"
    others = [label for label in map(label_of, _configured(service)) if label != name]
    yield f"other chests: {', '.join(others) or 'each one that records were or are sent to'}"
    yield "copies: the targets of transfers, files, backups, logs"


def _configured(service: str | None) -> tuple[str | Chest, ...]:
    try:
        return resolve_chests(None, service)
    except SettingsError:
        return ()
