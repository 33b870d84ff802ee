"""What do OpenTelemetry, structlog, beeline and Sentry add to a request, and what share of it does Chest?

Each in a process and a virtual environment of its own, all versions pinned (``peers/*.txt``), made once under
``$CHEST_BENCH_DIR`` (default ``~/.cache/chest-bench``). Rounds are interleaved between the processes, and in each the same
process serves the same requests bare. What is sent goes to a server on the loopback interface and nowhere else.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import urllib.request
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.rig.report import Report, Target, question_of

PEERS: Final[dict[str, tuple[str, str | None]]] = {
    "Chest to SQLite": ("chest", None),
    "prometheus_client": ("prometheus", None),
    "structlog to a file": ("structlog_file", "structlog"),
    "OpenTelemetry logs, OTLP": ("opentelemetry_logs", "opentelemetry"),
    "beeline": ("honeycomb", "honeycomb"),
    "OpenTelemetry traces, OTLP": ("opentelemetry_traces", "opentelemetry"),
    "Sentry, every transaction": ("sentry", "sentry"),
}
"""The module of each under ``peers/``, and its file of pinned versions; without one it runs where this runs."""

_HERE: Final = Path(__file__).parent
_CALLS: Final = 500
"""Calls a round: as many as the smallest queue among the rivals holds, for a record dropped is cheaper than one kept."""


class Added(NamedTuple):
    """Nanoseconds that a request takes more than bare."""

    p50_ns: float
    p99_ns: float
    cpu_ns: float


class Worker:
    """A rival's process."""

    def __init__(self, rival: str, python: Path, sink: str, place: Path) -> None:
        place.mkdir()
        self._process = subprocess.Popen(
            [str(python), "-m", "benchmarks.peers.worker", rival, sink, str(place)],
            cwd=_HERE.parent,
            env=_quiet_environ(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(place / "errors").open("w"),
            text=True,
        )
        self._errors = place / "errors"

    def round(self, kind: str, calls: int = _CALLS) -> list[float]:
        """One round, when no other process has one."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{kind} {calls}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"a rival ended: {self._errors.read_text()[-2000:]}")
        figures: list[float] = json.loads(answer)
        return figures

    def close(self) -> None:
        """End the process; what it has not sent is of no interest."""
        self._process.kill()
        self._process.communicate()


def measure(rounds: int = 15, cpu_rounds: int = 5) -> tuple[dict[str, Added], dict[str, int]]:
    """The medians of the rounds, and how many bytes the sink received by path."""
    pythons = {name: python_of(pins) for name, (_, pins) in PEERS.items()}
    with contextlib.ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chest-bench-")))
        sink = stack.enter_context(sink_server())
        workers: dict[str, Worker] = {}
        for name, (module, _) in PEERS.items():
            workers[name] = Worker(module, pythons[name], sink, place / module)
            stack.callback(workers[name].close)
        latencies = _rounds(workers, "latency", rounds)
        cpu = _rounds(workers, "cpu", cpu_rounds)
        with urllib.request.urlopen(sink) as answer:
            received: dict[str, int] = json.load(answer)
    return {name: Added(*latencies[name], *cpu[name]) for name in PEERS}, received


def _rounds(workers: dict[str, Worker], kind: str, rounds: int) -> dict[str, list[float]]:
    found: dict[str, list[list[float]]] = {name: [] for name in workers}
    for round_number in range(rounds + 2):
        for name, worker in workers.items():
            figures = worker.round(kind)
            if round_number >= 2:  # the first two warm up
                found[name].append(figures)
    return {name: [statistics.median(column) for column in zip(*rows, strict=True)] for name, rows in found.items()}


@contextlib.contextmanager
def sink_server() -> Iterator[str]:
    command = [sys.executable, "-m", "benchmarks.peers.sink"]
    with subprocess.Popen(command, cwd=_HERE.parent, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


def python_of(pins: str | None) -> Path:
    """The interpreter of the environment that holds these versions, made where it is not there yet."""
    if pins is None:
        return Path(sys.executable)
    requirements = _HERE / "peers" / f"{pins}.txt"
    fingerprint = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()[:12]
    cache = Path(os.environ.get("CHEST_BENCH_DIR") or Path.home() / ".cache" / "chest-bench")
    home = cache / f"{pins}-{fingerprint}"
    python = home / "bin" / "python"
    if not (home / "complete").exists():
        print(f"making the environment of {pins} in {home}", file=sys.stderr)
        venv.create(home, clear=True, with_pip=True)
        subprocess.run(
            [python, "-m", "pip", "install", "--quiet", "--quiet", "--requirement", requirements], check=True
        )
        (home / "complete").touch()
    return python


def _quiet_environ() -> dict[str, str]:
    """This environment without what would tell a rival to send elsewhere, or through a proxy."""
    told = ("OTEL_", "SENTRY_", "HONEYCOMB_", "CHEST_")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(told)}
    return {**environ, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", "PYTHONPATH": str(_HERE.parent)}


def report() -> Report:
    """What each adds, and Chest's share of it."""
    found, received = measure()
    chest = found["Chest to SQLite"]
    arrived = ", ".join(f"{path} {count / 1024:,.0f} KiB" for path, count in sorted(received.items()))
    return Report(
        question_of(__doc__),
        ("added to a bare WSGI app", "p50 µs", "p99 µs", "CPU µs, delivered", "Chest's p50 of it", "Chest's CPU of it"),
        [
            (
                name,
                added.p50_ns / 1e3,
                added.p99_ns / 1e3,
                added.cpu_ns / 1e3,
                chest.p50_ns / added.p50_ns,
                chest.cpu_ns / added.cpu_ns,
            )
            for name, added in found.items()
        ],
        targets=[
            Target(
                "Chest's p50 of OpenTelemetry's traces",
                chest.p50_ns / found["OpenTelemetry traces, OTLP"].p50_ns,
                "at most",
                0.06,
            )
        ],
        notes=[f"Arrived at the sink: {arrived}."],
    )


if __name__ == "__main__":
    print(report())
