"""Records as text: complete, readable, and harmless to a terminal."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from click import unstyle
from hypothesis import given
from hypothesis import strategies as st

from chest.chests.contract import StoredRecord
from chest.cli.record_text import json_line, json_text, line, whole
from chest.record.messages import printable
from chest.record.record import Record

MakeRecord = Callable[..., Record]
EVIL = "\x1b]0;owned\x07\x9b31m\r\n\u202egpj.exe\u2028\ud800"


def stored(record: Record) -> StoredRecord:
    return StoredRecord(7, datetime(2026, 1, 1, 12, 5, tzinfo=UTC), record)


def evil(record: MakeRecord) -> StoredRecord:
    return stored(
        record(
            request_id=EVIL,
            method=EVIL,
            path="/" + EVIL,
            route=EVIL,
            outcome=EVIL,
            error=EVIL,
            variables={EVIL: EVIL, "deep": {EVIL: [EVIL]}},
            attributes={EVIL: EVIL},
            service=EVIL,
            release=EVIL,
            host=EVIL,
        )
    )


@pytest.mark.parametrize("show", [line, whole, json_line])
def test_nothing_that_a_request_brought_reaches_the_terminal_as_a_control(
    record: MakeRecord, show: Callable[[StoredRecord], str]
) -> None:
    shown = unstyle(show(evil(record)))
    assert "owned" in shown
    assert all(text.isprintable() for text in shown.split("\n"))


def test_a_record_on_one_line_stays_on_one_line(record: MakeRecord) -> None:
    assert "\n" not in line(evil(record))
    assert "\n" not in json_line(evil(record))


@given(st.text())
def test_escaped_json_means_the_same(text: str) -> None:
    assert json.loads(json_text({text: [text]})) == {text: [text]}
    assert json_text(text).isprintable()


def test_printable_text_is_left_as_it_is() -> None:
    assert printable("Käse für 3 € 🧀") == "Käse für 3 € 🧀"
    assert json_text("Käse 🧀") == '"Käse 🧀"'


def test_a_line_says_when_how_it_ended_how_long_what_and_with_which_variables(record: MakeRecord) -> None:
    one = record(variables={"user_id": "123", "plan": "gold card", "total": 9.5, "items": [1, 2]})
    assert unstyle(line(stored(one))) == (
        "2026-01-01 12:00:01.000  200       12.3 ms  GET /cart/42  request-1"
        '  user_id=123 plan="gold card" total=9.5 items=[1,2]'
    )


@pytest.mark.parametrize(
    ("status", "outcome", "text"),
    [(200, "ok", "200 "), (500, "error", "500 error "), (None, "client_disconnect", "--- client_disconnect ")],
)
def test_a_line_names_the_outcome_if_it_is_not_ok(
    record: MakeRecord, status: int | None, outcome: str, text: str
) -> None:
    assert f".000  {text}" in unstyle(line(stored(record(status=status, outcome=outcome))))


def test_a_line_cuts_long_paths_and_values(record: MakeRecord) -> None:
    long = record(path="/" + "x" * 5000, variables={"note": "y" * 5000})
    assert len(unstyle(line(stored(long)))) < 300


def test_json_holds_every_field_of_the_record_and_where_it_is_stored(record: MakeRecord) -> None:
    one = record(variables={"plan": "premium"})
    shown = json.loads(json_line(stored(one)))
    assert {name: shown.pop(name) for name in ("seq", "stored_at", "time")} == {
        "seq": 7,
        "stored_at": "2026-01-01T12:05:00.000000Z",
        "time": "2026-01-01T12:00:01.000000Z",
    }
    assert shown == one._asdict()


def test_a_whole_record_shows_every_field(record: MakeRecord) -> None:
    one = record(error="KeyError", outcome="error", variables={"plan": "premium"}, attributes={"chest.rate": 0.5})
    shown = unstyle(whole(stored(one)))
    for text in (
        one.id,
        "request-1",
        "12.300 ms",
        "GET /cart/42",
        "/cart/<id>",
        "error (KeyError)",
        "shop v1",
        "web-1",
    ):
        assert text in shown
    assert '  plan = "premium"\n' in shown
    assert shown.endswith("  chest.rate = 0.5")


def test_a_time_beyond_the_calendar_is_not_an_error(record: MakeRecord) -> None:
    assert line(stored(record(time_ns=2**63 - 1)))
    assert json.loads(json_line(stored(record(time_ns=10**22))))["time_ns"] == 10**22


def test_a_line_names_the_error_class(record: MakeRecord) -> None:
    failed = record(status=500, outcome="error", error="ZeroDivisionError")
    assert "GET /cart/42  ZeroDivisionError  request-1" in unstyle(line(stored(failed)))


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"route": None},
        {"status": 500, "outcome": "error", "error": "ZeroDivisionError"},
        {
            "request_id": "9f86d081-884c-4d65-9a2f-eaa0c55ad015",
            "route": "/" + "x" * 300,
            "variables": {"note": "y" * 300},
        },
        {"status": None, "outcome": "client_disconnect", "duration_ns": 86_400 * 10**9, "error": "E" * 300},
    ],
)
def test_a_line_fits_the_terminal_with_route_and_error_class(
    record: MakeRecord, fields: dict[str, Any], columns: int
) -> None:
    one = record(**fields)
    shown = unstyle(line(stored(one), columns))
    assert len(shown) <= columns
    assert f"{one.method} {(one.route or one.path)[:6]}" in shown
    assert (one.error or "")[:17] in shown
    assert one.request_id[:8] in shown
