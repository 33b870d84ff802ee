"""A value of an answer as the condition that selects it: what the language reads back is the value."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chest.chests.asking.cube import group_text
from chest.query import label_of, name_of, parse
from chest.query.wording import condition_text, range_text
from chest.testing.records import make_record

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=3),
    max_leaves=4,
)  # fmt: skip


@given(_VALUES)
def test_the_condition_of_a_variables_value_selects_it(value: Any) -> None:
    shown = "null" if value is None else group_text(value)
    record = make_record(variables={"plan": value})
    text = condition_text("plan", shown)
    assert text is not None
    assert parse(text).matches(record), text
    negated = condition_text("plan", shown, is_negated=True)
    assert negated is not None
    assert not parse(negated).matches(record)
    assert not parse(text).matches(make_record(variables={"plan": "another", "plans": value}))


@pytest.mark.parametrize(
    "name", ["method", "path", "route", "status", "outcome", "duration", "attr.user.id", "var.status"]
)
def test_the_condition_of_any_kind_of_name_selects_its_value(name: str) -> None:
    record = make_record(duration_ns=12_345_678, attributes={"user.id": "7"}, variables={"status": "fine"})
    meant = name_of(name)
    text = condition_text(name, group_text(meant.value_in(record)))
    assert text is not None
    assert label_of(meant) == name
    assert parse(text).matches(record), text


def test_no_value_has_a_condition_too() -> None:
    assert condition_text("error", None) == "error!=*"
    assert condition_text("error", None, is_negated=True) == "error=*"
    assert parse("error!=*").matches(make_record(error=None))


@pytest.mark.parametrize("name", ["a b", "a=b", "", "Status", "http.route"])
def test_a_name_that_the_language_cannot_say_has_no_condition(name: str) -> None:
    assert condition_text(name, "1") is None
    assert range_text(name, 1, 2) is None


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [(None, 2.5, "items<2.5"), (1, None, "items>=1"), (1e300, 2e300, "items>=1e+300 items<2e+300")],
)
def test_a_range_is_one_condition_for_each_bound(low: float | None, high: float | None, text: str) -> None:
    assert range_text("items", low, high) == text
    parse(text)


def test_a_range_of_durations_has_their_unit() -> None:
    text = range_text("duration", 1_500_250, 2_000_000)
    assert text == "duration>=1500.25us duration<2000us"
    assert parse(text).matches(make_record(duration_ns=1_500_250))
    assert not parse(text).matches(make_record(duration_ns=1_500_249))
