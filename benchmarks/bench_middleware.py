"""What does the middleware add to a request, beside what counting it with prometheus_client adds?

Every contender serves the same request in the same thread, rounds interleaved; the application sets five variables. Chest
runs with every default on: durable ring, request id, redaction, sanitizing, its exporter writing to SQLite in the background.
"""

from __future__ import annotations

import logging
import logging.handlers
import queue
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram

from benchmarks.measure import Latency, Requests, calls, machine
from chest import ChestMiddleware

App = Callable[..., Any]


def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    context = environ.get("chest.context")
    if context is not None:
        context["user_id"] = "123"
        context["plan"] = "premium"
        context["cart_items"] = 5
        context["is_beta"] = True
        context["render_ms"] = 1.25
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


def streamed_app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
    return iter(app(environ, start_response))


def with_prometheus(inner: App) -> App:
    """One Counter and one Histogram with the usual labels; nothing is delivered anywhere."""
    import time

    registry = CollectorRegistry()
    requests = Counter("requests", "Requests", ["method", "route", "status"], registry=registry)
    seconds = Histogram("request_seconds", "Seconds", ["method", "route"], registry=registry)

    def counted(environ: dict[str, Any], start_response: Any) -> Any:
        begin = time.perf_counter()
        seen: list[str] = []

        def started(status: str, headers: Any, exc_info: Any = None) -> Any:
            seen.append(status[:3])
            return start_response(status, headers)

        body = inner(environ, started)
        requests.labels(environ["REQUEST_METHOD"], "/", seen[0]).inc()
        seconds.labels(environ["REQUEST_METHOD"], "/").observe(time.perf_counter() - begin)
        return body

    return counted


def with_logging(inner: App) -> App:
    """A log line a request through the standard library's QueueHandler, as its documentation proposes."""
    waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
    logger = logging.getLogger("benchmarks.requests")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    logger.addHandler(logging.handlers.QueueHandler(waiting))  # type: ignore[arg-type]

    def logged(environ: dict[str, Any], start_response: Any) -> Any:
        body = inner(environ, start_response)
        logger.info(
            "%s %s", environ["REQUEST_METHOD"], environ["PATH_INFO"], extra={"user_id": "123", "plan": "premium"}
        )
        if waiting.qsize() > 1000:
            while not waiting.empty():
                waiting.get()
        return body

    return logged


def measure() -> dict[str, Latency]:
    """Latencies of every contender, in one run."""
    with tempfile.TemporaryDirectory(prefix="chest-bench-") as directory:
        place = Path(directory)
        chest, streamed, excluding = (
            ChestMiddleware(inner, chests=[f"sqlite:///{place / name}.sqlite3"], directory=place / name, **options)
            for name, inner, options in (
                ("complete", app, {}),
                ("streamed", streamed_app, {}),
                ("excluding", app, {"exclude_paths": ["/static/*", "/healthz"]}),
            )
        )
        found = calls(
            {
                "bare app": Requests(app),
                "bare, streamed": Requests(streamed_app),
                "prometheus_client": Requests(with_prometheus(app)),
                "logging, QueueHandler": Requests(with_logging(app)),
                "Chest": Requests(chest),
                "Chest, streamed": Requests(streamed),
                "Chest, excluded path": Requests(excluding, PATH_INFO="/healthz"),
            }
        )
        for middleware in (chest, streamed, excluding):
            middleware.recorder.close()
    return found


def main() -> None:
    """Print the table: what each adds to the bare app, and its share of what prometheus_client adds."""
    found = measure()
    bare = found["bare app"]
    prometheus = found["prometheus_client"].p50_ns - bare.p50_ns
    print(f"{'added to a bare WSGI app':26}{'p50 µs':>9}{'p99 µs':>9}{'of prometheus':>15}")
    for name, latency in found.items():
        base = found["bare, streamed"] if "streamed" in name else bare
        added = latency.p50_ns - base.p50_ns
        print(f"{name:26}{added / 1000:9.2f}{(latency.p99_ns - base.p50_ns) / 1000:9.2f}{added / prometheus:15.2f}")
    print(machine())


if __name__ == "__main__":
    main()
