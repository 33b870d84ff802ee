"""What speed and memory must not become: ratios to references that are measured in the same run, never seconds.

Each bound lies far above what is measured on a quiet machine (in brackets), and a ratio must be too large three times in a
row to fail: a busy machine slows both sides, and seldom one of them alone three times.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask_chest import FlaskRecorder

pytest.importorskip("prometheus_client", reason="the references come with the group bench")

from benchmarks import (
    bench_delivered,
    bench_delivery_thread,
    bench_flask,
    bench_frameworks,
    bench_memory,
    bench_middleware,
    bench_ring,
    bench_shapes,
    bench_transfer,
)
from benchmarks.rig.application import app
from benchmarks.rig.contenders import chest_around
from benchmarks.rig.measure import Requests, calls
from benchmarks.rig.shapes import SHAPES
from chest.native import IS_NATIVE

TRIES = 3

pytestmark = pytest.mark.alone


def require(ratio: Callable[[], float], at_most: float) -> None:
    """Fail when the ratio is too large every time."""
    seen: list[float] = []
    for _ in range(TRIES):
        seen.append(ratio())
        if seen[-1] <= at_most:
            return
    pytest.fail(f"{at_most} times the reference is allowed, and it was {', '.join(f'{each:.2f}' for each in seen)}")


def added(name: str) -> float:
    """What a contender adds at p50, as a share of what prometheus_client with labels by name adds."""
    found = bench_middleware.measure(rounds=5, calls_per_round=1000)
    return found[name].p50_ns / found[bench_middleware.BY_NAME].p50_ns


def test_a_request_costs_less_than_counting_it_with_prometheus() -> None:
    require(lambda: added(bench_middleware.COMPLETE), at_most=0.75)  # [0.34]


def test_a_streamed_request_costs_less_than_counting_it_too() -> None:
    require(lambda: added(bench_middleware.STREAMED), at_most=0.8)  # [0.37 to 0.45]


def require_of_each(ratios: Callable[[list[str]], dict[str, float]], at_most: dict[str, float]) -> None:
    """Fail when the ratio of one row is too large every time; those that were not are not measured again."""
    seen: dict[str, list[float]] = {}
    dear = list(at_most)
    for _ in range(TRIES):
        for name, ratio in ratios(dear).items():
            seen.setdefault(name, []).append(round(ratio, 2))
        dear = [name for name in dear if seen[name][-1] > at_most[name]]
        if not dear:
            return
    pytest.fail(f"too large, and what is allowed: {[(name, seen[name], at_most[name]) for name in dear]}")


_needs_c = pytest.mark.skipif(not IS_NATIVE, reason="without the compiled part each costs some three times as much")


@_needs_c
def test_no_shape_of_a_request_costs_twice_what_it_did() -> None:
    def ratios(names: list[str]) -> dict[str, float]:
        found = bench_shapes.measure(names, rounds=5, calls_per_round=500)
        return {name: found[name].ratio for name in names}

    require_of_each(ratios, {name: 2 * shape.figure for name, shape in SHAPES.items()})


@_needs_c
def test_no_framework_pays_twice_what_it_did() -> None:
    def ratios(names: list[str]) -> dict[str, float]:
        return {name: added.ratio for name, added in bench_frameworks.measure(names, rounds=20).items()}

    require_of_each(ratios, {name: 2 * bench_frameworks.FIGURES[name] for name in bench_frameworks.ROWS})


def test_flask_pays_for_its_extension_about_what_counting_costs() -> None:
    def ratio() -> float:
        found = bench_flask.measure(rounds=5, calls_per_round=600)
        return found[bench_flask.EXTENSION].p50_ns / found[bench_flask.PROMETHEUS].p50_ns

    require(ratio, at_most=1 if IS_NATIVE else 4)  # [0.47]


def test_an_excluded_path_costs_about_what_looking_it_up_costs(tmp_path: Path) -> None:
    class LooksUp:
        """The least that a middleware with excluded paths can do."""

        def __init__(self, inner: Callable[..., Any], paths: set[str]) -> None:
            self.inner = inner
            self.paths = paths

        def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
            if environ.get("PATH_INFO", "") in self.paths:
                return self.inner(environ, start_response)
            raise AssertionError("only the excluded path is asked for")

    def ratio() -> float:
        found = calls(contenders, rounds=5, calls_per_round=2000)
        bare = found["bare"].p50_ns
        return (found["excluded"].p50_ns - bare) / (found["looked up"].p50_ns - bare)

    middleware = chest_around(app, tmp_path / "chest", exclude_paths=["/healthz", "/static/*"])
    contenders = {
        "bare": Requests(app),
        "looked up": Requests(LooksUp(app, {"/healthz"}), PATH_INFO="/healthz"),
        "excluded": Requests(middleware, PATH_INFO="/healthz"),
    }
    with middleware.recorder:
        require(ratio, at_most=6)  # [2.9]


def test_an_offer_costs_less_than_putting_into_a_queue() -> None:
    def ratio() -> float:
        offered, _ = bench_ring.measure(rounds=9)
        return offered[bench_ring.RING_FILE] / offered[bench_ring.QUEUE]

    require(ratio, at_most=1.2 if IS_NATIVE else 2)  # [0.55 to 0.63]


def test_a_request_delivered_into_sqlite_takes_no_more_cpu_than_a_log_line_through_a_queue() -> None:
    def ratio() -> float:
        found = bench_delivered.measure(rounds=3, calls_per_round=2000)
        return found[bench_delivered.TO_SQLITE] / found[bench_delivered.LOGGING]

    require(ratio, at_most=1.1 if IS_NATIVE else 1.3)  # [0.53]


def test_the_delivery_thread_takes_no_more_than_three_times_the_cpu_of_sqlite_alone() -> None:
    def ratio() -> float:
        found = bench_delivery_thread.measure(rounds=1, ring_bytes=4 * 1024 * 1024)
        alone = found[bench_delivery_thread.SQLITE_ALONE].cpu_ns_per_record
        return found[bench_delivery_thread.TO_SQLITE].cpu_ns_per_record / alone

    require(ratio, at_most=3)  # [1.5 to 1.9]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="resident memory is read from /proc")
def test_a_transfer_into_postgresql_takes_no_more_than_two_and_a_half_times_a_copy_by_hand() -> None:
    require(lambda: 1 / bench_transfer.transfer_speed(records=50_000, rounds=1).ratio, at_most=2.5)  # [1.4 to 1.9]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="resident memory is read from /proc")
def test_records_that_wait_for_a_store_take_no_memory_beside_the_ring_but_one_batch() -> None:
    def ratio() -> float:
        growth = bench_memory.measure("Chest, its store down")
        return growth.total / growth.ring_capacity

    require(ratio, at_most=1.25)  # [1.02]


def test_requests_leave_nothing_behind() -> None:
    assert bench_memory.left_behind(requests=20_000) < bench_memory.SLACK_BYTES


def test_a_ratio_that_is_too_large_every_time_fails() -> None:
    tries = iter([9.0, 9.0, 1.0])
    require(lambda: next(tries), at_most=2)
    with pytest.raises(pytest.fail.Exception, match=r"9\.00, 9\.00, 9\.00"):
        require(lambda: 9.0, at_most=2)


def test_an_application_for_each_test_costs_little_beside_flasks_own() -> None:
    def served(is_recorded: bool) -> None:
        app = Flask("shop")
        if is_recorded:
            FlaskRecorder(app)
        app.add_url_rule("/", view_func=lambda: "hello")
        assert app.test_client().get("/").status_code == 200

    def milliseconds(is_recorded: bool) -> float:
        begin = time.process_time()
        for _ in range(30):
            served(is_recorded)
        return (time.process_time() - begin) / 30 * 1e3

    served(True)
    require(lambda: milliseconds(True) / milliseconds(False), at_most=5)  # [2.5; of 8 ms of CPU in all]
