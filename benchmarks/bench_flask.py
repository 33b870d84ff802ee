"""What does the extension add to a request of a Flask application?

One route of one application, five variables left on ``flask.g``, served in this thread, rounds interleaved. The extension
runs with every default on. Beside it the parts that it is made of: the middleware around a response that it is told is
complete, and the same with ``g`` not read. What is set off in the background is done between the rounds.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from flask import Flask, Response, g
from flask_chest import FlaskRecorder

from benchmarks.rig.contenders import Prometheus, chest_around, settle
from benchmarks.rig.measure import Latency, Requests, calls
from benchmarks.rig.report import Report, Target, question_of
from chest import Recorder, current

BARE: Final = "bare"
PROMETHEUS: Final = "prometheus_client, by position"
MIDDLEWARE: Final = "ChestMiddleware alone"
EXTENSION: Final = "FlaskRecorder"
WITHOUT_G: Final = "FlaskRecorder, CHEST_G=none"
STREAMED: Final = "FlaskRecorder, streamed body"
EXCLUDED: Final = "FlaskRecorder, excluded path"
_BARE_STREAMED: Final = "bare, streamed body"
_MOST_MICROSECONDS: Final = 9.0
"""0.6 of what Flask-Chest's decorator adds with a chest that does nothing, where that was 15 (see ``bench_flask_peers``)."""


def shop() -> Flask:
    """An application that leaves five variables on ``g``."""
    app = Flask("benchmarks.shop")

    def remember() -> None:
        g.user_id, g.plan, g.cart_items, g.is_beta, g.render_ms = "123", "premium", 5, True, 1.25

    @app.get("/items/<int:item_id>")
    def item(item_id: int) -> str:
        remember()
        return "hello"

    @app.get("/rows")
    def rows() -> Response:
        remember()
        return Response(iter(["hello"]))

    return app


def with_middleware(place: Path) -> tuple[Flask, Recorder]:
    """The core's middleware, and one line of the application that says a response is complete."""
    app = shop()

    @app.after_request
    def complete(response: Response) -> Response:
        current().body_is_complete()
        return response

    middleware = chest_around(app.wsgi_app, place)
    app.wsgi_app = middleware  # type: ignore[method-assign]
    return app, middleware.recorder


def with_extension(place: Path, **options: Any) -> tuple[Flask, Recorder]:
    """The extension, writing to SQLite."""
    app = shop()
    FlaskRecorder(app, chests=[f"sqlite:///{place}.sqlite3"], directory=place, **options)
    return app, app.extensions["chest"].recorder


def measure(rounds: int = 15, calls_per_round: int = 1500) -> dict[str, Latency]:
    """Latencies of every contender in one run, less what the bare application takes for the same route."""
    with contextlib.ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chest-bench-")))
        settlers: list[Callable[[], Any]] = []

        def recorded(made: tuple[Flask, Recorder], path: str = "/items/3") -> Requests:
            app, recorder = made
            stack.callback(recorder.close)
            settlers.append(partial(settle, recorder))
            return Requests(app, PATH_INFO=path)

        prometheus = shop()
        prometheus.wsgi_app = Prometheus(prometheus.wsgi_app, by_name=False).wsgi  # type: ignore[method-assign]
        contenders = {
            BARE: Requests(shop(), PATH_INFO="/items/3"),
            _BARE_STREAMED: Requests(shop(), PATH_INFO="/rows"),
            PROMETHEUS: Requests(prometheus, PATH_INFO="/items/3"),
            MIDDLEWARE: recorded(with_middleware(place / "middleware")),
            EXTENSION: recorded(with_extension(place / "extension")),
            WITHOUT_G: recorded(with_extension(place / "without", g="none")),
            STREAMED: recorded(with_extension(place / "streamed"), "/rows"),
            EXCLUDED: recorded(with_extension(place / "excluded", exclude_paths=["/items/*"])),
        }
        found = calls(contenders, rounds, calls_per_round, settle=lambda: [rest() for rest in settlers])
    return {
        name: _added(latency, found[_BARE_STREAMED if name == STREAMED else BARE])
        for name, latency in found.items()
        if name not in (BARE, _BARE_STREAMED)
    }


def _added(latency: Latency, base: Latency) -> Latency:
    return Latency(latency.p50_ns - base.p50_ns, latency.p99_ns - base.p50_ns)


def report() -> Report:
    """What each adds to the bare application in µs."""
    added = measure()
    extension = added[EXTENSION].p50_ns / 1e3
    return Report(
        question_of(__doc__),
        ("added to a bare Flask route", "p50 µs", "p99 µs"),
        [(name, found.p50_ns / 1e3, found.p99_ns / 1e3) for name, found in added.items()],
        targets=[Target("FlaskRecorder's p50", extension, "at most", _MOST_MICROSECONDS, " µs")],
    )


if __name__ == "__main__":
    print(report())
