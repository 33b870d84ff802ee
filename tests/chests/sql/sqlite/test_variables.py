"""The chest of one row a variable."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from chest.chests.sql.sqlite.variables import SQLiteVariables
from chest.errors import ChestUnavailable, RecordRejected, SchemaMismatch
from chest.testing.contract import in_child
from chest.testing.records import make_record

_WRITER = """
import sys
from chest.chests.sql.sqlite.variables import SQLiteVariables
from chest.testing.records import make_record

with SQLiteVariables(sys.argv[1]) as chest:
    sys.stdin.readline()
    for _ in range(20):
        chest.write([make_record(variables={"a": 1, "b": 2}) for _ in range(10)])
"""


@pytest.fixture
def chest(url: str) -> Iterator[SQLiteVariables]:
    with SQLiteVariables(f"{url}?table=variables&busy_timeout_ms=200") as chest:
        yield chest


def test_a_batch_is_a_row_a_variable_in_the_order_of_records_and_variables(
    chest: SQLiteVariables, execute: Any
) -> None:
    chest.write([make_record(request_id="r-1", variables={"b": "x", "a": None}), make_record(variables={})])
    chest.write([])
    chest.write([make_record(request_id="r-2", variables={"c": [1, "é"], "d": False, "e": 1.5})])
    assert execute("SELECT * FROM variables") == [
        (1, "r-1", "b", "x"),
        (2, "r-1", "a", None),
        (3, "r-2", "c", '[1,"é"]'),
        (4, "r-2", "d", "0"),
        (5, "r-2", "e", "1.5"),
    ]


@pytest.mark.parametrize("count", [1, 19, 20, 21, 220, 421])
def test_as_many_rows_as_come_are_stored(chest: SQLiteVariables, execute: Any, count: int) -> None:
    chest.write_triples((f"name-{place}", place, "r") for place in range(count))
    assert execute("SELECT count(*), min(name), max(unique_id) FROM variables") == [(count, "name-0", count)]


def test_a_batch_with_a_variable_that_cannot_be_stored_stores_nothing(chest: SQLiteVariables, execute: Any) -> None:
    chest.open()
    with pytest.raises(RecordRejected):
        chest.write_triples([("good", "1", "r"), ("bad", object(), "r")])
    with pytest.raises(RecordRejected):
        chest.write_triples([("good", "1", "r"), ("bad", "\ud800", "r")])
    assert execute("SELECT count(*) FROM variables") == [(0,)]


def test_a_table_with_columns_of_ones_own_goes_on_to_be_used(chest: SQLiteVariables, execute: Any) -> None:
    execute("CREATE TABLE variables (value TEXT, name TEXT, note TEXT DEFAULT 'mine', request_id TEXT)")
    chest.check()
    chest.write_triples([("a", "1", "r")])
    assert execute("SELECT * FROM variables") == [("1", "a", "mine", "r")]


def test_a_table_without_the_columns_is_refused_and_left_as_it_was(chest: SQLiteVariables, execute: Any) -> None:
    execute("CREATE TABLE variables (id INTEGER, name TEXT)")
    for act in (chest.open, chest.check, lambda: chest.write([make_record()])):
        with pytest.raises(SchemaMismatch, match="no column request_id, value"):
            act()
    assert execute("SELECT count(*) FROM variables") == [(0,)]


def test_a_check_makes_nothing(chest: SQLiteVariables, path: Any) -> None:
    chest.check()
    assert not path.exists()


def test_a_database_that_is_locked_is_unavailable_and_takes_the_batch_later(
    chest: SQLiteVariables, path: Any, execute: Any
) -> None:
    import sqlite3

    chest.open()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(ChestUnavailable, match="locked"):
        chest.write_triples([("a", "1", "r")])
    other.execute("ROLLBACK")
    other.close()
    chest.write_triples([("a", "1", "r")])
    assert execute("SELECT count(*) FROM variables") == [(1,)]


def test_a_closed_chest_is_opened_by_a_write(chest: SQLiteVariables, execute: Any) -> None:
    chest.close()
    chest.write_triples([("a", "1", "r")])
    chest.close()
    chest.close()
    chest.open()
    chest.open()
    chest.write_triples([("b", "2", "r")])
    assert execute("SELECT name FROM variables") == [("a",), ("b",)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_an_open_chest_goes_on_after_a_fork_in_child_and_parent(chest: SQLiteVariables, execute: Any) -> None:
    chest.write_triples([("before", "1", "r")])
    in_child(lambda: chest.write_triples([("child", "1", "r")]))
    chest.write_triples([("after", "1", "r")])
    assert execute("SELECT name FROM variables ORDER BY 1") == [("after",), ("before",), ("child",)]


def test_two_processes_may_make_the_table_and_write_at_once(url: str, execute: Any) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", _WRITER, f"{url}?table=variables"], stdin=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate(timeout=60)
    assert [writer.returncode for writer in writers] == [0, 0]
    assert execute("SELECT count(*) FROM variables") == [(2 * 20 * 10 * 2,)]
