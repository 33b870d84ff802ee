"""Errors as one line that may be logged."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chest.chests.registry import safe_url
from chest.errors import ChestUnavailable
from chest.record.messages import safe_message


@pytest.mark.parametrize(
    "text",
    [
        "connect to postgresql://bob:hunter2@db/x failed",
        "https://bob:hun/ter2@db",
        "password=hunter2 host=db",
        "Authorization: Bearer hunter2",
        '{"token": "hunter2"}',
        "api_key=hunter2&x=1",
        "GET https://db/x?token=hunter2 failed",
    ],
)
def test_no_secret_is_said(text: str) -> None:
    said = safe_message(text)
    assert "hunter2" not in said
    assert "ter2" not in said
    assert "***" in said
    assert "REDACTED" not in said


@pytest.mark.parametrize(
    "url", ["postgresql://bob:hunter2@db/x", "influxdb://db/org/bucket?token=hunter2", "https://hunter2@db/x"]
)
def test_a_url_reads_the_same_whether_a_chest_shows_it_or_an_error_does(url: str) -> None:
    assert safe_message(f"cannot reach {url}") == f"cannot reach {safe_url(url)}"
    assert safe_message(safe_url(url)) == safe_url(url)


def test_the_class_is_said_of_what_is_not_chests_own() -> None:
    assert safe_message(OSError("gone")) == "OSError: gone"
    assert safe_message(ChestUnavailable("The store is gone.")) == "The store is gone."


def test_an_error_that_cannot_say_what_it_is_is_said_by_its_class() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise ValueError

    assert safe_message(Mute()) == "Mute: "


@given(st.text(st.characters(exclude_categories=()), max_size=3000))
def test_whatever_it_holds_it_is_one_line_of_bounded_length_that_can_be_printed(text: str) -> None:
    said = safe_message(text)
    assert len(said) <= 500
    assert len(said.splitlines()) <= 1
    said.encode()
    assert "\x1b" not in said
