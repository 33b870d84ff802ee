"""The filter language: what a text means, and where one is wrong."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chest.chests.query import Query
from chest.errors import FilterError
from chest.query.language import parse
from chest.query.names import label_of, name_of
from chest.record.record import Record
from chest.testing.records import make_record


def _record(**changes: Any) -> Record:
    return make_record(
        **{
            "path": "/shop/checkout",
            "route": "/items/<id>",
            "status": 503,
            "outcome": "error",
            "error": "KeyError",
            "duration_ns": 250_000_000,
            "variables": {
                "user_id": 42, "plan": "pro", "cart": {"total": 120.5}, "path": "own", "render_ms": 1500.0, "ok": True,
                "none": None, "note": "two words", "tags": ["a", "b"], "comma": "a,b", "star": "a*", "quote": 'say "hi"',
            },
            "attributes": {"http.response.body.size": 512, "exception.message": "no such item"},
        }
        | changes
    )  # fmt: skip


HELD = [
    "user_id=42 route=/items/<id> status>=500 duration>200ms plan!=free path~/checkout error=* cart.total>100 since=2h",
    "",
    "  ",
    "status=503", "status=5xx", "status=500-599", "status=404,503", "status!=2xx,404", "status>499", "status<=503", "status>4xx",
    "duration>200ms", "duration>=0.25s", "duration<=250ms", "duration<1s", "duration=250ms", "duration!=0",
    "method=GET", "method!=POST,PUT", "path=/shop*", "path~check,none", "path!~cart", "outcome=error", "outcome!=ok",
    "error=KeyError", "error=Key*", "error!=null", "host=web-1", "release=1.0", "service=shop", "request_id=*", "id=*",
    "time>2h", "time>2026-01-01", "since=2026-01-01T00:00", "until=2100-01-01 since=1h",
    "user_id=42", 'user_id="42"', "user_id=42.0", "user_id>41", "user_id<=42", "user_id!=43", "user_id=41,42",
    "plan=pro,free", "plan~r", "plan=p*", "plan=*", "plan>=pro", "plan<q", "cart.total>=120.5", "cart.total=120.5",
    'tags=["a", "b"]', 'cart={"total":120.5}', "cart.total=*", "ok=true", "ok!=1", "none=null", "none!=*", "missing!=*",
    "missing!=5", "var.path=own", "variables.path=own", "var.path!=/shop/checkout", "render_ms>1s", "render_ms<=1500ms",
    "attr.http.response.body.size>500", 'attr.exception.message="no such item"', "attributes.exception.message~item",
    'note="two words"', 'comma="a,b"', 'star="a*"', 'quote="say \\"hi\\""', "note=two*",
]  # fmt: skip


@pytest.mark.parametrize("text", HELD)
def test_a_filter_finds_what_it_says(text: str) -> None:
    assert parse(text).matches(_record())


@pytest.mark.parametrize(
    "text",
    [
        "status=404", "status<500", "status!=5xx", "duration>250ms", "method!=GET", "path~Checkout", "error!=*", "error=null",
        "user_id=4", "user_id>42", "user_id~4", "plan=Pro", "plan!=pro", "plan>9", "plan!=*", "cart.total<100", "ok=1", "ok>0",
        "none=*", "missing=*", "missing=null", "missing>5", "path=own", "since=2100-01-01", "until=2026-01-01", "star=b*",
        "user_id=42 plan=free", 'note="two"', "render_ms<1s", 'tags=["a"]', "tags~a", "release>2",
    ],
)  # fmt: skip
def test_a_filter_finds_nothing_else(text: str) -> None:
    assert not parse(text).matches(_record())


def test_a_condition_that_is_negated_also_holds_without_the_value() -> None:
    bare = _record(status=None, error=None, variables={})
    for text in ("status!=200", "status!=5xx", "error!=KeyError", "plan!=free", "plan!~f", "status!=*"):
        assert parse(text).matches(bare), text
    for text in ("status<500", "status=*", "status=5xx", "plan=free", "status!=null"):
        assert not parse(text).matches(bare), text


def test_an_argument_with_blanks_is_a_filter_or_one_condition() -> None:
    assert parse(["note=two words", "plan=pro user_id=42"]).matches(_record())
    assert not parse(["note=two words plan=pro"]).matches(_record())
    assert parse(["cart.total>100", "since=1h"]).since_ns is not None
    assert parse([]) == Query()


def test_of_two_times_the_narrower_holds() -> None:
    query = parse("since=2026-01-02 since=2026-01-01 until=2026-02-01 until=2026-03-01")
    assert query.since_ns == parse("since=2026-01-02").since_ns
    assert query.until_ns == parse("until=2026-02-01").until_ns


@pytest.mark.parametrize(
    ("text", "position", "reason"),
    [
        ("premium", 7, "expected an operator, as in premium=42"),
        ("plan=pro premium", 16, "expected an operator"),
        ("=3", 0, "expected a name"),
        ("a=1 ,b=2", 4, "expected a name"),
        ("user_id==42", 7, "== is no operator; write ="),
        ("user_id<>ada", 7, "write !="),
        ("user_id=~ad", 7, "write ~"),
        ("user_id=>5", 7, "write >="),
        ("user_id=<5", 7, "write <="),
        ("total>>9", 6, "a value that begins with > is quoted"),
        ("status>=5oo", 8, "expected 404, 5xx or 500-599"),
        ("status=200,6xx", 11, "expected 404, 5xx or 500-599"),
        ("status~5", 0, "status is a number: compare it by"),
        ("plan=pro duration>200", 18, "expected a number and ms, s, m"),
        ("since=yesterday", 6, "expected 15m, 2h or 3d"),
        ("since>2h", 0, "write since=2h"),
        ("time>noon", 5, "expected 15m, 2h or 3d"),
        ("outcome=errr", 8, "did you mean error? There are ok"),
        ("durration>200ms", 10, "did you mean duration?"),
        ("latency>200ms", 8, 'write a number, or "200ms"'),
        ("Status=500", 0, "did you mean the field status? A variable of that name is var.Status"),
        ("exception.message=x", 0, "an attribute is written attr.exception.message"),
        ('plan="pro', 5, "has no end"),
        ('plan="pro"x', 10, "expected a blank"),
        ("plan=*pro", 5, "for what has it anywhere, write ~pro"),
        ("plan=pro,f*", 5, "either all values of a list end with *"),
        ("plan=pro,*", 9, "leave the others out"),
        ("total>1,2", 7, "> compares with one value"),
        ("total>", 6, "expected a value to compare with"),
        ("status=99999999999999999999999999x", 7, "expected 404"),
    ],
)
def test_a_filter_that_is_wrong_says_where_and_what_to_write(text: str, position: int, reason: str) -> None:
    with pytest.raises(FilterError) as raised:
        parse(text)
    error = raised.value
    assert reason in error.reason
    assert (error.text, error.position) == (text, position)
    shown, caret = str(error).splitlines()[-2:]
    assert shown[caret.index("^")] == text[position] if position < len(text) else len(shown) == caret.index("^")


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [
        ("plan=pro durration>200ms route=/a", "plan=pro duration>200ms route=/a"),
        ("plan=pro user_id==42 a=1", "plan=pro user_id=42 a=1"),
        ("user_id=>5", "user_id>=5"),
        ("outcome=ok,errr status=500", "outcome=ok,error status=500"),
        ("Status=500", "status=500"),
        ("http.route=/a", "attr.http.route=/a"),
        ('outcome="errr"', None),
        ("latency>200ms", None),
        ("user_id><5", None),
        ("premium", None),
    ],
)
def test_a_filter_that_is_nearly_right_is_suggested_as_it_was_perhaps_meant(text: str, suggestion: str | None) -> None:
    with pytest.raises(FilterError) as raised:
        parse(text)
    assert raised.value.suggestion == suggestion
    if suggestion:
        parse(suggestion)


def test_an_error_shows_a_long_filter_around_the_character_and_nothing_that_a_terminal_obeys() -> None:
    with pytest.raises(FilterError) as raised:
        parse("plan=pro " * 100 + "\x1b[31mred")
    message = str(raised.value)
    assert "\x1b" not in message
    assert len(message) < 400


@given(
    st.text(alphabet=st.characters(codec="utf-8"), max_size=40)
    | st.text(alphabet='ab=!<>~*," []{}.0159x\\-', max_size=20)
)
def test_any_text_is_a_filter_or_a_clear_error(text: str) -> None:
    for given_text in (text, [text]):
        try:
            query = parse(given_text)
        except FilterError as error:
            is_right = 0 <= error.position <= len(text) and bool(error.reason)
        else:
            is_right = query.matches(_record()) in (True, False)
        assert is_right


def test_a_relative_moment_is_fixed_when_it_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 10_000 * 10**9)
    assert parse("since=1h").since_ns == 6_400 * 10**9


@pytest.mark.parametrize(
    "label",
    ["duration", "time", "status", "plan", "cart.total", "attr.http.x", "var.status", "var.Status", "var.http.x"],
)
def test_the_label_of_a_name_is_what_is_typed_for_it(label: str) -> None:
    assert label_of(name_of(label)) == label


@pytest.mark.parametrize("depth", [201, 60_000])
def test_a_value_that_is_nested_too_deeply_is_a_clear_error(depth: int) -> None:
    with pytest.raises(FilterError, match="nested too deeply") as caught:
        parse("x=" + "[" * depth + "]" * depth)
    assert caught.value.position == 2


def test_nesting_is_counted_for_each_value_by_itself() -> None:
    (condition,) = parse("x=" + ",".join(["[[1]]"] * 500)).conditions
    assert len(condition.values) == 500
