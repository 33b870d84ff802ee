"""What does the middleware add to a request of each shape, compared with counting one with prometheus_client?

One process, one recorder with every default on, rounds interleaved. Each shape is served bare and inside Chest, and what
Chest adds is told as a share of what one Counter and one Histogram, labels by position, add to an application that returns
a list. Values that an application records are made once, before: they are the application's.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.rig.application import app
from benchmarks.rig.contenders import Prometheus, recorder_in, settle
from benchmarks.rig.measure import Requests, calls
from benchmarks.rig.report import Report, Target, question_of
from benchmarks.rig.shapes import SHAPES
from chest import ChestMiddleware

LONGEST_P99_US: Final = 15
REFERENCE: Final = "prometheus_client"


class Added(NamedTuple):
    """What Chest adds to a request of one shape; under :data:`REFERENCE`, what prometheus_client adds to one with a list."""

    p50_ns: float
    p99_ns: float
    ratio: float
    """p50 as a share of what prometheus_client adds."""


def measure(names: Iterable[str] = SHAPES, rounds: int = 11, calls_per_round: int = 1500) -> dict[str, Added]:
    """By shape, in one run."""
    names = list(names)
    with contextlib.ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chest-bench-")))
        recorder = stack.enter_context(recorder_in(place))
        contenders = {"bare": Requests(app), REFERENCE: Requests(Prometheus(app, by_name=False).wsgi)}
        for name in names:
            shape = SHAPES[name]
            contenders[f"bare {name}"] = Requests(shape.app, **shape.environ)
            contenders[name] = Requests(ChestMiddleware(shape.app, recorder=recorder, **shape.options), **shape.environ)
        found = calls(contenders, rounds, calls_per_round, settle=partial(settle, recorder))
    bare = found["bare"].p50_ns
    reference = found[REFERENCE].p50_ns - bare
    added = {REFERENCE: Added(reference, found[REFERENCE].p99_ns - bare, 1)}
    for name in names:
        bare = found[f"bare {name}"].p50_ns
        p50_ns = found[name].p50_ns - bare
        added[name] = Added(p50_ns, found[name].p99_ns - bare, p50_ns / reference)
    return added


def report() -> Report:
    """What Chest adds in µs, and its share of what prometheus_client adds."""
    added = measure()
    reference = added.pop(REFERENCE)
    return Report(
        question_of(__doc__),
        ("a request of this shape", "p50 µs", "p99 µs", "of prometheus_client"),
        [(name, found.p50_ns / 1e3, found.p99_ns / 1e3, found.ratio) for name, found in added.items()],
        targets=[
            *(
                Target(f"{name}, of prometheus_client", each.ratio, "at most", SHAPES[name].at_most)
                for name, each in added.items()
            ),
            Target(
                "the longest p99", max(each.p99_ns for each in added.values()) / 1e3, "at most", LONGEST_P99_US, " µs"
            ),
        ],
        notes=[f"prometheus_client itself: p50 {reference.p50_ns / 1e3:.1f} µs, p99 {reference.p99_ns / 1e3:.1f} µs"],
    )


if __name__ == "__main__":
    print(report())
