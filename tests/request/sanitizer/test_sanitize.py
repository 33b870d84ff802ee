"""Any variables become ones that every chest can hold, at next to no cost where they are already."""

from __future__ import annotations

import collections
import copy
import json
import threading
from decimal import Decimal
from typing import Any, NoReturn

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chest.record.encoding import decode, encode
from chest.request.sanitizer.redaction import Redaction
from chest.request.sanitizer.sanitize import Limits, Sanitizer
from chest.settings.settings import REDACTED_BY_DEFAULT
from tests.support import examples

REDACTION = Redaction(REDACTED_BY_DEFAULT, ())
PLAIN = {"user_id": "123", "plan": "premium", "items": 3, "total": 19.99, "beta": True, "none": None, "name": "naïve"}


def test_plain_variables_come_back_as_the_same_dict_and_without_notes() -> None:
    sanitizer = Sanitizer(REDACTION)
    sanitizer.clean(dict(PLAIN))
    variables = dict(PLAIN)
    kept, notes = sanitizer.clean(variables)
    assert kept is variables
    assert notes is None


def test_a_name_seen_for_the_first_time_changes_nothing() -> None:
    assert Sanitizer(REDACTION).clean(dict(PLAIN)) == (PLAIN, None)


@pytest.mark.parametrize(
    "odd",
    ["a\0b", "\ud800", float("nan"), 2**63, Decimal(1), "x" * 100_000, "https://u:p@h/", b"x", {"a": {1}}, object()],
)
def test_an_odd_value_is_found_beside_plain_ones_whose_order_stays(odd: object) -> None:
    sanitizer = Sanitizer(REDACTION)
    sanitizer.clean({**PLAIN, "odd": 1, "last": 2})
    kept, notes = sanitizer.clean({**PLAIN, "odd": odd, "last": 2})
    assert list(kept) == [*PLAIN, "odd", "last"]
    assert {**kept, "odd": 0} == {**PLAIN, "odd": 0, "last": 2}
    assert kept["odd"] is not odd
    assert notes is not None


def test_the_result_is_a_snapshot() -> None:
    app = {"small": {"a": 1}, "list": [1], "deep": {"a": [{"b": [1]}]}, "other": collections.OrderedDict(a=[1])}
    sanitizer = Sanitizer(REDACTION)
    for _ in range(2):  # names unknown, then known
        kept, _ = sanitizer.clean(dict(app))
        before = copy.deepcopy(kept)
        for container in (app["small"], app["deep"]["a"][0], app["other"]):  # type: ignore[index]
            container["later"] = 1  # type: ignore[index]
        for items in (app["list"], app["deep"]["a"], app["deep"]["a"][0]["b"], app["other"]["a"]):  # type: ignore[index]
            items.append(1)  # type: ignore[union-attr]
        assert kept == before


class HostileName(str):
    """A name whose class takes part in every lookup."""

    def __hash__(self) -> int:
        return str.__hash__(self)

    def __eq__(self, other: object) -> bool:
        raise OSError


def test_a_hostile_name_raises_nothing() -> None:
    sanitizer = Sanitizer(REDACTION)
    sanitizer.clean({"a": 1})
    for _ in range(2):
        kept, _ = sanitizer.clean({HostileName("a"): 1, "b": {HostileName("a"): 2}})
        assert kept == {"a": 1, "b": {"a": 2}}


def test_a_flood_of_names_is_not_all_remembered() -> None:
    sanitizer = Sanitizer(REDACTION)
    for number in range(6_000):
        sanitizer.clean({f"n{number}": 1})
    assert len(sanitizer.known_names) == 4096


def test_names_that_are_hidden_or_have_to_be_changed_are_not_remembered() -> None:
    sanitizer = Sanitizer(REDACTION)
    sanitizer.clean({"x" * 1000: 1, "token": 1, "a\0": 1, "good": 1})
    assert sanitizer.known_names == {"good"}


def test_containers_changed_by_another_thread_raise_nothing() -> None:
    shared: dict[str, Any] = {"dict": {}, "list": [], "nested": {"a": {}}}
    stop = threading.Event()

    def change() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            shared["dict"][f"k{number % 400}"] = number
            shared["list"].append(number)
            shared["nested"]["a"][number % 300] = [number]
            if number % 500 == 0:
                shared["dict"].clear()
                shared["list"].clear()
                shared["nested"]["a"].clear()

    thread = threading.Thread(target=change)
    thread.start()
    try:
        sanitizer = Sanitizer(REDACTION)
        for _ in range(300):
            kept, _ = sanitizer.clean(dict(shared))
            assert set(kept) == {"dict", "list", "nested"}
            encode(kept)
    finally:
        stop.set()
        thread.join()


def refuse(*_: Any, **__: Any) -> NoReturn:
    raise OSError("code of the application was called")


class Hostile:
    __repr__ = __str__ = __iter__ = __len__ = __bool__ = __getattr__ = __eq__ = __format__ = refuse  # type: ignore[assignment]

    def __hash__(self) -> int:
        return 1


class HostileText(str):
    __str__ = __len__ = __getitem__ = __iter__ = encode = isascii = refuse  # type: ignore[assignment]


class HostileDict(dict[Any, Any]):
    __iter__ = __len__ = __getitem__ = items = keys = values = copy = __bool__ = refuse  # type: ignore[assignment]


class HostileList(list[Any]):
    __iter__ = __len__ = __getitem__ = copy = __bool__ = refuse  # type: ignore[assignment]


_ANY_TEXT = st.text(st.characters(), max_size=40)
_URLS = st.sampled_from(["https://u:p@h/?sig=1", "/reset?token=a&b=c", "redis://:pw@h", "http://h/?q=1#x=2", "a://b:c"])
_NAMES = st.sampled_from(["token", "password", "user", "apiKey", "a.b", "1", "#2", "null"])
_HASHABLE = (
    st.none() | st.booleans() | st.integers() | st.integers(-(2**70), 2**70) | st.floats() | _ANY_TEXT | _NAMES | _URLS
    | st.binary(max_size=20) | st.decimals(allow_nan=False) | st.fractions() | st.complex_numbers() | st.uuids() | st.datetimes()
    | st.dates() | st.times() | st.timedeltas() | st.builds(HostileText, _ANY_TEXT) | st.builds(Hostile)
    | st.text("x\0é", min_size=300, max_size=700)
)  # fmt: skip
_LEAVES = (
    _HASHABLE | st.builds(iter, st.just(())) | st.builds(ValueError, _ANY_TEXT) | st.just(refuse) | st.builds(bytearray)
)


def _containers(inside: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    keys = _HASHABLE.filter(lambda key: type(key) is not Hostile)
    return (
        st.lists(inside, max_size=6) | st.lists(inside, max_size=4).map(tuple) | st.lists(inside, max_size=4).map(HostileList)
        | st.dictionaries(keys, inside, max_size=6) | st.dictionaries(_NAMES, inside, max_size=4)
        | st.dictionaries(keys, inside, max_size=4).map(HostileDict)
        | st.dictionaries(keys, inside, max_size=4).map(collections.UserDict)
        | st.lists(_HASHABLE.filter(lambda key: type(key) is not Hostile), max_size=5).map(set)
        | st.lists(inside, max_size=4).map(collections.deque)
    )  # fmt: skip


_VALUES = st.recursive(_LEAVES, _containers, max_leaves=25)
_VARIABLES = st.dictionaries(_ANY_TEXT | _NAMES | st.integers(), _VALUES, max_size=8)
_LIMITS = st.just(Limits()) | st.builds(
    Limits,
    depth=st.integers(0, 4),
    items_per_container=st.integers(0, 5),
    keys_per_record=st.integers(0, 5),
    name_characters=st.integers(8, 20),
    value_bytes=st.integers(64, 2000),
    record_bytes=st.integers(64, 3000),
)


def _check(value: Any, limits: Limits, depth: int = 0) -> int:
    """Assert that a kept value is within limits; how many bytes of UTF-8 its texts are."""
    kind = type(value)
    if kind is str:
        assert "\0" not in value
        size = len(value.encode())
    elif kind is dict or kind is list:
        assert depth < limits.depth
        assert len(value) <= limits.items_per_container
        size = sum(_check(item, limits, depth + 1) for item in (value.values() if kind is dict else value))
        if kind is dict:
            size += sum(_check_name(name, limits) for name in value)
    else:
        assert kind in (int, float, bool, type(None))
        size = 0
    assert size <= limits.value_bytes
    return size


def _check_name(name: Any, limits: Limits) -> int:
    assert type(name) is str
    assert len(name) <= limits.name_characters
    assert "\0" not in name
    return len(name.encode())


@pytest.mark.slow
@given(_VARIABLES, _LIMITS)
@settings(
    max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
def test_whatever_is_recorded_becomes_json_within_limits(variables: dict[Any, Any], limits: Limits) -> None:
    sanitizer = Sanitizer(REDACTION, limits)
    given_names = list(variables)
    given_values = list(variables.values())
    kept, notes = sanitizer.clean(variables)

    assert decode(encode(kept)) == kept
    assert json.loads(json.dumps(kept, allow_nan=False)) == kept
    json.dumps(notes, allow_nan=False).encode()
    assert len(kept) <= limits.keys_per_record
    sizes = [_check(value, limits) + _check_name(name, limits) for name, value in kept.items()]
    assert sum(sizes) <= limits.record_bytes

    assert all(now is before for now, before in zip(variables, given_names, strict=True))
    assert all(now is before for now, before in zip(variables.values(), given_values, strict=True))

    assert sanitizer.clean(variables) == (kept, notes)  # now that the names are known

    again, more_notes = sanitizer.clean(kept)
    assert again == kept
    # Told again is only what was hidden, and where a URL's "REDACTED" was cut: it is written out, and cut again.
    for reason in (more_notes or {}).get("chest.sanitized", {}).values():
        assert reason.startswith("redacted")


def test_variables_that_are_no_dict_raise_nothing() -> None:
    assert Sanitizer(REDACTION).clean(None) == ({}, {"chest.sanitized": {"*": "raised"}})  # type: ignore[arg-type]
