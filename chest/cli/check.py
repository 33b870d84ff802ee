"""``chest check``: whether records could be written."""

from __future__ import annotations

import click

from chest.chests.contract import Chest
from chest.cli.chest_choice import chest_of, label_of, resolve_chests, service_option
from chest.errors import ChestError
from chest.record.messages import printable


@click.command()
@click.argument("urls", nargs=-1, metavar="[URL]...")
@service_option
@click.pass_context
def check(ctx: click.Context, urls: tuple[str, ...], service: str | None) -> None:
    """Tell whether each chest could take records.

    Nothing is written or made. Without a URL all of CHEST_URLS are looked at. The exit code is 1 when one of them
    could not. What should be known of a store that can be written goes to standard error.

    \b
    Examples:
      chest check
      chest check sqlite:///chest.sqlite3 postgresql://shop@db/shop
    """
    meant = [each for url in urls for each in resolve_chests(url, service)] or resolve_chests(None, service)
    notices: dict[str, None] = {}
    are_ok = [_check_and_tell(each, notices) for each in meant]
    for notice in notices:
        click.echo(f"{click.style('note  ', fg='yellow')}  {printable(notice)}", err=True)
    ctx.exit(0 if all(are_ok) else 1)


def _check_and_tell(meant: str | Chest, notices: dict[str, None]) -> bool:
    try:
        with chest_of(meant) as chest:
            try:
                chest.check()
            finally:  # also the notices of the store
                notices.update(dict.fromkeys(chest.notices()))
            said = "" if chest.is_write_checked else ": it answers; only a record shows whether it takes records"
    except ChestError as error:
        click.echo(f"{click.style('failed', fg='red')}  {printable(label_of(meant))}: {printable(str(error))}")
        return False
    click.echo(f"{click.style('ok    ', fg='green')}  {printable(label_of(meant))}{said}")
    return True
