"""Text that every store takes."""

from __future__ import annotations

from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chest.record.text import cut, storable, storable_text, utf8_bytes


def refuse(*_: Any) -> NoReturn:
    raise OSError("code of the application was called")


class HostileText(str):
    __str__ = __len__ = __getitem__ = __iter__ = encode = isascii = refuse  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("value", "cleaned"),
    [
        ("/items/1", "/items/1"),
        ("naïve", "naïve"),
        ("", ""),
        ("a\0b\ud800", "a\ufffdb\ufffd"),
        ("x" * 30, "x" * 20),
        ("x" * 19 + "\0" + "y", "x" * 19 + "\ufffd"),
    ],
)
def test_a_single_text_is_storable_and_short(value: str, cleaned: str) -> None:
    assert storable_text(value, 20) == cleaned


def test_a_single_text_of_a_hostile_subclass_is_a_plain_one() -> None:
    result = storable_text(HostileText("abc"), 2)
    assert (type(result), result) == (str, "ab")


@given(st.text(st.characters(), max_size=30), st.integers(0, 60))
def test_any_text_becomes_utf8_of_whole_characters_within_its_bytes(any_text: str, most_bytes: int) -> None:
    whole = storable(any_text)
    kept = cut(whole, most_bytes)
    assert "\0" not in whole
    assert len(whole) == len(any_text)
    assert whole.startswith(kept)
    assert utf8_bytes(kept) == len(kept.encode()) <= most_bytes
    assert kept == whole or most_bytes - utf8_bytes(kept) < len(whole[len(kept)].encode())
