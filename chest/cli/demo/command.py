"""``chest demo``: the whole way of a request, on real ones, in some seconds."""

from __future__ import annotations

import importlib.util
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

import click
from rich.console import Console

from chest.errors import ChestError, MissingDependencyError
from chest.record.messages import printable

_NEEDED: Final = ("flask", "gunicorn")
_UNUSABLE: Final = 2
_INTERRUPTED: Final = 130


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    metavar="PORT",
    help="TCP port on the loopback interface.  [default: a free one]",
)
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path),
    metavar="DIRECTORY",
    help="Directory of the store; an older store in it is added to, and not counted.  [default: a fresh temporary one]",
)
@click.option("--ui", "opens_page", is_flag=True, help="At the end open the page on the store, until Ctrl-C.")
@click.option(
    "--browser/--no-browser", default=True, help="With --ui: open a browser (the default), or only print the URL."
)
def demo(port: int, directory: Path | None, opens_page: bool, browser: bool) -> None:
    """Serve a shop, use it, kill a worker, and show what the store holds.

    Starts gunicorn with two workers on the loopback interface, sends it some hundreds of requests, kills one worker
    with SIGKILL meanwhile, and compares what the clients saw with what the store holds. Takes less than 20 seconds.

    Exit status: 0 when the store holds every answered request exactly once, 1 when it does not, 2 when the
    demonstration could not be run.

    \b
    Examples:
      chest demo
      chest demo --ui
      chest demo --dir shop --port 8000
    """
    try:
        with _ended_in_order():
            is_complete = _run(port, directory, opens_page=opens_page, opens_browser=browser)
    except ChestError as error:
        click.echo("chest demo: " + "\n".join(printable(line) for line in str(error).splitlines()), err=True)
        sys.exit(_UNUSABLE)
    except KeyboardInterrupt:
        click.echo("chest demo: interrupted; gunicorn was stopped.", err=True)
        sys.exit(_INTERRUPTED)
    sys.exit(0 if is_complete else 1)


def _run(port: int, directory: Path | None, *, opens_page: bool, opens_browser: bool) -> bool:
    _require_packages()
    from chest.cli.demo.run import Demonstration
    from chest.cli.demo.workspace import Workspace

    workspace = Workspace.temporary() if directory is None else Workspace(directory)
    is_complete = Demonstration(workspace, Console(), port=port).run().is_complete
    if opens_page:
        from chest.cli.ui import show

        click.echo()
        show(workspace.store_url, [workspace.ring_directory], opens_browser=opens_browser)
    return is_complete


def _require_packages() -> None:
    if sys.platform == "win32":
        raise ChestError("gunicorn, which serves the shop, does not run on Windows; on Linux and macOS it does.")
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        are = "is" if len(missing) == 1 else "are"
        raise MissingDependencyError(f"{' and '.join(missing)} {are} not installed: pip install 'wsgi-chest[demo]'")


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """Let SIGTERM, and the SIGHUP of a closed terminal, end the demonstration as Ctrl-C does: after its clean-up."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    numbers = [signal.SIGTERM] if sys.platform == "win32" else [signal.SIGTERM, signal.SIGHUP]
    previous = [signal.signal(number, interrupt) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, previous, strict=True):
            signal.signal(number, handler)
