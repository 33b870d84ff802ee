"""Interleaved rounds: every contender in every round, so that whatever else the machine does falls on all of them."""

from __future__ import annotations

import gc
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from wsgiref.util import setup_testing_defaults


class Latency(NamedTuple):
    """Nanoseconds of one call, over all rounds: the median of the rounds' percentiles."""

    p50_ns: float
    p99_ns: float


def calls(
    contenders: Mapping[str, Callable[[], Any]], rounds: int = 15, calls_per_round: int = 3000
) -> dict[str, Latency]:
    """Time each call of each contender, ``rounds`` times in turn."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for call in contenders.values():
        for _ in range(calls_per_round // 4):
            call()
    gc.collect()
    for _ in range(rounds):
        for name, call in contenders.items():
            times = _round(call, calls_per_round)
            found[name].append((times[len(times) // 2], times[len(times) * 99 // 100]))
    return {
        name: Latency(statistics.median(p50 for p50, _ in rows), statistics.median(p99 for _, p99 in rows))
        for name, rows in found.items()
    }


def _round(call: Callable[[], Any], count: int) -> list[int]:
    clock = time.perf_counter_ns
    times = []
    for _ in range(count):
        begin = clock()
        call()
        times.append(clock() - begin)
    times.sort()
    return times


class Requests:
    """Calls a WSGI application as a server does, in this thread: a fresh ``environ``, the body read, ``close()`` called."""

    def __init__(self, app: Callable[..., Any], **environ: Any) -> None:
        self._app = app
        self._environ: dict[str, Any] = dict(environ)
        setup_testing_defaults(self._environ)

    def __call__(self) -> None:
        body = self._app(self._environ.copy(), _start_response)
        for _ in body:
            pass
        if hasattr(body, "close"):
            body.close()


def _start_response(status: str, headers: Any, exc_info: Any = None) -> Callable[[bytes], None]:
    return _write


def _write(data: bytes) -> None:
    pass


def machine() -> str:
    """Where the figures come from, for the line below a table."""
    return f"{platform.python_implementation()} {platform.python_version()}, {platform.machine()}, {platform.system()}"
