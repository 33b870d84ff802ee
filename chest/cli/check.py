"""``chest check``: whether records could be written."""

from __future__ import annotations

import click

from chest.chests.registry import open_chest, safe_url
from chest.cli.chest_choice import chest_urls, service_option
from chest.cli.record_text import printable
from chest.errors import ChestError


@click.command()
@click.argument("urls", nargs=-1, metavar="[URL]...")
@service_option
@click.pass_context
def check(ctx: click.Context, urls: tuple[str, ...], service: str | None) -> None:
    """Say whether each chest could take records.

    Nothing is written or made. Without a URL all of CHEST_URLS are looked at. The exit code is 1 when one of them
    could not.
    """
    meant = [each for url in urls for each in chest_urls(url, service)] or chest_urls(None, service)
    complaints = [(url, _complaint(url)) for url in meant]
    for url, complaint in complaints:
        mark = click.style("ok    ", fg="green") if complaint is None else click.style("failed", fg="red")
        click.echo(f"{mark}  {printable(safe_url(url))}{'' if complaint is None else f': {complaint}'}")
    ctx.exit(1 if any(complaint is not None for _, complaint in complaints) else 0)


def _complaint(url: str) -> str | None:
    try:
        with open_chest(url) as chest:
            chest.check()
    except ChestError as error:
        return printable(str(error))
    return None
