"""JSON in one place: ``encode`` and ``decode``, by orjson where it is installed, else by the standard library.

Values come sanitized: text keys, integers within 64 bit, no NaN, no lone surrogates. What is not so raises, mostly:
orjson writes NaN as ``null``, and each side takes some types that the other refuses. Nothing may rely on that.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

__all__ = ["decode", "encode", "encode_with_json"]


def encode_with_json(value: Any) -> bytes:
    """:func:`encode` by the standard library: ten times slower, the same bytes for the values both take."""
    return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()


encode: Callable[[Any], bytes]
"""A JSON value as compact UTF-8 bytes; ``TypeError`` or ``ValueError`` for what JSON cannot hold."""

decode: Callable[[bytes | str], Any]
"""JSON text as Python values; ``ValueError`` when it is none."""

try:
    import orjson
except ImportError:
    encode, decode = encode_with_json, json.loads
else:
    # The functions themselves, with nothing wrapped around them: a Python call would cost as much as the encoding.
    encode, decode = orjson.dumps, orjson.loads
