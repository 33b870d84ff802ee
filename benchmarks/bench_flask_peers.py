"""What do FlaskRecorder and Chest's decorator add to a request of Flask, compared with Flask-Chest 0.0.10 and OpenTelemetry?

Each in a process of its own, those of others in a virtual environment of their own (``peers/*.txt``): Chest and Flask-Chest
both own the package ``flask_chest``, and Flask-Chest pins Flask 3.0.0. One program stands behind the decorators of both.
Rounds are interleaved between the processes, and each figure is what is added to the same view, bare, in the same process.
What Chest does in the background is waited for between the rounds and not in the figures.
"""

from __future__ import annotations

import contextlib
import statistics
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.bench_peers import Added, Worker, python_of, sink_server
from benchmarks.rig.report import Report, Target, question_of

EXTENSION: Final = "FlaskRecorder"
DECORATOR_NULL: Final = "Chest's decorator, a chest that does nothing"
DECORATOR_SQLITE: Final = "Chest's decorator into SQLite"
THEIR_NULL: Final = "Flask-Chest's decorator, a chest that does nothing"
THEIR_SQLITE: Final = "Flask-Chest's decorator into SQLite"
OPENTELEMETRY: Final = "OpenTelemetry's Flask instrumentation, OTLP"


class Rival(NamedTuple):
    """Who is measured, and how."""

    module: str
    """Under ``peers/``."""
    pins: str | None = None
    """Its file of pinned versions; None: it runs where this runs."""
    calls: int = 500
    """Calls a round."""


RIVALS: Final = {
    EXTENSION: Rival("flask_recorder"),
    DECORATOR_NULL: Rival("decorator_null"),
    DECORATOR_SQLITE: Rival("decorator_sqlite"),
    THEIR_NULL: Rival("decorator_null", "flask_chest"),
    THEIR_SQLITE: Rival("decorator_sqlite", "flask_chest", calls=20),
    OPENTELEMETRY: Rival("opentelemetry_flask", "opentelemetry_flask"),
}


def measure(rounds: int = 15) -> dict[str, Added]:
    """What each adds to a bare view: the medians of the rounds."""
    with contextlib.ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chest-bench-")))
        sink = stack.enter_context(sink_server())
        workers: dict[str, Worker] = {}
        for number, (name, rival) in enumerate(RIVALS.items()):
            workers[name] = Worker(rival.module, python_of(rival.pins), sink, place / str(number))
            stack.callback(workers[name].close)
        found: dict[str, list[list[float]]] = {name: [] for name in RIVALS}
        for round_number in range(rounds + 2):
            for name, worker in workers.items():
                figures = worker.round("latency", RIVALS[name].calls)
                if round_number >= 2:  # the first two warm up
                    found[name].append(figures)
    return {
        name: Added(*(statistics.median(column) for column in zip(*rows, strict=True)), cpu_ns=0)
        for name, rows in found.items()
    }


def report() -> Report:
    """What each adds in µs, and what was promised of it."""
    added = {name: figures.p50_ns for name, figures in measure().items()}
    return Report(
        question_of(__doc__),
        ("added to a bare Flask view", "p50 µs", "FlaskRecorder's p50 of it"),
        [(name, ns / 1e3, added[EXTENSION] / ns) for name, ns in added.items()],
        targets=[
            Target(
                "FlaskRecorder of Flask-Chest with a chest that does nothing",
                added[EXTENSION] / added[THEIR_NULL],
                "at most",
                0.6,
            ),
            Target("FlaskRecorder of OpenTelemetry", added[EXTENSION] / added[OPENTELEMETRY], "at most", 0.1),
            Target(
                "Flask-Chest into SQLite, of Chest's decorator",
                added[THEIR_SQLITE] / added[DECORATOR_SQLITE],
                "at least",
                300,
            ),
        ],
    )


if __name__ == "__main__":
    print(report())
