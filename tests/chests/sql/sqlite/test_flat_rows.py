"""The values of rows one after another, made in C as in Python."""

from __future__ import annotations

import os
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chest import native
from chest.chests.sql.sqlite.table import flat_rows
from chest.native import IS_NATIVE
from tests.support import examples

if not IS_NATIVE and "CI" not in os.environ:
    pytest.skip("Chest was installed without its compiled part", allow_module_level=True)

values = st.sampled_from([None, "a", "b", 1, 0.5])
rows = st.integers(1, 6).flatmap(lambda width: st.lists(st.tuples(*[values] * width), min_size=1, max_size=5))


@settings(deadline=None, max_examples=examples(300))
@given(rows, st.integers(0, 7), st.integers(0, 63))
def test_they_are_those_that_python_makes(found: list[tuple[Any, ...]], most_shared: int, nullable: int) -> None:
    assert native.flat_rows(found, most_shared, nullable, 0.5) == flat_rows(found, most_shared, nullable, 0.5)


def test_what_all_rows_share_comes_first_and_once() -> None:
    found = [("a", None, None, "shop", "host"), ("b", 2, None, "shop", "host")]
    for flat in (flat_rows, native.flat_rows):
        assert flat(found, 2, 0b10, 0.5) == (2, ("shop", "host", "a", 0.5, None, "b", 2, None))


@pytest.mark.parametrize("found", [[], [("a",), ("a", "b")], [["a"]], [("a",), None], ["a"]])
def test_what_is_no_list_of_rows_of_one_length_is_refused_or_has_no_value(found: Any) -> None:
    if not found:
        assert native.flat_rows(found, 2, 0, 0.5) == (0, ())
        return
    with pytest.raises(TypeError):
        native.flat_rows(found, 2, 0, 0.5)


def test_no_reference_is_kept_or_lost() -> None:
    value, shared = object(), object()
    found: list[tuple[Any, ...]] = [(value, None, shared), (value, None, shared)]
    before = sys.getrefcount(value), sys.getrefcount(shared)
    for _ in range(1000):
        native.flat_rows(found, 1, 0b10, 0.5)
    assert (sys.getrefcount(value), sys.getrefcount(shared)) == before
