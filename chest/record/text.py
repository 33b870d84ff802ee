"""Text that every store takes: without NUL and lone surrogates, and cut between characters."""

from __future__ import annotations

import re
from typing import Final

_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def storable_text(value: str, limit_characters: int) -> str:
    """A single text for a field of its own (a path, a message): without NUL and lone surrogates, and cut.

    It loses no URL's password: :meth:`Redaction.clean_text`, before it is cut, is for texts that may hold one.

    :param value: the text; a subclass of ``str`` comes back as plain ``str``.
    :param limit_characters: how many characters are kept.
    """
    if type(value) is not str or len(value) > limit_characters:
        value = str.__getitem__(value, slice(limit_characters))
    if value.isascii() and "\0" not in value:
        return value
    return storable(value)


def storable(text: str) -> str:
    """The text with U+FFFD for what a store refuses: NUL (PostgreSQL), lone surrogates (every store that uses UTF-8)."""
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    if text.isascii():
        return text
    return text if has_no_surrogates(text) else _LONE_SURROGATE.sub("\ufffd", text)


def is_storable(text: str) -> bool:
    """True if every store takes the text as it is: no NUL, no lone surrogate."""
    return "\0" not in text and has_no_surrogates(text)


def has_no_surrogates(text: str) -> bool:
    """True if the text can be encoded in UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def cut(text: str, most_bytes: int) -> str:
    """As much of a storable text as fits, in UTF-8 and in whole characters."""
    if text.isascii():
        return text[:most_bytes]
    encoded = text.encode()
    return text if len(encoded) <= most_bytes else encoded[:most_bytes].decode("utf-8", "ignore")


def utf8_bytes(text: str) -> int:
    """How many bytes a storable text has in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())
