"""How many records a second does one delivery thread bring from a full ring file into SQLite, and what does it cost when idle?

Delivery empties the ring in the calling thread, as it does at the end of a process, into a new database each round.
Its rival is sqlite3's own ``executemany`` over the same columns of rows that are ready, in transactions of the same size:
what the database alone takes. Then, with nothing to do, the share of a core that its thread takes.
"""

from __future__ import annotations

import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.rig.application import app
from benchmarks.rig.contenders import DiscardingChest, chest_around, sample_record, settle
from benchmarks.rig.measure import Requests
from benchmarks.rig.report import Report, Target, question_of
from chest.chests.contract import Chest
from chest.chests.registry import open_chest
from chest.delivery.background import BackgroundDelivery
from chest.delivery.loop import POLL_SECONDS
from chest.delivery.worker import ChestWorker
from chest.record.counters import Counters
from chest.record.encoding import encode
from chest.record.record import Record
from chest.record.record_id import RecordIds
from chest.ring.line import Lineage, Resource
from chest.ring.reader import RingReader
from chest.ring.segments.file import SegmentFile
from chest.ring.writer import RingWriter
from chest.settings.settings import Settings

TO_SQLITE: Final = "Chest, ring to SQLite"
TO_NOTHING: Final = "Chest, ring to a chest that discards"
SQLITE_ALONE: Final = "sqlite3.executemany, rows ready"

_RING_BYTES: Final = 16 * 1024 * 1024
LINE_BYTES: Final = 300
"""A little more than a line of the sample takes, as what is left at the end of a segment is not used."""
_RESOURCE: Final = Resource("bench", "", "host")
_IDLE_SECONDS: Final = 11.0
"""Long enough for two looks at the directory for rings of the dead."""
_WAKING_SECONDS: Final = 4.0


class Speed(NamedTuple):
    """Of one round."""

    records_per_second: float
    cpu_ns_per_record: float


def measure(rounds: int = 5, ring_bytes: int = _RING_BYTES) -> dict[str, Speed]:
    """The medians of the rounds; every round empties a ring that is nearly full."""
    found: dict[str, list[Speed]] = {}
    with tempfile.TemporaryDirectory(prefix="chest-bench-") as directory:
        place = Path(directory)
        records = copies(sample_record(place), ring_bytes // LINE_BYTES)
        for number in range(rounds):
            url = f"sqlite:///{place / f'{number}.sqlite3'}"
            for name, speed in (
                (TO_SQLITE, delivery_speed(place / "ring", ring_bytes, records, open_chest(url))),
                (TO_NOTHING, delivery_speed(place / "ring", ring_bytes, records, DiscardingChest())),
                (SQLITE_ALONE, _sqlite_speed(place / f"{number}.rival.sqlite3", records)),
            ):
                found.setdefault(name, []).append(speed)
    return {name: Speed(*map(statistics.median, zip(*speeds, strict=True))) for name, speeds in found.items()}


def delivery_speed(path: Path, ring_bytes: int, records: Sequence[Record], chest: Chest) -> Speed:
    """Of one delivery that brings the records from a ring file of this size into the chest."""
    counters, settings = Counters(), Settings()
    ring = RingWriter(counters, bytearray(b"\1"))
    ring.open(SegmentFile.create(path, ring_bytes, {}), _RESOURCE)
    if not all(ring.offer(record) for record in records):
        raise RuntimeError("the ring took not all of the records")
    worker = ChestWorker(chest, counters)
    worker.open()
    delivery = BackgroundDelivery(
        RingReader(ring, counters),
        [worker],
        counters,
        adopt=lambda: iter(()),
        died=lambda: None,
        flush_seconds=settings.flush_seconds,
        batch_records=settings.batch_records,
        lineage=Lineage(""),
    )
    speed = timed(len(records), lambda: delivery.stop(time.monotonic() + 60, is_durable=False))
    ring.close()
    chest.close()
    path.unlink()
    return speed


def _sqlite_speed(path: Path, records: Sequence[Record]) -> Speed:
    rows = [
        (*record[:10], encode(record.variables).decode(), encode(record.attributes).decode(), *record[12:], "")
        for record in records
    ]
    batch = Settings().batch_records
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(
            "CREATE TABLE records (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE, request_id, time_ns, duration_ns,"
            " method, path, route, status, outcome, error, variables, attributes, service, release, host, stored_at)"
        )
        connection.execute("CREATE INDEX by_time ON records (time_ns)")
        insert = f"INSERT INTO records VALUES (NULL, {', '.join('?' * len(rows[0]))})"

        def write() -> bool:
            for start in range(0, len(rows), batch):
                with connection:
                    connection.executemany(insert, rows[start : start + batch])
            return True

        return timed(len(rows), write)


def copies(sample: Record, count: int) -> Sequence[Record]:
    """So many records that differ in time and id."""
    ids = RecordIds()
    times = range(sample.time_ns, sample.time_ns + count)
    return [sample._replace(id=ids.new(time_ns), time_ns=time_ns) for time_ns in times]


def timed(count: int, work: Callable[[], bool]) -> Speed:
    """Of work that deals with so many records, and returns True if it did."""
    begin, cpu_begin = time.perf_counter(), time.process_time_ns()
    if not work():
        raise RuntimeError("not everything was delivered")
    seconds, cpu_ns = time.perf_counter() - begin, time.process_time_ns() - cpu_begin
    return Speed(count / seconds, cpu_ns / count)


def idle_share(seconds: float = _IDLE_SECONDS) -> float:
    """The share of a core, in percent, that this process takes while it waits for requests."""
    with tempfile.TemporaryDirectory(prefix="chest-bench-") as directory:
        middleware = chest_around(app, Path(directory) / "idle")
        with middleware.recorder as recorder:
            Requests(middleware)()
            settle(recorder)
            cpu_begin = time.process_time()
            time.sleep(seconds)
            return 100 * (time.process_time() - cpu_begin) / seconds


def waking_share(seconds: float = _WAKING_SECONDS) -> float:
    """The same for a thread that does nothing but wake as often: what the system takes for that alone."""
    is_over = False

    def wake_and_sleep() -> None:
        while not is_over:
            time.sleep(POLL_SECONDS)

    thread = threading.Thread(target=wake_and_sleep)
    thread.start()
    cpu_begin = time.process_time()
    time.sleep(seconds)
    share = 100 * (time.process_time() - cpu_begin) / seconds
    is_over = True
    thread.join()
    return share


def report() -> Report:
    """Records a second, CPU a record, and the idle share."""
    found = measure()
    idle, waking = idle_share(), waking_share()
    speed = found[TO_SQLITE].records_per_second
    return Report(
        question_of(__doc__),
        ("", "records/s", "CPU µs/record"),
        [(name, speed.records_per_second, speed.cpu_ns_per_record / 1e3) for name, speed in found.items()],
        targets=[
            Target("records a second into SQLite", speed, "at least", 120_000),
            Target("an idle delivery thread's share of a core", idle, "at most", 0.3, " %"),
        ],
        notes=[f"A thread that only wakes as often takes {waking:.2f} % of a core here."],
    )


if __name__ == "__main__":
    print(report())
