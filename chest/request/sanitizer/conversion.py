"""Converts values that JSON does not have, by what Python itself knows of their type, not by what their class says.

The time is the request's, so no ``__repr__``, ``__str__`` or ``__getattr__`` of the application is called: they may ask
a database, wait, or change what they show. A value of an unknown type is recorded as the name of its type, and nothing
that iterating would consume is iterated. Two things are called because they are what the type is for: ``items()`` of a
registered ``Mapping``, and ``__index__`` or ``__float__`` of a registered number (numpy's scalars are).
"""

from __future__ import annotations

import base64
import codecs
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import Field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from itertools import islice
from numbers import Integral, Real
from operator import index
from pathlib import PurePath
from types import MemberDescriptorType
from typing import Any, Final
from uuid import UUID

from chest.record.secret_text import REDACTED

_ATTEMPTS: Final = 3
_EXCEPTION_ARGUMENTS: Final = 8
_TYPE_CHARACTERS: Final = 64
# Decimal digits take time in proportion to their number squared.
_DECIMAL_BITS: Final = 4096

# What a class says of itself can be overridden by its metaclass; what ``type`` knows of it cannot.
_bases_of: Callable[[type], tuple[type, ...]] = type.__dict__["__mro__"].__get__
_name_of: Callable[[type], str] = type.__dict__["__name__"].__get__
_module_of: Callable[[type], object] = type.__dict__["__module__"].__get__
_arguments_of: Callable[[BaseException], tuple[Any, ...]] = BaseException.__dict__["args"].__get__


# A value, the most items and the most characters (or bytes) to take of it.
_Convert = Callable[[Any, int, int], Any]


class Pairs(list[tuple[Any, Any]]):
    """Keys with their values, where a plain list is items."""


def converted(value: Any, kind: type, most_items: int, most_characters: int) -> tuple[Any, str]:
    """The value in terms of JSON, not yet looked into, and why it had to be converted ("" if JSON holds the same).

    :param value: anything but a plain scalar.
    :param kind: its type.
    :param most_items: how many entries of a container are taken.
    :param most_characters: how much of a text (characters) or of bytes is taken.
    :return: ``str``, ``int``, ``float`` or None; a fresh ``list`` or :class:`Pairs`; or an enum member's value, which may
        be of any type.
    """
    for base in _bases_of(kind):
        conversion = _CONVERSIONS.get(base)
        if conversion is not None:
            convert, reason = conversion
            return convert(value, most_items, most_characters), _type_reason(kind) if reason is None else reason
    return _by_protocol(value, kind, most_items), _type_reason(kind)


def large_integer(value: int) -> str:
    """What stands for an integer beyond 64 bits, which few stores hold: its decimal digits, if not too many."""
    bits = value.bit_length()
    return str(value) if bits <= _DECIMAL_BITS else f"<int of {bits} bits>"


def not_finite(value: float) -> str:
    """What stands for a float that JSON has no number for."""
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"


def placeholder(kind: type) -> str:
    """What stands for a value that is not looked into: ``<module.Name>`` of its type."""
    name = _name_of(kind)[:_TYPE_CHARACTERS]
    try:
        module = _module_of(kind)
    except AttributeError:  # deleted from the class
        module = None
    return f"<{module[:_TYPE_CHARACTERS]}.{name}>" if type(module) is str and module != "builtins" else f"<{name}>"


def _type_reason(kind: type) -> str:
    return f"type:{_name_of(kind)[:_TYPE_CHARACTERS]}"


def _by_protocol(value: Any, kind: type, most_items: int) -> Any:
    fields = getattr(kind, "__dataclass_fields__", None)
    if type(fields) is dict:
        return _fields(value, kind, fields, most_items)
    if issubclass(kind, Mapping):
        return Pairs(_taken(value.items, most_items))
    if issubclass(kind, Integral):
        return int.__int__(index(value))
    if issubclass(kind, Real):
        return float(value)
    return placeholder(kind)


def _fields(value: Any, kind: type, fields: dict[str, Field[Any]], most_items: int) -> Pairs:
    """The fields of a dataclass that lie in it: not those that a property or a descriptor would fetch from a database.

    A field declared ``repr=False`` is one that its author did not want to be shown.
    """
    instance = _instance_dict(value)
    pairs = Pairs()
    for name, field in islice(fields.items(), most_items):
        if name in instance:
            pairs.append((name, instance[name] if field.repr else REDACTED))
        elif (slot := _slot(kind, name)) is not None:
            pairs.append((name, slot.__get__(value) if field.repr else REDACTED))
    return pairs


def _instance_dict(value: Any) -> dict[str, Any]:
    try:
        instance = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return {}
    return instance if type(instance) is dict else {}


def _slot(kind: type, name: str) -> MemberDescriptorType | None:
    for base in _bases_of(kind):
        found = base.__dict__.get(name)
        if type(found) is MemberDescriptorType:
            return found
    return None


def _taken(iterate: Callable[[], Iterable[Any]], most_items: int) -> list[Any]:
    """The first entries; tried again a few times if another thread changed the container."""
    for _ in range(_ATTEMPTS):
        try:
            return list(islice(iterate(), most_items))
        except RuntimeError:
            continue
    raise RuntimeError("the container changes all the time")


def _iterated_by(iterate: Callable[[Any], Iterable[Any]]) -> _Convert:
    return lambda value, most_items, _: _taken(lambda: iterate(value), most_items)


def _pairs(value: dict[Any, Any], most_items: int, _: int) -> Pairs:
    return Pairs(_taken(lambda: dict.items(value), most_items))


def _by(convert: Callable[[Any], Any]) -> _Convert:
    return lambda value, _, __: convert(value)


def _text(value: str, _: int, most_characters: int) -> str:
    return str.__getitem__(value, slice(most_characters))


def _bytes(value: bytes, _: int, most_bytes: int) -> str:
    """Text if the bytes are UTF-8; otherwise a URL that holds them (RFC 2397)."""
    data = bytes.__getitem__(value, slice(most_bytes))
    try:
        return codecs.utf_8_decode(data, "strict", len(data) < most_bytes)[0]
    except UnicodeDecodeError:
        return "data:application/octet-stream;base64," + base64.b64encode(data).decode("ascii")


def _bytearray(value: bytearray, _: int, most_bytes: int) -> str:
    return _bytes(bytes(bytearray.__getitem__(value, slice(most_bytes))), _, most_bytes)


def _memoryview(value: memoryview, _: int, most_bytes: int) -> str:
    return _bytes(value[:most_bytes].tobytes(), _, most_bytes)


def _exception(error: BaseException, _: int, most_characters: int) -> str:
    message = ", ".join(_argument(each, most_characters) for each in _arguments_of(error)[:_EXCEPTION_ARGUMENTS])
    name = _name_of(type(error))
    return f"{name}: {message}" if message else name


def _argument(value: Any, most_characters: int) -> str:
    kind = type(value)
    if kind is str:
        return str(value[:most_characters])
    return repr(value) if kind in (int, float, bool) or value is None else placeholder(kind)


_SCALARS: Final[dict[type, Callable[[Any], Any]]] = {
    UUID: UUID.__str__,
    Decimal: Decimal.__str__,
    datetime: datetime.isoformat,
    date: date.isoformat,
    time: time.isoformat,
    timedelta: timedelta.total_seconds,
    Fraction: Fraction.__str__,
    complex: complex.__repr__,
    PurePath: PurePath.__str__,
    IPv4Address: IPv4Address.__str__,
    IPv6Address: IPv6Address.__str__,
    IPv4Network: IPv4Network.__str__,
    IPv6Network: IPv6Network.__str__,
}
_WITHOUT_SECRETS: Final = frozenset((UUID, datetime, date, time))
SCALARS: Final = {kind: (convert, _type_reason(kind), kind in _WITHOUT_SECRETS) for kind, convert in _SCALARS.items()}
"""Of the types that are recorded most: what makes a value of exactly this type text or a number, the reason, and whether that
holds no secret, whatever it may look like."""

_CONVERSIONS: Final[dict[type, tuple[_Convert, str | None]]] = {
    # What JSON holds as it is, and subclasses of it (IntEnum, Markup, OrderedDict, named tuples).
    dict: (_pairs, ""),
    list: (_iterated_by(list.__iter__), ""),
    tuple: (_iterated_by(tuple.__iter__), ""),
    str: (_text, ""),
    int: (_by(int.__int__), ""),
    float: (_by(float.__float__), ""),
    # Under the reason "type:…".
    set: (_iterated_by(set.__iter__), None),
    frozenset: (_iterated_by(frozenset.__iter__), None),
    deque: (_iterated_by(deque.__iter__), None),
    range: (_iterated_by(iter), None),
    type({}.keys()): (_iterated_by(iter), None),
    type({}.values()): (_iterated_by(iter), None),
    type({}.items()): (_iterated_by(iter), None),
    bytes: (_bytes, "bytes"),
    bytearray: (_bytearray, "bytes"),
    memoryview: (_memoryview, "bytes"),
    Enum: (_by(lambda member: object.__getattribute__(member, "_value_")), None),
    BaseException: (_exception, None),
    **{kind: (_by(convert), None) for kind, convert in _SCALARS.items()},
}
