"""How much memory do 100,000 records take while their store is down, and does a million requests leave anything behind?

Each contender runs in a process of its own. The first figure is the growth of its resident memory over 100,000 requests
whose records cannot be delivered: Chest's is to stay within its ring, whose pages are a file's and can be counted by
themselves. The second is what tracemalloc still finds allocated after a million requests that were delivered.

``--requests N`` makes the second shorter. Each other shape is asked for 100,000 times, or as often as ``--each N`` says.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import logging.handlers
import os
import queue
import subprocess
import sys
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.rig.application import VARIABLES, app
from benchmarks.rig.contenders import DiscardingChest, StoppableChest, settle
from benchmarks.rig.measure import Requests
from benchmarks.rig.report import Report, Target, question_of
from benchmarks.rig.shapes import SHAPES, Shape
from chest import ChestMiddleware

PENDING: Final = 100_000
REQUESTS: Final = 1_000_000
SLACK_BYTES: Final = 256 * 1024
"""What an interpreter's own caches may come to; one byte a request would be four times as much."""
_MIB: Final = 1024 * 1024
_SETTLED_EVERY: Final = 10_000


class Growth(NamedTuple):
    """Bytes of resident memory that a process grew by, and how many records it still held."""

    total: int
    ring: int
    kept: int
    ring_capacity: int


def growth_while_stopped(requests: int = PENDING) -> Growth:
    """Requests through Chest with its store down, which took what came before: a service that has run for a while."""
    with tempfile.TemporaryDirectory(prefix="chest-bench-") as directory:
        store = StoppableChest(Path(directory))
        middleware = ChestMiddleware(app, chests=[store], directory=directory, service="bench")
        call, recorder = Requests(middleware), middleware.recorder
        for _ in range(3):
            _repeat(call, _SETTLED_EVERY)
            settle(recorder)
        store.is_stopped = True
        before, ring_before = _resident(), _resident(".ring")
        _repeat(call, requests)
        ring = _resident(".ring") - ring_before
        stats = recorder.stats()
        dropped = stats.get("dropped", {}).get("ring_full", 0)
        file_bytes = sum(path.stat().st_size for path in Path(directory).glob("*.ring"))
        growth = Growth(_resident() - before, ring, requests - dropped, file_bytes)
        recorder.close(0)
    return growth


def growth_of_logging(requests: int = PENDING) -> Growth:
    """The same requests logged through a QueueHandler whose listener does not come."""
    waiting: queue.Queue[object] = queue.Queue()
    logger = logging.Logger("requests", logging.INFO)
    logger.addHandler(logging.handlers.QueueHandler(waiting))

    def log() -> None:
        logger.info("%s %s %.3f", "GET", "/", 1.25, extra=VARIABLES)

    return _growth_of(log, requests)


def growth_of_dicts(requests: int = PENDING) -> Growth:
    """A dict of a request's variables and eight fields in a queue."""
    waiting: queue.SimpleQueue[object] = queue.SimpleQueue()
    serial = iter(range(2 * requests))

    def put() -> None:
        number = next(serial)
        waiting.put(
            {
                **VARIABLES,
                "id": f"{number:032x}",
                "request_id": f"{number:036x}",
                "time_ns": 10**18 + number,
                "ns": number,
                "method": "GET",
                "path": "/",
                "status": 200,
                "outcome": "ok",
            }
        )

    return _growth_of(put, requests)


def _growth_of(call: Callable[[], object], count: int) -> Growth:
    _repeat(call, 100)
    before = _resident()
    _repeat(call, count)
    return Growth(_resident() - before, 0, count, 0)


def left_behind(requests: int = REQUESTS, shape: Shape = SHAPES["list"]) -> int:
    """Bytes that tracemalloc finds allocated after so many delivered requests of a shape, less those before."""
    with tempfile.TemporaryDirectory(prefix="chest-bench-") as directory:
        middleware = ChestMiddleware(
            shape.app, chests=[DiscardingChest()], directory=directory, service="bench", **shape.options
        )
        call = Requests(middleware, **shape.environ)
        with middleware.recorder as recorder:
            _repeat(call, 2 * _SETTLED_EVERY)
            settle(recorder)
            gc.collect()
            tracemalloc.start()
            try:
                _repeat(call, 1000)  # what tracemalloc itself, and the first traced pass, allocate once
                settle(recorder)
                gc.collect()
                before, _ = tracemalloc.get_traced_memory()
                for _ in range(0, requests, _SETTLED_EVERY):
                    _repeat(call, _SETTLED_EVERY)
                    settle(recorder)
                gc.collect()
                return tracemalloc.get_traced_memory()[0] - before
            finally:
                tracemalloc.stop()


def _repeat(call: Callable[[], object], count: int) -> None:
    for _ in range(count):
        call()


def _resident(suffix: str = "") -> int:
    """Bytes resident of this process, or of those of its mappings whose file has a name that ends so."""
    total = 0
    is_counted = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name == "Rss":
            total += int(rest.split()[0]) * 1024 * is_counted
        elif "-" in name.split(" ")[0]:  # the head of a mapping: addresses, flags, offset, device, inode, file
            is_counted = line.endswith(suffix)
    return total


PROBES: Final[dict[str, Callable[[], Growth]]] = {
    "Chest, its store down": growth_while_stopped,
    "logging's queue, no listener": growth_of_logging,
    "a queue of dicts": growth_of_dicts,
}


def measure(probe: str) -> Growth:
    """One of the probes, in a fresh process."""
    return Growth(*json.loads(_in_process("--probe", probe)))


def _in_process(*arguments: str) -> str:
    command = [sys.executable, "-m", "benchmarks.bench_memory", *arguments]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environ).stdout


def report(requests: int = REQUESTS, each: int = REQUESTS // 10) -> Report:
    """MiB of growth, and KiB left behind."""
    if not sys.platform.startswith("linux"):
        return Report(
            question_of(__doc__), ("",), [], notes=["Not measured: resident memory is read from Linux's /proc."]
        )
    found = {name: measure(name) for name in PROBES}
    left = int(_in_process("--left-behind", str(requests)))
    shapes = {name: int(_in_process("--left-behind", str(each), "--shape", name)) for name in SHAPES}
    most = max(shapes, key=shapes.__getitem__)
    chest = found["Chest, its store down"]
    return Report(
        question_of(__doc__),
        (f"after {PENDING:,} requests", "grown MiB", "of it ring MiB", "records held"),
        [(name, growth.total / _MIB, growth.ring / _MIB, growth.kept) for name, growth in found.items()],
        targets=[
            Target("growth while the store is down", chest.total / _MIB, "at most", chest.ring_capacity / _MIB, " MiB"),
            Target(f"left behind by {requests:,} requests", left / 1024, "at most", SLACK_BYTES / 1024, " KiB"),
            Target(
                f"and by {each:,} of the shape that leaves the most ({most})",
                *(shapes[most] / 1024, "at most", SLACK_BYTES / 1024, " KiB"),
            ),
        ],
    )


def main() -> None:
    """Print the report, or, asked by a parent process, one figure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench_memory")
    parser.add_argument("--requests", type=int, default=REQUESTS, help="requests after which to look for what is left")
    parser.add_argument("--each", type=int, default=REQUESTS // 10, help="the same, of each shape")
    parser.add_argument("--probe", choices=PROBES, help=argparse.SUPPRESS)
    parser.add_argument("--left-behind", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--shape", choices=SHAPES, default="list", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.probe:
        print(json.dumps(PROBES[arguments.probe]()))
    elif arguments.left_behind:
        print(left_behind(arguments.left_behind, SHAPES[arguments.shape]))
    else:
        print(report(arguments.requests, arguments.each))


if __name__ == "__main__":
    main()
