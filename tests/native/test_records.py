"""Records made in C of rows, beside those that Python makes."""

from __future__ import annotations

import copy
import gc
import os
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chest.record.row as row_module
from chest import native
from chest.native import IS_NATIVE
from chest.record.encoding import decode, encode
from chest.record.record import Record
from chest.record.row import record_of, records_of
from chest.ring.line import Resource
from tests.support import examples

RESOURCE = Resource("shop", "1.0", "test")

if not IS_NATIVE and "CI" not in os.environ:
    pytest.skip("Chest was installed without its compiled part", allow_module_level=True)


def outcome_of(make: Callable[[], Any]) -> Any:
    try:
        return make()
    except Exception as error:
        return type(error)


GOOD = ["00abcdef00000fb0", "order-42", 7, 7, 2, "GET", "/items", "200 OK", 5, {"plan": "a"}]

short_rows = st.tuples(
    st.one_of(st.just("00abcdef00000fb0"), st.text(max_size=20)),
    st.text(max_size=40),
    st.one_of(st.integers(0, 2**63), st.just(-1), st.just(1.5)),
    st.integers(0, 65520),
    st.integers(0, 2**40),
    st.sampled_from(["GET", "HEAD", "POST", "BREW", "get", "", "\u00e9", "x" * 40]),
    st.sampled_from(["/", "/caf\u00c3\u00a9", "/a b", "/\x7f", "/\t", "", "/" + "p" * 2047, "/" + "p" * 2048, "/\xff"]),
    st.sampled_from(
        [
            "200 OK",
            "503 Busy",
            "500",
            "odd",
            "",
            None,
            204,
            304,
            "304 Not Modified",
            "101 Switching",
            2**70,
            599,
            "200 OK but another",
        ]
    ),
    st.integers(0, 2**50),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)
told = st.tuples(st.just("/<it>"), st.sampled_from([None, "killed"]), st.sampled_from([None, "LookupError"]))
rows = st.one_of(
    short_rows,
    st.tuples(short_rows, st.integers(1, 10**9)).map(lambda both: (*both[0], both[1])),
    st.tuples(short_rows, told).map(lambda both: (*both[0], *both[1], {"a": 1})),
)


@settings(deadline=None, max_examples=examples(300))
@given(st.lists(rows, max_size=8))
def test_records_made_in_c_are_those_that_python_makes(found: list[tuple[Any, ...]]) -> None:
    def of(make: Callable[..., Any]) -> Any:
        try:
            records = make([decode(encode(row)) for row in found])
        except Exception as error:
            return type(error)
        assert all(type(record) is Record and type(record.variables) is dict for record in records)
        return records

    expected = of(lambda decoded: [record_of(row, RESOURCE) for row in decoded])
    assert of(lambda decoded: records_of(decoded, RESOURCE)) == expected
    assert of(lambda decoded: records_of(decoded, RESOURCE)) == expected  # and once every status line is known


def test_no_attributes_are_shared_by_two_records() -> None:
    row = ["00abcdef00000fb0", "a", 1, 1, 2, "GET", "/", "200 OK", 0, {}]
    first, second = records_of([row, list(row)], RESOURCE)
    assert first.attributes == second.attributes == {}
    assert first.attributes is not second.attributes


@pytest.mark.parametrize("row", [[], [None] * 10, [[]] * 10, "abcdefghij", None, [1] * 14, [{}] * 11])
def test_a_row_that_is_none_is_an_exception_as_in_python(row: Any) -> None:
    with pytest.raises((TypeError, ValueError, AttributeError)):
        records_of([row], RESOURCE)


def test_the_list_of_records_is_whole_whoever_looks_at_it_while_it_is_made() -> None:
    def looking(row: Any, resource: Any) -> Any:
        for found in gc.get_objects():
            if type(found) is list:
                list(found)
        return record_of(row, resource)

    fields = Record, row_module._CODES, row_module.KNOWN_METHODS, row_module.BODY_SIZE, "ok", "error"
    rows = [[*GOOD[:5], "BREW", *GOOD[6:]] for _ in range(3)]
    assert len(native.records_of(rows, RESOURCE, *fields, looking)) == 3


def test_what_is_not_a_resource_is_refused() -> None:
    with pytest.raises(TypeError):
        records_of([], ("shop", "1.0"))  # type: ignore[arg-type]


ODD = [
    *((0, tail) for tail in ("", "0" * 15, "0" * 17, "\u00e9" * 16, "0000000\x7f00000000")),
    *((2, time_ns) for time_ns in (0, 2**63 - 1, 2**63, 2**64)),
    *((5, method) for method in ("", "get", "BREW", "QUERY", "x" * 40, "\u00e9")),
    *(
        (6, path)
        for path in ("", " ", "~", "\x7f", "/\x1f", "/\x80", "/" + "p" * 2047, "/" + "p" * 2048, "/caf\u00c3\u00a9")
    ),
    *(
        (7, status)
        for status in ("499 Odd", "500 Oh", "503", "99", "odd", "", None, 204, 500, 599, 10**30, -(10**30), True)
    ),
    *((8, body_bytes) for body_bytes in (0, 1, 2**62)),
    *((9, variables) for variables in ({}, {"a": [1, {"b": None}]})),
]


TOLD = ["/items", None, None, {"http.route": "/items"}]


@pytest.mark.parametrize("told", [[], [0], [7_000], TOLD], ids=["short", "by http", "streamed", "with a route"])
@pytest.mark.parametrize(("field", "value"), [(1, "order-43"), *ODD])
def test_a_row_that_differs_from_most_in_one_field_becomes_the_record_that_python_makes(
    field: int, value: Any, told: list[Any]
) -> None:
    def row() -> list[Any]:
        return copy.deepcopy([*GOOD[:field], value, *GOOD[field + 1 :], *told])

    expected = outcome_of(lambda: [record_of(row(), RESOURCE)])
    assert outcome_of(lambda: records_of([row()], RESOURCE)) == expected
    assert outcome_of(lambda: records_of([row()], RESOURCE)) == expected  # and once the status line is known


def test_most_rows_are_made_into_records_without_python() -> None:
    records_of([list(GOOD)], RESOURCE)  # from now on its status line is known
    fields = Record, row_module._CODES, row_module.KNOWN_METHODS, row_module.BODY_SIZE, "ok", "error"
    for odd in (None, (5, "BREW"), (6, "/\x7f"), (6, "/" + "p" * 2048), (0, "0" * 15)):
        row = list(GOOD)
        if odd is not None:
            row[odd[0]] = odd[1]  # type: ignore[call-overload]
        by_python = mock.Mock(return_value=None)
        native.records_of([row], RESOURCE, *fields, by_python)
        assert by_python.called == (odd is not None)


@pytest.mark.parametrize(
    ("field", "value"), [(10, None), (11, "killed"), (12, "LookupError"), (13, {}), (13, None), (13, [])]
)
def test_a_row_of_which_more_was_told_becomes_the_record_that_python_makes(field: int, value: Any) -> None:
    def row() -> list[Any]:
        whole = [*GOOD, *TOLD]
        return copy.deepcopy([*whole[:field], value, *whole[field + 1 :]])

    expected = outcome_of(lambda: [record_of(row(), RESOURCE)])
    assert outcome_of(lambda: records_of([row()], RESOURCE)) == expected
