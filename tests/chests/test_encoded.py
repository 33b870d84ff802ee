"""``EncodedRecord`` and its pages: they look like records to every caller."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from chest.chests.encoded import EncodedPage, EncodedRecord, Row, records_of
from chest.chests.query import Query
from chest.record.encoding import encode
from chest.record.record import Record
from tests.support import make_record

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def _row(place: int, record: Record, **texts: str) -> Row:
    fields = record._asdict()
    fields |= {name: encode(fields[name]).decode() for name in ("variables", "attributes")} | texts
    return (place, *fields.values(), "stored")


@pytest.fixture
def records() -> list[Record]:
    return [make_record(path=str(place), variables={"place": place}) for place in range(5)]


@pytest.fixture
def page(records: list[Record]) -> EncodedPage:
    return EncodedPage([_row(place, record) for place, record in enumerate(records)], lambda _: NOW)


def test_a_record_is_the_one_that_was_encoded(records: list[Record], page: EncodedPage) -> None:
    found = page[3]
    assert (found.cursor, found.stored_at, found.record.path) == (3, NOW, "3")
    assert found.record.variables == {"place": 3}
    assert found.record.attributes == {}
    assert Query(variables={"place": "3"}).matches(found.record)
    assert isinstance(found.record, EncodedRecord)
    assert found.record.decoded() == records[3]
    assert type(found.record.decoded()) is Record


def test_a_page_and_a_part_of_it_are_sequences(page: EncodedPage) -> None:
    assert [stored.record.path for stored in page] == ["0", "1", "2", "3", "4"]
    assert [stored.record.path for stored in page[1:3]] == ["1", "2"]
    assert [record.path for record in records_of(page[1:])[1:]] == ["2", "3", "4"]
    assert (len(page), page[-1].cursor) == (5, 4)
    assert [record.path for record in records_of([page[2]])] == ["2"]


@pytest.mark.parametrize(
    ("texts", "sanitized"),
    [
        ({"variables": "{"}, {"variables": "not_decodable"}),
        ({"variables": "", "attributes": "[]"}, {"variables": "not_decodable", "attributes": "not_decodable"}),
    ],
)
def test_what_is_not_json_is_left_out_and_marked(texts: dict[str, Any], sanitized: dict[str, str]) -> None:
    record = EncodedPage([_row(1, make_record(), **texts)], lambda _: NOW)[0].record
    with pytest.raises(ValueError):
        _ = record.variables
    assert isinstance(record, EncodedRecord)
    assert record.decoded().variables == {}
    assert record.decoded().attributes == {"chest.sanitized": sanitized}
