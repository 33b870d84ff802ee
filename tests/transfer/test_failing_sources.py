"""A real source that fails in the middle of a run: the next tick goes on from the cursor, and everything arrives once."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from chest.chests.contract import ReadableChest
from chest.chests.registry import open_chest
from chest.chests.sql.sqlite.chest import SQLiteChest
from chest.record.record import Record
from chest.transfer import ScheduledTransfer
from tests.servers.database import DatabaseServer
from tests.servers.fault_proxy import Fault, FaultProxy, fault_proxy
from tests.support import make_record, wait_until
from tests.transfer.conftest import LogChest

RECORDS = 2000
BATCH = 250


class FaultyLog(LogChest):
    """Knows no ``id``, and lets something happen at its third batch."""

    def __init__(self, happens: Callable[[], object]) -> None:
        super().__init__()
        self._happens = happens

    def write(self, records: Sequence[Record]) -> None:
        if self.writes == 2:
            self._happens()
        super().write(records)


def _fill(url: str) -> list[str]:
    names = [str(place) for place in range(RECORDS)]
    with open_chest(url) as chest:
        chest.write([make_record(path=name) for name in names])
    return names


@contextmanager
def _exporting(source: str | ReadableChest, target: LogChest, **options: object) -> Iterator[ScheduledTransfer]:
    exporter = ScheduledTransfer(source, target, 0.5, batch_records=BATCH, **options)
    exporter.start()
    try:
        yield exporter
    finally:
        exporter.shutdown()


@pytest.fixture
def proxy(postgresql: DatabaseServer) -> Iterator[FaultProxy]:
    with fault_proxy(postgresql.port) as proxy:
        yield proxy


@pytest.mark.parametrize(
    ("fault", "marker"),
    [(Fault.CUT_BEFORE, b"ORDER BY"), (Fault.REPLY_LOST, b"ORDER BY"), (Fault.RESET, b"")],
    ids=["before a page is asked for", "during a page", "all connections at once"],
)
def test_a_postgresql_that_is_cut_off_amid_a_run(
    postgresql: DatabaseServer, proxy: FaultProxy, fault: Fault, marker: bytes
) -> None:
    database = postgresql.new_database()
    names = _fill(postgresql.url(database))

    def cut() -> None:
        proxy.set(fault, marker)
        if fault is Fault.RESET:
            proxy.heal()

    log = FaultyLog(cut)
    with _exporting(postgresql.url(database, port=proxy.port), log) as exporter:
        wait_until(lambda: len(log.records) >= RECORDS)
        wait_until(lambda: exporter.stats()["runs"] >= 1)
        stats = exporter.stats()
    if fault is not Fault.RESET:  # each use makes a new connection where the one that waits is gone
        assert stats["failed_runs"] >= 1
    assert stats["last_error"] is None
    sent_twice = BATCH if fault is Fault.RESET else 0  # the place cannot be kept, and it knows no id
    assert sorted(set(log.paths), key=int) == names
    assert len(log.paths) <= RECORDS + sent_twice


def test_a_postgresql_that_restarts_amid_a_run() -> None:
    from tests.servers.postgresql import postgresql

    with postgresql() as server:
        url = server.new_url()
        names = _fill(url)

        log = FaultyLog(server.server.stop)
        with _exporting(url, log) as exporter:
            wait_until(lambda: exporter.stats()["failed_runs"] >= 2, 60)
            assert "cannot be used" in str(exporter.last_error)
            server.server.start()
            wait_until(lambda: len(set(log.paths)) >= RECORDS, 60)
            wait_until(lambda: exporter.stats()["last_error"] is None)
            assert exporter.stats()["failed_runs"] >= 1
    assert sorted(set(log.paths), key=int) == names
    assert len(log.paths) <= RECORDS + BATCH


def test_a_sqlite_that_another_program_has_locked(tmp_path: Path) -> None:
    """As a program does that keeps a transaction open: it can be read, and where we are cannot be kept."""
    url = f"sqlite:///{tmp_path / 'source.sqlite3'}?busy_timeout_ms=50"
    names = _fill(url)
    log = LogChest()
    with closing(sqlite3.connect(tmp_path / "source.sqlite3")) as theirs:
        theirs.execute("BEGIN IMMEDIATE")
        with _exporting(url, log, directory=None) as exporter:
            wait_until(lambda: exporter.stats()["failed_runs"] >= 3)
            assert "locked" in str(exporter.last_error)
            assert log.records == [], "nothing is sent of which it could not be remembered that it was"
            theirs.rollback()
            wait_until(lambda: len(log.records) >= RECORDS)
            wait_until(lambda: exporter.last_error is None)
    assert log.paths == names


def test_a_sqlite_that_is_locked_amid_a_run(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'source.sqlite3'}?busy_timeout_ms=50"
    names = _fill(url)
    with closing(sqlite3.connect(tmp_path / "source.sqlite3", check_same_thread=False)) as theirs:
        log = FaultyLog(lambda: theirs.execute("BEGIN IMMEDIATE"))
        with _exporting(url, log) as exporter:
            wait_until(lambda: exporter.stats()["failed_runs"] >= 3)
            assert len(log.records) == 3 * BATCH, (
                "of the batch in hand it cannot be remembered that it was sent; no other"
            )
            theirs.rollback()
            wait_until(lambda: len(log.records) >= RECORDS + BATCH)
            wait_until(lambda: exporter.last_error is None)
    assert sorted(set(log.paths), key=int) == names
    assert len(log.paths) == RECORDS + BATCH


def test_a_sqlite_that_cannot_be_read_at_all(tmp_path: Path) -> None:
    """As a program does that wants the file for itself."""
    url = f"sqlite:///{tmp_path / 'source.sqlite3'}?busy_timeout_ms=50"
    names = _fill(url)
    log = LogChest()
    with closing(sqlite3.connect(tmp_path / "source.sqlite3", isolation_level=None)) as theirs:
        theirs.execute("PRAGMA locking_mode = EXCLUSIVE")
        theirs.execute("BEGIN EXCLUSIVE")
        with _exporting(url, log) as exporter:
            wait_until(lambda: exporter.stats()["failed_runs"] >= 2)
            assert "locked" in str(exporter.last_error)
            theirs.close()
            wait_until(lambda: len(log.records) >= RECORDS)
            wait_until(lambda: exporter.last_error is None)
    assert log.paths == names


def test_a_source_that_is_locked_sends_nothing_twice_to_a_target_that_knows_ids(tmp_path: Path) -> None:
    source, target = (f"sqlite:///{tmp_path / name}" for name in ("source.sqlite3", "target.sqlite3"))
    names = _fill(f"{source}?busy_timeout_ms=50")
    with closing(sqlite3.connect(tmp_path / "source.sqlite3")) as theirs, SQLiteChest(target) as chest:
        theirs.execute("BEGIN IMMEDIATE")
        exporter = ScheduledTransfer(f"{source}?busy_timeout_ms=50", chest, 0.5, batch_records=BATCH)
        exporter.start()
        wait_until(lambda: exporter.stats()["failed_runs"] >= 2)
        theirs.rollback()
        wait_until(lambda: exporter.stats()["runs"] >= 1)
        exporter.shutdown()
        assert [stored.record.path for stored in chest.read(limit=2 * RECORDS)] == names
