"""Columns that Chest knows and a table of SQLite lacks, because another release made it."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from chest.chests.query import Query
from chest.chests.sql.sqlite.chest import SQLiteChest
from chest.errors import SchemaMismatch
from tests.support import make_record

Execute = Callable[[str], list[tuple[Any, ...]]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "chest.sqlite3"


@pytest.fixture
def chest(path: Path) -> Iterator[SQLiteChest]:
    """A chest that is closed, whose table has one record."""
    with SQLiteChest(f"sqlite:///{path}") as chest:
        chest.write([make_record(route="/before")])
        chest.close()
        yield chest


@pytest.fixture
def execute(path: Path) -> Execute:
    def run(statement: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(path)) as connection, connection:
            return connection.execute(statement).fetchall()

    return run


def drop(execute: Execute, *columns: str) -> None:
    for column in columns:
        execute(f"ALTER TABLE chest_records DROP COLUMN {column}")


def make_strict(execute: Execute) -> None:
    """The same table, but STRICT: it has no type BIGINT, so the column ``status`` cannot be added."""
    (text,) = execute("SELECT sql FROM sqlite_schema WHERE name = 'chest_records'")[0]
    execute("DROP VIEW chest_variables")
    execute("ALTER TABLE chest_records RENAME TO old_records")
    plain = text.replace("BIGINT", "INT").replace("JSON", "TEXT").replace("status INT, ", "")
    execute(f"{plain} STRICT")
    there = "id, request_id, time_ns, duration_ns, method, path, route, outcome, error, variables, attributes, service, release, host, stored_at"
    execute(f"INSERT INTO chest_records ({there}) SELECT {there} FROM old_records")
    execute("DROP TABLE old_records")


def test_a_column_that_may_be_null_is_added_and_written(chest: SQLiteChest, execute: Execute) -> None:
    drop(execute, "route", "status", "error")
    record = make_record(route="/after", status=503, error="LookupError")
    chest.write([record])
    assert execute("SELECT route, status, error FROM chest_records ORDER BY seq") == [
        (None, None, None),
        ("/after", 503, "LookupError"),
    ]
    assert [stored.record for stored in chest.read()][1] == record
    assert [stored.record.route for stored in chest.read(Query(route="/after"))] == ["/after"]


def test_a_table_that_lacks_columns_is_read_with_their_defaults(chest: SQLiteChest, execute: Execute) -> None:
    drop(execute, "route", "status")
    (stored,) = chest.read()
    assert (stored.record.route, stored.record.status) == (None, None)
    assert chest.read(Query(route="/before")) == []
    assert chest.read(Query(statuses=range(200, 300))) == []
    (encoded,) = chest.read_encoded()
    assert (encoded.record.route, encoded.record.host) == (None, "test")
    assert chest.newest() == 1
    backend = chest.retention()
    assert backend.used_bytes() > 0
    backend.close()
    assert "status" not in execute("SELECT sql FROM sqlite_schema WHERE name = 'chest_records'")[0][0]


def test_a_column_that_cannot_be_added_is_done_without_and_that_is_said_once(
    chest: SQLiteChest, execute: Execute, caplog: pytest.LogCaptureFixture
) -> None:
    make_strict(execute)
    records = [make_record(status=503), make_record(status=404)]
    with caplog.at_level(logging.INFO):
        for record in records:
            chest.write([record, record])
            chest.close()  # the next write looks again
    assert [stored.record for stored in chest.read()][1:] == [record._replace(status=None) for record in records]
    (message,) = caplog.messages
    assert "the table chest_records has no column status, and adding it was refused" in message
    assert message.endswith('Run as the owner of the table: ALTER TABLE "chest_records" ADD COLUMN status BIGINT')
    chest.check()
    assert any("has no column status. Chest adds it with the next record if it may" in each for each in chest.notices())


def test_the_note_of_a_killed_request_gives_way_though_the_table_lacks_columns(
    chest: SQLiteChest, execute: Execute
) -> None:
    make_strict(execute)
    record = make_record()
    chest.write([record._replace(outcome="killed", variables={}, status=None)])
    chest.write([record])
    assert [stored.record for stored in chest.read()][1:] == [record._replace(status=None)]


def test_what_is_added_later_by_hand_is_written_by_the_next_connection(chest: SQLiteChest, execute: Execute) -> None:
    make_strict(execute)
    chest.write([make_record(status=1)])
    execute("ALTER TABLE chest_records ADD COLUMN status INT")
    chest.close()
    chest.write([make_record(status=2)])
    assert [stored.record.status for stored in chest.read()] == [None, None, 2]
    chest.check()
    assert not any("has no column" in each for each in chest.notices())


@pytest.mark.parametrize("column", ["time_ns", "host", "outcome", "attributes"])
def test_a_column_that_may_not_be_null_is_needed(chest: SQLiteChest, execute: Execute, column: str) -> None:
    execute("DROP VIEW chest_variables")
    if column == "time_ns":
        execute("DROP INDEX chest_records_time_ns")
        drop(execute, "recorded_at")
    drop(execute, column)
    before = execute("SELECT sql FROM sqlite_schema")
    for act in (chest.check, chest.read, lambda: chest.write([make_record()])):
        with pytest.raises(SchemaMismatch, match=f"column {column} is missing"):
            act()
    assert execute("SELECT sql FROM sqlite_schema") == before
