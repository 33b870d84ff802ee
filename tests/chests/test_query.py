"""Which records a query means."""

from __future__ import annotations

from typing import Any

import pytest

from chest.chests.query import EVERYTHING, Query
from chest.errors import SettingsError
from chest.testing.records import make_record


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ("123", "123"),
        ("123", 123),
        ("123", 123.0),
        ("123.0", 123),
        ("-5", -5),
        ("1e3", 1000),
        ("0.1", 0.1),
        ("9007199254740993", 9007199254740993),
        ("true", True),
        ("true", "true"),
        ("false", False),
        ("null", None),
        ("", ""),
        ("Zoë", "Zoë"),
        ('{"a": [1, null]}', {"a": [1, None]}),
    ],
)
def test_a_value_is_found_by_what_a_person_types_for_it(typed: str, value: Any) -> None:
    assert Query(variables={"name": typed}).matches(make_record(variables={"name": value}))


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ("123", "1234"),
        ("123", 124),
        ("true", 1),
        ("1", True),
        ("0", False),
        ("True", True),
        ("null", "None"),
        ("None", None),
        ("", None),
        ("9007199254740993", 9007199254740992),
        ("zoë", "Zoë"),
        ("0123", 123),
        ("nan", 0.0),
    ],
)
def test_a_value_is_not_found_by_anything_else(typed: str, value: Any) -> None:
    assert not Query(variables={"name": typed}).matches(make_record(variables={"name": value}))


def test_dots_look_into_nested_mappings() -> None:
    record = make_record(variables={"cart": {"items": 3, "shop": {"city": "Ulm"}}})
    assert Query(variables={"cart.items": "3", "cart.shop.city": "Ulm"}).matches(record)
    assert not Query(variables={"cart.items.more": "3"}).matches(record)
    assert not Query(variables={"cart.missing": "null"}).matches(record)


def test_a_variable_of_just_this_name_goes_before_a_nested_one() -> None:
    record = make_record(variables={"cart.items": 1, "cart": {"items": 2}})
    assert Query(variables={"cart.items": "1"}).matches(record)
    assert not Query(variables={"cart.items": "2"}).matches(record)


def test_a_missing_variable_matches_nothing() -> None:
    assert not Query(variables={"missing": "null"}).matches(make_record(variables={}))


def test_without_conditions_every_record_matches() -> None:
    assert EVERYTHING.matches(make_record(variables={}, status=None, route=None))


def test_times_include_their_beginning_and_not_their_end() -> None:
    query = Query(since_ns=100, until_ns=200)
    assert [query.matches(make_record(time_ns=time_ns)) for time_ns in (99, 100, 199, 200)] == [
        False,
        True,
        True,
        False,
    ]


def test_slower_means_longer_than() -> None:
    query = Query(slower_than_ns=100)
    assert [query.matches(make_record(duration_ns=duration_ns)) for duration_ns in (100, 101)] == [False, True]


def test_a_request_without_status_is_in_no_range_of_statuses() -> None:
    assert not Query(statuses=range(1000)).matches(make_record(status=None))


def test_a_range_of_statuses_with_a_step_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"range\(500, 600\)"):
        Query(statuses=range(200, 600, 100))
