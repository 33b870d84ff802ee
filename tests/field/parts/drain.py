"""``Drain``: ``chest drain`` beside the workers, and started again when it has ended, as systemd does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from tests.processes import ROOT, clean_environment

_DRAIN: Final = """
import tests.field.parts.impatience
from chest.cli.main import main
from tests.field.witness import tell_stacks_when_asked
tell_stacks_when_asked()
main()
"""
_STOP_SECONDS: Final = 15.0


class Drain:
    """The process, for the block.

    :param directory: for what it says.
    :param state: the directory that it drains.
    :param environ: the options of the application, among them its chest.
    """

    def __init__(self, directory: Path, state: Path, environ: Mapping[str, str]) -> None:
        self._log = directory / "drain.log"
        self._command = [sys.executable, "-c", _DRAIN, "drain", str(state)]
        self._environ = clean_environment(**environ)
        self._process = self._spawn()

    def __enter__(self) -> Drain:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    @property
    def pid(self) -> int:
        """Of the process that drains now."""
        return self._process.pid

    def ensure_running(self) -> None:
        """Start it again where it has ended."""
        if self._process.poll() is not None:
            self._process = self._spawn()

    def stop(self) -> None:
        """Let it deliver what there is, and end."""
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_SECONDS)

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                self._command, env=self._environ, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
