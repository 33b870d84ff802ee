"""Records made in C of lines, with their JSON encoded, beside those that Python makes."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chest.native import IS_NATIVE
from chest.record import row as row_module
from chest.record.encoded import EncodedRecord, plain
from chest.record.encoding import encode
from chest.record.record import Record
from chest.record.row import encoded_record_of, encoded_records_of
from chest.ring.line import Resource, decode_lines
from tests.support import examples

RESOURCE = Resource("shop", "1.0", "test")

if not IS_NATIVE and "CI" not in os.environ:
    pytest.skip("Chest was installed without its compiled part", allow_module_level=True)

TAIL, TIME_NS = "00abcdef00000fb0", 1_796_090_502_890_376_236

texts = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    st.sampled_from(['"', "\\", "\n", "\0", "\u2028", "\x7f"]),
)
numbers = st.one_of(st.integers(-(2**63), 2**64 - 1), st.integers(-100, 100))
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, st.floats(allow_nan=False, allow_infinity=False), texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=8,
)
objects = st.dictionaries(texts, values, max_size=4)
short_rows = st.tuples(
    st.just(TAIL),
    texts,
    st.one_of(st.just(TIME_NS), st.integers(0, 2**63 - 1)),
    st.integers(0, 65520),
    st.integers(0, 2**40),
    st.sampled_from(["GET", "HEAD", "POST", "BREW"]),
    st.sampled_from(["/", "/a b", "/caf\u00c3\u00a9", "/" + "p" * 2048]),
    st.sampled_from(["200 OK", "503 Busy", "odd", None, 204, 304]),
    st.sampled_from([0, 5, 2**50]),
    objects,
)
told = st.tuples(
    st.sampled_from([None, "/<it>"]), st.sampled_from([None, "killed"]), st.sampled_from([None, "LookupError"])
)
rows = st.one_of(
    short_rows,
    st.tuples(short_rows, st.sampled_from([0, 7])).map(lambda both: (*both[0], both[1])),
    st.tuples(short_rows, told, objects).map(lambda all_: (*all_[0], *all_[1], all_[2])),
)


def outcome_of(make: Callable[[], Any]) -> Any:
    try:
        return make()
    except Exception:
        return "raised"


def lines_of(found: list[tuple[Any, ...]]) -> bytes:
    return b"".join(encode(row) + b"\n" for row in found)


@settings(deadline=None, max_examples=examples(300))
@given(st.lists(rows, max_size=8))
def test_the_records_and_the_text_of_their_json_are_those_that_python_makes(found: list[tuple[Any, ...]]) -> None:
    data = lines_of(found)
    expected = [EncodedRecord.of(record) for record in decode_lines(data, RESOURCE)]
    assert encoded_records_of(data, RESOURCE) == expected
    assert all(type(record) is EncodedRecord for record in encoded_records_of(data, RESOURCE))


@settings(deadline=None, max_examples=examples(500))
@given(st.lists(rows, min_size=1, max_size=3), st.data())
def test_a_damaged_line_is_found_or_has_the_values_that_python_reads(
    found: list[tuple[Any, ...]], data: st.DataObject
) -> None:
    whole = bytearray(lines_of(found))
    place = data.draw(st.integers(0, len(whole) - 2))
    damage = data.draw(
        st.one_of(st.binary(max_size=3), st.sampled_from([b"", b'"', b"{", b"}", b",", b"[", b"]", b"\\", b"0", b"\n"]))
    )
    whole[place : place + data.draw(st.integers(0, 3))] = damage
    lines = bytes(whole).splitlines(keepends=True)
    for line in lines:
        by_python = outcome_of(lambda line=line: plain(encoded_record_of(line, RESOURCE)))
        made = outcome_of(lambda line=line: [plain(each) for each in encoded_records_of(line, RESOURCE)])
        assert made == ([by_python] if isinstance(by_python, Record) else by_python)


@pytest.mark.parametrize(
    "value",
    [
        "a",
        'quoted "',
        "line\n",
        "caf\u00e9",
        1,
        -1,
        2**62,
        1.25,
        True,
        False,
        None,
        [],
        {},
        [1, {"a": [None]}],
        {"a": {}},
    ],
)
def test_a_usual_line_is_not_handed_to_python(value: object) -> None:
    line = lines_of([(TAIL, "order-42", TIME_NS, 0, 2, "GET", "/items", 200, 5, {"plan": "a", "it": value}, 0)])
    with mock.patch.object(row_module, "encoded_record_of", side_effect=AssertionError):
        (record,) = encoded_records_of(line, RESOURCE)
    assert record.variables == {"plan": "a", "it": value}
    assert record.attributes == {"url.scheme": "http", "http.response.body.size": 5}


def test_what_is_nested_deeply_is_read_by_python_and_refused_by_it() -> None:
    deep = "[" * 100_000
    with pytest.raises(ValueError):
        encoded_records_of(f'["{TAIL}","a",1,1,2,"GET","/",200,5,{{"a":{deep}}}]\n'.encode(), RESOURCE)
