"""``chest show``: all that is known about one request."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import click

from chest.chests.asking.reading import Reading
from chest.chests.contract import Query, ReadableChest, StoredRecord
from chest.cli import record_text
from chest.cli.asking.question import progress_line, seconds_option
from chest.cli.chest_choice import is_url, other_chests, readable_chest, service_option
from chest.errors import ChestError
from chest.query.nearby import MOST_NEIGHBOURS, records_with
from chest.record.messages import printable

_MOST_LISTED: Final = 20


@click.command()
@click.argument("arguments", nargs=-1, metavar="[URL] ID")
@seconds_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@service_option
@click.pass_context
def show(ctx: click.Context, arguments: tuple[str, ...], seconds: float, as_json: bool, service: str | None) -> None:
    """Show every record of a request, whole, and of the jobs and events that have its id.

    If neither a URL nor --service is given, the default stores of the other services on this host are looked into as well, and no
    others. ID is the request's id, or at least four characters of its beginning, or those of a record's id. If several requests
    begin so, they are listed. The exit code is 1 if none or several were found.

    \b
    Examples:
      chest show order-42
      chest show chest.sqlite3 9f86d081
      chest show postgresql://shop@db/shop order-42 --json
    """
    *url, wanted = arguments or ("",)
    if not wanted or len(url) > 1 or (not url and is_url(wanted)):
        raise click.UsageError("Give the id of a request, behind the URL of the chest if you give one.")
    with readable_chest(url[0] if url else None, service) as chest, progress_line(chest.name, seconds, ""):
        reading = Reading(chest, seconds)
        found, where = _found(chest, wanted, service, reading), chest.name
    requests = {stored.record.request_id for stored in found} or {wanted}
    if not url and service is None and len(requests) == 1:
        found = _with_others(found, min(requests), where, reading, seconds)
    shown = printable(wanted)
    ended = (
        ""
        if reading.is_whole
        else f"; the budget of {seconds:g} s ended before all was looked through, --seconds gives it longer"
    )
    if not found:
        click.echo(f"chest: {where} has no record whose id is {shown}, or begins so{ended}", err=True)
        ctx.exit(1)
    if len(requests) > 1:
        for stored in sorted(found, key=_beginning)[-_MOST_LISTED:]:
            click.echo(record_text.line(stored))
        least = "at least " if ended or len(found) >= MOST_NEIGHBOURS else ""
        click.echo(f"chest: {least}{len(requests):,} requests begin with {shown}; give more of the id", err=True)
        ctx.exit(1)
    if ended:
        click.echo(f"chest: there may be more records of this request{ended}", err=True)
    found.sort(key=_beginning)
    texts = [record_text.json_line(each) if as_json else record_text.whole(each) for each in found]
    click.echo(("\n" if as_json else "\n\n").join(texts))


def _found(chest: ReadableChest, wanted: str, service: str | None, reading: Reading) -> list[StoredRecord]:
    """What has this id, or begins with it; if that is of one request, all of it."""
    scope = Query(service=service)
    latest = records_with(chest, wanted, scope, reading.seconds_left())
    reading.is_whole = latest.basis.is_exact
    requests = {stored.record.request_id for stored in latest.records}
    # If the request's id was looked for, this is all of it, unless it is too much to be given at once.
    is_all = len(latest.records) < MOST_NEIGHBOURS and all(each.startswith(wanted) for each in requests)
    if len(requests) != 1 or is_all:
        return list(latest.records)
    return list(reading.records(replace(scope, request_id=requests.pop())))


def _with_others(
    found: list[StoredRecord], request_id: str, where: str, reading: Reading, seconds: float
) -> list[StoredRecord]:
    """With what the request left in the stores of other services on this host; each record once."""
    known = {stored.record.id: stored for stored in found}
    for chest in other_chests(where):
        try:
            with chest, progress_line(chest.name, seconds, ""):
                other = Reading(chest, reading.seconds_left())
                there = {stored.record.id: stored for stored in other.records(Query(request_id=request_id))}
                reading.is_whole = reading.is_whole and other.is_whole
        except ChestError as error:
            click.echo(f"chest: {chest.name} was not looked into: {printable(str(error))}", err=True)
            continue
        if not there.keys() <= known.keys():
            click.echo(f"chest: the request also left records in {chest.name}", err=True)
        known = there | known
    return list(known.values())


def _beginning(stored: StoredRecord) -> int:
    return stored.record.time_ns
