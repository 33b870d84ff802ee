"""``chest drain``: deliver for the processes of a directory, from a process of its own."""

from __future__ import annotations

import dataclasses
import importlib
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Final

import click

from chest.chests.registry import open_chest
from chest.cli.chest_choice import resolve_settings
from chest.delivery.external import ExternalDelivery, Progress
from chest.delivery.workers import workers_for
from chest.errors import SettingsError
from chest.record.counters import Counters
from chest.record.messages import printable
from chest.recorder.directory_recovery import cleaned_killed_request, recover_directory
from chest.recorder.recorder import Recorder
from chest.recorder.stores_in_use import default_store
from chest.ring.recovery import look_for_orphaned_rings
from chest.system.directory import prepare_directory

_TELL_EVERY_SECONDS: Final = 10.0
_WRAPPED_IN: Final = ("wsgi_app", "app", "application", "wrapped", "wsgi")
"""Attributes in which middleware keeps the application that it wraps; ``wsgi_app`` is Flask's own place for middleware."""
_MOST_WRAPPERS: Final = 20
_BEGIN_TRANSFERS_EVERY_SECONDS: Final = 5.0
"""One that cannot begin is tried again, as in a process that records."""


@click.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--to", "urls", multiple=True, metavar="URL", help="Deliver to this chest; may be given again for more.")
@click.option("--app", "app", metavar="MODULE:NAME", help="Deliver to the chests of this recorder, or of this app's.")
@click.option("--once", is_flag=True, help="Deliver what is there now, also what waits on disk, then end.")
@click.option("--quiet", is_flag=True, help="Show no progress.")
def drain(directory: Path, urls: tuple[str, ...], app: str | None, once: bool, quiet: bool) -> None:
    """Deliver for all processes that keep their rings in DIRECTORY.

    Their recorders have the option delivery="external", and run no thread. The command also delivers what dead processes
    left, and runs scheduled transfers. At SIGTERM or Ctrl-C it delivers what there is, then ends. It may run twice for one
    directory.

    --app takes an application in any middleware, or a function that makes one: shop:create_app(). Without --to and --app the records go to all of CHEST_URLS, else to chest.sqlite3 in the directory.

    \b
    Examples:
      chest drain /var/lib/shop --to postgresql://shop@db/shop
      chest drain --app shop:app /var/lib/shop
      chest drain --once /var/lib/shop
    """
    if urls and app:
        raise SettingsError("give --to or --app, not both: an app's recorder has chests of its own")
    if not directory.exists():
        raise SettingsError(
            f"no directory {directory}. Is the path right? It is CHEST_DIRECTORY of the processes that record; if"
            " none has run yet, make it: mkdir -m 700"
        )
    prepare_directory(directory)
    recorder = _of_app(app) if app else _of_environment(urls, directory)
    settings, chests = recorder.settings, recorder.chests or (open_chest(default_store(directory.absolute())),)
    counters = Counters()
    sidecar = ExternalDelivery(
        directory,
        workers_for(chests, counters, directory, settings.spool_bytes),
        counters,
        adopt=partial(look_for_orphaned_rings, directory, counters, clean=cleaned_killed_request),
        flush_seconds=settings.flush_seconds,
        batch_records=settings.batch_records,
    )
    _end_at_signals(sidecar, settings.shutdown_seconds)
    if once:
        sidecar.stop_when_drained(settings.shutdown_seconds)
    names = ", ".join(chest.name for chest in chests)
    told = _Told(quiet, directory)
    told.say(f"Draining {directory} into {names}")

    begin_transfers_at = time.monotonic()

    def after_a_round(progress: Progress) -> None:
        nonlocal begin_transfers_at
        if not once and time.monotonic() >= begin_transfers_at:
            begin_transfers_at = time.monotonic() + _BEGIN_TRANSFERS_EVERY_SECONDS
            recorder.scheduled_transfers.start()
        told.progress(progress)

    try:
        is_complete = sidecar.run(after_a_round)
    finally:
        recorder.scheduled_transfers.stop()
        recorder.scheduled_transfers.wait(time.monotonic() + settings.shutdown_seconds)
    progress = sidecar.progress
    if once and is_complete:
        # What waits on disk: a drain that goes on delivers it between its rounds.
        with ExitStack() as opened:
            recovered = recover_directory(directory, [opened.enter_context(chest) for chest in chests])
        progress = progress._replace(recovered=progress.recovered + recovered.records)
        for complaint in recovered.complaints:
            click.echo(f"chest: {printable(complaint)}", err=True)
        is_complete = not (recovered.complaints or recovered.damaged or recovered.rejected or recovered.set_aside)
    told.end(progress, is_complete)
    if not is_complete:
        raise SystemExit(1)


def _of_environment(urls: Sequence[str], directory: Path) -> Recorder:
    """A recorder that records nothing: it has the chests and the timetables."""
    settings = dataclasses.replace(resolve_settings(None, urls), directory=directory.absolute())
    return Recorder.from_settings(settings)


def _of_app(place: str) -> Recorder:
    """The recorder that a module holds, itself or in an application."""
    module, colon, name = place.partition(":")
    if not colon:
        raise SettingsError(f"--app takes MODULE:NAME, such as shop.wsgi:app, not {place!r}")
    sys.path.insert(0, os.getcwd())  # as gunicorn and flask do it
    try:
        found: Any = importlib.import_module(module)
        for part in name.removesuffix("()").split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise SettingsError(f"--app {place}: {error}") from error
    recorder = _recorder_in(found() if name.endswith("()") else found)
    if recorder is None:
        raise SettingsError(f"--app {place}: that is neither a Recorder nor an application that has one")
    return recorder


def _recorder_in(found: Any) -> Recorder | None:
    """The recorder of an application, also if other middleware wraps it or a framework's application inside it keeps the recorder."""
    for _ in range(_MOST_WRAPPERS):
        if isinstance(found, Recorder):
            return found
        extensions = getattr(found, "extensions", None)  # Flask's: the extension's entry also has a recorder
        kept = extensions.get("chest") if isinstance(extensions, dict) else None
        for holder in (found, kept):
            recorder = getattr(holder, "recorder", None)
            if isinstance(recorder, Recorder):
                return recorder
        inner = (getattr(found, name, None) for name in _WRAPPED_IN)
        found = next((each for each in inner if each is not None and callable(each)), None)
        if found is None:
            return None
    return None


def _end_at_signals(sidecar: ExternalDelivery, seconds: float) -> None:
    def end(number: int, frame: FrameType | None) -> None:
        sidecar.stop(seconds)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)


class _Told:
    """Shows the progress now and then, if it has changed."""

    def __init__(self, is_quiet: bool, directory: Path) -> None:
        self._is_quiet, self._directory = is_quiet, directory
        self._last: Progress | None = None
        self._tell_at = time.monotonic() + _TELL_EVERY_SECONDS

    def say(self, text: str) -> None:
        """Show it; delivery goes on if it cannot be written, as on a full disk or to a pipe without a reader."""
        if not self._is_quiet:
            with suppress(OSError):
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
            click.echo(
                "Not everything was delivered; what is left is kept for the next run."
                f" See what it is: chest status {printable(str(self._directory))}",
                err=True,
            )


def _text_of(progress: Progress) -> str:
    total = progress.delivered + progress.recovered
    return f"Delivered {total:,} records, {progress.recovered:,} of them of dead processes; rings: {progress.rings:,}"
