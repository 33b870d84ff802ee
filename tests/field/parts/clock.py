"""``Clock``: the wall clock of processes, which a test may set; the monotonic one goes on as it does on a machine whose clock is set."""

from __future__ import annotations

import mmap
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests import servers

_SOURCE: Final = Path(__file__).with_name("stepped_clock.c")


class Clock:
    """A clock for the processes that are started with its environment.

    :param directory: for the file that they look at, and the library that does so.
    """

    def __init__(self, directory: Path) -> None:
        library, place = directory / "stepped_clock.so", directory / "clock"
        compiler = servers.needs_program("cc", "gcc libc6-dev")
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, _SOURCE, "-ldl"], check=True)
        place.write_bytes(bytes(8))
        with place.open("r+b") as file:
            self._offset = mmap.mmap(file.fileno(), 8)
        self.environ: Mapping[str, str] = {"LD_PRELOAD": str(library), "STEPPED_CLOCK": str(place)}

    def step(self, seconds: int) -> None:
        """From now on the wall clock is off by so much."""
        self._offset[:] = struct.pack("l", seconds)
