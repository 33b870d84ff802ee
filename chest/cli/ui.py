"""``chest ui``: the page, for the person at this machine."""

from __future__ import annotations

import os
import sys
import threading
import webbrowser
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

import click

from chest.chests.contract import ReadableChest
from chest.cli.chest_choice import label_of, opened, readable_store, resolve_settings, service_option
from chest.dashboard.loopback import LoopbackServer
from chest.dashboard.page import EVERYBODY, ChestPage
from chest.errors import SettingsError
from chest.recorder.directory_status import directories_of

_PATIENCE_SECONDS = 30.0
"""Nothing else waits for a thread of this process."""


@click.command()
@click.argument("url", required=False)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    metavar="PORT",
    help="TCP port on 127.0.0.1.  [default: a free one]",
)
@click.option("--browser/--no-browser", default=True, help="Open a browser (the default), or only print the URL.")
@service_option
def ui(url: str | None, port: int, browser: bool, service: str | None) -> None:
    """Look at the records in a browser: what happens, how long it takes, what is different about the slow requests.

    The page is served on 127.0.0.1 until Ctrl-C, and only to the browser that opens the printed URL first: it holds a random token,
    good for one use; then a new URL is printed, for another browser. The page only reads. To let others see it, mount it into an application: docs/page.md.

    \b
    Examples:
      chest ui
      chest ui chest.sqlite3 --port 8090
      chest ui postgresql://shop@db/shop --no-browser
    """
    store = readable_store(url, service)
    with closing(opened(store)) as chest:
        chest.newest()  # a wrong path or password is told here
    directories: list[Path] = []
    with suppress(SettingsError):  # the page says that there is none
        directories = directories_of(resolve_settings(service))
    show(store, directories, port=port, opens_browser=browser)


def show(
    store: str | ReadableChest, directories: Sequence[Path] = (), *, port: int = 0, opens_browser: bool = True
) -> None:
    """Serve the page until Ctrl-C.

    :param directories: in which records wait.
    :raises SettingsError: the port cannot be had.
    """
    with (
        closing(ChestPage(store, allow=EVERYBODY, patience_seconds=_PATIENCE_SECONDS, directories=directories)) as page,
        closing(LoopbackServer(page, port, _tell_next)) as server,
    ):
        click.echo(f"{label_of(store)} is shown at\n\n  {server.url}\n\nCtrl-C ends it.")
        if opens_browser and _has_browser():
            threading.Thread(target=webbrowser.open, args=(server.url,), daemon=True).start()
        try:
            server.serve()
        except KeyboardInterrupt:
            click.echo("chest: the page was closed", err=True)


def _tell_next(url: str) -> None:
    with suppress(OSError):  # the reader is gone
        click.echo(f"A browser has opened the page; for another one:\n\n  {url}\n")


def _has_browser() -> bool:
    """True if a browser with a window can be opened; one in this terminal would be in the way."""
    return sys.platform in ("darwin", "win32") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    )
