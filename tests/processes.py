"""Python code in processes of its own, with this very ``chest`` and nothing of the environment that would change it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import chest

ROOT = Path(chest.__file__).resolve().parent.parent


def clean_environment(**more: str) -> dict[str, str]:
    """This process's environment without options of Chest or a server, and with this repository to import from."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CHEST_", "GUNICORN_", "UWSGI_"))}
    return {**kept, "PYTHONPATH": str(ROOT), **more}


def command_of(code: str, *arguments: object) -> list[str]:
    """What starts this Python code with these arguments."""
    return [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]


def run_python(code: str, *arguments: object, seconds: float = 60, **environment: str) -> str:
    """Run Python code to its end, and return what it printed; a failure shows what it said."""
    done = subprocess.run(
        command_of(code, *arguments),
        env=clean_environment(**environment),
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, f"ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@contextlib.contextmanager
def running_python(code: str, *arguments: object, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Python code in a process that is there during the block, its input and output connected; killed at the end."""
    process = subprocess.Popen(
        command_of(code, *arguments),
        env=clean_environment(**environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()
