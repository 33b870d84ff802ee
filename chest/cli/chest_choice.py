"""Which chest a command means: the one that was typed, else the settings', else the only one there is.

The settings are the environment's, unless the command is one of an application's: then they are the object of a click
context above it.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Final

import click

from chest.chests.base import Chest, ReadableChest
from chest.chests.registry import open_chest, safe_url, sqlite_url
from chest.directory import existing_directories, state_directory
from chest.errors import SettingsError
from chest.recorder import default_store
from chest.settings import Settings

_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://|memory:|log:|ndjson:")

service_option = click.option(
    "--service", metavar="NAME", help="Only records of this service; without a URL: of its default directory."
)


def is_url(text: str) -> bool:
    """Whether an argument names a chest: a URL, or a file that is there."""
    return _URL.match(text) is not None or ("=" not in text and Path(text).is_file())


def meant_chests(url: str | None, service: str | None) -> tuple[str | Chest, ...]:
    """The chests that are meant, at least one; nothing is opened or made.

    :param url: what was typed: a URL, the path of a SQLite file, or None.
    :param service: what was given with ``--service``.
    :raises SettingsError: none can be meant, or several.
    """
    if url is not None:
        return (_typed(url),)
    settings = _settings(service)
    return settings.chests or (default_store(_directory(settings)),)


def typed_chest(text: str) -> Chest:
    """The chest that was typed as a URL or as the path of a SQLite file, not yet open.

    :raises SettingsError: it is neither.
    """
    return open_chest(_typed(text))


def chest_of(meant: str | Chest) -> Chest:
    """The chest, not yet open."""
    return open_chest(meant) if isinstance(meant, str) else meant


def label_of(meant: str | Chest) -> str:
    """What messages call it, without secrets."""
    return safe_url(meant) if isinstance(meant, str) else meant.name


def readable_chest(url: str | None, service: str | None) -> ReadableChest:
    """The first chest of :func:`meant_chests` that can be read, not yet open.

    :raises SettingsError: as :func:`meant_chests`, or none of them can be read.
    """
    meant = meant_chests(url, service)
    for each in meant:
        chest = chest_of(each)
        if isinstance(chest, ReadableChest):
            return chest
    raise SettingsError(
        f"{', '.join(map(label_of, meant))} can only be written; give the URL of a chest that can be read"
    )


def meant_directory(service: str | None) -> Path:
    """Where the rings and spools of the service are: as the settings say, else of ``--service``, else of the only one.

    :raises SettingsError: none can be meant, or several.
    """
    return _directory(_settings(service))


def _settings(service: str | None) -> Settings:
    context = click.get_current_context(silent=True)
    of_application = None if context is None else context.find_object(Settings)
    if of_application is None:
        return Settings.resolve({"service": service})
    return of_application if service is None else dataclasses.replace(of_application, service=service)


def _typed(text: str) -> str:
    if _URL.match(text):
        return text
    if Path(text).is_file():
        return sqlite_url(Path(text).absolute())
    raise SettingsError(f"{text!r} is neither a URL nor a file; a SQLite file is sqlite:///{text}")


def _directory(settings: Settings) -> Path:
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
    if found:
        names = ", ".join(path.name for path in found)
        raise SettingsError(f"there are several services: {names}; say which with --service, or give a URL")
    raise SettingsError(f"no service has a directory in {state_directory()}; give a URL, or set CHEST_URLS")
