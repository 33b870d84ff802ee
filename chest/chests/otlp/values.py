"""A record's values as OpenTelemetry's ``AnyValue``, in the form from which protobuf makes a message quickest.

protobuf reads nested dicts in C: a constructor for each value costs two and a half times as much.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from chest.record.text import storable

__all__ = ["key_values"]

_LARGEST: Final = 2**63
_DEEPEST: Final = 20
"""Containers inside containers, which are three messages each: protobuf's decoders take a hundred. A recorder allows eight."""


def key_values(pairs: Iterable[tuple[Any, Any]]) -> list[dict[str, Any]]:
    """Names and values as a list of ``KeyValue``."""
    return [
        {
            "key": key if type(key) is str and key.isascii() and "\0" not in key else storable(str(key)),
            "value": {"string_value": value}
            if type(value) is str and value.isascii() and "\0" not in value
            else any_value(value),
        }
        for key, value in pairs
    ]


def any_value(value: Any, depth: int = 0) -> dict[str, Any]:
    """An ``AnyValue``; without a field for None. What OpenTelemetry has no type for is text."""
    if value is None:
        return {}
    if isinstance(value, str):
        return {"string_value": storable(value)}
    if isinstance(value, bool):
        return {"bool_value": value}
    if isinstance(value, int):
        return {"int_value": value} if -_LARGEST <= value < _LARGEST else {"string_value": str(value)}
    if isinstance(value, float):
        return {"double_value": value}
    if isinstance(value, bytes | bytearray):
        return {"bytes_value": bytes(value)}
    if depth < _DEEPEST:
        if isinstance(value, Mapping):
            pairs = [{"key": storable(str(key)), "value": any_value(each, depth + 1)} for key, each in value.items()]
            return {"kvlist_value": {"values": pairs}}
        if isinstance(value, list | tuple | set | frozenset):
            return {"array_value": {"values": [any_value(each, depth + 1) for each in value]}}
    return {"string_value": storable(str(value))}
