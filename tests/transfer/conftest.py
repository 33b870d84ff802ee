"""What the tests of transfers share."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from chest.chests.contract import Chest, Cursor, ReadableChest, StoredRecord
from chest.chests.memory import MemoryChest
from chest.chests.query import EVERYTHING, Query
from chest.chests.sql.sqlite.chest import SQLiteChest
from chest.chests.upkeep import CoordinationStore
from chest.errors import ChestUnavailable, RecordRejected
from chest.record.record import Record
from chest.transfer.file_coordination import FileCoordinationStore


class LateChest(ReadableChest):
    """A source in which a record may turn up behind those that were read, as where transactions overlap."""

    name = "late:"

    def __init__(self, directory: Path) -> None:
        self.rows: dict[int, StoredRecord] = {}
        self.reads = 0
        self._directory = directory

    def put(self, place: int, record: Record, age: timedelta = timedelta()) -> None:
        """Let a record turn up at a place, as if it had been stored so long ago."""
        self.rows[place] = StoredRecord(place, datetime.now(UTC) - age, record)

    def read(self, query: Query = EVERYTHING, *, after: Cursor | None = None, limit: int = 1000) -> list[StoredRecord]:
        self.reads += 1
        rows = [row for place, row in sorted(self.rows.items()) if place > int(after or 0)]
        return [row for row in rows if query.matches(row.record)][:limit]

    def newest(self) -> Cursor | None:
        return max(self.rows, default=None)

    def remove(self, stored: Sequence[StoredRecord]) -> int:
        return sum(self.rows.pop(int(row.cursor), None) is not None for row in stored)

    def coordination(self) -> CoordinationStore:
        return FileCoordinationStore(self._directory)

    def open(self) -> None: ...
    def write(self, records: Sequence[Record]) -> None: ...
    def check(self) -> None: ...
    def close(self) -> None: ...


class LogChest(Chest):
    """A target that knows no ``id``: whatever comes twice is there twice; it fails and refuses as it is told."""

    name = "log:"
    is_idempotent = False

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.fails_at: set[int] = set()
        self.refused: set[str] = set()
        self.names_refused = True
        self.writes = 0

    @property
    def paths(self) -> list[str]:
        return [record.path for record in self.records]

    def write(self, records: Sequence[Record]) -> None:
        self.writes += 1
        if self.writes in self.fails_at:
            raise ChestUnavailable("log: is down")
        bad = [record.id for record in records if record.path in self.refused]
        if bad:
            raise RecordRejected("log: will not have it", bad if self.names_refused else ())
        self.records += records

    def open(self) -> None: ...
    def check(self) -> None: ...
    def close(self) -> None: ...


@pytest.fixture
def source(tmp_path: Path) -> Iterator[SQLiteChest]:
    with SQLiteChest(f"sqlite:///{tmp_path / 'source.sqlite3'}?busy_timeout_ms=200") as chest:
        yield chest


@pytest.fixture
def execute(tmp_path: Path) -> Callable[[str], None]:
    """Some other program that uses the source's database."""

    def run(statement: str) -> None:
        with closing(sqlite3.connect(tmp_path / "source.sqlite3")) as connection, connection:
            connection.execute(statement)

    return run


@pytest.fixture
def target() -> MemoryChest:
    return MemoryChest()


@pytest.fixture
def log() -> LogChest:
    return LogChest()


@pytest.fixture
def late(tmp_path: Path) -> LateChest:
    return LateChest(tmp_path / "notes")


def paths(chest: Any) -> list[str]:
    return [record.path for record in chest.records]
