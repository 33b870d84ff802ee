"""Lines of another process, read together if they are whole, and one by one if one is not."""

from __future__ import annotations

import pytest

from chest.record.encoding import encode
from chest.record.record import Record
from chest.record.record_id import RecordIds
from chest.record.row import line_of, row_of
from chest.ring.line import Lineage, Resource, decode_foreign_lines
from chest.testing.records import make_record

RESOURCE = Resource("shop", "1.0", "web-1")


@pytest.fixture
def ids() -> RecordIds:
    return RecordIds()


def _records(ids: RecordIds, count: int) -> list[Record]:
    made = [make_record(variables={"text": f'é "\\ ],[ {number}', "list": [[1], {}]}) for number in range(count)]
    return [record._replace(id=ids.new(record.time_ns)) for record in made]


def _lines(records: list[Record]) -> list[bytes]:
    lines = [line_of(row_of(record)) for record in records]
    return [line for line in lines if line is not None]


def test_whole_lines_are_the_records(ids: RecordIds) -> None:
    records = _records(ids, 20)
    assert decode_foreign_lines(b"".join(_lines(records)), RESOURCE, Lineage(ids.process)) == (records, 0)
    assert decode_foreign_lines(b"", RESOURCE, Lineage(ids.process)) == ([], 0)


def test_a_damaged_byte_costs_the_line_that_it_is_in_and_no_other(ids: RecordIds) -> None:
    """Each byte of a line in turn, changed to each of what holds lines and values together."""
    records = _records(ids, 3)
    before, line, behind = _lines(records)
    for place in range(len(line) - 1):
        for byte in b'\n,]["0':
            damaged = line[:place] + bytes((byte,)) + line[place + 1 :]
            found, lost = decode_foreign_lines(before + damaged + behind, RESOURCE, Lineage(ids.process))
            alone, lost_alone = decode_foreign_lines(damaged, RESOURCE, Lineage(ids.process))
            assert (found[0], found[-1]) == (records[0], records[2]), damaged
            assert (found[1:-1], lost) == (alone, lost_alone), damaged


@pytest.mark.parametrize(
    "torn",
    [
        b"%(first)s,%(second)s\n",  # a line end that became a comma
        b"[%(first)s\n%(second)s]\n",
        b'["%(first)s\n%(second)s"]\n',
        b"%(first)s\n\n%(second)s\n",
        b"%(first)s\n%(second)s",
    ],
)
def test_lines_that_run_together_or_apart_are_read_as_they_stand(ids: RecordIds, torn: bytes) -> None:
    records = _records(ids, 3)
    first, second, third = (line[:-1] for line in _lines(records))
    data = third + b"\n" + torn % {b"first": first, b"second": second}
    lines = [line for line in data.split(b"\n") if line]
    alone = [decode_foreign_lines(line + b"\n", RESOURCE, Lineage(ids.process)) for line in lines]
    expected = [record for found, _ in alone for record in found], sum(damaged for _, damaged in alone)
    assert decode_foreign_lines(data, RESOURCE, Lineage(ids.process)) == expected


def test_as_many_lines_as_values_are_not_yet_a_value_a_line(ids: RecordIds) -> None:
    first, second, third = (line[:-1] for line in _lines(_records(ids, 3)))
    data = first + b"," + second + b"\n" + third.replace(b",", b"\n", 1) + b"\n"
    assert decode_foreign_lines(data, RESOURCE, Lineage(ids.process)) == ([], 3)


@pytest.mark.parametrize("field", range(14))
def test_a_value_of_a_wrong_type_costs_its_line_alone(ids: RecordIds, field: int) -> None:
    records = _records(ids, 3)
    before, _, behind = _lines(records)
    wrong = encode([1.5 if place == field else value for place, value in enumerate(row_of(records[1])[:14])])
    data = before + wrong + b"\n" + behind
    assert decode_foreign_lines(data, RESOURCE, Lineage(ids.process)) == ([records[0], records[2]], 1)


def test_a_parents_record_among_them_gets_an_id_of_the_child(ids: RecordIds) -> None:
    parent = RecordIds()
    records = [*_records(ids, 2), *_records(parent, 1)]
    lineage = Lineage(ids.process, (parent.process,))
    found, damaged = decode_foreign_lines(b"".join(_lines(records)), RESOURCE, lineage)
    assert damaged == 0
    assert found[:2] == records[:2]
    assert found[2].id[16:24] == ids.process
    assert found[2]._replace(id=records[2].id) == records[2]
