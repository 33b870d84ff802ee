"""One rival in its own process: does a round when a line asks for it, and answers with a line of JSON."""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.rig.application import app
from benchmarks.rig.measure import Requests, call_times, percentile


def main() -> None:
    """``worker RIVAL SINK DIRECTORY``, then ``latency N`` and ``cpu N`` on standard input."""
    rival, sink, place = sys.argv[1:4]
    module = importlib.import_module(f"benchmarks.peers.{rival}")
    wsgi, flush = module.contender(sink, Path(place))
    bare, wrapped = Requests(getattr(module, "bare", app)), Requests(wsgi)
    rounds = {"latency": latency_round, "cpu": cpu_round}
    for line in sys.stdin:
        kind, _, count = line.partition(" ")
        print(json.dumps(rounds[kind](bare, wrapped, flush, int(count))), flush=True)


def latency_round(bare: Requests, wrapped: Requests, flush: Callable[[], object], count: int) -> list[float]:
    """Nanoseconds that are added: at p50, and from the bare p50 to p99."""
    bare_times, times = call_times(bare, count), call_times(wrapped, count)
    flush()
    bare_p50 = percentile(bare_times, 50)
    return [percentile(times, 50) - bare_p50, percentile(times, 99) - bare_p50]


def cpu_round(bare: Requests, wrapped: Requests, flush: Callable[[], object], count: int) -> list[float]:
    """Nanoseconds of CPU of this process that are added to a request, until it is delivered."""

    def cpu_ns(call: Callable[[], object], settle: Callable[[], object]) -> int:
        begin = time.process_time_ns()
        for _ in range(count):
            call()
        settle()
        return time.process_time_ns() - begin

    return [(cpu_ns(wrapped, flush) - cpu_ns(bare, lambda: None)) / count]


if __name__ == "__main__":
    main()
