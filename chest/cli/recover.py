"""``chest recover``: what dead processes left in a directory, delivered now."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from pathlib import Path

import click

from chest.cli.chest_choice import chest_of, resolve_settings
from chest.record.messages import printable
from chest.recorder.directory_recovery import recover_directory
from chest.recorder.stores_in_use import default_store
from chest.system.directory import refuse_foreign_directory


@click.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--to", "urls", multiple=True, metavar="URL", help="Deliver to this chest; may be given again for more.")
@click.option(
    "--spooled-for",
    metavar="TEXT",
    help="Also deliver what is spooled for another chest, whose label contains this text.",
)
def recover(directory: Path, urls: tuple[str, ...], spooled_for: str | None) -> None:
    """Deliver the records that dead processes left behind.

    Every recorder that starts in DIRECTORY does the same; this command is for a service that does not start again. It leaves
    the rings of living processes alone. It delivers records on disk that wait for one of these chests. Of a damaged file
    it delivers what can be read, shows what cannot and the name under which the file is kept; the exit code is 1 then.
    Without --to the records go to all of CHEST_URLS, else to chest.sqlite3 in the directory, if it is yours.

    Records that wait for a store that moved and has another URL go to the new one with --spooled-for and
    the old host or database.

    \b
    Examples:
      chest recover ~/.local/state/chest/shop
      chest recover --to sqlite:///chest.sqlite3 /var/lib/shop
    """
    logging.getLogger("chest").addHandler(logging.NullHandler())  # what would be logged is said below
    chests = resolve_settings(None, urls).chests
    if not chests:
        refuse_foreign_directory(directory)
        chests = (default_store(directory.absolute()),)
    with ExitStack() as opened:
        recovered = recover_directory(directory, [opened.enter_context(chest_of(each)) for each in chests], spooled_for)
    left = f"; {recovered.left:,} ring files left to living processes" if recovered.left else ""
    click.echo(f"Records recovered: {recovered.records:,}, from ring files: {recovered.rings:,}{left}")
    for complaint in recovered.complaints:
        click.echo(f"chest: {printable(complaint)}", err=True)
    if recovered.damaged:
        click.echo(f"Damaged records left out: {recovered.damaged:,}", err=True)
    for path in recovered.set_aside:
        click.echo(f"Set aside, as it could not be read whole: {printable(str(path))}", err=True)
    if recovered.rejected:
        click.echo(f"Records refused for good: {recovered.rejected:,}; chest dead list shows them", err=True)
    if recovered.spools_left:
        click.echo(
            f"Spools left that hold records for other chests than these: {recovered.spools_left:,}; see --spooled-for",
            err=True,
        )
    if recovered.damaged or recovered.rejected or recovered.set_aside or recovered.complaints:
        raise SystemExit(1)
