"""Does a request take longer while its store is down?

Rounds in turn with the store answering and with it failing every write, each with requests to the bare application beside
it, in bursts of a hundred, 5,000 a second. Time added is over the bare application's in the same round.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.application import app
from benchmarks.measure import Requests, call_times, percentile
from benchmarks.report import Report, Target, question_of
from benchmarks.soak import FlappingChest
from chest import ChestMiddleware

_BURST: Final = 100
_PAUSE_SECONDS: Final = 0.02

UP: Final = "store up"
DOWN: Final = "store down"


class Added(NamedTuple):
    """Nanoseconds over the bare application, medians of the rounds."""

    p50_ns: float
    p99_ns: float


def measure(rounds: int = 7, calls_per_round: int = 5000) -> dict[str, Added]:
    """The time added in each state of the store."""
    found: dict[str, list[tuple[float, float]]] = {UP: [], DOWN: []}
    bare = Requests(app)
    with tempfile.TemporaryDirectory(prefix="chest-bench-") as directory:
        chest = FlappingChest(Path(directory) / "store.sqlite3")
        middleware = ChestMiddleware(app, chests=[chest], directory=Path(directory) / "rings", service="bench")
        call = Requests(middleware)
        call_times(call, calls_per_round)
        for number in range(rounds):
            for state in (UP, DOWN) if number % 2 else (DOWN, UP):
                chest.is_down = state == DOWN
                without: list[int] = []
                with_chest: list[int] = []
                for _ in range(calls_per_round // _BURST):
                    without += call_times(bare, _BURST)
                    with_chest += call_times(call, _BURST)
                    time.sleep(_PAUSE_SECONDS)
                found[state].append(_added(sorted(without), sorted(with_chest)))
        chest.is_down = False
        middleware.recorder.close(30)
    return {
        state: Added(statistics.median(p50 for p50, _ in rows), statistics.median(p99 for _, p99 in rows))
        for state, rows in found.items()
    }


def _added(without: Sequence[int], with_chest: Sequence[int]) -> tuple[float, float]:
    return tuple(percentile(with_chest, percent) - percentile(without, percent) for percent in (50, 99))  # type: ignore[return-value]


def report() -> Report:
    """What is added at p50 and p99."""
    found = measure()
    ratio = found[DOWN].p99_ns / found[UP].p99_ns
    return Report(
        question_of(__doc__),
        ("added to a bare WSGI app", "p50 µs", "p99 µs"),
        [(state, added.p50_ns / 1e3, added.p99_ns / 1e3) for state, added in found.items()],
        targets=[Target("p99 with the store down, of p99 with it up", ratio, "at most", 1.5)],
    )


if __name__ == "__main__":
    print(report())
