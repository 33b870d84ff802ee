"""What does a request cost in CPU until its record is in SQLite, the delivery thread included?

CPU of the whole process over bursts of requests, each ended by a flush, less the same requests to the bare app. Rivals
until their thread has written its file; prometheus_client delivers nothing. Below them Chest alone, for requests of each shape.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.rig.application import app
from benchmarks.rig.contenders import DiscardingChest, Logging, Prometheus, chest_around, recorder_in, settle
from benchmarks.rig.measure import Requests, cpu_per_call, nothing
from benchmarks.rig.report import Report, Target, question_of
from benchmarks.rig.shapes import SHAPES, Shape
from chest import ChestMiddleware

_BARE: Final = "bare"
LOGGING: Final = "logging, QueueListener to a file"
TO_SQLITE: Final = "Chest to SQLite"
_AT_MOST_US: Final = 12


def measure(rounds: int = 9, calls_per_round: int = 5000) -> dict[str, float]:
    """Nanoseconds of CPU a request, less the bare app's."""
    with contextlib.ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chest-bench-")))
        logging = Logging(app, place / "requests.log")
        stack.callback(logging.close)
        to_sqlite = chest_around(app, place / "sqlite")
        to_nothing = ChestMiddleware(app, chests=[DiscardingChest()], directory=place / "nothing", service="bench")
        for middleware in (to_sqlite, to_nothing):
            stack.callback(middleware.recorder.close)
        found = cpu_per_call(
            {
                _BARE: (Requests(app), nothing),
                "prometheus_client (nothing delivered)": (Requests(Prometheus(app, by_name=True).wsgi), nothing),
                LOGGING: (Requests(logging.wsgi), logging.settle),
                "Chest to a chest that discards": (Requests(to_nothing), partial(settle, to_nothing.recorder)),
                TO_SQLITE: (Requests(to_sqlite), partial(settle, to_sqlite.recorder)),
            },
            rounds,
            calls_per_round,
        )
    return {name: cpu_ns - found[_BARE] for name, cpu_ns in found.items() if name != _BARE}


def measure_shapes(names: Iterable[str] = SHAPES, rounds: int = 5, calls_per_round: int = 5000) -> dict[str, float]:
    """Nanoseconds of CPU a request of each shape, into a SQLite database of its own, less the bare app's."""
    return {name: _measured(SHAPES[name], rounds, calls_per_round) for name in names}


def _measured(shape: Shape, rounds: int, calls_per_round: int) -> float:
    with contextlib.ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chest-bench-")))
        recorder = stack.enter_context(recorder_in(place))
        wrapped = ChestMiddleware(shape.app, recorder=recorder, **shape.options)
        found = cpu_per_call(
            {
                _BARE: (Requests(shape.app, **shape.environ), nothing),
                TO_SQLITE: (Requests(wrapped, **shape.environ), partial(settle, recorder)),
            },
            rounds,
            calls_per_round,
        )
    return found[TO_SQLITE] - found[_BARE]


def report() -> Report:
    """µs of CPU a request."""
    added = measure()
    shapes = measure_shapes()
    return Report(
        question_of(__doc__),
        ("added to a bare WSGI app", "CPU µs"),
        [(name, cpu_ns / 1e3) for name, cpu_ns in (*added.items(), *shapes.items())],
        targets=[
            Target("CPU a request, delivered into SQLite", added[TO_SQLITE] / 1e3, "at most", _AT_MOST_US, " µs"),
            Target("and of the dearest shape", max(shapes.values()) / 1e3, "at most", _AT_MOST_US, " µs"),
        ],
    )


if __name__ == "__main__":
    print(report())
