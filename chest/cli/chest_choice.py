"""Which chest a command works on: the one that was typed, else that of the settings, else the only one there is.

The settings are the environment's, unless the command is one of an application's: then they are the object of a click
context above it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import click

from chest.chests.contract import Chest, ReadableChest
from chest.chests.registry import open_chest, safe_url, sqlite_url
from chest.errors import SettingsError
from chest.recorder.stores_in_use import DEFAULT_STORE, default_store, kept_stores, last_used
from chest.settings.chest_urls import is_chest_url
from chest.settings.settings import Settings
from chest.system.directory import existing_directories, state_directory

service_option = click.option(
    "--service", metavar="NAME", help="Only records of this service; without a URL: of its default directory."
)


def is_url(text: str) -> bool:
    """True if an argument names a chest: a URL, or an existing file."""
    return is_chest_url(text) or ("=" not in text and Path(text).is_file())


def split_url(arguments: Sequence[str]) -> tuple[str | None, Sequence[str]]:
    """The URL of the chest, if the first argument is one, and the other arguments."""
    return (arguments[0], arguments[1:]) if arguments and is_url(arguments[0]) else (None, arguments)


def resolve_chests(url: str | None, service: str | None, *, only_reads: bool = False) -> tuple[str | Chest, ...]:
    """The chests that a command works on, at least one; nothing is opened or created.

    :param url: what was typed: a URL, the path of a SQLite file, or None.
    :param service: what was given with ``--service``.
    :param only_reads: True if the command changes nothing; then of several services the one that wrote last is taken.
    :raises SettingsError: none was found, or several without a way to choose.
    """
    if url is not None:
        return (_typed(url),)
    settings = resolve_settings(service)
    if settings.chests:
        return settings.chests
    directory = _directory(settings, only_reads=only_reads)
    return kept_stores(directory) or (default_store(directory),)


def typed_chest(text: str) -> Chest:
    """The chest that was typed as a URL or as the path of a SQLite file, not yet open.

    :raises SettingsError: it is neither.
    """
    return open_chest(_typed(text))


def chest_of(meant: str | Chest) -> Chest:
    """The chest, not yet open."""
    return open_chest(meant) if isinstance(meant, str) else meant


def label_of(meant: str | Chest) -> str:
    """Its label in messages, without secrets."""
    return safe_url(meant) if isinstance(meant, str) else meant.name


def readable_chest(url: str | None, service: str | None, *, only_reads: bool = True) -> ReadableChest:
    """The first chest of :func:`resolve_chests` that can be read, not yet open.

    :raises SettingsError: as :func:`resolve_chests`, or no chest can be read.
    """
    return opened(readable_store(url, service, only_reads=only_reads))


def readable_store(url: str | None, service: str | None, *, only_reads: bool = True) -> str | ReadableChest:
    """As :func:`readable_chest`; its URL if it was named by one.

    :raises SettingsError: as :func:`resolve_chests`, or no chest can be read.
    """
    meant = resolve_chests(url, service, only_reads=only_reads)
    for each in meant:
        if isinstance(chest := chest_of(each), ReadableChest):
            return each if isinstance(each, str) else chest
    raise SettingsError(
        f"{', '.join(map(label_of, meant))} can only be written; give the URL of a chest that can be read"
    )


def opened(store: str | ReadableChest) -> ReadableChest:
    """The chest of :func:`readable_store`, not yet open."""
    chest = chest_of(store)
    assert isinstance(chest, ReadableChest), "readable_store has looked"
    return chest


def other_chests(name: str) -> list[ReadableChest]:
    """The readable chests of this host's default directories but the one of this name, not yet open."""
    found: list[ReadableChest] = []
    for directory in existing_directories():
        is_there = (directory / DEFAULT_STORE).exists()
        for each in kept_stores(directory) or ((default_store(directory),) if is_there else ()):
            chest = chest_of(each)
            if isinstance(chest, ReadableChest) and chest.name not in (name, *(known.name for known in found)):
                found.append(chest)
    return found


def resolve_directory(service: str | None) -> Path:
    """The directory of the service's rings and spools: as the settings say, else of ``--service``, else of the only service.

    :raises SettingsError: none was found, or several without a way to choose.
    """
    return _directory(resolve_settings(service))


def resolve_settings(service: str | None, urls: Sequence[str] = ()) -> Settings:
    """The settings of a command: those of the application above it, else the environment's.

    :param urls: the chests that were typed, in the place of theirs.
    """
    context = click.get_current_context(silent=True)
    of_application = None if context is None else context.find_object(Settings)
    if of_application is None:
        return Settings.resolve({"service": service, "chests": tuple(urls) or None})
    chests = Settings.resolve({"chests": tuple(urls)}, environ={}).chests or of_application.chests
    return dataclasses.replace(of_application, service=service or of_application.service, chests=chests)


def _typed(text: str) -> str:
    if is_chest_url(text):
        return text
    if Path(text).is_file():
        return sqlite_url(Path(text).absolute())
    shown = text if "@" not in text else f"***@{text.rpartition('@')[2]}"
    raise SettingsError(f"{shown!r} is neither a URL nor a file; a SQLite file is sqlite:///{shown}")


def _directory(settings: Settings, *, only_reads: bool = False) -> Path:
    if settings.directory is not None:
        return settings.directory
    found = existing_directories()
    if settings.service is not None:
        found = [path for path in found if path.name == settings.service]
        if not found:
            raise SettingsError(f"service {settings.service!r} has no directory in {state_directory()}; give a URL")
        return found[0]
    if len(found) == 1:
        return found[0]
    if found and only_reads:
        last = last_used(found)
        click.echo(f"chest: service {last.name}, which wrote last; --service names another", err=True)
        return last
    if found:
        names = ", ".join(path.name for path in found)
        raise SettingsError(f"there are several services: {names}; say which with --service, or give a URL")
    raise SettingsError(f"no service has a directory in {state_directory()}; give a URL, or set CHEST_URLS")
