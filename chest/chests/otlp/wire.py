"""protobuf's wire format, as far as OTLP's messages need it: written from tables, and read for what a collector answers."""

from __future__ import annotations

from struct import Struct
from typing import Final

__all__ = ["BYTES", "FIXED_64", "VARINT", "double", "fields_of", "fixed_64", "sized", "tag", "varint"]

VARINT, FIXED_64, BYTES, _FIXED_32 = 0, 1, 2, 5
"""How a field's value is written."""
_FIXED_BYTES: Final = {FIXED_64: 8, _FIXED_32: 4}
_LONGEST_VARINT: Final = 10
_WORD: Final = 1 << 64

double: Final = Struct("<d").pack
"""A number as the value of a field of :data:`FIXED_64`."""
fixed_64: Final = Struct("<Q").pack
"""An integer, not negative, as such a value; raises ``struct.error`` if it does not fit."""


def _written(number: int) -> bytes:
    made = bytearray()
    while number > 0x7F:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    made.append(number)
    return bytes(made)


_SMALL: Final = tuple(map(_written, range(1024)))


def varint(number: int) -> bytes:
    """A number of at most 64 bits, as the value of a field of :data:`VARINT`, and as what stands before so many bytes."""
    return _SMALL[number] if 0 <= number < 1024 else _written(number % _WORD)


def tag(number: int, kind: int = BYTES) -> bytes:
    """What a field begins with.

    :param number: of the field in its message.
    """
    return varint(number << 3 | kind)


def sized(begin: bytes, content: bytes) -> bytes:
    """A field of :data:`BYTES`: bytes, a text, or a message.

    :param begin: its tag.
    """
    return begin + varint(len(content)) + content


def fields_of(message: bytes) -> dict[int, int | bytes]:
    """The fields of a message by their numbers; of several with one number the last. A field of a fixed length is left out.

    :raises ValueError: it is no message.
    """
    found: dict[int, int | bytes] = {}
    place = 0
    while place < len(message):
        begin, place = _varint_at(message, place)
        number, kind = divmod(begin, 8)
        if kind == VARINT:
            found[number], place = _varint_at(message, place)
        elif kind == BYTES:
            length, place = _varint_at(message, place)
            found[number] = message[place : place + length]
            place += length
        elif kind in _FIXED_BYTES:
            place += _FIXED_BYTES[kind]
        else:
            raise ValueError("no message of protobuf's")
    if place > len(message):
        raise ValueError("a message of protobuf's that is cut off")
    return found


def _varint_at(message: bytes, place: int) -> tuple[int, int]:
    """The number that is written there, and the place behind it."""
    number = 0
    for shift, byte in enumerate(message[place : place + _LONGEST_VARINT]):
        number |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            return number % _WORD, place + shift + 1
    raise ValueError("no message of protobuf's")
