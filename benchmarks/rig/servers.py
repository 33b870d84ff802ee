"""The servers that ``bench_end_to_end`` measures, each with one worker, and its files in a directory of its own."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Final
from urllib.request import urlopen

from benchmarks.rig.served import APPLICATION, CONTENDER

_APP: Final = "benchmarks.rig.served:app"
_STOP_SECONDS: Final = 60
_USER_TICKS: Final = 11
_SYSTEM_TICKS: Final = 12


def _command(server: str, port: int, place: Path) -> list[str]:
    if server == "uWSGI":
        return [
            *(str(Path(sys.executable).with_name("uwsgi")), "--http11-socket", f"127.0.0.1:{port}", "--master"),
            *("--processes", "1", "--threads", "4", "--enable-threads", "--die-on-term", "--need-app"),
            *("--module", _APP, "--virtualenv", sys.prefix, "--disable-logging"),
        ]
    return [
        *(sys.executable, "-m", "gunicorn", _APP, "--worker-class", server.partition(" ")[2], "--workers", "1"),
        *("--threads", "4", "--keep-alive", "30", "--bind", f"127.0.0.1:{port}", "--log-level", "warning"),
        *("--worker-tmp-dir", str(place)),
    ]


class Server:
    """One server.

    :param server: ``gunicorn gthread``, ``gunicorn gevent`` or ``uWSGI``.
    :param application: which application it serves; see :mod:`benchmarks.rig.served`.
    :param contender: what is wrapped around the application.
    :param is_drained: whether ``chest drain`` delivers, beside it.
    """

    def __init__(self, server: str, application: str, contender: str, place: Path, *, is_drained: bool) -> None:
        place.mkdir()
        self.port = _free_port()
        self.store = place / "chest.sqlite3"
        self._log = (place / "server.log").open("w")
        environ = {
            **os.environ,
            APPLICATION: application,
            CONTENDER: contender,
            "CHEST_URLS": f"sqlite:///{self.store}",
            "CHEST_DIRECTORY": str(place),
            "CHEST_SERVICE": "bench",
            "BENCH_LOG": str(place / "requests.log"),
            "PYTHONPATH": os.pathsep.join(sys.path),
            **({"CHEST_DELIVERY": "external"} if is_drained else {}),
        }
        self._processes = [self._started(_command(server, self.port, place), environ)]
        if is_drained:
            self._processes.append(self._started([sys.executable, "-m", "chest", "drain", str(place)], environ))

    def _started(self, command: list[str], environ: dict[str, str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(command, env=environ, stdout=self._log, stderr=self._log)

    def wait_until_it_answers(self, seconds: float = 60) -> None:
        """Return when it has answered a request; raises RuntimeError when it does not in time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self._processes[0].poll() is None:
            with contextlib.suppress(OSError), urlopen(f"http://127.0.0.1:{self.port}/", timeout=seconds):
                return
            time.sleep(0.05)
        raise RuntimeError(f"the server does not answer: {Path(self._log.name).read_text()}")

    def cpu_seconds(self) -> float:
        """CPU that the server and its worker have taken so far, without what delivers beside them."""
        server = self._processes[0].pid
        own = {server, *map(int, Path(f"/proc/{server}/task/{server}/children").read_text().split())}
        # proc(5): the fields behind the name, which may hold anything, in parentheses.
        stats = [Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split() for process in own]
        return sum(int(stat[_USER_TICKS]) + int(stat[_SYSTEM_TICKS]) for stat in stats) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        """End it as a deploy does, the server first, and wait for the end."""
        for process in self._processes:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            finally:
                process.kill()
        self._log.close()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
