"""Does a request take longer while its store is down, silent or slow?

Rounds in turn with the store well and in each kind of trouble, each with requests to the bare application beside it, in
bursts of a hundred, 5,000 a second. Time added is over the bare application's in the same round. The stores are a SQLite
file that fails every write, and PostgreSQL behind a proxy that resets its connections, answers nothing, or lets one
transaction a second through. What a store does not take goes to disk after a fifth of a second in place of five, so that
a round also holds that work; and before a round with the store well, it has got everything.
"""

from __future__ import annotations

import logging
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import pytest

import chest.delivery.spool_policy
from benchmarks.endurance.soak import FlappingChest
from benchmarks.rig.application import app
from benchmarks.rig.measure import Requests, call_times, percentile
from benchmarks.rig.report import Report, Target, question_of
from chest import ChestMiddleware, Recorder
from chest.chests.contract import Chest
from tests.servers.fault_proxy import Fault, fault_proxy

_BURST: Final = 100
_PAUSE_SECONDS: Final = 0.02
_SPOOL_AFTER_SECONDS: Final = 0.2
_SETTLE_SECONDS: Final = 60.0

UP: Final = "up"


class Store(NamedTuple):
    """A store, and what brings it into each state; the first is :data:`UP`."""

    chest: str | Chest
    states: Mapping[str, Callable[[], object]]


class Added(NamedTuple):
    """Nanoseconds over the bare application, medians of the rounds."""

    p50_ns: float
    p99_ns: float


@contextmanager
def failing_sqlite() -> Iterator[Store]:
    """A SQLite file, and whether it can be reached."""
    with tempfile.TemporaryDirectory(prefix="chest-bench-") as directory:
        flapping = FlappingChest(Path(directory) / "store.sqlite3")
        states = {UP: False, "failing": True}
        yield Store(
            flapping, {name: lambda is_down=is_down: _set_down(flapping, is_down) for name, is_down in states.items()}
        )


def _set_down(flapping: FlappingChest, is_down: bool) -> None:
    flapping.is_down = is_down


@contextmanager
def distant_postgresql() -> Iterator[Store]:
    """PostgreSQL behind a proxy."""
    from tests.servers.postgresql import postgresql

    with postgresql() as server, fault_proxy(server.port) as proxy:
        yield Store(
            server.url(server.new_database(), port=proxy.port),
            {
                UP: proxy.heal,
                "resetting": lambda: proxy.set(Fault.RESET),
                "silent": lambda: proxy.set(Fault.BLACKHOLE),
                "one write a second": lambda: proxy.set(Fault.SLOW, b"COMMIT"),
            },
        )


STORES: Final[Mapping[str, Callable[[], AbstractContextManager[Store]]]] = {
    "SQLite": failing_sqlite,
    "PostgreSQL": distant_postgresql,
}


def measure(rounds: int = 5, calls_per_round: int = 5000) -> dict[str, dict[str, Added]]:
    """The time added in each state of each store that can be started."""
    found: dict[str, dict[str, Added]] = {}
    logging.getLogger("chest").setLevel(logging.CRITICAL)  # it says what is done to the stores
    for name, started in STORES.items():
        try:
            with started() as store:
                found[name] = _added_in_each_state(store, rounds, calls_per_round)
        except pytest.skip.Exception as missing:
            print(f"{name} is left out: {missing}")
    return found


def _added_in_each_state(store: Store, rounds: int, calls_per_round: int) -> dict[str, Added]:
    found: dict[str, list[tuple[float, float]]] = {state: [] for state in store.states}
    before, chest.delivery.spool_policy.SPOOL_AFTER_SECONDS = (
        chest.delivery.spool_policy.SPOOL_AFTER_SECONDS,
        _SPOOL_AFTER_SECONDS,
    )  # type: ignore[misc]
    with tempfile.TemporaryDirectory(prefix="chest-bench-") as directory:
        middleware = ChestMiddleware(app, chests=[store.chest], directory=Path(directory), service="bench")
        call = Requests(middleware)
        call_times(call, calls_per_round)
        for _ in range(rounds):
            for state, enter in store.states.items():
                enter()
                if state == UP:
                    _wait_until_delivered(middleware.recorder)
                found[state].append(_round(call, calls_per_round))
        store.states[UP]()
        _wait_until_delivered(middleware.recorder)
        dropped = middleware.recorder.stats().get("dropped")
        middleware.recorder.close()
    chest.delivery.spool_policy.SPOOL_AFTER_SECONDS = before  # type: ignore[misc]
    if dropped:
        raise SystemExit(f"records were dropped, which is cheaper than keeping them: {dropped}")
    return {
        state: Added(statistics.median(p50 for p50, _ in rows), statistics.median(p99 for _, p99 in rows))
        for state, rows in found.items()
    }


def _wait_until_delivered(recorder: Recorder) -> None:
    deadline = time.monotonic() + _SETTLE_SECONDS
    while not recorder.flush(_SETTLE_SECONDS) or any(size["records"] for size in recorder.stats()["spool"].values()):
        if time.monotonic() > deadline:
            raise SystemExit("the store did not get everything, although it is well again")
        time.sleep(0.05)


def _round(call: Requests, calls: int) -> tuple[float, float]:
    bare = Requests(app)
    without: list[int] = []
    with_chest: list[int] = []
    for _ in range(calls // _BURST):
        without += call_times(bare, _BURST)
        with_chest += call_times(call, _BURST)
        time.sleep(_PAUSE_SECONDS)
    return _added(sorted(without), sorted(with_chest))


def _added(without: Sequence[int], with_chest: Sequence[int]) -> tuple[float, float]:
    return tuple(percentile(with_chest, percent) - percentile(without, percent) for percent in (50, 99))  # type: ignore[return-value]


def report() -> Report:
    """What is added at p50 and p99."""
    found = measure()
    rows = [
        (f"{name}, {state}", added.p50_ns / 1e3, added.p99_ns / 1e3, added.p99_ns / states[UP].p99_ns)
        for name, states in found.items()
        for state, added in states.items()
    ]
    return Report(
        question_of(__doc__),
        ("added to a bare WSGI app", "p50 µs", "p99 µs", "of up"),
        rows,
        targets=[
            Target(f"p99 with {label}, of p99 with it up", ratio, "at most", 1.5)
            for label, _, _, ratio in rows
            if not label.endswith(UP)
        ],
    )


if __name__ == "__main__":
    print(report())
