"""The parts of a request and of its delivery, one by one, by pytest-benchmark: ``python -m pytest benchmarks``.

Not among the tests: a figure alone neither passes nor fails. ``--benchmark-autosave`` and ``--benchmark-compare`` set two
commits side by side on one machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.rig.application import VARIABLES, app, streamed_app
from benchmarks.rig.contenders import DiscardingChest, sample_record
from benchmarks.rig.measure import Requests
from chest import ChestMiddleware
from chest.chests.registry import open_chest
from chest.record.counters import Counters
from chest.record.record import Record
from chest.record.record_id import RecordIds
from chest.request.sanitizer.redaction import Redaction
from chest.request.sanitizer.sanitize import Sanitizer
from chest.ring.line import Resource, decode_lines
from chest.ring.reader import RingReader
from chest.ring.segments.file import SegmentFile
from chest.ring.writer import RingWriter
from chest.settings.settings import Settings

RESOURCE = Resource("bench", "", "host")
RING_BYTES = 16 * 1024 * 1024
BATCH = 1000

Benchmark = Any  # pytest-benchmark tells no types
Serve = Callable[..., None]


@pytest.fixture
def record(tmp_path: Path) -> Record:
    """What a request of the measured app leaves."""
    return sample_record(tmp_path / "sample")


@pytest.fixture
def ring(tmp_path: Path) -> Iterator[RingWriter]:
    """A ring in a file, without an exporter."""
    ring = RingWriter(Counters(), bytearray(b"\1"))
    ring.open(SegmentFile.create(tmp_path / "a.ring", RING_BYTES, {}), RESOURCE)
    yield ring
    ring.close()


@pytest.fixture
def serve(benchmark: Benchmark, tmp_path: Path) -> Iterator[Serve]:
    """Measures a thousand requests through Chest, every default on; its records are delivered between the rounds."""
    middlewares: list[ChestMiddleware] = []

    def serve(inner: Callable[..., Any], path: str = "/", **options: Any) -> None:
        middleware = ChestMiddleware(inner, chests=[DiscardingChest()], directory=tmp_path, service="bench", **options)
        middlewares.append(middleware)
        call = Requests(middleware, PATH_INFO=path)

        def requests() -> None:
            for _ in range(BATCH):
                call()

        benchmark.pedantic(requests, setup=lambda: middleware.recorder.flush(10) and None, rounds=30, warmup_rounds=2)

    yield serve
    for middleware in middlewares:
        middleware.recorder.close()


def test_a_thousand_requests_with_a_complete_body(serve: Serve) -> None:
    serve(app)


def test_a_thousand_requests_with_a_streamed_body(serve: Serve) -> None:
    serve(streamed_app)


def test_a_thousand_requests_for_an_excluded_path(serve: Serve) -> None:
    serve(app, "/healthz", exclude_paths=["/healthz", "/static/*"])


def test_offer_a_thousand_records(benchmark: Benchmark, ring: RingWriter, record: Record) -> None:
    reader = RingReader(ring, Counters())

    def drain() -> None:
        while (chunk := reader.take(RING_BYTES)) is not None:
            reader.commit_to(chunk.segment, chunk.end)

    def offer() -> None:
        for _ in range(BATCH):
            ring.offer(record)

    benchmark.pedantic(offer, setup=drain, rounds=50, warmup_rounds=2)


def test_take_a_thousand_records(benchmark: Benchmark, ring: RingWriter, record: Record) -> None:
    reader = RingReader(ring, Counters())

    def fill() -> None:
        for _ in range(BATCH):
            ring.offer(record)

    def take() -> int:
        taken = 0
        while (chunk := reader.take(32 * 1024)) is not None:
            taken += len(decode_lines(chunk.data, RESOURCE))
            reader.commit_to(chunk.segment, chunk.end)
        return taken

    assert benchmark.pedantic(take, setup=fill, rounds=50, warmup_rounds=2) == BATCH


def test_sanitize_five_plain_variables(benchmark: Benchmark) -> None:
    defaults = Settings()
    clean = Sanitizer(Redaction(defaults.redact, defaults.unredacted)).clean
    assert benchmark(clean, VARIABLES) == (VARIABLES, None)


def test_sanitize_a_nested_variable_with_a_secret(benchmark: Benchmark) -> None:
    defaults = Settings()
    clean = Sanitizer(Redaction(defaults.redact, defaults.unredacted)).clean
    cart = {"items": [{"sku": "A-1", "count": 2}, {"sku": "B-2", "count": 1}], "password": "hunter2"}
    variables, _ = benchmark(clean, {"cart": cart})
    assert variables["cart"]["password"] == "[REDACTED]"


def test_write_a_thousand_records_to_sqlite(benchmark: Benchmark, tmp_path: Path, record: Record) -> None:
    chest, ids = open_chest(f"sqlite:///{tmp_path / 'chest.sqlite3'}"), RecordIds()
    chest.open()

    def batch() -> tuple[tuple[list[Record]], dict[str, Any]]:
        return ([record._replace(id=ids.new(record.time_ns)) for _ in range(BATCH)],), {}

    benchmark.pedantic(chest.write, setup=batch, rounds=20, warmup_rounds=2)
    chest.close()
