"""How many records a second does each chest store, compared with its driver's own bulk insert, and what memory does it hold?

Both write the same records in the same batches to the same server, one after the other in every round, into tables with the
same columns and indexes. The driver gets rows that are ready, on a connection that does nothing else; the chest makes them,
sees to it that a record that comes again is not stored again, and takes turns with other writers. A server that is not
installed is left out.
"""

from __future__ import annotations

import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from benchmarks.rig.contenders import sample_record
from benchmarks.rig.report import Report, Target, question_of
from benchmarks.rig.stores import Batches, Store, mariadb, mysql57, postgresql, sqlite
from benchmarks.rig.stores_without_sql import clickhouse, http, influxdb, kafka, mongodb, otlp
from chest.chests.contract import Chest
from chest.record.record import Record
from chest.record.record_id import RecordIds
from chest.settings.settings import Settings

STORES: Final[dict[str, Callable[[], AbstractContextManager[Store]]]] = {
    "SQLite": sqlite,
    "PostgreSQL": postgresql,
    "MariaDB": mariadb,
    "MySQL 5.7": mysql57,
    "MongoDB": mongodb,
    "ClickHouse": clickhouse,
    "Kafka's protocol": kafka,
    "InfluxDB's protocol": influxdb,
    "HTTP": http,
    "OTLP": otlp,
}

_BATCHES: Final = 10
_ROUNDS: Final = 5


class Speeds(NamedTuple):
    """Of one store: the medians of the rounds."""

    chest_per_second: float
    driver_per_second: float
    ratio: float
    cpu_us: float
    """Of this process, a record that the chest stored."""
    held_bytes: int
    """What a chest holds after it has written, by tracemalloc: a driver in C may hold more."""
    peak_bytes: int
    """What it held most while it wrote a batch."""
    floor: float
    """What the ratio is to reach."""


def measure(names: Sequence[str] = tuple(STORES), rounds: int = _ROUNDS) -> dict[str, Speeds]:
    """What is found for each store that can be started."""
    found: dict[str, Speeds] = {}
    with tempfile.TemporaryDirectory(prefix="chest-bench-") as directory:
        sample = sample_record(Path(directory))
    for name in names:
        try:
            with STORES[name]() as store:
                found[name] = _speeds(store, sample, rounds)
        except pytest.skip.Exception as missing:
            print(f"{name} is left out: {missing}")
    return found


def _speeds(store: Store, sample: Record, rounds: int) -> Speeds:
    ours, theirs, cpu = [], [], []
    with store.new_chest() as chest:
        chest.open()
        for number in range(rounds):
            batches = _batches(sample, number)
            count = sum(map(len, batches))
            cpu_begin = time.process_time()
            ours.append(count / _seconds(lambda batches=batches: _write(chest, batches)))
            cpu.append((time.process_time() - cpu_begin) / count * 1e6)
            theirs.append(count / _seconds(store.bulk(batches)))
    ratios = [our / their for our, their in zip(ours, theirs, strict=True)]
    held, peak = _memory(store, _batches(sample, rounds))
    return Speeds(*map(statistics.median, (ours, theirs, ratios, cpu)), held, peak, store.floor)


def _memory(store: Store, batches: Batches) -> tuple[int, int]:
    with store.new_chest() as chest:
        chest.open()
        chest.close()  # what drivers and SQLAlchemy keep once for the process is there now
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        _write(chest, batches)
        held, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return held - before, peak - before


def _write(chest: Chest, batches: Batches) -> None:
    for batch in batches:
        chest.write(batch)


def _batches(sample: Record, number: int) -> Batches:
    """Batches as delivery makes them at most, of records that no other round has."""
    size = Settings().batch_records
    ids, begin = RecordIds(), sample.time_ns + number * _BATCHES * size
    return [
        [sample._replace(id=ids.new(time_ns), time_ns=time_ns) for time_ns in range(start, start + size)]
        for start in range(begin, begin + _BATCHES * size, size)
    ]


def _seconds(work: Callable[[], None]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def report() -> Report:
    """Records a second, the share of the driver's, CPU and memory."""
    found = measure()
    return Report(
        question_of(__doc__),
        ("", "records/s", "driver's", "ratio", "CPU µs/record", "held KiB", "peak KiB"),
        [(name, *speeds[:4], speeds.held_bytes / 1024, speeds.peak_bytes / 1024) for name, speeds in found.items()],
        targets=[
            Target(f"{name}, as a share of the driver's own bulk insert", speeds.ratio, "at least", speeds.floor)
            for name, speeds in found.items()
        ],
        notes=[
            "The driver's own: SQLite and MySQL executemany, PostgreSQL COPY, MongoDB an unordered insert_many, InfluxDB's"
            " protocol influxdb-client's synchronous write of points (into VictoriaMetrics), ClickHouse and HTTP httpx's post of JSON,"
            " OTLP httpx's post of spans as opentelemetry-proto's constructors make them,"
            " Kafka confluent-kafka's produce with a report for each message, and a flush a batch."
        ],
    )


if __name__ == "__main__":
    print(report())
