"""``EncodedContract``: what every readable chest keeps that hands records on with their JSON encoded, for transfers."""

from __future__ import annotations

import pytest

from chest.chests.contract import ReadableChest
from chest.chests.encoded import EncodedRecord, EncodedSource, EncodedTarget, records_of, takes_own_json
from chest.chests.query import EVERYTHING, Query
from chest.record.record import Record
from chest.testing.readable_contract import ReadableChestContract, different_records


class EncodedContract(ReadableChestContract):
    """Subclass it as :class:`ReadableChestContract`, whose tests it has too."""

    def test_what_is_read_to_be_handed_on_is_the_same(self, chest: ReadableChest) -> None:
        chest.write(different_records())
        assert isinstance(chest, EncodedSource)
        for query in (EVERYTHING, Query(service="blog"), Query(service="blog", variables={"plan": "premium"})):
            expected, found = chest.read(query), chest.read_encoded(query)
            assert [each._replace(record=_decoded(each.record)) for each in found] == expected
            assert [each.record.variables for each in found] == [each.record.variables for each in expected]

    def test_records_of_this_process_may_come_with_their_json_encoded(self, chest: ReadableChest) -> None:
        if not takes_own_json(chest):
            pytest.skip("it takes plain records only")
        records = different_records()
        chest.write([EncodedRecord.of(record) for record in records])
        assert sorted(self.stored_records(chest)) == sorted(records)

    def test_what_was_read_to_be_handed_on_can_be_stored(self, chest: ReadableChest) -> None:
        records = different_records()
        chest.write(records)
        assert isinstance(chest, EncodedSource)
        if not (isinstance(chest, EncodedTarget) and chest.takes_encoded):
            pytest.skip("it takes plain records only")
        page = chest.read_encoded()
        assert chest.remove(page[:30]) == 30
        chest.write_new(records_of(page[:20]))
        chest.write([each.record for each in page])
        assert sorted(self.stored_records(chest)) == sorted(records)


def _decoded(record: Record) -> Record:
    return record.decoded() if isinstance(record, EncodedRecord) else record
