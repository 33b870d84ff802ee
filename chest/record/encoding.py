"""JSON in one place: ``encode`` and ``decode``, by orjson if it is installed, else by the standard library.

Values come sanitized: text keys, integers within 64 bit, no NaN, no lone surrogates. Other values mostly raise, but orjson
writes NaN as ``null``, and each of the two takes some types that the other refuses. Do not rely on either.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, NoReturn

__all__ = ["NEWLINE", "decode", "decode_with_json", "encode", "encode_line", "encode_with_json"]


# Kept: `json.dumps` with arguments makes one at each call, which takes as long as the encoding.
_text_of = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode


def encode_with_json(value: Any) -> bytes:
    """:func:`encode` by the standard library: some five times slower, the same bytes for the values both take."""
    return _text_of(value).encode()


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_value_of = json.JSONDecoder(parse_constant=_refuse_constant).decode
_has_surrogate = re.compile(r"\\u[dD][89a-fA-F]").search


def decode_with_json(line: bytes | str) -> Any:
    """:data:`decode` by the standard library, which alone would also take NaN, lone surrogates and UTF-16."""
    if isinstance(line, str):
        text = line
        text.encode()  # UnicodeEncodeError, a ValueError, for a surrogate
    else:
        text = line.decode()  # PyPy's `str(line, "utf-8")` would take encoded surrogates
    try:
        value = _value_of(text)
        if _has_surrogate(text):
            _text_of(value).encode()  # UnicodeEncodeError, a ValueError, if one of them is alone
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return value


encode: Callable[[Any], bytes]
"""A JSON value as compact UTF-8 bytes; ``TypeError`` or ``ValueError`` for what JSON cannot hold."""

decode: Callable[[bytes | str], Any]
"""JSON text as Python values; ``ValueError`` if it is invalid, or holds what :data:`encode` refuses, such as a lone surrogate."""

encode_line: Callable[[Any, None, int], bytes]
"""With the arguments None and :data:`NEWLINE`: a JSON value as one line."""


def _encode_line_with_json(value: Any, default: None, option: int) -> bytes:
    # Another thread may write to the variables while Python code encodes them; a copy is made in one step.
    return encode_with_json([field.copy() if isinstance(field, dict) else field for field in value]) + b"\n"


try:
    import orjson
except ImportError:
    encode, decode, encode_line = encode_with_json, decode_with_json, _encode_line_with_json
    NEWLINE = 0
else:
    # The functions themselves, with nothing wrapped around them: a Python call would cost as much as the encoding.
    encode, decode, encode_line = orjson.dumps, orjson.loads, orjson.dumps
    NEWLINE = orjson.OPT_APPEND_NEWLINE
