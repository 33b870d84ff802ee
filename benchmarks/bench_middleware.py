"""What does the middleware add to a request, compared with counting it with prometheus_client?

Every contender serves the same request in the same thread, rounds interleaved; the application sets five variables. Chest
runs with every default on: durable ring, request id, redaction, sanitizing, a note of each request while it is served. What it sets off in the background is done
between the rounds, and so is not in these figures: see ``bench_delivered``, and ``bench_end_to_end`` for both at once.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from benchmarks.rig.application import App, app, streamed_app
from benchmarks.rig.contenders import Logging, Prometheus, chest_around, settle
from benchmarks.rig.measure import Latency, Requests, calls
from benchmarks.rig.report import Report, Target, question_of

BY_NAME: Final = "prometheus_client, labels by name"
BY_POSITION: Final = "prometheus_client, by position"
COMPLETE: Final = "Chest"
STREAMED: Final = "Chest, streamed body"
EXCLUDED: Final = "Chest, excluded path"
IN_MEMORY: Final = "Chest, ring in memory"
NOT_NOTED: Final = "Chest, in_flight=False"
_BARE: Final = "bare"
_BARE_STREAMED: Final = "bare, streamed body"
_LOGGING: Final = "logging, QueueHandler to a file"


def measure(rounds: int = 15, calls_per_round: int = 3000) -> dict[str, Latency]:
    """Latencies of every contender in one run, less what the bare app takes (streamed, where the contender streams)."""
    with contextlib.ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chest-bench-")))
        settlers: list[Callable[[], Any]] = []

        def chest(name: str, inner: App, **options: Any) -> App:
            middleware = chest_around(inner, place / name, **options)
            stack.callback(middleware.recorder.close)
            settlers.append(partial(settle, middleware.recorder))
            return middleware

        logging = Logging(app, place / "requests.log")
        stack.callback(logging.close)
        settlers.append(logging.settle)
        no_directory = place / "file"
        no_directory.touch()
        contenders = {
            _BARE: Requests(app),
            _BARE_STREAMED: Requests(streamed_app),
            BY_NAME: Requests(Prometheus(app, by_name=True).wsgi),
            BY_POSITION: Requests(Prometheus(app, by_name=False).wsgi),
            _LOGGING: Requests(logging.wsgi),
            COMPLETE: Requests(chest("complete", app)),
            NOT_NOTED: Requests(chest("not_noted", app, in_flight=False)),
            STREAMED: Requests(chest("streamed", streamed_app)),
            EXCLUDED: Requests(chest("excluded", app, exclude_paths=["/static/*", "/healthz"]), PATH_INFO="/healthz"),
            IN_MEMORY: Requests(chest("memory", app, directory=no_directory)),
        }
        found = calls(contenders, rounds, calls_per_round, settle=lambda: [rest() for rest in settlers])
    return {name: _added(latency, found[_base_of(name)]) for name, latency in found.items()}


def _base_of(name: str) -> str:
    return _BARE_STREAMED if name == STREAMED else _BARE


def _added(latency: Latency, base: Latency) -> Latency:
    return Latency(latency.p50_ns - base.p50_ns, latency.p99_ns - base.p50_ns)


def report() -> Report:
    """What each adds to the bare app in µs, and its share of what prometheus_client adds."""
    added = measure()
    by_name, by_position, chest = added[BY_NAME].p50_ns, added[BY_POSITION].p50_ns, added[COMPLETE]
    return Report(
        question_of(__doc__),
        ("added to a bare WSGI app", "p50 µs", "p99 µs", "of by name", "of by position"),
        [
            (name, found.p50_ns / 1e3, found.p99_ns / 1e3, found.p50_ns / by_name, found.p50_ns / by_position)
            for name, found in added.items()
            if name not in (_BARE, _BARE_STREAMED)
        ],
        targets=[
            Target("Chest's p50 of prometheus_client's, labels by name", chest.p50_ns / by_name, "at most", 0.6),
            Target("Chest's p50 of prometheus_client's, by position", chest.p50_ns / by_position, "at most", 0.6),
            Target(
                "without noting requests in flight, labels by name", added[NOT_NOTED].p50_ns / by_name, "at most", 0.6
            ),
            Target("Chest's p99", chest.p99_ns / 1e3, "at most", 10, " µs"),
            Target("more for a streamed body", (added[STREAMED].p50_ns - chest.p50_ns) / 1e3, "at most", 0.5, " µs"),
            Target("an excluded path", added[EXCLUDED].p50_ns / 1e3, "at most", 0.3, " µs"),
        ],
    )


if __name__ == "__main__":
    print(report())
