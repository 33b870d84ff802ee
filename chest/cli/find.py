"""``chest find``: the records in which a variable has a value, and other conditions hold."""

from __future__ import annotations

from collections import deque

import click

from chest.chests.base import Query, ReadableChest, StoredRecord
from chest.cli import record_text
from chest.cli.chest_choice import is_url, readable_chest, service_option
from chest.cli.conditions import duration_ns, moment_ns, statuses, typed, variables
from chest.cli.tail import pages


@click.command()
@click.argument("arguments", nargs=-1, metavar="[URL] [NAME=VALUE]...")
@click.option("--route", help="This route (the template).")
@click.option("--status", callback=typed(statuses), metavar="404|5xx|500-599", help="A status in this range.")
@click.option("--outcome", help="How it ended: ok, error, client_disconnect, ...")
@click.option(
    "--since", callback=typed(moment_ns), metavar="2h|DATE", help="Began this long ago at most, or since then (UTC)."
)
@click.option("--until", callback=typed(moment_ns), metavar="2h|DATE", help="Began before that.")
@click.option("--slower-than", callback=typed(duration_ns), metavar="200ms", help="Took longer.")
@click.option(
    "--limit", default=100, show_default=True, type=click.IntRange(min=1), help="At most these, the last ones."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@service_option
@click.pass_context
def find(
    ctx: click.Context,
    arguments: tuple[str, ...],
    route: str | None,
    status: range | None,
    outcome: str | None,
    since: int | None,
    until: int | None,
    slower_than: int | None,
    limit: int,
    as_json: bool,
    service: str | None,
) -> None:
    """Find records by variables and other conditions.

    All conditions hold for what is found. 123 finds 123 and "123"; a name with dots looks into nested values
    (cart.total=9.5). The one stored last stands at the bottom. How many records were looked through is said on
    standard error, and --since makes them fewer. With none found the exit code is 1.
    """
    url = arguments[0] if arguments and is_url(arguments[0]) else None
    wanted = Query(
        service=service,
        since_ns=since,
        until_ns=until,
        route=route,
        statuses=status,
        outcome=outcome,
        slower_than_ns=slower_than,
        variables=variables(arguments[1:] if url else arguments),
    )
    with readable_chest(url, service) as chest:
        found, count, seen = _search(chest, wanted, limit)
    for stored in found:
        click.echo(record_text.json_line(stored) if as_json else record_text.line(stored))
    shown = f", the last {limit:,} shown" if count > limit else ""
    click.echo(f"{count:,} found{shown}; looked through {seen:,} records", err=True)
    ctx.exit(0 if count else 1)


def _search(chest: ReadableChest, wanted: Query, limit: int) -> tuple[deque[StoredRecord], int, int]:
    """The last ``limit`` records found, how many were found, and how many were looked through.

    The store narrows by time and service only and the rest is compared here: "0 of 48,113" tells a wrong condition
    from a wrong store, where a store that compares all of it could only answer "none".
    """
    found: deque[StoredRecord] = deque(maxlen=limit)
    count = seen = 0
    scope = Query(service=wanted.service, since_ns=wanted.since_ns, until_ns=wanted.until_ns)
    for stored in pages(chest, scope, None):
        seen += 1
        if wanted.matches(stored.record):
            count += 1
            found.append(stored)
    return found, count, seen
