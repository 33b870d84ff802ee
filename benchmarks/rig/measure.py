"""Interleaved rounds: every contender in every round, so that whatever else the machine does falls on all of them."""

from __future__ import annotations

import gc
import platform
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from wsgiref.util import setup_testing_defaults


def nothing() -> None:
    """What a contender does to come to rest when there is nothing behind it."""


class Latency(NamedTuple):
    """Nanoseconds of one call, over all rounds: the median of the rounds' percentiles."""

    p50_ns: float
    p99_ns: float


def calls(
    contenders: Mapping[str, Callable[[], Any]],
    rounds: int = 15,
    calls_per_round: int = 3000,
    settle: Callable[[], Any] = nothing,
) -> dict[str, Latency]:
    """Time each call of each contender, ``rounds`` times in turn; ``settle``, not timed, comes after each contender's."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for call in contenders.values():
        call_times(call, calls_per_round // 4)
        settle()
    gc.collect()
    for _ in range(rounds):
        for name, call in contenders.items():
            times = call_times(call, calls_per_round)
            found[name].append((percentile(times, 50), percentile(times, 99)))
            settle()
    return {
        name: Latency(statistics.median(p50 for p50, _ in rows), statistics.median(p99 for _, p99 in rows))
        for name, rows in found.items()
    }


def call_times(call: Callable[[], Any], count: int) -> list[int]:
    """Nanoseconds of each of so many calls, the shortest first."""
    clock = time.perf_counter_ns
    times = []
    for _ in range(count):
        begin = clock()
        call()
        times.append(clock() - begin)
    times.sort()
    return times


def percentile(sorted_times: Sequence[float], percent: int) -> float:
    """The time that so many percent of the calls did not exceed."""
    return sorted_times[len(sorted_times) * percent // 100]


class Loop(NamedTuple):
    """Something done to many items in a row, too short for a clock around each."""

    run: Callable[[Sequence[Any]], object]
    """Does it to each of the items."""
    settle: Callable[[], object] = nothing
    """Not timed, after each round."""


def loops(
    contenders: Mapping[str, Loop], items: Sequence[Any], *, threads: int = 1, rounds: int = 7
) -> dict[str, float]:
    """Nanoseconds an item, the median of the rounds; with several threads each takes its share of the items."""
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for round_number in range(rounds + 1):
        for name, loop in contenders.items():
            elapsed_ns = _in_threads(loop.run, items, threads)
            loop.settle()
            if round_number:  # the first one warms up
                found[name].append(elapsed_ns / len(items))
    return {name: statistics.median(times) for name, times in found.items()}


def _in_threads(run: Callable[[Sequence[Any]], object], items: Sequence[Any], threads: int) -> int:
    if threads == 1:
        begin = time.perf_counter_ns()
        run(items)
        return time.perf_counter_ns() - begin
    barrier = threading.Barrier(threads + 1)
    shares = [items[number::threads] for number in range(threads)]

    def work(share: Sequence[Any]) -> None:
        barrier.wait()
        run(share)

    workers = [threading.Thread(target=work, args=(share,)) for share in shares]
    for worker in workers:
        worker.start()
    barrier.wait()
    begin = time.perf_counter_ns()
    for worker in workers:
        worker.join()
    return time.perf_counter_ns() - begin


def cpu_per_call(
    contenders: Mapping[str, tuple[Callable[[], Any], Callable[[], Any]]], rounds: int = 7, calls_per_round: int = 5000
) -> dict[str, float]:
    """Nanoseconds of CPU of the whole process for a call, all threads counted, until what it set off is done.

    :param contenders: by name what is called, and what waits until nothing is left to be done for those calls.
    """
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for round_number in range(rounds + 1):
        for name, (call, settle) in contenders.items():
            begin = time.process_time_ns()
            for _ in range(calls_per_round):
                call()
            settle()
            if round_number:  # the first one warms up
                found[name].append((time.process_time_ns() - begin) / calls_per_round)
    return {name: statistics.median(times) for name, times in found.items()}


class Requests:
    """Calls a WSGI application as a server does, in this thread: a fresh ``environ``, the body read, ``close()`` called."""

    def __init__(self, app: Callable[..., Any], **environ: Any) -> None:
        self._app = app
        self._environ: dict[str, Any] = {}
        setup_testing_defaults(self._environ)
        self._environ.update(environ)

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
