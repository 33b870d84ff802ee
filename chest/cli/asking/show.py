"""``chest show``: all that is known about one request."""

from __future__ import annotations

from typing import Final

import click

from chest.chests.contract import Query, ReadableChest, StoredRecord
from chest.cli import record_text
from chest.cli.chest_choice import is_url, other_chests, readable_chest, service_option
from chest.cli.tail import pages
from chest.errors import ChestError
from chest.record.messages import printable

_FEWEST_CHARACTERS: Final = 4
_MOST_LISTED: Final = 20


@click.command()
@click.argument("arguments", nargs=-1, metavar="[URL] ID")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@service_option
@click.pass_context
def show(ctx: click.Context, arguments: tuple[str, ...], as_json: bool, service: str | None) -> None:
    """Show every record of a request, whole, and of the jobs and events that have its id.

    If no URL is given, the default stores of the other services on this host are looked into as well. ID is the request's id, or at least four characters of its beginning, or those of a record's id. If several requests
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
    with readable_chest(url[0] if url else None, service) as chest:
        found = list(pages(chest, Query(request_id=wanted, service=service), None))
        if not found and len(wanted) >= _FEWEST_CHARACTERS:
            found = [
                stored
                for stored in pages(chest, Query(service=service), None)
                if stored.record.request_id.startswith(wanted) or stored.record.id.startswith(wanted)
            ]
            found = _with_their_requests(chest, found, service)
        where = chest.name
    requests = {stored.record.request_id for stored in found} or {wanted}
    if not url and service is None and len(requests) == 1:
        found = _with_others(found, min(requests), where)
    shown = printable(wanted)
    if not found:
        click.echo(f"chest: {where} has no record whose id is {shown}, or begins so", err=True)
        ctx.exit(1)
    if len(requests) > 1:
        for stored in found[-_MOST_LISTED:]:
            click.echo(record_text.line(stored))
        click.echo(f"chest: {len(requests):,} requests begin with {shown}; give more of the id", err=True)
        ctx.exit(1)
    found.sort(key=lambda stored: stored.record.time_ns)
    texts = [record_text.json_line(each) if as_json else record_text.whole(each) for each in found]
    click.echo(("\n" if as_json else "\n\n").join(texts))


def _with_their_requests(chest: ReadableChest, found: list[StoredRecord], service: str | None) -> list[StoredRecord]:
    """What was found by the beginning of a record's id, with the other records of that request."""
    requests = {stored.record.request_id for stored in found}
    if len(requests) != 1:
        return found
    return list(pages(chest, Query(request_id=requests.pop(), service=service), None))


def _with_others(found: list[StoredRecord], request_id: str, where: str) -> list[StoredRecord]:
    """With what the request left in the stores of other services on this host; each record once."""
    known = {stored.record.id: stored for stored in found}
    for chest in other_chests(where):
        try:
            with chest:
                there = {stored.record.id: stored for stored in pages(chest, Query(request_id=request_id), None)}
        except ChestError as error:
            click.echo(f"chest: {chest.name} was not looked into: {printable(str(error))}", err=True)
            continue
        if not there.keys() <= known.keys():
            click.echo(f"chest: the request also left records in {chest.name}", err=True)
        known = there | known
    return list(known.values())
