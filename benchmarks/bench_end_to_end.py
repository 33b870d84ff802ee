"""How many requests a second does gunicorn answer with Chest, of those that it answers without?

One gthread worker with four threads a contender, each on a port of its own and at rest while the others are measured; rounds
interleaved, medians. The exporter works while requests are answered, on the same interpreter lock. At the end the store
must hold a record of every request that was answered.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.load import CONNECTIONS, Load, load, tool
from benchmarks.report import Report, Target, question_of

_BARE: Final = "bare"
_CHEST: Final = "chest"
CONTENDERS: Final = (_BARE, "prometheus", "logging", _CHEST)
_ROUND_SECONDS: Final = 3.0
_WARM_UP_SECONDS: Final = 1.0


class Server:
    """One gunicorn, its files in a directory of its own."""

    def __init__(self, contender: str, place: Path) -> None:
        place.mkdir()
        self.port = _free_port()
        self.store = place / "chest.sqlite3"
        self._log = (place / "gunicorn.log").open("w")
        environ = {
            **os.environ,
            "CHEST_URLS": f"sqlite:///{self.store}",
            "CHEST_DIRECTORY": str(place),
            "CHEST_SERVICE": "bench",
            "BENCH_LOG": str(place / "requests.log"),
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "gunicorn", f"benchmarks.served:wrapped('{contender}')"),
                *("--worker-class", "gthread", "--workers", "1", "--threads", "4", "--keep-alive", "30"),
                *("--bind", f"127.0.0.1:{self.port}", "--log-level", "warning", "--worker-tmp-dir", str(place)),
            ],
            env=environ,
            stdout=self._log,
            stderr=self._log,
        )

    def wait_until_it_answers(self, seconds: float = 15) -> None:
        """Return when the port takes connections; raises RuntimeError when it does not in time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.05)
        raise RuntimeError(f"gunicorn does not answer: {Path(self._log.name).read_text()}")

    def stop(self) -> None:
        """End it as a deploy does, and wait for the end."""
        self._process.terminate()
        try:
            self._process.wait(20)
        finally:
            self._process.kill()
            self._log.close()


class Found(NamedTuple):
    """What all rounds saw."""

    loads: dict[str, Load]
    """The medians of the rounds."""
    of_bare: dict[str, float]
    """Requests a second as a share of what the bare app got in the same round: the median of the rounds."""
    answered: int
    """How many requests Chest's server answered."""
    stored: int
    """How many records its store holds."""


def measure(rounds: int = 5, seconds: float = _ROUND_SECONDS) -> Found:
    """All contenders in every round."""
    found: dict[str, list[Load]] = {contender: [] for contender in CONTENDERS}
    answered = 0
    with tempfile.TemporaryDirectory(prefix="chest-bench-") as directory, _servers(Path(directory)) as servers:
        for contender in CONTENDERS:
            warm_up = load(servers[contender].port, _WARM_UP_SECONDS)
            answered += warm_up.requests * (contender == _CHEST)
        for number in range(rounds):
            first = number % len(CONTENDERS)  # in turn, so that none always follows the same one
            for contender in (*CONTENDERS[first:], *CONTENDERS[:first]):
                found[contender].append(load(servers[contender].port, seconds))
        answered += sum(round_.requests for round_ in found[_CHEST])
        servers[_CHEST].stop()
        stored = _count(servers[_CHEST].store)
    medians = {name: Load(*map(statistics.median, zip(*loads, strict=True))) for name, loads in found.items()}
    return Found(medians, {name: _share(loads, found[_BARE]) for name, loads in found.items()}, answered, stored)


def _share(loads: list[Load], bare: list[Load]) -> float:
    pairs = zip(loads, bare, strict=True)
    return statistics.median(load.requests_per_second / other.requests_per_second for load, other in pairs)


@contextlib.contextmanager
def _servers(place: Path) -> Iterator[dict[str, Server]]:
    servers: dict[str, Server] = {}
    try:
        for contender in CONTENDERS:
            servers[contender] = Server(contender, place / contender)
        for server in servers.values():
            server.wait_until_it_answers()
        yield servers
    finally:
        for server in servers.values():
            server.stop()


def _count(store: Path) -> int:
    with closing(sqlite3.connect(store)) as connection:
        return int(connection.execute("SELECT count(*) FROM chest_records").fetchone()[0])


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def report(rounds: int = 5) -> Report:
    """Requests a second, their share of the bare app's, and latencies."""
    found = measure(rounds)
    return Report(
        question_of(__doc__),
        ("gunicorn, gthread 1x4", "requests/s", "of bare", "p50 ms", "p99 ms"),
        [
            (name, load.requests_per_second, found.of_bare[name], load.p50_ms, load.p99_ms)
            for name, load in found.loads.items()
        ],
        targets=[
            Target("Chest's requests a second of bare", found.of_bare[_CHEST], "at least", 0.95),
            Target("records stored of requests answered", found.stored / found.answered, "at least", 1),
        ],
        notes=[
            f"{CONNECTIONS} connections of {tool()}; {found.answered:,} requests answered, {found.stored:,} records stored"
            " (a request that was under way when a round ended was answered too)."
        ],
    )


if __name__ == "__main__":
    print(report())
