"""Values of types that JSON does not know, as values that it does."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import enum
import fractions
import io
import ipaddress
import numbers
import pathlib
import sys
import types
import uuid
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, NamedTuple, NoReturn

import pytest

from chest.request.sanitizer.redaction import Redaction
from chest.request.sanitizer.sanitize import Limits, Sanitizer


def cleaned(value: Any, **limits: int) -> tuple[Any, Any]:
    """The value as it is kept, and the reason that is noted for it."""
    variables, notes = Sanitizer(Redaction((), ()), Limits(**limits)).clean({"it": value})
    return variables["it"], None if notes is None else notes["chest.sanitized"].get("it")


def refuse(*_: Any, **__: Any) -> NoReturn:
    raise AssertionError("code of the application was called")


class Color(enum.Enum):
    RED = "red"
    PAIR = (1, 2)


class Level(enum.IntEnum):
    HIGH = 3


class Plan(enum.StrEnum):
    PREMIUM = "premium"


class Point(NamedTuple):
    x: int
    y: int


@dataclasses.dataclass
class Item:
    name: str
    price: Decimal
    secret_sauce: str = dataclasses.field(repr=False, default="x")


@dataclasses.dataclass(slots=True, frozen=True)
class Slotted:
    name: str
    note: str = dataclasses.field(repr=False, default="x")


@pytest.mark.parametrize(
    "value",
    ["", "text", "naïve 😀", 0, -(2**63), 2**63 - 1, 1.5, -0.0, True, False, None, [], {}, [1, [2]], {"a": {"b": 1}}],
)
def test_what_json_holds_is_kept_and_not_noted(value: object) -> None:
    assert cleaned(value) == (value, None)


@pytest.mark.parametrize(
    ("value", "kept", "reason"),
    [
        ("a\0b", "a\ufffdb", "nul"),
        ("a\ud800b\udfff", "a\ufffdb\ufffd", "surrogates"),
        (float("nan"), "NaN", "not_finite"),
        (float("inf"), "Infinity", "not_finite"),
        (float("-inf"), "-Infinity", "not_finite"),
        (2**63, "9223372036854775808", "int_64_bit"),
        (-(2**63) - 1, "-9223372036854775809", "int_64_bit"),
        (b"caf\xc3\xa9", "café", "bytes"),
        (b"\xff\x00", "data:application/octet-stream;base64,/wA=", "bytes"),
        (bytearray(b"abc"), "abc", "bytes"),
        (memoryview(b"abc"), "abc", "bytes"),
        (Decimal("1.50"), "1.50", "type:Decimal"),
        (Decimal("sNaN"), "sNaN", "type:Decimal"),
        (fractions.Fraction(1, 3), "1/3", "type:Fraction"),
        (1 + 2j, "(1+2j)", "type:complex"),
        (dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC), "2026-01-02T03:04:05+00:00", "type:datetime"),
        (dt.date(2026, 1, 2), "2026-01-02", "type:date"),
        (dt.time(3, 4), "03:04:00", "type:time"),
        (dt.timedelta(minutes=1.5), 90.0, "type:timedelta"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001", "type:UUID"),
        (Color.RED, "red", "type:Color"),
        (Color.PAIR, [1, 2], "type:Color"),
        (pathlib.PurePosixPath("/a/b"), "/a/b", "type:PurePosixPath"),
        (ipaddress.ip_address("::1"), "::1", "type:IPv6Address"),
        (ipaddress.ip_network("10.0.0.0/8"), "10.0.0.0/8", "type:IPv4Network"),
        ({3, 1, 2}, [1, 2, 3], "type:set"),
        (frozenset({"b", "a"}), ["a", "b"], "type:frozenset"),
        (collections.deque([2, 1]), [2, 1], "type:deque"),
        (range(3), [0, 1, 2], "type:range"),
        ({"a": 1}.keys(), ["a"], "type:dict_keys"),
        ({"a": 1}.items(), [["a", 1]], "type:dict_items"),
        (types.MappingProxyType({"a": 1}), {"a": 1}, "type:mappingproxy"),
        (collections.ChainMap({"a": 1}), {"a": 1}, "type:ChainMap"),
        (collections.UserDict(a=1), {"a": 1}, "type:UserDict"),
        (ValueError("bad", 3), "ValueError: bad, 3", "type:ValueError"),
        (KeyError(), "KeyError", "type:KeyError"),
    ],
)
def test_other_types_are_converted_and_noted(value: object, kept: object, reason: str) -> None:
    assert cleaned(value) == (kept, reason)
    assert type(cleaned(value)[0]) is type(kept)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ((1, 2), [1, 2]),
        (Point(1, 2), [1, 2]),
        (Level.HIGH, 3),
        (Plan.PREMIUM, "premium"),
        (collections.OrderedDict(a=1), {"a": 1}),
        (collections.Counter("aab"), {"a": 2, "b": 1}),
    ],
)
def test_what_means_the_same_in_json_is_not_noted(value: object, kept: object) -> None:
    assert cleaned(value) == (kept, None)
    assert type(cleaned(value)[0]) is type(kept)


def test_the_digits_of_an_enormous_integer_are_not_computed() -> None:
    assert cleaned(1 << 100_000_000) == ("<int of 100000001 bits>", "int_64_bit")


def test_a_dataclass_becomes_its_fields_without_those_not_to_be_shown() -> None:
    assert cleaned(Item("tea", Decimal(3)))[0] == {"name": "tea", "price": "3", "secret_sauce": "[REDACTED]"}
    assert cleaned(Slotted("tea"))[0] == {"name": "tea", "note": "[REDACTED]"}


def test_a_dataclass_field_that_a_descriptor_would_fetch_is_left_alone() -> None:
    row = Item("tea", Decimal(3))
    del row.__dict__["price"]
    Item.price = property(refuse)  # type: ignore[assignment]
    try:
        assert cleaned(row)[0] == {"name": "tea", "secret_sauce": "[REDACTED]"}
    finally:
        del Item.price


class Untouchable:
    """Each method of this object raises."""

    __repr__ = __str__ = __len__ = __iter__ = __bool__ = __eq__ = __hash__ = __getattribute__ = refuse  # type: ignore[assignment]
    __getattr__ = __format__ = __reduce_ex__ = __call__ = __getitem__ = __contains__ = __index__ = __float__ = refuse


def generator() -> Iterator[int]:
    yield from range(10)


async def coroutine() -> None:
    """Never awaited, and closed by the test."""


def test_an_unknown_object_is_recorded_by_the_name_of_its_type_and_asked_nothing() -> None:
    module = Untouchable.__module__
    assert cleaned(Untouchable()) == (f"<{module}.Untouchable>", "type:Untouchable")


def test_generators_iterators_files_and_coroutines_are_not_consumed() -> None:
    lazy = generator()
    iterator = iter([1, 2])
    file = io.StringIO("abc")
    awaitable = coroutine()
    assert cleaned(lazy) == ("<generator>", "type:generator")
    name = type(iterator).__name__  # list_iterator in CPython
    assert cleaned(iterator) == (f"<{name}>", f"type:{name}")
    assert cleaned(file) == ("<_io.StringIO>", "type:StringIO")
    assert cleaned(awaitable) == ("<coroutine>", "type:coroutine")
    assert cleaned(map(refuse, [1]))[0] == "<map>"
    assert (next(lazy), next(iterator), file.read()) == (0, 1, "abc")
    awaitable.close()


class HostileText(str):
    __len__ = __str__ = __getitem__ = isascii = encode = __contains__ = __iter__ = __eq__ = replace = refuse  # type: ignore[assignment]
    __hash__ = refuse  # type: ignore[assignment]


class HostileInteger(int):
    __int__ = __index__ = bit_length = __eq__ = __lt__ = __le__ = __repr__ = __float__ = refuse  # type: ignore[assignment]
    __hash__ = refuse  # type: ignore[assignment]


class HostileDict(dict[str, Any]):
    items = keys = values = copy = __iter__ = __len__ = __getitem__ = __bool__ = refuse  # type: ignore[assignment]


class HostileList(list[Any]):
    copy = __iter__ = __len__ = __getitem__ = __bool__ = refuse  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("kind", "kept"),
    [
        (HostileText, "abc"),
        pytest.param(
            HostileInteger,
            7,
            marks=pytest.mark.skipif(sys.implementation.name != "cpython", reason="PyPy itself asks the subclass"),
        ),
        (HostileDict, {"a": 1}),
        (HostileList, [1]),
    ],
)
def test_what_a_subclass_overrides_is_not_asked(kind: type[Any], kept: object) -> None:
    result, reason = cleaned(kind(kept))
    assert (type(result), result, reason) == (type(kept), kept, None)


class Lying:
    """Says that it is a text, as proxies do."""

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return str


def test_a_proxy_is_taken_for_what_it_is() -> None:
    assert cleaned(Lying())[1] == "type:Lying"


class RaisingMapping(Mapping[str, int]):
    def __getitem__(self, key: str) -> int:
        raise OSError("the database is gone")

    def __iter__(self) -> Iterator[str]:
        return iter("ab")

    def __len__(self) -> int:
        return 2


class EndlessMapping(RaisingMapping):
    seen = 0

    def __getitem__(self, key: str) -> int:
        return 1

    def __iter__(self) -> Iterator[str]:
        while True:
            self.seen += 1
            yield str(self.seen)


class ChangingMapping(EndlessMapping):
    attempts = 0

    def __iter__(self) -> Iterator[str]:
        self.attempts += 1
        yield "a"
        if self.attempts < 3:
            raise RuntimeError("dictionary changed size during iteration")


def test_a_mapping_that_raises_costs_its_own_value_only() -> None:
    assert cleaned(RaisingMapping()) == (f"<{__name__}.RaisingMapping>", "raised")


def test_a_mapping_without_an_end_is_looked_at_up_to_the_limit() -> None:
    endless = EndlessMapping()
    kept, reason = cleaned(endless, items_per_container=3)
    assert (kept, reason) == ({"1": 1, "2": 1, "3": 1}, "type:EndlessMapping, items")
    assert endless.seen == 4


def test_a_mapping_that_is_changed_meanwhile_is_read_again() -> None:
    assert cleaned(ChangingMapping())[0] == {"a": 1}


class Meta(type):
    def __getattribute__(cls, name: str) -> Any:
        raise AssertionError("code of the application was called")


class OfHostileClass(metaclass=Meta):
    pass


def test_a_hostile_metaclass_costs_its_own_value_only() -> None:
    kept, reason = cleaned(OfHostileClass())
    assert kept == f"<{__name__}.OfHostileClass>"
    assert reason == "raised"


class Registered:
    def __index__(self) -> int:
        return 7

    def __float__(self) -> float:
        return 0.5


def test_a_registered_number_is_its_number() -> None:
    class Whole(Registered):
        pass

    class Broken(Registered):
        pass

    numbers.Integral.register(Whole)
    numbers.Real.register(Broken)
    assert cleaned(Whole()) == (7, "type:Whole")
    assert cleaned(Broken()) == (0.5, "type:Broken")


def test_an_exception_shows_plain_arguments_only() -> None:
    assert cleaned(ValueError("bad", Untouchable()))[0] == f"ValueError: bad, <{__name__}.Untouchable>"


def test_a_released_memoryview_costs_its_own_value_only() -> None:
    view = memoryview(b"abc")
    view.release()
    assert cleaned(view) == ("<memoryview>", "raised")


def test_utf8_bytes_are_cut_between_characters() -> None:
    for shift in range(3):
        kept, reason = cleaned(b"x" * shift + "字".encode() * 30_000, value_bytes=101)
        assert kept == "x" * shift + "字" * ((len(kept.encode()) - shift) // 3)
        assert len(kept.encode()) < 101
        assert reason == "bytes, value_bytes"


def test_a_type_of_a_very_long_name_is_cut() -> None:
    kept, reason = cleaned(type("X" * 1000, (), {})())
    assert len(kept) < 200
    assert reason == "type:" + "X" * 64


def test_a_type_without_a_module_is_shown_by_its_name() -> None:
    homeless = eval("type('Homeless', (), {})", {"__builtins__": {"type": type}})
    assert cleaned(homeless()) == ("<Homeless>", "type:Homeless")
