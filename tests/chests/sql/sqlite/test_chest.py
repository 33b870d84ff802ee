"""The SQL chest, on SQLite: the contract, its table, and what becomes of its errors."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from chest.chests.contract import Query
from chest.chests.sql.sqlite.chest import SQLiteChest
from chest.errors import ChestUnavailable, RecordRejected
from chest.record.encoding import encode, encode_with_json
from chest.testing.records import make_record
from tests.chests.encoded_contract import EncodedContract

Execute = Callable[..., list[tuple[Any, ...]]]
MakeOtherTable = Callable[[str, str], None]


class TestContract(EncodedContract):
    @pytest.fixture
    def chest(self, chest_url: str) -> Iterator[SQLiteChest]:
        with SQLiteChest(chest_url) as chest:
            yield chest

    @pytest.fixture
    def chest_url(self, url: str) -> str:
        # Two writers and many tests on one slow disk: longer than the default.
        return f"{url}?busy_timeout_ms=20000"


class TestContractWithOptions(EncodedContract):
    """Another table, with the index."""

    @pytest.fixture
    def chest(self, chest_url: str) -> Iterator[SQLiteChest]:
        with SQLiteChest(chest_url) as chest:
            yield chest

    @pytest.fixture
    def chest_url(self, url: str) -> str:
        return f"{url}?table=select&index=request_id&busy_timeout_ms=20000"


def test_a_row_can_be_read_with_plain_sql(chest: SQLiteChest, execute: Execute) -> None:
    before = datetime.now(UTC)
    chest.write([make_record(variables={"user_id": "Zoë", "cart": {"items": 3}}, attributes={"a.b": 1}, route=None)])
    ((variables, cart_items, attribute, route, stored_at, types),) = execute(
        "SELECT variables, json_extract(variables, '$.cart.items'), json_extract(attributes, '$.\"a.b\"'), route,"
        " datetime(stored_at), typeof(variables) || typeof(stored_at) || typeof(time_ns) FROM chest_records"
    )
    assert variables == '{"user_id":"Zoë","cart":{"items":3}}'
    assert (cart_items, attribute, route, types) == (3, 1, None, "texttextinteger")
    assert before.replace(microsecond=0) <= datetime.fromisoformat(stored_at + "+00:00") <= datetime.now(UTC)


def test_a_batch_has_one_stored_at_and_counts_up_seq(chest: SQLiteChest, execute: Execute) -> None:
    chest.write([make_record() for _ in range(5)])
    chest.write([make_record()])
    assert [seq for (seq,) in execute("SELECT seq FROM chest_records ORDER BY seq")] == [1, 2, 3, 4, 5, 6]
    assert len(execute("SELECT DISTINCT stored_at FROM chest_records WHERE seq <= 5")) == 1


def test_a_batch_has_no_more_values_a_statement_than_sqlite_takes(chest: SQLiteChest) -> None:
    """999 before SQLite 3.32."""
    with chest.writing.use() as connection:
        connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 999)
    chest.write([make_record(service=f"shop {number % 2}") for number in range(300)])
    assert len(chest.read()) == 300


def test_two_tables_of_one_file_do_not_mix(chest: SQLiteChest, url: str) -> None:
    with SQLiteChest(f"{url}?table=other") as other:
        chest.write([make_record(request_id="here")])
        other.write([make_record(request_id="there")])
        assert [stored.record.request_id for stored in chest.read()] == ["here"]
        assert [stored.record.request_id for stored in other.read()] == ["there"]


def test_a_table_that_was_dropped_is_made_again(chest: SQLiteChest, execute: Execute) -> None:
    chest.write([make_record()])
    execute("DROP TABLE chest_records")
    with pytest.raises(ChestUnavailable, match="no such table"):
        chest.write([make_record()])
    chest.write([make_record(request_id="after")])
    assert [stored.record.request_id for stored in chest.read()] == ["after"]


@pytest.mark.parametrize(
    "change",
    [
        {"time_ns": 2**63},
        {"status": -(2**63) - 1},
        {"path": "lone \ud800 surrogate"},
        {"request_id": None},
        {"method": object()},
        {"variables": {"a": object()}},
        {"attributes": {"a": "\udfff"}},
        pytest.param(
            {"variables": {"a": 2**70}},
            marks=pytest.mark.skipif(encode is encode_with_json, reason="Python's json has no limit for integers"),
        ),
    ],
)
def test_a_record_that_cannot_be_held_is_named_and_nothing_of_its_batch_is_stored(
    chest: SQLiteChest, change: dict[str, Any]
) -> None:
    good = [make_record() for _ in range(3)]
    bad = make_record(**change)
    with pytest.raises(RecordRejected) as refusal:
        chest.write([good[0], bad, *good[1:]])
    assert refusal.value.ids == (bad.id,)
    assert chest.read() == []
    chest.write(good)
    assert [stored.record for stored in chest.read()] == good


def test_no_record_is_refused_for_a_failure_that_is_not_its_own(
    chest: SQLiteChest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise ValueError("a bug, not a record")

    with monkeypatch.context() as broken:
        broken.setattr(chest.writing, "_prepare", fail)
        with pytest.raises(ChestUnavailable, match="none of its records alone"):
            chest.write([make_record()])
    chest.write([make_record()])
    assert len(chest.read()) == 1


def test_a_rule_of_the_users_own_rejects_the_record_that_breaks_it(
    chest: SQLiteChest, make_other_table: MakeOtherTable
) -> None:
    make_other_table("UNIQUE (id)", "CHECK (status < 600), UNIQUE (id)")
    bad = make_record(status=700)
    with pytest.raises(RecordRejected, match="CHECK constraint") as refusal:
        chest.write([make_record(), bad])
    assert refusal.value.ids == (bad.id,)


def test_an_error_shows_neither_values_nor_secrets(
    chest: SQLiteChest, make_other_table: MakeOtherTable, caplog: pytest.LogCaptureFixture
) -> None:
    make_other_table("UNIQUE (id)", "CHECK (status < 600), UNIQUE (id)")
    with caplog.at_level(logging.DEBUG), pytest.raises(RecordRejected) as refusal:
        chest.write([make_record(status=700, variables={"password": "hunter2"})])
    shown: list[str] = []
    error: BaseException | None = refusal.value
    while error is not None:
        shown.append(str(error))
        error = error.__cause__
    assert "hunter2" not in "".join(shown) + caplog.text


def test_values_of_a_query_are_bound(chest: SQLiteChest) -> None:
    chest.write([make_record()])
    attack = "' OR 1=1; DROP TABLE chest_records; --"
    assert chest.read(Query(request_id=attack, service=attack, route=attack, outcome=attack)) == []
    assert chest.read(Query(variables={attack: attack, "%": "_"})) == []
    assert len(chest.read()) == 1


def test_a_query_for_what_no_record_can_hold_finds_what_it_says(chest: SQLiteChest) -> None:
    chest.write([make_record()])
    assert chest.read(Query(request_id="\udcff")) == []
    assert chest.read(Query(variables={"\udcff": "\udcff"})) == []
    assert chest.read(Query(since_ns=10**30)) == []
    assert len(chest.read(Query(since_ns=-(10**30), until_ns=10**30, statuses=range(-(10**30), 10**30)))) == 1
    assert chest.read(Query(slower_than_ns=10**30)) == []


def test_reading_makes_neither_file_nor_table(chest: SQLiteChest, path: Path, execute: Execute) -> None:
    with pytest.raises(ChestUnavailable, match="no such file"):
        chest.read()
    assert not path.exists()
    execute("CREATE TABLE mine (a)")
    with pytest.raises(ChestUnavailable, match=r"no table chest_records.*\?table="):
        chest.newest()
    assert execute("SELECT name FROM sqlite_schema") == [("mine",)]
    assert execute("PRAGMA journal_mode") == [("delete",)]


def test_reading_and_writing_at_once_in_two_threads_disturb_each_other_in_nothing(chest: SQLiteChest) -> None:
    chest.open()
    seen: list[str] = []

    def follow() -> None:
        cursor = None
        while len(seen) < 300:
            for stored in chest.read(after=cursor, limit=70):
                cursor = stored.cursor
                seen.append(stored.record.request_id)

    reader = threading.Thread(target=follow)
    reader.start()
    for batch in range(30):
        chest.write([make_record(request_id=f"{batch}-{place}") for place in range(10)])
    reader.join(timeout=30)
    assert seen == [f"{batch}-{place}" for batch in range(30) for place in range(10)]


def test_a_chest_is_used_from_whichever_thread_calls(chest: SQLiteChest) -> None:
    chest.open()
    thread = threading.Thread(target=lambda: chest.write([make_record()]))
    thread.start()
    thread.join()
    chest.write([make_record()])
    assert len(chest.read()) == 2


def test_removing_leaves_no_transaction_open(chest: SQLiteChest, execute: Execute) -> None:
    chest.write([make_record() for _ in range(3)])
    assert chest.remove(chest.read(limit=2)) == 2
    execute("DELETE FROM chest_records")
    assert chest.read() == []


def test_the_name_says_the_table_only_if_it_is_another(url: str) -> None:
    assert SQLiteChest(f"{url}?busy_timeout_ms=5").name == url
    assert SQLiteChest(f"{url}?table=requests").name == f"{url}?table=requests"
    assert url in repr(SQLiteChest(url))


def test_an_sqlite_error_is_the_cause_of_ours(chest: SQLiteChest, execute: Execute) -> None:
    chest.write([make_record()])
    execute("DROP TABLE chest_records")
    with pytest.raises(ChestUnavailable) as refusal:
        chest.write([make_record()])
    assert isinstance(refusal.value.__cause__, sqlite3.OperationalError)


@pytest.mark.parametrize("reaction", ["ABORT", "FAIL"])
def test_a_trigger_of_the_users_that_forbids_to_delete_keeps_the_note_of_a_killed_request(
    chest: SQLiteChest, execute: Execute, reaction: str
) -> None:
    allowed, forbidden, other = make_record(), make_record(path="/forbidden"), make_record()
    note = forbidden._replace(outcome="killed")
    chest.write([allowed._replace(outcome="killed"), note])
    execute(
        "CREATE TRIGGER forbid BEFORE DELETE ON chest_records WHEN OLD.path = '/forbidden'"
        f" BEGIN SELECT RAISE({reaction}, 'no'); END"
    )
    chest.write([other, forbidden])
    chest.write([allowed, forbidden])
    stored = {stored.record.id: stored.record for stored in chest.read()}
    assert (stored[forbidden.id], stored[other.id], len(stored)) == (note, other, 3)
    chest.write([allowed])
    assert allowed in [stored.record for stored in chest.read()]
