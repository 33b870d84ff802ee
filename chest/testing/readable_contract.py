"""``ReadableChestContract``: the contract of chests that give records back, as tests to run over yours.

.. code-block:: python

    class TestMyChest(ReadableChestContract):
        @pytest.fixture
        def chest(self, tmp_path):
            with MyChest(f"mychest:{tmp_path}") as chest:
                yield chest
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from chest.chests.asking.conditions import Name
from chest.chests.contract import Chest, Cursor, ReadableChest, StoredRecord
from chest.chests.query import EVERYTHING, Query
from chest.record.record import Outcome, Record
from chest.testing.contract import ChestContract
from chest.testing.records import make_record

__all__ = ["ReadableChestContract"]

_SECOND_NS: Final = 10**9


class ReadableChestContract(ChestContract):
    """What every readable chest keeps, beside :class:`ChestContract`."""

    def stored_records(self, chest: Chest) -> list[Record]:
        return [stored.record for stored in _read_all(_readable(chest))]

    def test_a_chest_that_holds_nothing_gives_nothing(self, chest: ReadableChest) -> None:
        chest.open()
        assert chest.read() == []
        assert chest.newest() is None

    def test_records_come_in_the_order_of_storing_whatever_their_time(self, chest: ReadableChest) -> None:
        chest.write([make_record(time_ns=300, request_id="a")])
        chest.write([make_record(time_ns=100, request_id="b"), make_record(time_ns=200, request_id="c")])
        assert [stored.record.request_id for stored in chest.read()] == ["a", "b", "c"]

    @pytest.mark.parametrize("limit", [1, 3, 10, 11])
    def test_pages_give_every_record_once_and_the_last_page_is_short(self, chest: ReadableChest, limit: int) -> None:
        chest.write([make_record(request_id=str(place)) for place in range(10)])
        pages = list(_pages(chest, EVERYTHING, limit))
        assert [stored.record.request_id for page in pages for stored in page] == [str(place) for place in range(10)]
        assert all(len(page) == limit for page in pages[:-1])

    def test_reading_after_a_cursor_gives_only_what_was_stored_later(self, chest: ReadableChest) -> None:
        chest.write([make_record(request_id="before")])
        newest = chest.newest()
        assert chest.read(after=newest) == []
        chest.write([make_record(request_id="later")])
        assert [stored.record.request_id for stored in chest.read(after=newest)] == ["later"]
        assert chest.newest() == chest.read()[-1].cursor

    def test_stored_at_is_now_in_utc(self, chest: ReadableChest) -> None:
        chest.write([make_record(time_ns=0)])
        (stored,) = chest.read()
        assert stored.stored_at.utcoffset() == timedelta(0)
        assert abs(datetime.now(UTC) - stored.stored_at) < timedelta(minutes=5)

    def test_a_query_gives_exactly_what_it_matches(self, chest: ReadableChest) -> None:
        records = different_records()
        chest.write(records)
        for query in _queries():
            expected = [record for record in records if query.matches(record)]
            assert 0 < len(expected) < len(records), f"{query} tells nothing apart"
            for limit in (2, 1000):
                found = [stored.record for page in _pages(chest, query, limit) for stored in page]
                assert found == expected, (query, limit)

    def test_a_cube_counts_the_records_that_match(self, chest: ReadableChest) -> None:
        records = different_records()
        chest.write(records)
        for query in (
            EVERYTHING,
            Query(service="shop"),
            Query(statuses=range(500, 600), variables={"plan": "premium"}),
        ):
            matching = [record for record in records if query.matches(record)]
            cube = chest.cube(query, by=[Name("field", "route"), Name("variable", "plan")], seconds=60)
            assert cube.basis.is_exact
            assert sum(cell.records for cell in cube.cells) == len(matching)
            assert sum(cell.total_ns for cell in cube.cells) == sum(record.duration_ns for record in matching)
            assert {cell.group for cell in cube.cells} == {
                (record.route, record.variables.get("plan")) for record in matching
            }

    def test_a_sample_is_of_the_records_that_match(self, chest: ReadableChest) -> None:
        records = different_records()
        chest.write(records)
        query = Query(service="shop")
        matching = [record for record in records if query.matches(record)]
        whole = chest.sample(query, seconds=60)
        assert (whole.is_whole, whole.matching, len(whole.records)) == (True, len(matching), len(matching))
        part = chest.sample(query, size=5, seconds=60)
        assert not part.is_whole
        assert len(part.records) == 5
        assert all(record in matching for record in part.records)
        assert chest.time_range() == (records[0].time_ns, records[-1].time_ns)

    def test_the_latest_records_come_newest_first_and_page_by_page(self, chest: ReadableChest) -> None:
        chest.write(different_records())
        for query in (EVERYTHING, Query(service="shop"), Query(service="no-such")):
            expected = list(reversed(chest.read(query)))
            latest = chest.latest(query, limit=4, seconds=60)
            found = list(latest.records)
            while latest.before is not None:
                latest = chest.latest(query, before=latest.before, limit=4, seconds=60)
                found += latest.records
            assert found == expected, query

    def test_the_following_records_come_in_the_order_of_storing_and_page_by_page(self, chest: ReadableChest) -> None:
        chest.write(different_records())
        for query in (EVERYTHING, Query(service="shop"), Query(service="no-such")):
            page = chest.following(query, limit=4, seconds=60)
            found = list(page.records)
            while page.records:
                page = chest.following(query, after=page.after, limit=4, seconds=60)
                found += page.records
            assert found == chest.read(query), query
            assert page.basis.is_exact

    def test_conditions_all_hold_at_once(self, chest: ReadableChest) -> None:
        chest.write(different_records())
        query = Query(service="blog", statuses=range(500, 600), slower_than_ns=1, variables={"plan": "premium"})
        found = chest.read(query)
        assert found
        assert all(query.matches(stored.record) for stored in found)
        assert chest.read(Query(service="blog", statuses=range(500, 600), route="/no-such")) == []

    def test_what_was_read_can_be_removed_and_the_rest_stays(self, chest: ReadableChest) -> None:
        chest.write([make_record(request_id=str(place)) for place in range(1200)])
        first = chest.read(limit=1100)
        assert chest.remove(first) == 1100
        assert [stored.record.request_id for stored in chest.read()] == [str(place) for place in range(1100, 1200)]
        assert chest.remove(first) == 0
        assert chest.remove([]) == 0

    def test_who_follows_misses_nothing_when_the_newest_was_removed(self, chest: ReadableChest) -> None:
        chest.write([make_record(), make_record()])
        newest = chest.newest()
        chest.remove(chest.read())
        chest.write([make_record(request_id="next")])
        assert [stored.record.request_id for stored in chest.read(after=newest)] == ["next"]

    def test_a_record_takes_the_place_of_the_note_that_its_process_was_killed(self, chest: ReadableChest) -> None:
        _require_ids(chest)
        records, notes = _finished_and_killed(300)
        chest.write(notes)
        newest = chest.newest()
        others = [make_record() for _ in range(4)]
        chest.write(others[:2])
        chest.write([records[0]])
        chest.write([*others[:1], *records[1:], *others])
        assert sorted(self.stored_records(chest)) == sorted(records + others)
        assert {stored.record.id for stored in chest.read(after=newest)} == {record.id for record in records + others}

    def test_a_note_that_a_process_was_killed_takes_the_place_of_no_record(self, chest: ReadableChest) -> None:
        _require_ids(chest)
        records, notes = _finished_and_killed(30)
        chest.write(records)
        newest = chest.newest()
        chest.write([notes[0]])
        chest.write(notes)
        assert self.stored_records(chest) == records
        assert chest.read(after=newest) == []

    def test_of_a_note_and_a_record_in_one_batch_the_record_stays(self, chest: ReadableChest) -> None:
        _require_ids(chest)
        records, notes = _finished_and_killed(6)
        others = [make_record() for _ in range(300)]
        chest.write([records[0], notes[0]])
        chest.write([notes[1], records[1]])
        chest.write([notes[2], records[3], *others, notes[3], records[2], *others[:3], notes[2], records[2]])
        chest.write_new([notes[4], others[0], records[4], records[5], notes[5]])
        assert sorted(self.stored_records(chest)) == sorted(records + others)

    def test_a_note_that_comes_again_stays_where_it_is(self, chest: ReadableChest) -> None:
        _require_ids(chest)
        _, notes = _finished_and_killed(3)
        chest.write(notes)
        newest = chest.newest()
        chest.write(notes)
        assert self.stored_records(chest) == notes
        assert chest.read(after=newest) == []


def _require_ids(chest: Chest) -> None:
    if not chest.is_idempotent:
        pytest.skip("this chest does not tell records by id")


def _finished_and_killed(count: int) -> tuple[list[Record], list[Record]]:
    """Records of requests, and for each the note that its process was killed."""
    records = [make_record(request_id=str(place)) for place in range(count)]
    killed: dict[str, Any] = {"outcome": Outcome.KILLED, "status": None, "duration_ns": 0, "variables": {}}
    return records, [record._replace(**killed) for record in records]


def different_records() -> list[Record]:
    """Records that the queries below tell apart."""
    return [
        make_record(
            request_id=f"request-{place % 4}",
            time_ns=1_000 * _SECOND_NS + place * _SECOND_NS,
            duration_ns=place * 1_000_000,
            route=None if place % 5 == 0 else f"/route-{place % 5}",
            status=(200, 404, 500, 503, None)[place % 5],
            outcome=Outcome.OK if place % 3 else Outcome.ERROR,
            service="shop" if place % 2 else "blog",
            variables=_different_variables()[place % 10],
        )
        for place in range(60)
    ]


def _different_variables() -> list[dict[str, Any]]:
    return [
        {"user_id": "123"},
        {"user_id": 123, "plan": "premium"},
        {"user_id": 123.0, "cart": {"items": 3, "total": 9.5}},
        {"user_id": "1234", "cart.items": 3},
        {"beta": True, "plan": "premium", "big": 1e22},
        {"beta": "true", "plan": "Premium"},
        {"beta": 1, "note": "100% of 'it'_ \"quoted\" \\ ünïcode"},
        {"beta": None, "ratio": 0.1},
        {"user_id": {"id": "123"}, "tags": ["a", "b"], "plan": "premium"},
        {"other": "123 premium true user_id"},
    ]


def _queries() -> list[Query]:
    variables = [
        {"user_id": "123"},
        {"user_id": "123.0"},
        {"user_id.id": "123"},
        {"cart.items": "3"},
        {"cart.total": "9.5"},
        {"beta": "true"},
        {"beta": "1"},
        {"beta": "null"},
        {"plan": "premium"},
        {"plan": "Premium"},
        {"big": "1e22"},
        {"ratio": "0.10"},
        {"tags": '["a", "b"]'},
        {"note": "100% of 'it'_ \"quoted\" \\ ünïcode"},
        {"user_id": "123", "plan": "premium"},
    ]
    return [
        Query(request_id="request-2"),
        Query(service="shop"),
        Query(since_ns=1_010 * _SECOND_NS),
        Query(until_ns=1_010 * _SECOND_NS),
        Query(since_ns=1_010 * _SECOND_NS, until_ns=1_011 * _SECOND_NS),
        Query(route="/route-3"),
        Query(statuses=range(500, 600)),
        Query(statuses=range(404, 405)),
        Query(outcome=Outcome.ERROR),
        Query(slower_than_ns=30_000_000),
        *(Query(variables=each) for each in variables),
    ]


def _readable(chest: Chest) -> ReadableChest:
    assert isinstance(chest, ReadableChest)
    return chest


def _read_all(chest: ReadableChest) -> list[StoredRecord]:
    return [stored for page in _pages(chest, EVERYTHING, 1000) for stored in page]


def _pages(chest: ReadableChest, query: Query, limit: int) -> Iterator[list[StoredRecord]]:
    after: Cursor | None = None
    while True:
        page = chest.read(query, after=after, limit=limit)
        yield page
        if len(page) < limit:
            return
        after = page[-1].cursor
