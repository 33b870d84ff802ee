"""``chest index``: an index on one variable, made on request only."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import click

from chest.chests.asking.conditions import Name
from chest.chests.upkeep import VariableIndex, VariableIndexes
from chest.cli.asking.table import print_csv
from chest.cli.asking.units import duration_text
from chest.cli.chest_choice import readable_chest, service_option
from chest.cli.record_text import json_text
from chest.errors import ChestError, SettingsError
from chest.query.names import label_of, name_of
from chest.record.messages import printable

_Row: TypeAlias = dict[str, Any]
"""An index for a program: its name, and what is known about it."""


@click.command()
@click.argument("url", required=False)
@click.option(
    "--variable", "names", multiple=True, metavar="NAME", help="On this variable, or attr.NAME; may be repeated."
)
@click.option("--drop", is_flag=True, help="Remove the index instead.")
@click.option("--json", "as_json", is_flag=True, help="The indexes as one JSON object on one line.")
@click.option("--csv", "as_csv", is_flag=True, help="The indexes as CSV.")
@service_option
def index(
    url: str | None, names: tuple[str, ...], drop: bool, as_json: bool, as_csv: bool, service: str | None
) -> None:
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
            rows = []
            for row in (_drop if drop else _make)(indexes, wanted) if wanted else _found(indexes):
                if not as_json and not as_csv:
                    click.echo(_text(row))
                rows.append(row)
        finally:
            indexes.close()
    if as_csv:
        print_csv(rows)
    elif as_json:
        click.echo(json_text({"indexes": rows}))


def _meant(text: str) -> Name:
    try:
        name = name_of(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r}: {error}", param_hint="--variable") from None
    if name.place == "field":
        raise click.BadParameter(f"{text!r} is a field; a variable of that name is var.{text}", param_hint="--variable")
    return name


def _found(indexes: VariableIndexes) -> Iterator[_Row]:
    found = indexes.found()
    if not found:
        click.echo("No index on a variable; make one with --variable NAME.", err=True)
    return map(_row, found)


def _make(indexes: VariableIndexes, names: Sequence[Name]) -> Iterator[_Row]:
    waits = "no record is written meanwhile" if indexes.holds_up_writers else "records are written meanwhile"
    for name in names:
        click.echo(f"chest: making an index on {printable(label_of(name))}; {waits}", err=True)
        begin = time.monotonic()
        indexes.make(name)
        took = time.monotonic() - begin
        made = next((each for each in indexes.found() if each.name == name), None)
        if made is None:
            raise ChestError(f"the store reported no error, but there is no index on {label_of(name)!r} now.")
        yield _row(made) | {"made_seconds": took}


def _drop(indexes: VariableIndexes, names: Sequence[Name]) -> Iterator[_Row]:
    for name in names:
        yield {"name": label_of(name), "is_removed": indexes.drop(name)}


def _row(index: VariableIndex) -> _Row:
    return {"name": label_of(index.name), "size_bytes": index.size_bytes}


def _text(row: _Row) -> str:
    name = printable(row["name"])
    if "is_removed" in row:
        return f"{name}: {'removed' if row['is_removed'] else 'there was no index'}"
    size = "" if row["size_bytes"] is None else f": {row['size_bytes'] / 1e6:,.1f} MB"
    took = f", made in {duration_text(row['made_seconds'] * 1e9)}" if "made_seconds" in row else ""
    return f"{name}{size}{took}"
