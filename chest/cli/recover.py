"""``chest recover``: what dead processes left in a directory, delivered now."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import click

from chest.chests.registry import open_chest
from chest.directory_recovery import recover_directory
from chest.recorder import default_store
from chest.settings import Settings


@click.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--to", "urls", multiple=True, metavar="URL", help="Deliver to this chest; may be given again for more.")
@click.option(
    "--spooled-for", metavar="TEXT", help="Deliver what is spooled for another chest, too, whose label holds this."
)
def recover(directory: Path, urls: tuple[str, ...], spooled_for: str | None) -> None:
    """Deliver what dead processes left behind.

    The same is done for DIRECTORY by every recorder that starts there; this is for one that does not start again. Rings
    of living processes are left to them. What could not be written to a chest before, and was put on disk, is delivered
    where it is one of these chests. Without --to the records go to all of CHEST_URLS, else to chest.sqlite3 in
    the directory.

    What waits for a chest that is no more, as its store moved and has another URL, goes to the new one with --spooled-for and
    the old host or database.
    """
    chests = Settings.resolve({"chests": urls or None}).chests or (default_store(directory.absolute()),)
    with ExitStack() as opened:
        recovered = recover_directory(directory, [opened.enter_context(open_chest(url)) for url in chests], spooled_for)
    left = f"; {recovered.left:,} ring files left to living processes" if recovered.left else ""
    click.echo(f"Records recovered: {recovered.records:,}, from ring files: {recovered.rings:,}{left}")
    if recovered.damaged:
        click.echo(f"Damaged lines left out: {recovered.damaged:,}; their files are set aside as *.damaged", err=True)
    if recovered.rejected:
        click.echo(f"Records refused for good: {recovered.rejected:,}; chest dead list shows them", err=True)
    if recovered.spools_left:
        click.echo(
            f"Spools left that hold records for other chests than these: {recovered.spools_left:,}; see --spooled-for",
            err=True,
        )
    if recovered.damaged or recovered.rejected:
        raise SystemExit(1)
