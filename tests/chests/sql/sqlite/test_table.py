"""The table of an SQL chest, and a table that is there already."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chest.chests.sql.sqlite.chest import SQLiteChest
from chest.errors import ChestUnavailable, SchemaMismatch
from chest.record.record import Record
from chest.testing.records import make_record

Execute = Callable[..., list[tuple[Any, ...]]]
MakeOtherTable = Callable[[str, str], None]


def test_the_table_has_a_column_for_each_field_and_seq_and_stored_at(chest: SQLiteChest, execute: Execute) -> None:
    chest.open()
    columns = [name for _, name, *_ in execute("PRAGMA table_info(chest_records)")]
    assert columns == ["seq", *Record._fields, "stored_at"]


def test_time_has_an_index_and_request_id_has_none(chest: SQLiteChest, execute: Execute) -> None:
    chest.open()
    assert _indexed(execute) == {"time_ns", "id"}


def test_request_id_has_an_index_when_asked_for_in_a_table_that_is_there_too(
    chest: SQLiteChest, url: str, execute: Execute
) -> None:
    chest.write([make_record(request_id="a")])
    with SQLiteChest(f"{url}?index=request_id") as indexed:
        indexed.open()
        assert _indexed(execute) == {"time_ns", "id", "request_id"}
        plan = execute("EXPLAIN QUERY PLAN SELECT * FROM chest_records WHERE request_id = 'a'")
        assert "chest_records_request_id" in str(plan)


def test_the_table_is_made_with_its_index_or_not_at_all(chest: SQLiteChest, execute: Execute) -> None:
    execute("CREATE TABLE chest_records_time_ns (a)")
    with pytest.raises(ChestUnavailable, match="already a table named"):
        chest.open()
    assert execute("SELECT name FROM sqlite_schema") == [("chest_records_time_ns",)]


def test_an_index_that_the_user_dropped_stays_dropped(chest: SQLiteChest, execute: Execute) -> None:
    chest.open()
    execute("DROP INDEX chest_records_time_ns")
    chest.close()
    chest.write([make_record()])
    assert _indexed(execute) == {"id"}


def test_the_view_shows_one_row_a_variable(chest: SQLiteChest, execute: Execute) -> None:
    chest.write(
        [make_record(request_id="r", time_ns=1_700_000_000_123_456_789, variables={"user": "7", "n": 3, "b": True})]
    )
    assert execute("SELECT request_id, name, value, recorded_at FROM chest_variables") == [
        ("r", "user", "7", "2023-11-14T22:13:20.123Z"),
        ("r", "n", 3, "2023-11-14T22:13:20.123Z"),
        ("r", "b", 1, "2023-11-14T22:13:20.123Z"),
    ]


OLDER_VIEW = """CREATE VIEW IF NOT EXISTS "chest_variables" (request_id, name, value, recorded_at) AS\
 SELECT r.request_id, v.key, v.value, strftime('%Y-%m-%dT%H:%M:%fZ', r.time_ns / 1e9, 'unixepoch')\
 FROM "chest_records" AS r, json_each(r.variables) AS v"""
"""As it was made before it had ``id``."""


def test_the_view_tells_requests_apart_that_share_their_request_id(chest: SQLiteChest, execute: Execute) -> None:
    records = [make_record(request_id="a client's", variables={"user": number}) for number in (7, 8)]
    chest.write(records)
    joined = "SELECT r.id, v.value FROM chest_records AS r JOIN chest_variables AS v USING (id) ORDER BY r.seq"
    assert execute(joined) == [(records[0].id, 7), (records[1].id, 8)]


def test_a_view_that_an_earlier_release_made_is_made_anew_and_one_of_the_user_s_is_left_alone(
    chest: SQLiteChest, execute: Execute
) -> None:
    chest.write([record := make_record(variables={"a": 1})])
    for older, columns in ((OLDER_VIEW, "id, value"), (OLDER_VIEW.replace("v.value,", "'mine',"), "value, value")):
        chest.close()
        execute("DROP VIEW chest_variables")
        execute(older)
        chest.write([make_record(variables={})])
        assert execute(f"SELECT {columns} FROM chest_variables") == [
            (record.id, 1) if columns.startswith("id") else ("mine", "mine")
        ]


def test_the_time_of_the_request_stands_beside_its_nanoseconds(chest: SQLiteChest, execute: Execute) -> None:
    chest.write([make_record(time_ns=1_700_000_000_123_456_789)])
    assert execute("SELECT recorded_at FROM chest_records") == [("2023-11-14T22:13:20.123Z",)]


def test_the_view_of_another_table_has_another_name(url: str, execute: Execute) -> None:
    with SQLiteChest(f"{url}?table=requests") as chest:
        chest.write([make_record(variables={"a": 1})])
    assert execute("SELECT name, value FROM requests_variables") == [("a", 1)]


def test_a_view_that_cannot_be_made_does_not_matter(chest: SQLiteChest, execute: Execute) -> None:
    execute("CREATE TABLE mine (a)")
    execute("CREATE INDEX chest_variables ON mine (a)")
    chest.write([make_record()])
    assert len(chest.read()) == 1
    assert execute("SELECT name FROM sqlite_schema WHERE type = 'view'") == []


def test_columns_that_the_user_added_are_tolerated(chest: SQLiteChest, execute: Execute) -> None:
    chest.open()
    execute("ALTER TABLE chest_records ADD COLUMN note TEXT")
    execute("ALTER TABLE chest_records ADD COLUMN kept INTEGER NOT NULL DEFAULT 1")
    execute("ALTER TABLE chest_records ADD COLUMN user_id TEXT AS (json_extract(variables, '$.user_id'))")
    chest.close()
    chest.check()
    record = make_record(variables={"user_id": "7"})
    chest.write([record])
    assert [stored.record for stored in chest.read()] == [record]
    assert execute("SELECT note, kept, user_id FROM chest_records") == [(None, 1, "7")]


def test_a_table_that_lacks_columns_is_refused_with_what_differs_and_what_to_do(
    chest: SQLiteChest, execute: Execute
) -> None:
    execute("CREATE TABLE chest_records (seq INTEGER PRIMARY KEY, id TEXT UNIQUE, request_id TEXT)")
    before = execute("SELECT sql FROM sqlite_schema")
    for call in (chest.open, chest.check, chest.read, chest.newest, lambda: chest.write([make_record()])):
        with pytest.raises(
            SchemaMismatch, match=r"column time_ns is missing; .* and \d+ more.*Rename the table.*\?table="
        ):
            call()
    assert execute("SELECT sql FROM sqlite_schema") == before


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        (("time_ns BIGINT", "time_ns TEXT"), "column time_ns has the type TEXT, and BIGINT is needed"),
        (("variables JSON", "variables INTEGER"), "column variables has the type INTEGER, and JSON is needed"),
        (("host TEXT", "host BLOB"), "column host has the type BLOB, and TEXT is needed"),
        (("stored_at TEXT", "stored_at INTEGER"), "column stored_at has the type INTEGER, and TEXT is needed"),
        (("route TEXT", "route TEXT NOT NULL"), "column route is NOT NULL, but must accept NULL"),
        (("UNIQUE (id)", "UNIQUE (id, host)"), "column id is not UNIQUE"),
        (("PRIMARY KEY AUTOINCREMENT", ""), "column seq is not the primary key"),
        (("host TEXT", "mine TEXT NOT NULL, host TEXT"), "column mine is not Chest's and is NOT NULL without a"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(
    chest: SQLiteChest, make_other_table: MakeOtherTable, change: tuple[str, str], difference: str
) -> None:
    make_other_table(*change)
    with pytest.raises(SchemaMismatch) as refusal:
        chest.open()
    assert difference in str(refusal.value)


@pytest.mark.parametrize(
    "change",
    [
        ("time_ns BIGINT", "time_ns INTEGER"),
        ("variables JSON", "variables TEXT"),
        ("id TEXT", "id VARCHAR(32)"),
        ("stored_at TEXT", "stored_at DATETIME"),
        ("UNIQUE (id)", "CHECK (status < 1000), UNIQUE (id)"),
    ],
)
def test_a_table_of_other_types_that_hold_the_same_is_taken(
    chest: SQLiteChest, make_other_table: MakeOtherTable, change: tuple[str, str]
) -> None:
    make_other_table(*change)
    record = make_record()
    chest.write([record])
    assert [stored.record for stored in chest.read()] == [record]


def test_id_may_be_unique_by_an_index(chest: SQLiteChest, execute: Execute, make_other_table: MakeOtherTable) -> None:
    make_other_table("UNIQUE (id)", "CHECK (1)")
    execute("CREATE UNIQUE INDEX mine ON chest_records (id)")
    record = make_record()
    chest.write([record, record])
    assert len(chest.read()) == 1


def test_after_a_mismatch_was_mended_the_chest_goes_on(chest: SQLiteChest, execute: Execute) -> None:
    execute("CREATE TABLE chest_records (seq INTEGER PRIMARY KEY)")
    with pytest.raises(SchemaMismatch):
        chest.write([make_record()])
    execute("ALTER TABLE chest_records RENAME TO old_records")
    chest.write([make_record()])
    assert len(chest.read()) == 1


def _indexed(execute: Execute) -> set[str]:
    """The columns of ``chest_records`` with an index of their own."""
    names = [row[1] for row in execute("PRAGMA index_list(chest_records)")]
    return {execute(f'PRAGMA index_info("{name}")')[0][2] for name in names}
