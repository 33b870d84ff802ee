"""``chest show``: all that is known about one request."""

from __future__ import annotations

import click

from chest.chests.base import Query
from chest.cli import record_text
from chest.cli.chest_choice import is_url, readable_chest, service_option
from chest.cli.tail import pages


@click.command()
@click.argument("arguments", nargs=-1, metavar="[URL] REQUEST_ID")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@service_option
@click.pass_context
def show(ctx: click.Context, arguments: tuple[str, ...], as_json: bool, service: str | None) -> None:
    """Show every record with this request id, whole. With none the exit code is 1."""
    *url, request_id = arguments or ("",)
    if not request_id or len(url) > 1 or (not url and is_url(request_id)):
        raise click.UsageError("Give the id of a request, behind the URL of the chest if you give one.")
    with readable_chest(url[0] if url else None, service) as chest:
        found = list(pages(chest, Query(request_id=request_id, service=service), None))
        where = chest.name
    texts = [record_text.json_line(each) if as_json else record_text.whole(each) for each in found]
    if not texts:
        click.echo(f"chest: no record with request id {record_text.printable(request_id)} in {where}", err=True)
        ctx.exit(1)
    click.echo(("\n" if as_json else "\n\n").join(texts))
