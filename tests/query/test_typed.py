"""What a person types for a value."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from chest.query.typed import duration_ns, moment_ns, outcome, statuses


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("200ms", 200_000_000),
        ("1.5s", 1_500_000_000),
        ("2 m", 120 * 10**9),
        ("1h", 3600 * 10**9),
        ("1w", 604_800 * 10**9),
    ],
)
def test_a_duration_is_a_number_with_a_unit(text: str, nanoseconds: int) -> None:
    assert duration_ns(text) == nanoseconds


@pytest.mark.parametrize("text", ["", "200", "ms", "-1s", "1e3s", "1 year"])
def test_a_duration_without_a_unit_is_refused_since_it_could_be_any(text: str) -> None:
    with pytest.raises(ValueError, match=r"200ms or 1\.5s"):
        duration_ns(text)


def test_a_moment_is_a_duration_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 10_000 * 10**9)
    assert moment_ns("2h") == (10_000 - 7200) * 10**9


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-02", 86_400),
        ("1970-01-01T01:00", 3600),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01T00:00:00.25Z", 0.25),
    ],
)
def test_a_moment_is_a_date_in_utc_unless_it_names_its_zone(text: str, seconds: float) -> None:
    assert moment_ns(text) == seconds * 10**9


@pytest.mark.parametrize("text", ["", "yesterday", "12:00", "2026-13-01"])
def test_a_moment_that_is_invalid_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected 15m, 2h or 3d .*, or a date such as"):
        moment_ns(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("404", range(404, 405)), ("5xx", range(500, 600)), ("4XX", range(400, 500)), ("500-599", range(500, 600))],
)
def test_a_status_is_one_a_class_or_a_range(text: str, expected: range) -> None:
    assert statuses(text) == expected


@pytest.mark.parametrize("text", ["", "6xx", "40", "599-500", "5x", "ok"])
def test_a_status_that_is_invalid_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(ValueError, match="expected 404, 5xx or 500-599"):
        statuses(text)


def test_an_outcome_that_no_record_has_is_refused() -> None:
    assert outcome("client_disconnect") == "client_disconnect"
    with pytest.raises(ValueError, match=r"did you mean error\? There are ok, "):
        outcome("errors")


@pytest.mark.parametrize("read", [duration_ns, moment_ns])
def test_a_duration_with_more_digits_than_a_number_may_have_is_refused(read: Callable[[str], int]) -> None:
    with pytest.raises(ValueError, match="too many digits"):
        read("9" * 400 + "d")
