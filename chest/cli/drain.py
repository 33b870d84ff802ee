"""``chest drain``: deliver for the processes of a directory, from a process of its own."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Final

import click

from chest.chests.registry import open_chest
from chest.counters import Counters
from chest.delivery.lanes import lanes_for
from chest.delivery.sidecar import Progress, Sidecar
from chest.directory import prepare_directory
from chest.errors import SettingsError
from chest.killed_request import cleaned_killed_request
from chest.recorder import Recorder, default_store
from chest.ring.recovery import adopt_dead_rings
from chest.settings import Settings

_TELL_EVERY_SECONDS: Final = 10.0
_BEGIN_EXPORTS_EVERY_SECONDS: Final = 5.0
"""One that cannot begin is tried again, as in a process that records."""


@click.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--to", "urls", multiple=True, metavar="URL", help="Deliver to this chest; may be given again for more.")
@click.option("--app", "app", metavar="MODULE:NAME", help="Deliver to the chests of this recorder, or of this app's.")
@click.option("--once", is_flag=True, help="Deliver what is there now, and end.")
@click.option("--quiet", is_flag=True, help="Show no progress.")
def drain(directory: Path, urls: tuple[str, ...], app: str | None, once: bool, quiet: bool) -> None:
    """Deliver for all processes that keep their rings in DIRECTORY.

    Their recorders have the option exporter="external", and run no thread. What processes left that are gone is delivered,
    too, and exports on timetables run here. Ends at SIGTERM or Ctrl-C, when it has delivered what there is. May be run
    twice for one directory.

    Without --to and --app the records go to all of CHEST_URLS, else to chest.sqlite3 in the directory.
    """
    if urls and app:
        raise SettingsError("give --to or --app, not both: an app's recorder has chests of its own")
    prepare_directory(directory)
    recorder = _of_app(app) if app else _of_environment(urls, directory)
    settings, chests = recorder.settings, recorder.chests or (open_chest(default_store(directory.absolute())),)
    counters = Counters()
    sidecar = Sidecar(
        directory,
        lanes_for(chests, counters, directory, settings.spool_bytes),
        counters,
        adopt=partial(adopt_dead_rings, directory, counters, clean=cleaned_killed_request),
        flush_seconds=settings.flush_seconds,
        batch_records=settings.batch_records,
    )
    _end_at_signals(sidecar, settings.shutdown_seconds)
    if once:
        sidecar.stop(settings.shutdown_seconds)
    names = ", ".join(chest.name for chest in chests)
    told = _Told(quiet)
    told.say(f"Draining {directory} into {names}")

    begin_exports_at = time.monotonic()

    def after_a_round(progress: Progress) -> None:
        nonlocal begin_exports_at
        if not once and time.monotonic() >= begin_exports_at:
            begin_exports_at = time.monotonic() + _BEGIN_EXPORTS_EVERY_SECONDS
            recorder.exports.start()
        told.progress(progress)

    try:
        is_complete = sidecar.run(after_a_round)
    finally:
        recorder.exports.stop()
        recorder.exports.wait(time.monotonic() + settings.shutdown_seconds)
    told.end(sidecar.progress, is_complete)
    if not is_complete:
        raise SystemExit(1)


def _of_environment(urls: Sequence[str], directory: Path) -> Recorder:
    """A recorder that records nothing: it has the chests and the timetables."""
    settings = Settings.resolve({"chests": tuple(urls) or None, "directory": directory.absolute()})
    return Recorder.from_settings(settings)


def _of_app(place: str) -> Recorder:
    """The recorder that a module holds, itself or in an application."""
    module, colon, name = place.partition(":")
    if not colon:
        raise SettingsError(f"--app takes MODULE:NAME, such as shop.wsgi:app, not {place!r}")
    sys.path.insert(0, os.getcwd())  # as gunicorn and flask do it
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise SettingsError(f"--app {place}: {error}") from error
    recorder = found if isinstance(found, Recorder) else getattr(found, "recorder", None)
    extensions = getattr(found, "extensions", None)  # Flask's: what the extension keeps there has a recorder, too
    if recorder is None and isinstance(extensions, dict):
        recorder = getattr(extensions.get("chest"), "recorder", None)
    if not isinstance(recorder, Recorder):
        raise SettingsError(f"--app {place}: that is neither a Recorder nor an application that has one")
    return recorder


def _end_at_signals(sidecar: Sidecar, seconds: float) -> None:
    def end(number: int, frame: FrameType | None) -> None:
        sidecar.stop(seconds)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)


class _Told:
    """Says now and then how far it is, where that has changed."""

    def __init__(self, is_quiet: bool) -> None:
        self._is_quiet = is_quiet
        self._last: Progress | None = None
        self._tell_at = time.monotonic() + _TELL_EVERY_SECONDS

    def say(self, text: str) -> None:
        if not self._is_quiet:
            click.echo(text)
            sys.stdout.flush()

    def progress(self, progress: Progress) -> None:
        now = time.monotonic()
        if now >= self._tell_at:
            self._tell_at = now + _TELL_EVERY_SECONDS
            if progress != self._last:
                self._last = progress
                self.say(_text_of(progress))

    def end(self, progress: Progress, is_complete: bool) -> None:
        self.say(_text_of(progress))
        if not is_complete:
            click.echo("Not everything was delivered; what is left is kept for the next run.", err=True)


def _text_of(progress: Progress) -> str:
    total = progress.delivered + progress.recovered
    return f"Delivered {total:,} records, {progress.recovered:,} of them of dead processes; rings: {progress.rings:,}"
