"""Which records of a batch are refused, found by trying."""

from __future__ import annotations

from collections.abc import Sequence

from chest.chests.refused_rows import refused_of
from chest.record.record import Record
from tests.support import make_record


def _takes_no_bad_ones(records: Sequence[Record]) -> bool:
    return all(record.path != "/bad" for record in records)


def test_those_that_stand_alone_and_are_not_taken_are_refused() -> None:
    records = [make_record(path="/bad" if place in (0, 7, 63) else "/") for place in range(100)]
    assert refused_of(records, _takes_no_bad_ones, None) == [records[place].id for place in (0, 7, 63)]


def test_of_a_store_that_takes_nothing_none_is_refused_and_few_are_tried() -> None:
    tried: list[int] = []

    def takes_nothing(records: Sequence[Record]) -> bool:
        tried.append(len(records))
        return False

    assert refused_of([make_record() for _ in range(2000)], takes_nothing, make_record()) == []
    assert len(tried) < 100


def test_a_search_that_takes_too_long_ends_with_what_it_found() -> None:
    tries = iter(range(1000))
    records = [make_record(path="/bad") for _ in range(100)]
    found = refused_of(records, _takes_no_bad_ones, None, lambda: next(tries) > 40)
    assert 0 < len(found) < 100
    assert set(found) <= {record.id for record in records}
