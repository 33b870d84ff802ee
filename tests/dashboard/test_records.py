"""The endpoints about single records: newest first, page by page, and what comes meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chest.chests import NdjsonChest
from chest.chests.contract import Cursor, Latest, ReadableChest, StoredRecord
from chest.chests.memory import MemoryChest
from chest.chests.query import EVERYTHING, Query
from chest.dashboard import ChestPage
from chest.record.record import Record
from chest.testing.records import make_record
from tests.dashboard.conftest import NOON_NS, Get, ask


def _ids(answer: dict) -> list[str]:  # type: ignore[type-arg]
    return [record["id"] for record in answer["records"]]


def test_records_come_newest_first_and_page_by_page(get: Get, records: list[Record]) -> None:
    expected = [record.id for record in reversed(records) if record.route == "/pay"]
    found, place = [], ""
    while True:
        answer = get(f"/api/records?filter=route=/pay&limit=30&before_id={place}").json
        found += _ids(answer)
        assert answer["basis"]["exact"]
        place = answer["next"]
        if place is None:
            break
    assert found == expected


def test_a_record_is_as_chest_find_writes_it_and_has_numbers_that_javascript_can_hold(get: Get) -> None:
    (found,) = get("/api/records?limit=1").json["records"]
    assert (found["seq"], found["time"], found["request_id"]) == (400, "2026-01-01T12:59:51.000000Z", "request-399")
    assert found["variables"] == {"plan": "pro", "user_id": 39, "note": "<script>alert(1)</script>"}
    assert (found["time_ms"], found["duration_ms"]) == ((NOON_NS + 399 * 9 * 10**9) / 1e6, 200.399)


def test_what_comes_is_asked_for_behind_the_newest(get: Get, chest: MemoryChest) -> None:
    newest = get("/api/records?filter=status=418&limit=5").json["newest"]
    assert newest == 400
    answer = get(f"/api/records?after_id={newest}").json
    assert (answer["records"], answer["next"], answer["newest"]) == ([], None, 400)
    assert answer["basis"]["complete"]
    chest.write([make_record(id=f"{1000 + place:032x}", time_ns=NOON_NS - place) for place in range(3)])
    answer = get(f"/api/records?after_id={newest}").json
    assert _ids(answer) == [f"{1000 + place:032x}" for place in (2, 1, 0)], "late ones are not missed"
    assert answer["newest"] == 403
    assert get(f"/api/records?filter=status=418&after_id={newest}").json["newest"] == 403, "they were looked at"


def test_the_id_of_a_record_is_a_place_too(get: Get, records: list[Record]) -> None:
    answer = get(f"/api/records?limit=2&before_id={records[10].id}").json
    assert _ids(answer) == [records[9].id, records[8].id]
    assert _ids(get(f"/api/records?after_id={records[397].id}").json) == [records[399].id, records[398].id]
    unknown = get(f"/api/records?after_id={'f' * 32}")
    assert (unknown.status, unknown.json["parameter"]) == (400, "after_id")


def test_records_as_csv_have_a_row_each(get: Get) -> None:
    lines = get("/api/records.csv?limit=3").body.decode().splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("seq,stored_at,time,id,request_id")


def test_a_record_is_found_by_its_id_and_by_its_requests(get: Get, chest: MemoryChest, records: list[Record]) -> None:
    begin_ns = records[7].time_ns
    chest.write(
        [
            make_record(id="e" * 32, request_id="request-7", method="JOB", time_ns=begin_ns + 1),
            make_record(id="d" * 32, request_id="request-7", service="mail", time_ns=begin_ns + 2),
        ]
    )
    for wanted in (records[7].id, "request-7"):
        found = get(f"/api/record/{wanted}").json
        assert found["record"]["id"] == records[7].id
        assert [each["id"] for each in found["children"]] == ["e" * 32]
        assert [each["id"] for each in found["related"]] == ["d" * 32]


def test_the_records_of_a_request_are_looked_for_within_a_budget(
    get: Get, records: list[Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No index tells them: it could take as long as reading the whole store."""
    asked: list[tuple[Query, float | None]] = []

    def latest(self: MemoryChest, query: Query = EVERYTHING, **options: Any) -> Latest:
        asked.append((query, options.get("seconds")))
        return ReadableChest.latest(self, query, **options)

    monkeypatch.setattr(MemoryChest, "latest", latest, raising=False)
    get(f"/api/record/{records[7].id}")
    assert [seconds for query, seconds in asked if query.request_id == "request-7"] != []
    assert all(seconds is not None for _, seconds in asked)


def test_a_record_has_those_of_the_same_user_host_and_worker_before_and_after_it(
    get: Get, records: list[Record]
) -> None:
    found = get(f"/api/record/{records[60].id}").json
    assert found["previous"] == {"user": records[20].id, "host": records[59].id, "worker": records[59].id}
    assert found["next"] == {"user": records[100].id, "host": records[61].id, "worker": records[61].id}
    assert get(f"/api/record/{records[0].id}").json["previous"] == {"user": None, "host": None, "worker": None}


def test_an_id_that_no_record_has_is_404_and_a_sentence(get: Get) -> None:
    for wanted in ("f" * 32, "nothing", "<script>", "a/b"):
        answer = get(f"/api/record/{wanted}")
        assert answer.status == 404
        assert f"has no record whose id is {wanted}" in answer.json["error"]


def test_large_records_come_in_shorter_pages(get: Get, chest: MemoryChest) -> None:
    large = {f"name_{place}": "x" * 100 for place in range(10_000)}
    chest.write([make_record(id=f"{5000 + place:032x}", variables=large) for place in range(5)])
    found, place = [], ""
    while len(found) < 5:
        answer = get(f"/api/records?limit=5&before_id={place}")
        assert len(answer.body) < 5_000_000
        found += _ids(answer.json)
        place = answer.json["next"]
    assert found[:5] == [f"{5000 + place:032x}" for place in (4, 3, 2, 1, 0)]


def test_what_json_has_no_word_for_is_null(get: Get, chest: MemoryChest) -> None:
    chest.write([make_record(variables={"a": float("nan"), "b": [float("inf"), 2**60, "\ud800"]})])
    (found,) = get("/api/records?limit=1").json["records"]
    assert found["variables"] == {"a": None, "b": [None, 2**60, "?"]}


def test_what_comes_between_two_looks_is_answered_once(
    get: Get, chest: MemoryChest, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = chest.read

    def one_comes_first(*arguments: Any, **options: Any) -> list[StoredRecord]:
        monkeypatch.setattr(chest, "read", read)
        chest.write([make_record(id="c" * 32)])
        return read(*arguments, **options)

    monkeypatch.setattr(chest, "read", one_comes_first)
    answer = get("/api/records?after_id=400").json
    assert (_ids(answer), answer["newest"]) == (["c" * 32], 401)
    assert _ids(get("/api/records?after_id=401").json) == []


def test_the_first_records_of_an_empty_store_come_behind_0() -> None:
    chest = MemoryChest()
    page = ChestPage(chest, allow="everybody", seconds=30)
    answer = ask(page, "/api/records?after_id=0").json
    assert (answer["records"], answer["next"], answer["newest"]) == ([], None, 0), "where to go on"
    chest.write([make_record(id="c" * 32)])
    answer = ask(page, "/api/records?after_id=0").json
    assert (_ids(answer), answer["newest"]) == (["c" * 32], 1)


def test_a_place_in_a_file_of_lines_is_taken_as_it_was_given(tmp_path: Path, records: list[Record]) -> None:
    with NdjsonChest(f"ndjson:{tmp_path}/chest.ndjson.gz") as chest:
        chest.write(records[:3])
        page = ChestPage(chest, allow="everybody", seconds=30)
        newest = ask(page, "/api/records").json["newest"]
        chest.write(records[3:5])
        assert _ids(ask(page, f"/api/records?after_id={newest}").json) == [records[4].id, records[3].id]
        assert len(_ids(ask(page, "/api/records?after_id=0").json)) == 5
        for place in ("7", "1:2:3", "a:b", "1:"):
            assert ask(page, f"/api/records?after_id={place}").status == 400


def _comes_after_newest(monkeypatch: pytest.MonkeyPatch, chest: MemoryChest | NdjsonChest, record: Record) -> None:
    """The record is stored once ``newest`` is answered, before anything else is."""
    newest = chest.newest

    def one_comes_then() -> Cursor | None:
        monkeypatch.setattr(chest, "newest", newest)
        place = newest()
        chest.write([record])
        return place

    monkeypatch.setattr(chest, "newest", one_comes_then)


def test_what_comes_while_the_last_are_read_is_answered_once(
    get: Get, chest: MemoryChest, monkeypatch: pytest.MonkeyPatch, records: list[Record]
) -> None:
    _comes_after_newest(monkeypatch, chest, make_record(id="c" * 32))
    answer = get("/api/records?limit=1").json
    come = get(f"/api/records?after_id={answer['newest']}").json
    assert _ids(answer) + _ids(come) == [records[-1].id, "c" * 32]


def test_what_comes_while_an_empty_store_is_read_is_answered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    chest = MemoryChest()
    page = ChestPage(chest, allow="everybody", seconds=30)
    _comes_after_newest(monkeypatch, chest, make_record(id="c" * 32))
    answer = ask(page, "/api/records").json
    assert (answer["records"], answer["newest"], answer["basis"]["exact"]) == ([], None, True)
    assert _ids(ask(page, "/api/records?after_id=0").json) == ["c" * 32]


def test_what_comes_while_a_file_of_lines_is_read_is_answered_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, records: list[Record]
) -> None:
    with NdjsonChest(f"ndjson:{tmp_path}/chest.ndjson.gz") as chest:
        chest.write(records[:3])
        page = ChestPage(chest, allow="everybody", seconds=30)
        _comes_after_newest(monkeypatch, chest, records[3])
        answer = ask(page, "/api/records?limit=4").json
        come = ask(page, f"/api/records?after_id={answer['newest']}").json
        assert sorted(_ids(answer) + _ids(come)) == sorted(record.id for record in records[:4])


def test_large_records_come_behind_a_place_in_shorter_pages(get: Get, chest: MemoryChest) -> None:
    large = {f"name_{place}": "x" * 100 for place in range(10_000)}
    chest.write([make_record(id=f"{5000 + place:032x}", variables=large) for place in range(5)])
    found: list[str] = []
    place = 400
    while place < 405:
        answer = get(f"/api/records?limit=200&after_id={place}")
        assert len(answer.body) < 5_000_000
        found += reversed(_ids(answer.json))
        place = answer.json["newest"]
    assert found == [f"{5000 + place:032x}" for place in range(5)]
