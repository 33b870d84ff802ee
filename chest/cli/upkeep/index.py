"""``chest index``: an index on one variable, made on request only."""

from __future__ import annotations

import time

import click

from chest.chests.asking.conditions import Name
from chest.chests.upkeep import VariableIndex, VariableIndexes
from chest.cli.asking.units import duration_text
from chest.cli.chest_choice import readable_chest, service_option
from chest.errors import ChestError, SettingsError
from chest.query.names import label_of, name_of
from chest.record.messages import printable


@click.command()
@click.argument("url", required=False)
@click.option(
    "--variable", "names", multiple=True, metavar="NAME", help="On this variable, or attr.NAME; may be repeated."
)
@click.option("--drop", is_flag=True, help="Remove the index instead.")
@service_option
def index(url: str | None, names: tuple[str, ...], drop: bool, service: str | None) -> None:
    """Make an index on a variable, so that a filter such as plan=free finds its records without looking through all.

    Without --variable the indexes that were made are shown. Each makes every write slower and takes room. PostgreSQL, MySQL,
    MariaDB and MongoDB make one while records are written. SQLite blocks writes while it builds one, some seconds for a
    million records; records wait in the ring, and none is lost.

    \b
    Examples:
      chest index --variable plan
      chest index postgresql://shop@db/shop --variable user_id --variable plan
      chest index chest.sqlite3 --variable plan --drop
      chest index
    """
    wanted = [_meant(text) for text in names]
    if drop and not wanted:
        raise click.UsageError("--drop: give the --variable whose index is to be removed.")
    with readable_chest(url, service, only_reads=not wanted) as chest:
        indexes = chest.variable_indexes()
        if indexes is None:
            raise SettingsError(
                f"{chest.name} cannot have an index on a variable: SQLite, PostgreSQL, MySQL, MariaDB and MongoDB can."
            )
        try:
            for name in wanted:
                _drop(indexes, name) if drop else _make(indexes, name)
            if not wanted:
                found = indexes.found()
                for each in found:
                    click.echo(_text(each))
                if not found:
                    click.echo("No index on a variable; make one with --variable NAME.", err=True)
        finally:
            indexes.close()


def _meant(text: str) -> Name:
    try:
        name = name_of(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r}: {error}", param_hint="--variable") from None
    if name.place == "field":
        raise click.BadParameter(f"{text!r} is a field; a variable of that name is var.{text}", param_hint="--variable")
    return name


def _make(indexes: VariableIndexes, name: Name) -> None:
    waits = "no record is written meanwhile" if indexes.holds_up_writers else "records are written meanwhile"
    click.echo(f"chest: making an index on {printable(label_of(name))}; {waits}", err=True)
    begin = time.monotonic()
    indexes.make(name)
    took = duration_text((time.monotonic() - begin) * 1e9)
    made = next((each for each in indexes.found() if each.name == name), None)
    if made is None:
        raise ChestError(f"the store reported no error, but there is no index on {label_of(name)!r} now.")
    click.echo(f"{_text(made)}, made in {took}")


def _drop(indexes: VariableIndexes, name: Name) -> None:
    is_removed = indexes.drop(name)
    click.echo(f"{printable(label_of(name))}: {'removed' if is_removed else 'there was no index'}")


def _text(index: VariableIndex) -> str:
    size = "" if index.size_bytes is None else f": {index.size_bytes / 1e6:,.1f} MB"
    return f"{printable(label_of(index.name))}{size}"
