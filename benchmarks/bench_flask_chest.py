"""What does a decorated view cost its request, with Chest and with Flask-Chest 0.0.10, each writing variables into SQLite?

One program, unchanged, in two processes: one with this ``flask_chest``, one in a virtual environment of Flask-Chest's own,
which pins Flask 3.0.0; both distributions own the package's name. Rounds are interleaved between the processes, and each
figure is what is added to the same view without the decorator, in the same process. What Chest does in the background is
waited for between the rounds and not in the figures. Needs a package index the first time, or ``CHEST_BENCH_PEER``, the
Python of such an environment.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.report import Report, Target, question_of

PEER: Final = ("flask-chest==0.0.10", "icecream")
"""The release that is on PyPI, and the package that it imports and does not ask for."""
PEER_VARIABLE: Final = "CHEST_BENCH_PEER"
BARE: Final = "bare"
SQLITE: Final = "into SQLite"
NULL: Final = "a chest that does nothing"
EXTENSION: Final = "FlaskRecorder"
OURS: Final = "Chest"
THEIRS: Final = "Flask-Chest"
CALLS: Final = {(OURS, SQLITE): 1000, (THEIRS, SQLITE): 30}
_MOST_CALLS: Final = 1000

_ROOT: Final = Path(__file__).resolve().parent.parent

PROGRAM: Final = """
import json, logging, os, sys, time
from wsgiref.util import setup_testing_defaults

from flask import Flask, g

from flask_chest import FlaskChest, FlaskChestSQLite
from flask_chest.decorator import flask_chest

os.chdir(sys.argv[1])
TRACKED = {"GET": ["user_id", "plan", "items", "beta", "render_ms"]}


class NullChest(FlaskChest):
    logger = None

    def write(self, context_tuple_list):
        pass


def decorated(name, chest):
    app = Flask(name)

    def index():
        g.user_id, g.plan, g.items, g.beta, g.render_ms = "123", "premium", 5, True, 1.25
        return "hello"

    view = index if chest is None else flask_chest(
        chests=[chest(app)], tracked_vars=TRACKED, raise_exceptions=False)(index)
    app.add_url_rule("/", view_func=view)
    return app


apps = {
    "bare": decorated("bare", None),
    "into SQLite": decorated("sqlite", lambda app: FlaskChestSQLite(app=app, db_uri="db.sqlite3")),
    "a chest that does nothing": decorated("null", NullChest),
}
try:
    from flask_chest import FlaskRecorder
    from flask_chest.decorator import recorders_of
except ImportError:
    recorders_of = lambda app: []
else:
    apps["FlaskRecorder"] = decorated("extension", None)
    FlaskRecorder(apps["FlaskRecorder"])


def settle(app):
    recorders = list(recorders_of(app))
    if "chest" in app.extensions:
        recorders.append(app.extensions["chest"].recorder)
    for recorder in recorders:
        assert recorder.flush(30), recorder.stats()


def start_response(status, headers, exc_info=None):
    assert status.startswith("200"), status


def call_times(app, count):
    environ = {}
    setup_testing_defaults(environ)
    times = []
    for _ in range(count):
        fresh = environ.copy()
        begin = time.perf_counter_ns()
        body = app.wsgi_app(fresh, start_response)
        for _ in body:
            pass
        if hasattr(body, "close"):
            body.close()
        times.append(time.perf_counter_ns() - begin)
    return sorted(times)


print(json.dumps(list(apps)), flush=True)
for line in sys.stdin:
    name, count = json.loads(line)
    times = call_times(apps[name], count)
    settle(apps[name])
    print(json.dumps(times[len(times) // 2]), flush=True)
"""


class Side:
    """One of the two processes."""

    def __init__(self, name: str, process: subprocess.Popen[str]) -> None:
        self.name = name
        self._process = process
        self.contenders: list[str] = self._answer()
        self.found: dict[str, list[float]] = {contender: [] for contender in self.contenders}

    def round(self, contender: str) -> None:
        """The median time of one call, of so many in a row."""
        assert self._process.stdin is not None
        count = CALLS.get((self.name, contender), _MOST_CALLS)
        self._process.stdin.write(json.dumps([contender, count]) + "\n")
        self._process.stdin.flush()
        self.found[contender].append(self._answer())

    def added_ns(self, contender: str) -> float:
        """What the contender adds to the bare view: the median of the rounds' differences, the first left out."""
        pairs = zip(self.found[contender][1:], self.found[BARE][1:], strict=True)
        return statistics.median(taken - bare for taken, bare in pairs)

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process of {self.name} has ended")
        return json.loads(line)


def measure(rounds: int = 12) -> dict[tuple[str, str], float]:
    """Nanoseconds added to a bare Flask view, by whose code and by what it does."""
    with contextlib.ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chest-bench-")))
        peer = os.environ.get(PEER_VARIABLE) or make_peer(place / "peer")
        ours = stack.enter_context(_side(OURS, [sys.executable], place / "ours", f"{_ROOT}:{_ROOT}/adapters"))
        theirs = stack.enter_context(_side(THEIRS, [peer], place / "theirs", ""))
        for _ in range(rounds + 1):
            for side in (ours, theirs):
                for contender in side.contenders:
                    side.round(contender)
        return {
            (side.name, contender): side.added_ns(contender)
            for side in (ours, theirs)
            for contender in side.contenders
            if contender != BARE
        }


def make_peer(directory: Path) -> str:
    """A virtual environment with Flask-Chest as it is on PyPI; the path of its Python."""
    venv.create(directory, with_pip=True)
    python = str(directory / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "-qq", *PEER], check=True, stdout=subprocess.DEVNULL)
    return python


@contextlib.contextmanager
def _side(name: str, python: Sequence[str], directory: Path, python_path: str) -> Iterator[Side]:
    directory.mkdir()
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("CHEST_", "PYTHONPATH"))}
    environ = {**kept, "CHEST_DIRECTORY": str(directory / "rings"), "PYTHONPATH": python_path}
    with subprocess.Popen(
        [*python, "-c", PROGRAM, str(directory)],
        env=environ,
        cwd=directory,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Side(name, process)
        finally:
            process.kill()


def report() -> Report:
    """What each adds in µs, and how many times dearer Flask-Chest is."""
    added = measure()
    sqlite_factor = added[THEIRS, SQLITE] / added[OURS, SQLITE]
    targets = [Target("Flask-Chest's decorator into SQLite, of Chest's", sqlite_factor, "at least", 300)]
    if (OURS, EXTENSION) in added:
        share = added[OURS, EXTENSION] / added[THEIRS, NULL]
        targets.append(
            Target("FlaskRecorder, of Flask-Chest's decorator with a chest that does nothing", share, "at most", 0.6)
        )
    return Report(
        question_of(__doc__),
        ("added to a bare Flask view", "p50 µs"),
        [
            (f"{name}, {contender}" if contender != EXTENSION else contender, ns / 1e3)
            for (name, contender), ns in added.items()
        ],
        targets=targets,
    )


if __name__ == "__main__":
    print(report())
