"""``chest check``: whether records could be written."""

from __future__ import annotations

import click

from chest.chests.base import Chest
from chest.cli.chest_choice import chest_of, label_of, meant_chests, service_option
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
    meant = [each for url in urls for each in meant_chests(url, service)] or meant_chests(None, service)
    complaints = [(each, _complaint(each)) for each in meant]
    for each, complaint in complaints:
        mark = click.style("ok    ", fg="green") if complaint is None else click.style("failed", fg="red")
        click.echo(f"{mark}  {printable(label_of(each))}{'' if complaint is None else f': {complaint}'}")
    ctx.exit(1 if any(complaint is not None for _, complaint in complaints) else 0)


def _complaint(meant: str | Chest) -> str | None:
    try:
        with chest_of(meant) as chest:
            chest.check()
    except ChestError as error:
        return printable(str(error))
    return None
