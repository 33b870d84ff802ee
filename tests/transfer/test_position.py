"""``Position``: that it survives being written down, and what cannot be read."""

from __future__ import annotations

import pytest

from chest.errors import ChestError
from chest.transfer.position import Position
from chest.transfer.sent import IdBlock, Sent


def _no_piece(slot: int) -> str:
    raise AssertionError(f"slot {slot} was asked for")


def test_a_position_is_what_was_written_down() -> None:
    sent = Sent(last=IdBlock(["a", "b"], 7))
    again = Position.of_text(Position("c", sent, (1.5, "d")).as_text(), _no_piece)
    assert ("a" in again.sent, "x" in again.sent, again.settled, again.passed) == (True, False, "c", (1.5, "d"))
    assert again.sent.last.highest == 7


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"settled": 1, "passed": null, "full": [], "last": 2}',
        '{"settled": 1, "passed": null, "full": [], "last": [[1], 2]}',
        '{"settled": 1, "passed": null, "full": [3], "last": [[], null]}',
    ],
)
def test_a_text_that_is_not_a_position_says_what_to_do(text: str) -> None:
    with pytest.raises(ChestError, match="begin anew"):
        Position.of_text(text, lambda slot: "")
