"""What does Chest add to a route of each framework, compared with counting it with prometheus_client?

The same application bare, inside one Counter and one Histogram with labels by position, and inside Chest, where its route sets
three variables: what that takes is part of what Chest adds. In the rows "app uses g" all three applications set them on ``g``, for
themselves, and ``FlaskRecorder`` reads them. One process, rounds interleaved. What an answer costs a framework is ten to fifty times
what is measured here, so that the differences move by some tenths of a microsecond from run to run.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from flask_chest import FlaskRecorder

from benchmarks.rig.application import App
from benchmarks.rig.contenders import Prometheus, recorder_in, settle
from benchmarks.rig.framework_apps import FRAMEWORKS, flask_app, nothing, variables, variables_on_g
from benchmarks.rig.measure import Requests, calls
from benchmarks.rig.report import Report, Target, question_of
from chest import ChestMiddleware, Recorder

AT_MOST: Final = 0.6


class Added(NamedTuple):
    """What one of them adds to the bare application."""

    chest_ns: float
    prometheus_ns: float

    @property
    def ratio(self) -> float:
        """Chest's part as a share of prometheus_client's."""
        return self.chest_ns / self.prometheus_ns


class Row(NamedTuple):
    """The same application three times; it records what it is measured with."""

    bare: App
    prometheus: App
    chest: App
    path: str = "/"


def _around(make: Callable[[Callable[[], None]], App], recorder: Recorder) -> Row:
    counted = Prometheus(make(nothing), by_name=False).wsgi
    return Row(make(nothing), counted, ChestMiddleware(make(variables), recorder=recorder))


def _flask(record: Callable[[], None], recorder: Recorder, of_all: Callable[[], None], path: str = "/") -> Row:
    counted, recorded = flask_app(of_all), flask_app(record)
    counted.wsgi_app = Prometheus(counted.wsgi_app, by_name=False).wsgi
    if record is variables_on_g:
        FlaskRecorder(recorded, recorder=recorder)
    else:
        recorded.wsgi_app = ChestMiddleware(recorded.wsgi_app, recorder=recorder)
    return Row(flask_app(of_all), counted, recorded, path)


_around_wsgi_app: Final = partial(_flask, variables, of_all=nothing)
_by_extension: Final = partial(_flask, variables_on_g, of_all=nothing)
_by_extension_alone: Final = partial(_flask, variables_on_g, of_all=variables_on_g)

ROWS: Final[dict[str, Callable[[Recorder], Row]]] = {
    "Flask, app.wsgi_app": _around_wsgi_app,
    "Flask, FlaskRecorder": _by_extension,
    "Flask, FlaskRecorder, app uses g": _by_extension_alone,
    "Flask, FlaskRecorder, streamed": partial(_by_extension, path="/rows"),
    "Flask, FlaskRecorder, streamed, app uses g": partial(_by_extension_alone, path="/rows"),
    "Flask, app.wsgi_app, streamed": partial(_around_wsgi_app, path="/rows"),
    **{name: partial(_around, make) for name, make in FRAMEWORKS.items()},
}
FIGURES: Final = {
    "Flask, app.wsgi_app": 0.36,
    "Flask, FlaskRecorder": 0.58,
    "Flask, FlaskRecorder, app uses g": 0.29,
    "Flask, FlaskRecorder, streamed": 0.75,
    "Flask, FlaskRecorder, streamed, app uses g": 0.47,
    "Flask, app.wsgi_app, streamed": 0.51,
    "Django": 0.41,
    "Falcon": 0.40,
    "Bottle": 0.49,
    "Pyramid": 0.36,
}
"""Of each row Chest's part as a share of prometheus_client's, as it was last measured on a quiet machine."""


def measure(names: Iterable[str] = ROWS, rounds: int = 200, calls_per_round: int = 50) -> dict[str, Added]:
    """By framework, in one run.

    In many short rounds: in the time of a long one the machine changes by more than what is looked for.
    """
    with contextlib.ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chest-bench-")))
        recorder = stack.enter_context(recorder_in(place))
        return {name: _measured(ROWS[name](recorder), recorder, rounds, calls_per_round) for name in names}


def _measured(row: Row, recorder: Recorder, rounds: int, calls_per_round: int) -> Added:
    contenders: dict[str, Callable[[], Any]] = {
        part: Requests(getattr(row, part), PATH_INFO=row.path) for part in ("bare", "prometheus", "chest")
    }
    found = calls(contenders, rounds, calls_per_round, settle=partial(settle, recorder))
    bare, prometheus, chest = (found[part].p50_ns for part in contenders)
    return Added(chest - bare, prometheus - bare)


def report() -> Report:
    """What each adds in µs, and Chest's share of what prometheus_client adds to the same application."""
    found = measure()
    return Report(
        question_of(__doc__),
        ("added to a bare route", "Chest µs", "prometheus_client µs", "share"),
        [(name, each.chest_ns / 1e3, each.prometheus_ns / 1e3, each.ratio) for name, each in found.items()],
        targets=[
            Target(f"{name}, of prometheus_client", each.ratio, "at most", AT_MOST) for name, each in found.items()
        ],
    )


if __name__ == "__main__":
    print(report())
