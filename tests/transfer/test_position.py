"""``Position``: what it remembers, and that it survives being written down."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chest.errors import ChestError
from chest.transfer.position import Position, Sent


@given(st.lists(st.integers(1, 60)), st.integers(0, 60))
def test_sent_is_a_set_of_numbers_of_which_the_lowest_can_be_forgotten(numbers: list[int], settled: int) -> None:
    sent = Sent()
    for number in numbers:
        sent.add(number)
    sent.forget([settled])
    again = Position.of_text(Position(settled, sent).as_text()).sent
    expected = {number for number in numbers if number > settled}
    assert {number for number in range(70) if number in again} == expected


def test_a_run_of_any_length_is_remembered_as_one() -> None:
    sent = Sent()
    for number in [*range(1, 1000), *range(2000, 1000, -1), 1000]:
        sent.add(number)
    assert len(sent) == 1


def test_places_that_are_no_numbers_are_remembered_one_by_one() -> None:
    sent = Sent()
    for name in ("b", "a", "b"):
        sent.add(name)
    assert len(sent) == 2
    again = Position.of_text(Position("c", sent, (1.5, "d")).as_text())
    assert ("a" in again.sent, "x" in again.sent, again.settled, again.passed) == (True, False, "c", (1.5, "d"))
    again.sent.forget(["a"])
    assert "a" not in again.sent


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"settled": 1, "sent": 2, "passed": null}'])
def test_a_text_that_is_no_position_says_what_to_do(text: str) -> None:
    with pytest.raises(ChestError, match="begin anew"):
        Position.of_text(text)
