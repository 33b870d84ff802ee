"""``chest dead``: look at records that a chest refused for good, deliver them again, or forget them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click

from chest.chests.contract import StoredRecord
from chest.cli.chest_choice import resolve_directory
from chest.cli.record_text import json_text, line, whole
from chest.delivery.spool.dead_letters import DeadLetter, DeadLetters
from chest.delivery.spool.file import SpoolError, SpoolFile
from chest.delivery.spool.place import SUFFIX
from chest.errors import DirectoryError, SettingsError
from chest.query.record_fields import utc_text
from chest.record.messages import printable

_F = TypeVar("_F", bound=Callable[..., Any])


class Found(NamedTuple):
    """A dead letter, and the spool that holds it."""

    file: SpoolFile
    chest: str
    letter: DeadLetter


def _options(command: _F) -> _F:
    for option in (
        click.option("--service", metavar="NAME", help="The service to whose directory they belong."),
        click.option("--chest", "label", metavar="LABEL", help="Only those of the chest with this text in its name."),
        click.option(
            "--directory",
            type=click.Path(exists=True, file_okay=False, path_type=Path),
            help="The directory of the ring files.",
        ),
    ):
        command = option(command)
    return command


def _choice(command: _F) -> _F:
    command = click.option("--all", "takes_all", is_flag=True, help="All of them.")(command)
    return click.argument("ids", nargs=-1, metavar="[ID]...")(command)


@click.group()
def dead() -> None:
    """Records that a chest refused for good.

    The other records of their batch were stored. ID is the id of a record.

    \b
    Examples:
      chest dead list
      chest dead show 18e9c2647cdcd698750f8de891b0d118 --directory /var/lib/shop
      chest dead retry --directory /var/lib/shop
    """


@dead.command("list")
@_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object a record and line.")
def list_(directory: Path | None, label: str | None, service: str | None, as_json: bool) -> None:
    """One line a record, the oldest first: when it was refused, by which chest, and why."""
    count = 0
    for count, found in enumerate(_letters(directory, label, service), 1):  # noqa: B007 - counted while shown
        click.echo(_json_of(found) if as_json else _line_of(found))
    click.echo(f"Dead letters: {count:,}", err=True)


@dead.command()
@_options
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
def show(directory: Path | None, label: str | None, service: str | None, ids: tuple[str, ...]) -> None:
    """The whole record, and why it was refused."""
    for found in _chosen(directory, label, service, ids, takes_all=False):
        click.echo(whole(_as_stored(found)))
        click.echo(f"{click.style('refused', bold=True)} by {printable(found.chest)}: {printable(found.letter.reason)}")


@dead.command()
@_options
@_choice
def retry(
    directory: Path | None, label: str | None, service: str | None, ids: tuple[str, ...], takes_all: bool
) -> None:
    """Have records delivered again, after what was in their way was mended.

    They are put to what waits for their chest; a worker of the service delivers it within seconds, as do chest drain and
    chest recover.
    """
    done = _act(_chosen(directory, label, service, ids, takes_all), DeadLetters.requeue)
    click.echo(f"Records that will be delivered again: {done:,}")


@dead.command()
@_options
@_choice
def drop(directory: Path | None, label: str | None, service: str | None, ids: tuple[str, ...], takes_all: bool) -> None:
    """Forget records for good."""
    done = _act(_chosen(directory, label, service, ids, takes_all), DeadLetters.discard)
    click.echo(f"Records forgotten: {done:,}")


def _letters(directory: Path | None, label: str | None, service: str | None) -> Iterator[Found]:
    place = directory or resolve_directory(service)
    for path in sorted(place.glob("*" + SUFFIX)):
        with closing(SpoolFile(path)) as file:
            try:
                chest = file.chest()
                if label is None or label in chest:
                    after = 0
                    while page := DeadLetters(file).list(after):
                        yield from (Found(file, chest, letter) for letter in page)
                        after = page[-1].seq
            except SpoolError as error:
                raise DirectoryError(f"dead letters cannot be read: {error}") from error


def _chosen(
    directory: Path | None, label: str | None, service: str | None, ids: Sequence[str], takes_all: bool
) -> list[Found]:
    if takes_all == bool(ids):
        raise SettingsError("name the records by their ids, or give --all")
    everything = list(_letters(directory, label, service))
    if takes_all:
        return everything
    chosen = [found for found in everything if found.letter.record.id in ids]
    missing = set(ids) - {found.letter.record.id for found in chosen}
    if missing:
        raise DirectoryError(f"no dead letter has the id {', '.join(sorted(missing))}; chest dead list shows them")
    return chosen


def _act(chosen: Sequence[Found], act: Callable[[DeadLetters, Sequence[DeadLetter]], int]) -> int:
    files = {found.file.path: found.file for found in chosen}
    done = 0
    for path, file in files.items():
        with closing(file):
            try:
                done += act(DeadLetters(file), [found.letter for found in chosen if found.file.path == path])
            except SpoolError as error:
                raise DirectoryError(f"dead letters cannot be changed: {error}") from error
    return done


def _as_stored(found: Found) -> StoredRecord:
    return StoredRecord(found.letter.seq, _died_at(found), found.letter.record)


def _died_at(found: Found) -> datetime:
    return datetime.fromtimestamp(found.letter.died_ns / 1e9, UTC)


def _line_of(found: Found) -> str:
    reason = click.style(f"{printable(found.chest)}: {printable(found.letter.reason)}", fg="red")
    return f"{found.letter.record.id}  {_died_at(found):%Y-%m-%d %H:%M:%S}  {reason}  {line(_as_stored(found))}"


def _json_of(found: Found) -> str:
    return json_text(
        {
            "died_at": utc_text(_died_at(found)),
            "chest": found.chest,
            "reason": found.letter.reason,
            **found.letter.record._asdict(),
        }
    )
