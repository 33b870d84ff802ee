"""Lines written in C: numbers and names."""

from __future__ import annotations

import math
import os
import re
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chest.native import IS_NATIVE
from chest.record.encoding import decode
from tests.native.answering import answer_with
from tests.request.middleware.client import Client
from tests.support import examples

if not IS_NATIVE and "CI" not in os.environ:
    pytest.skip("Chest was installed without its compiled part", allow_module_level=True)


numbers = st.one_of(
    st.floats(),
    st.integers(-(10**15), 10**15).map(lambda thousandths: thousandths / 1000),
    st.integers(-(10**12), 10**12).map(lambda millionths: millionths / 1e6),
    st.sampled_from([0.0, -0.0, 1e-3, 1e11, 99999999999.999, 1e16, 5e-324, 0.1 + 0.2, 123456789012345.67]),
)


@settings(deadline=None, max_examples=examples(500))
@given(numbers)
def test_a_number_is_written_with_the_digits_that_python_gives_it(number: float) -> None:
    lines: list[bytes] = []
    client = Client(answer_with({"render_ms": 1}, {"render_ms": number}), offer=lines.append)
    client.get()  # from now on the name is known to be good
    by_python = mock.Mock(wraps=client.app._emitter.finish)
    client.app._emitter.finish = by_python  # type: ignore[method-assign]
    client.get()
    told = re.search(rb'"render_ms":([^,}]+)', lines[1])
    assert told is not None
    if math.isfinite(number):
        assert not by_python.called
        assert told[1].decode() == repr(number)
    else:
        assert told[1] == b"null" or b"sanitized" in lines[1]


def test_names_are_told_by_what_they_are_and_not_by_where_they_stand() -> None:
    class Text(str):
        __slots__ = ()

    again = "".join(["user", "_id"])  # equal to the constant, and another object
    turns: tuple[dict[Any, Any], ...] = (
        {"user_id": 1, "plan": 2},
        {"plan": 1, "user_id": 2},
        {again: 1, "plan": 2},
        {"user_id": 1},
        {},
        {"n" * 60: 1, "plan": 2},
        {f"name_{number}": number for number in range(40)},
        {Text("user_id"): 1},
        {'say "hi"': 1, "é": 2},
    )
    lines: list[bytes] = []
    client = Client(answer_with(*turns), offer=lines.append)
    for _ in range(len(turns) * 3):
        client.get()
    assert [decode(line)[9] for line in lines] == list(turns) * 3
