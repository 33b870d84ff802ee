"""``ReadableChestContract``: what every chest keeps that gives records back, as tests to be run over yours.

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

from chest.chests.base import Chest, Cursor, ReadableChest, StoredRecord
from chest.chests.encoded import EncodedRecord, records_of
from chest.chests.query import EVERYTHING, Query
from chest.record import Outcome, Record
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
        records = _different_records()
        chest.write(records)
        for query in _queries():
            expected = [record for record in records if query.matches(record)]
            assert 0 < len(expected) < len(records), f"{query} tells nothing apart"
            for limit in (2, 1000):
                found = [stored.record for page in _pages(chest, query, limit) for stored in page]
                assert found == expected, (query, limit)

    def test_what_is_read_to_be_handed_on_is_the_same(self, chest: ReadableChest) -> None:
        chest.write(_different_records())
        for query in (EVERYTHING, Query(service="blog"), Query(service="blog", variables={"plan": "premium"})):
            expected, found = chest.read(query), chest.read_encoded(query)
            assert [each._replace(record=_plain(each.record)) for each in found] == expected
            assert [each.record.variables for each in found] == [each.record.variables for each in expected]

    def test_what_was_read_to_be_handed_on_can_be_stored(self, chest: ReadableChest) -> None:
        records = _different_records()
        chest.write(records)
        if not chest.takes_encoded:
            pytest.skip("it takes plain records only")
        page = chest.read_encoded()
        assert chest.remove(page[:30]) == 30
        chest.write_new(records_of(page[:20]))
        chest.write([each.record for each in page])
        assert sorted(self.stored_records(chest)) == sorted(records)

    def test_conditions_all_hold_at_once(self, chest: ReadableChest) -> None:
        chest.write(_different_records())
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


def _plain(record: Record) -> Record:
    return record.decoded() if isinstance(record, EncodedRecord) else record


def _different_records() -> list[Record]:
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
