"""Python code in processes of its own, with this very ``chest`` and nothing of the environment that would change it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import chest
from chest.native import IS_NATIVE

ROOT = Path(__file__).resolve().parents[1]
_IMPORTED_FROM = [str(Path(chest.__file__).resolve().parents[1]), str(ROOT)]
"""Chest, which may be an installed wheel, and the tests."""


def clean_environment(**more: str) -> dict[str, str]:
    """This process's environment without options of Chest or a server, or the signs of a test run, and with this repository to import from."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CHEST_", "GUNICORN_", "UWSGI_", "PYTEST_CURRENT", "PYTEST_VERSION"))
    }
    if kept.pop("PYTHONDONTWRITEBYTECODE", None):
        # Beside no source, but somewhere: compiling the drivers in each process takes longer than most tests.
        kept["PYTHONPYCACHEPREFIX"] = str(Path(sys.prefix) / "bytecode")
    return {**kept, "PYTHONPATH": os.pathsep.join(dict.fromkeys(_IMPORTED_FROM)), **more}


def fork_without_hooks() -> int:
    """A fork that Python does not know of, as uWSGI's. On PyPy the test is skipped."""
    import ctypes

    import pytest

    if not hasattr(ctypes, "PyDLL"):
        pytest.skip("PyPy lets go of its lock around a call of C, so a forked child is none of Python's threads")
    return int(ctypes.PyDLL(None).fork())


def catches_sigterm(pid: int) -> bool:
    """Whether the process has a handler of SIGTERM, in Python or in C; on Linux."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) & 1 << (signal.SIGTERM - 1))


def command_of(code: str, *arguments: object) -> list[str]:
    """What starts this Python code with these arguments; without the compiled part of Chest if this process has none."""
    without = "" if IS_NATIVE else "import sys; sys.modules['chest.native._native'] = None\n"
    return [sys.executable, "-c", without + textwrap.dedent(code), *map(str, arguments)]


def run_python(code: str, *arguments: object, seconds: float = 300, **environment: str) -> str:
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
def running_python(
    code: str, *arguments: object, stderr: bool = False, **environment: str
) -> Iterator[subprocess.Popen[str]]:
    """Python code in a process that is there during the block, its input and output connected; killed at the end.

    :param stderr: whether what it says as an error is connected too.
    """
    process = subprocess.Popen(
        command_of(code, *arguments),
        env=clean_environment(**environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if stderr else None,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()
