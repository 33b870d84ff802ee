"""How many stored records a second go from SQLite to PostgreSQL, compared with a COPY by hand, and does memory stay as it is?

Both read the same file and write to tables with the same columns and indexes, one after the other in every round. The COPY
knows neither a place to go on from nor a record that comes again, and makes no record of a row. Then: how long does whoever
writes to a SQLite file, or reads from it, wait while a retention removes half of it and the room is given back?
"""

from __future__ import annotations

import os
import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple

from sqlalchemy.engine import make_url

from benchmarks.rig.contenders import sample_record
from benchmarks.rig.measure import percentile
from benchmarks.rig.report import Report, Target, question_of
from chest.chests.contract import ReadableChest
from chest.chests.registry import open_chest
from chest.chests.sql.sqlite.chest import SQLiteChest
from chest.record.record import Record
from chest.record.record_id import RecordIds
from chest.transfer import Retention, Transfer, TransferResult
from tests.servers.database import DatabaseServer
from tests.servers.postgresql import postgresql

RECORDS: Final = int(os.environ.get("TRANSFER_RECORDS", "1000000"))
_ROUNDS: Final = 3
_RETAINED: Final = 200_000
_COLUMNS: Final = (*Record._fields, "stored_at")
_DAY_NS: Final = 86_400 * 10**9
_MIB: Final = 1024 * 1024


class Speed(NamedTuple):
    """Of the transfer and its rival: the medians of the rounds."""

    ours_per_second: float
    theirs_per_second: float
    ratio: float
    growth_bytes: int
    """What this process grew by from a tenth of the longest transfer to its end."""


class Waits(NamedTuple):
    """Milliseconds of others, while a retention works and while nothing does."""

    write_p99: float
    write_longest: float
    read_p99: float
    alone_write_p99: float
    removed_per_second: float


def transfer_speed(records: int = RECORDS, rounds: int = _ROUNDS) -> Speed:
    """What is found with so many records."""
    ours, theirs, growths = [], [], []
    with tempfile.TemporaryDirectory(prefix="chest-bench-") as directory, postgresql() as server:
        path = Path(directory) / "source.sqlite3"
        fill(path, records)
        for _ in range(rounds):
            seconds, growth = _transfer(path, server)
            ours.append(records / seconds)
            growths.append(growth)
            theirs.append(records / _copy(path, server))
    ratios = [our / their for our, their in zip(ours, theirs, strict=True)]
    return Speed(statistics.median(ours), statistics.median(theirs), statistics.median(ratios), max(growths))


def retention_waits(records: int = _RETAINED) -> Waits:
    """What others wait while half of so many records are removed."""
    with tempfile.TemporaryDirectory(prefix="chest-bench-") as directory:
        path = Path(directory) / "chest.sqlite3"
        fill(path, records, age_ns=2 * _DAY_NS)
        alone, _ = _wait_beside(path, lambda: time.sleep(2))
        began = time.perf_counter()
        writes, reads = _wait_beside(path, lambda: _retain(path, records // 2))
        seconds = time.perf_counter() - began
    return Waits(
        percentile(writes, 99), writes[-1], percentile(reads, 99), percentile(alone, 99), records / 2 / seconds
    )


def fill(path: Path, records: int, age_ns: int = 0) -> None:
    """A SQLite chest with so many records, each with an id of its own."""
    with tempfile.TemporaryDirectory(prefix="chest-bench-") as directory:
        sample = sample_record(Path(directory))
    ids, begin = RecordIds(), time.time_ns() - age_ns
    with SQLiteChest(f"sqlite:///{path}") as chest:
        for start in range(0, records, 1000):
            moments = range(begin + start, begin + min(start + 1000, records))
            chest.write([sample._replace(id=ids.new(time_ns), time_ns=time_ns) for time_ns in moments])


def _transfer(path: Path, server: DatabaseServer) -> tuple[float, int]:
    """Seconds, and what memory grew by after the first tenth."""
    memory: list[int] = []

    def note(_: TransferResult) -> None:
        memory.append(_resident_bytes())

    with Transfer(f"sqlite:///{path}", url := server.new_url(), name=url) as transfer:
        began = time.perf_counter()
        result = transfer.run(progress=note)
        seconds = time.perf_counter() - began
    assert result.is_complete
    return seconds, max(memory) - memory[len(memory) // 10]


def _copy(path: Path, server: DatabaseServer) -> float:
    """Seconds of the same by hand."""
    import psycopg

    url = server.new_url()
    with open_chest(url) as chest:
        chest.open()
    address = make_url(url)
    names = ", ".join(_COLUMNS)
    connection = psycopg.connect(
        host=address.host, port=address.port, user=address.username, password=address.password, dbname=address.database
    )
    began = time.perf_counter()
    with closing(sqlite3.connect(path)) as source, connection, connection.cursor() as cursor:
        with cursor.copy(f"COPY chest_records ({names}) FROM STDIN") as copy:
            for row in source.execute(f"SELECT {names} FROM chest_records ORDER BY seq"):
                copy.write_row(row)
        connection.commit()
    return time.perf_counter() - began


def _retain(path: Path, rows: int) -> None:
    Retention(f"sqlite:///{path}", max_rows=rows).run()


def _wait_beside(path: Path, work: Callable[[], Any]) -> tuple[list[float], list[float]]:
    """Milliseconds of writes of 50 records and of reads of 100, one after the other until the work is done; sorted."""
    with tempfile.TemporaryDirectory(prefix="chest-bench-") as directory:
        sample = sample_record(Path(directory))
    ids = RecordIds()
    thread = threading.Thread(target=work)
    writes, reads = [], []
    with SQLiteChest(f"sqlite:///{path}?busy_timeout_ms=5000") as chest:
        chest.open()
        thread.start()
        while thread.is_alive():
            batch = [sample._replace(id=ids.new(time.time_ns())) for _ in range(50)]
            writes.append(_milliseconds(lambda batch=batch: chest.write(batch)))
            reads.append(_milliseconds(lambda: _newest(chest)))
            time.sleep(0.005)
        thread.join()
    return sorted(writes), sorted(reads)


def _newest(chest: ReadableChest) -> None:
    newest = chest.newest()
    assert isinstance(newest, int)
    chest.read(after=newest - 100, limit=100)


def _milliseconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def report() -> Report:
    """Records a second, the share of the COPY's, memory, and what others wait beside a retention."""
    speed, waits = transfer_speed(), retention_waits()
    return Report(
        question_of(__doc__),
        ("", "value"),
        [
            (f"transfer of {RECORDS:,} records, records/s", speed.ours_per_second),
            ("COPY by hand, records/s", speed.theirs_per_second),
            ("ratio", speed.ratio),
            ("memory, from a tenth to the end, MiB", speed.growth_bytes / _MIB),
            ("a write of 50 beside a retention, p99 ms", waits.write_p99),
            ("the longest of them, ms", waits.write_longest),
            ("a write of 50 alone, p99 ms", waits.alone_write_p99),
            ("a read of 100 beside a retention, p99 ms", waits.read_p99),
            ("records removed/s", waits.removed_per_second),
        ],
        targets=[
            Target("transfer from SQLite to PostgreSQL, as a share of a COPY by hand", speed.ratio, "at least", 0.5),
            Target("memory that a transfer grows by (MiB)", speed.growth_bytes / _MIB, "at most", 16),
            Target("the longest wait of a writer beside a retention (ms)", waits.write_longest, "at most", 250),
        ],
    )


if __name__ == "__main__":
    print(report())
