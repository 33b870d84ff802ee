"""A record's values as OpenTelemetry's ``KeyValue`` and ``AnyValue``, in protobuf's wire format."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

from chest.chests.otlp.wire import FIXED_64, VARINT, double, sized, tag, varint
from chest.record.text import storable

__all__ = ["key_values", "string_value"]

_LARGEST: Final = 2**63
_DEEPEST: Final = 20
"""Containers inside containers, which are three messages each: protobuf's decoders take a hundred. A recorder allows eight."""
_MOST_NAMES: Final = 1024
_KEY, _VALUE = tag(1), tag(2)
_STRING, _INT, _DOUBLE, _ARRAY, _PAIRS, _BYTES = tag(1), tag(3, VARINT), tag(4, FIXED_64), tag(5), tag(6), tag(7)
_FALSE, _TRUE = (tag(2, VARINT) + varint(value) for value in (False, True))
_VALUES: Final = tag(1)
"""Of an array, and of a list of pairs."""
_SHORT: Final = 256
_BEFORE_SHORT: Final = tuple(
    _VALUE + varint(len(_STRING + varint(length)) + length) + _STRING + varint(length) for length in range(_SHORT)
)
"""What stands before a text of so many bytes, as most values are."""


def key_values(begin: bytes, pairs: Iterable[tuple[Any, Any]]) -> bytes:
    """Names and values as a repeated field of ``KeyValue``.

    :param begin: the field's tag.
    """
    made: list[bytes] = []
    for name, value in pairs:
        key = _key_of(name if type(name) is str else str(name))
        if type(value) is str and len(value) < _SHORT and value.isascii() and "\0" not in value:
            before, content = _BEFORE_SHORT[len(value)], value.encode()
        else:
            content = any_value(value)
            before = _VALUE + varint(len(content))
        made += begin, varint(len(key) + len(before) + len(content)), key, before, content
    return b"".join(made)


@lru_cache(_MOST_NAMES)
def _key_of(name: str) -> bytes:
    return sized(_KEY, storable(name).encode())


def string_value(text: str) -> bytes:
    """An ``AnyValue`` that is a text."""
    return sized(_STRING, storable(text).encode())


def any_value(value: Any, depth: int = 0) -> bytes:
    """An ``AnyValue``; without a field for None. What OpenTelemetry has no type for is text."""
    if value is None:
        return b""
    if isinstance(value, bool):
        return _TRUE if value else _FALSE
    if isinstance(value, int):
        return _INT + varint(value) if -_LARGEST <= value < _LARGEST else string_value(str(value))
    if isinstance(value, str):
        return string_value(value)
    if isinstance(value, float):
        return _DOUBLE + double(value)
    if isinstance(value, bytes | bytearray):
        return sized(_BYTES, bytes(value))
    if depth < _DEEPEST:
        if isinstance(value, Mapping):
            pairs = (
                sized(_KEY, storable(str(key)).encode()) + sized(_VALUE, any_value(each, depth + 1))
                for key, each in value.items()
            )
            return sized(_PAIRS, b"".join(sized(_VALUES, pair) for pair in pairs))
        if isinstance(value, list | tuple | set | frozenset):
            return sized(_ARRAY, b"".join(sized(_VALUES, any_value(each, depth + 1)) for each in value))
    return string_value(str(value))
