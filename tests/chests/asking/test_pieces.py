"""A cube and a sample within a budget: exact as far as it goes, estimated beyond, and honest about it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from chest.chests.asking.counting_chest import CountingChest
from chest.chests.asking.cube import Cell, CubeQuestion
from chest.chests.asking.durations import BOUNDARIES_NS, bounds_ns, bucket_of, percentile_ns
from chest.chests.asking.following import following_by_pieces
from chest.chests.asking.latest import latest_by_pieces
from chest.chests.asking.pieces import BudgetOver, Extent, cube_by_pieces, drawn_from, records_at, sample_by_pieces
from chest.chests.asking.record_by_record import RecordByRecord
from chest.chests.asking.tally import cell_of
from chest.chests.contract import Cursor, ReadableChest, StoredRecord
from chest.chests.memory import MemoryChest
from chest.chests.query import EVERYTHING, Query
from chest.errors import ChestUnavailable
from chest.record.record import Record
from chest.testing.records import make_record

_RECORDS = [
    make_record(time_ns=place, status=500 if place % 10 == 0 else 200, duration_ns=place) for place in range(20_000)
]
_NOW = datetime(2026, 1, 31, tzinfo=UTC)


class _Store:
    """Answers so many questions, then its budget is over."""

    def __init__(self, answers: int) -> None:
        self._answers = answers
        self.asked: list[tuple[int, int]] = []
        self.fetched = 0

    def _count(self) -> None:
        self._answers -= 1
        if self._answers < 0:
            raise BudgetOver

    def time_range(self, query: Query) -> tuple[int, int] | None:
        return 0, len(_RECORDS) - 1

    def extent(self, query: Query, seconds: float | None) -> Extent | None:
        return Extent(0, len(_RECORDS) - 1, len(_RECORDS))

    def cells(self, query: Query, first: int, last: int, by: Any, step: Any, seconds: float | None) -> Iterator[Cell]:
        self.asked.append((first, last))
        for record in _RECORDS[first : last + 1]:
            if query.matches(record):
                yield cell_of(record, by, step)
        self._count()

    def places(
        self, query: Query, first: int, last: int, seconds: float | None, limit: int | None = None
    ) -> Sequence[int]:
        self._count()
        found = [place for place in range(first, last + 1) if query.matches(_RECORDS[place])][:limit]
        self.fetched += len(found)
        return found

    def stored_at(self, places: Sequence[int]) -> list[StoredRecord]:
        """In any order, as SQL does."""
        return [StoredRecord(place, _NOW, _RECORDS[place]) for place in reversed(places)]

    def drawn(self, first: int, last: int, count: int) -> list[Record]:
        return records_at(self, drawn_from(range(first, last + 1), count))


class _SparseStore(_Store):
    """A place is the microsecond in which a record was stored."""

    @staticmethod
    def place_of(number: int) -> int:
        return 1_767_268_800_000_000 + number * 1000

    def extent(self, query: Query, seconds: float | None) -> Extent | None:
        return Extent(self.place_of(0), self.place_of(len(_RECORDS) - 1), len(_RECORDS))

    def places(
        self, query: Query, first: int, last: int, seconds: float | None, limit: int | None = None
    ) -> Sequence[int]:
        self._count()
        places = map(self.place_of, range(len(_RECORDS)))
        return [place for place in places if first <= place <= last][:limit]

    def stored_at(self, places: Sequence[int]) -> list[StoredRecord]:
        return [StoredRecord(place, _NOW, _RECORDS[(place - self.place_of(0)) // 1000]) for place in places]


class _Chest(CountingChest, MemoryChest):
    """Its questions are for such a store."""

    def __init__(self, store: _Store, newest: int | None) -> None:
        super().__init__()
        self._store, self._newest = store, newest

    def newest(self) -> Cursor | None:
        return self._newest

    @contextmanager
    def _pieces(self) -> Iterator[_Store]:
        yield self._store

    def _can_count(self, query: Query, by: Sequence[Any] = ()) -> bool:
        return True


def test_within_the_budget_every_piece_is_counted_once_the_newest_first() -> None:
    store = _Store(100)
    cube = cube_by_pieces(store, CubeQuestion(EVERYTHING, groups=10, seconds=60))
    assert cube.basis.is_exact
    assert (cube.basis.read, cube.basis.of) == (20_000, 20_000)
    assert sum(cell.records for cell in cube.cells) == 20_000
    assert store.asked[0][1] == 19_999
    assert store.asked == sorted(store.asked, reverse=True)
    assert store.asked[-1][0] == 0


@pytest.mark.parametrize("answers", [0, 1])
def test_what_the_budget_leaves_is_estimated_from_records_at_random_places(answers: int) -> None:
    cube = cube_by_pieces(_Store(answers), CubeQuestion(Query(statuses=range(500, 600)), groups=10, seconds=60))
    assert not cube.basis.is_exact
    assert cube.basis.of == 20_000
    assert 5000 <= cube.basis.read < 20_000
    assert sum(cell.requests for cell in cube.cells) == pytest.approx(2000, rel=0.2)
    assert str(cube.basis).startswith("estimated from ")


def test_a_rare_selection_is_fetched_by_its_places_and_its_count_is_exact() -> None:
    sample = sample_by_pieces(_Store(1), Query(statuses=range(500, 600)), 300, None, is_exact=True)
    assert (sample.matching, len(sample.records), sample.is_whole) == (2000, 300, False)
    assert sample.basis.is_exact
    assert all(record.status == 500 for record in sample.records)


def test_if_a_sample_would_read_most_records_each_is_read_once_and_the_answer_is_exact() -> None:
    class Store(_Store):
        read = 0

        def stored_at(self, places: Sequence[int]) -> list[StoredRecord]:
            self.read += len(places)
            return super().stored_at(places)

    store = Store(0)
    sample = sample_by_pieces(store, Query(statuses=range(200, 300)), 18_500, None, is_exact=True)
    assert (sample.matching, len(sample.records), sample.is_whole) == (18_000, 18_000, True)
    assert sample.basis.is_exact
    assert store.read <= 18_500 + 20_000


def test_a_rare_selection_without_time_for_its_places_is_what_random_places_gave() -> None:
    sample = sample_by_pieces(_Store(0), Query(statuses=range(500, 600)), 300, 60, is_exact=True)
    assert not sample.basis.is_exact
    assert sample.matching == pytest.approx(2000, rel=0.5)
    assert len({record.id for record in sample.records}) == len(sample.records) > 0


def test_a_duration_lies_within_the_bounds_of_its_bucket() -> None:
    for duration_ns in (0, 1, 999, 1000, 1001, 10**6, 10**9, BOUNDARIES_NS[-1] - 1):
        low, high = bounds_ns(bucket_of(duration_ns))
        assert low <= duration_ns < high
    assert bucket_of(10**15) == len(BOUNDARIES_NS)
    assert list(BOUNDARIES_NS) == sorted(set(BOUNDARIES_NS))


def test_a_percentile_out_of_buckets_is_close_to_the_exact_one() -> None:
    durations = sorted(int(10**6 * 1.0007**place) for place in range(5000))
    counts: dict[int, float] = {}
    for duration_ns in durations:
        counts[bucket_of(duration_ns)] = counts.get(bucket_of(duration_ns), 0) + 1
    for share in (0.5, 0.95, 0.99):
        assert percentile_ns(counts, share, durations[-1]) == pytest.approx(durations[int(5000 * share)], rel=0.01)
    assert percentile_ns({}, 0.5) is None


def test_the_latest_are_looked_for_from_the_end_until_there_are_enough() -> None:
    found = latest_by_pieces(_Store(100), Query(statuses=range(500, 600)), None, 30, 60)
    assert [int(stored.cursor) for stored in found.records] == list(range(19_990, 19_690, -10))
    assert found.basis.is_exact
    assert found.basis.read < 2000, "the beginning need not be looked through"


def test_no_more_places_of_the_latest_are_in_memory_than_a_stretch_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chest.chests.asking.latest._LONGEST_STRETCH", 500)
    store = _Store(100)
    found = latest_by_pieces(store, Query(until_ns=15_000), None, 60, 60)
    assert [int(stored.cursor) for stored in found.records] == list(range(14_999, 14_939, -1))
    assert 60 <= store.fetched <= 500
    assert found.basis.is_exact


def test_if_the_budget_ends_the_latest_that_were_found_are_told_and_how_many_records_were_looked_through() -> None:
    found = latest_by_pieces(_Store(1), Query(statuses=range(500, 600)), None, 30, 60)
    assert [int(stored.cursor) for stored in found.records] == list(range(19_990, 19_879, -10))
    assert found.basis[:3] == (False, 120, 20_000)
    assert found.before == 19_880


def test_the_latest_say_where_to_go_on_until_there_are_no_more() -> None:
    places, before = list[int](), None
    while True:
        found = latest_by_pieces(_Store(2), Query(statuses=range(500, 600)), before, 30, 60)
        places += [int(stored.cursor) for stored in found.records]
        before = None if found.before is None else int(found.before)
        if before is None:
            break
    assert places == list(range(19_990, -1, -10))


def test_the_following_are_looked_for_from_a_place_on_until_there_are_enough() -> None:
    store = _Store(100)
    found = following_by_pieces(store, Query(statuses=range(500, 600)), 100, 19_999, 30, 60)
    assert [int(stored.cursor) for stored in found.records] == list(range(110, 410, 10))
    assert (found.after, found.basis.is_exact) == (400, True)
    assert store.fetched == 30


def test_of_the_following_no_more_places_are_fetched_than_are_wanted_however_close_they_come() -> None:
    store = _Store(100)
    found = following_by_pieces(store, Query(slower_than_ns=10_000), 0, 19_999, 30, 60)
    assert [int(stored.cursor) for stored in found.records] == list(range(10_001, 10_031))
    assert store.fetched == 30


def test_the_following_count_records_where_places_are_times() -> None:
    found = following_by_pieces(_SparseStore(100), EVERYTHING, 0, _SparseStore.place_of(19_999), 30, 60)
    assert (len(found.records), found.basis[:3]) == (30, (True, 30, 30))


def test_if_the_budget_ends_the_following_say_where_to_go_on_so_that_none_is_missed() -> None:
    places, after, answers = list[int](), -1, 0
    while after < 19_999:
        found = following_by_pieces(_Store(1), Query(slower_than_ns=18_000), after, 19_999, 30, 60)
        places += [int(stored.cursor) for stored in found.records]
        answers += not found.basis.is_exact
        assert int(found.after or 0) > after
        after = int(found.after or 0)
    assert places == list(range(18_001, 20_000))
    assert answers


def test_a_question_that_the_store_cannot_say_is_answered_by_its_records() -> None:
    query = Query(statuses=range(500, 600))
    store = RecordByRecord(_Store(0))
    cube = cube_by_pieces(store, CubeQuestion(query, groups=10, seconds=60))
    assert (cube.basis.is_exact, sum(cell.records for cell in cube.cells)) == (True, 2000)
    latest = latest_by_pieces(store, query, None, 3, 60)
    assert [int(stored.cursor) for stored in latest.records] == [19_990, 19_980, 19_970]
    following = following_by_pieces(store, query, 0, 19_999, 3, 60)
    assert [int(stored.cursor) for stored in following.records] == [10, 20, 30]


class _SlowStore(_Store):
    reads = 0

    def stored_at(self, places: Sequence[int]) -> list[StoredRecord]:
        self.reads += 1
        time.sleep(0.02)
        return super().stored_at(places)


def test_such_a_question_ends_with_its_budget_and_says_so() -> None:
    rare = Query(variables={"no-such": "1"})
    for ask in (
        lambda store: cube_by_pieces(store, CubeQuestion(rare, groups=10, seconds=0.05)),
        lambda store: latest_by_pieces(store, rare, None, 3, 0.05),
        lambda store: following_by_pieces(store, rare, None, 19_999, 3, 0.05),
    ):
        slow = _SlowStore(0)
        answer: Any = ask(RecordByRecord(slow))
        assert not answer.basis.is_exact
        assert slow.reads < 15, "to read all of them takes 20"


@pytest.mark.parametrize("after", [None, 0])
def test_from_the_start_on_the_first_stretch_begins_with_the_first_record(after: int | None) -> None:
    store = _SparseStore(10)
    found = _Chest(store, store.place_of(19_999)).following(after=after, limit=30, seconds=60)
    assert [stored.record for stored in found.records] == _RECORDS[:30]


@pytest.mark.parametrize("chest", [_Chest(_Store(0), None), MemoryChest()], ids=["counting", "memory"])
def test_an_empty_chest_says_to_go_on_where_the_question_began(chest: ReadableChest) -> None:
    assert [chest.following(after=after).after for after in (None, 0, 5)] == [None, 0, 5]


class _HangingStore(_Store):
    def extent(self, query: Query, seconds: float | None) -> Extent | None:
        raise BudgetOver


def test_a_store_that_ends_also_a_question_without_a_budget_is_unavailable() -> None:
    chest = _Chest(_HangingStore(0), 19_999)
    for ask in (chest.cube, chest.sample, chest.latest, chest.following):
        with pytest.raises(ChestUnavailable, match="did not answer in time: ask about a shorter"):
            ask(seconds=1)
