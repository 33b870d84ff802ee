"""A segment in C beside the mapping of the standard library that it stands in for."""

from __future__ import annotations

import mmap
import operator
import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chest.speedups import IS_NATIVE, Segment

if not IS_NATIVE and "CI" not in os.environ:
    pytest.skip("Chest was installed without its compiled part", allow_module_level=True)


def outcome_of(call: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return call(*arguments)
    except (ValueError, TypeError, OverflowError) as error:
        return type(error)


def _are_errors(found: list[Any]) -> bool:
    """Which of two faults is told first is nobody's concern."""
    return all(isinstance(one, type) for one in found)


operations = st.one_of(
    st.tuples(st.just("write"), st.binary(max_size=3000)),
    st.tuples(st.just("write"), st.sampled_from([bytearray(b"abc"), memoryview(b"abc"), "abc", None, 3])),
    st.tuples(st.just("seek"), st.one_of(st.integers(-10, 5000), st.sampled_from([2**70, "0", None]))),
    st.tuples(st.just("tell")),
    st.tuples(st.just("find"), st.binary(min_size=1, max_size=2), st.integers(0, 4096), st.integers(0, 4096)),
    st.tuples(st.just("close")),
)


@settings(deadline=None)
@given(st.lists(operations, max_size=20))
def test_a_segment_does_as_a_mapping_of_the_standard_library(said: list[tuple[Any, ...]]) -> None:
    sides = mmap.mmap(-1, 4096), Segment(-1, 4096)
    for name, *arguments in said:
        found = [outcome_of(getattr(side, name), *arguments) for side in sides]
        if name == "seek" and isinstance(found[0], int):
            found[0] = None  # from Python 3.13 on it says where it went
        assert found[0] == found[1] or _are_errors(found), name
        contents = [outcome_of(operator.getitem, side, slice(None)) for side in sides]
        assert contents[0] == contents[1]


def test_a_write_to_a_closed_segment_is_refused_and_keeps_no_line() -> None:
    segment = Segment(-1, 4096)
    segment.close()
    with pytest.raises(ValueError, match="closed"):
        segment.write(b"a")
