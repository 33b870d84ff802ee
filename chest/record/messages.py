"""Foreign text in messages of Chest: without secrets, on one line, printable and of bounded length."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from chest.errors import ChestError

__all__ = ["cut", "masked", "one_line", "printable", "safe_message"]

MASK: Final = "***"
"""What stands in the place of a secret in messages, and in the labels of chests; in records it is another word."""
_LONGEST_CHARACTERS: Final = 500
_LOOKED_AT_CHARACTERS: Final = 5000
"""What is cut off before it is cleaned, so that cleaning takes bounded time; a URL may be longer than what is kept."""
_PAIR: Final = re.compile(
    r"([\w.\[\]-]{1,128})([\"']?\s*[=:]\s*)(?:(?:[Bb]earer|[Bb]asic|[Tt]oken)\s+)?[\"']?[^\s,;&\"')]+"
)
_REDACTED: Final = re.compile(r"\[REDACTED\]|(?<==)REDACTED\b")
"""What :func:`chest.record.secret_text.without_secrets` leaves."""
_LONGEST_SAID_CHARACTERS: Final = 300


def safe_message(error: BaseException | str) -> str:
    """The error as one line that may be logged and kept: no secret, no line break, not endless.

    The class stands before the message if the error is not one of Chest's own: that message may be bare.
    """
    # Their expressions take longer to compile than a command has for its answer; what records requests has loaded them at start.
    from chest.record.secret_names import is_secret_parameter, sounds_secret
    from chest.record.secret_text import without_secrets

    is_ours = isinstance(error, str | ChestError)
    text = _text_of(error) if is_ours else f"{type(error).__name__}: {_text_of(error)}"
    text = text[:_LOOKED_AT_CHARACTERS]
    text = _REDACTED.sub(MASK, without_secrets(text, is_secret_parameter))
    text = _PAIR.sub(lambda pair: f"{pair[1]}{pair[2]}{MASK}" if sounds_secret(pair[1]) else pair[0], text)
    return cut(printable(text), _LONGEST_CHARACTERS)


def _text_of(error: BaseException | str) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - an application's __str__
        return f"{type(error).__name__} whose text cannot be read" if isinstance(error, ChestError) else ""


def one_line(said: str) -> str:
    """What a store said, as a part of a message of ours: one line, printable, not long."""
    line = " ".join("".join(c if c.isprintable() else " " for c in said).split())
    return cut(line, _LONGEST_SAID_CHARACTERS)


def masked(text: str, secrets: Iterable[str]) -> str:
    """The text with :data:`MASK` for each of these secrets, which are known; the longest stand first."""
    for secret in secrets:
        text = text.replace(secret, MASK)
    return text


def printable(text: str) -> str:
    """The text with all escaped that a terminal could obey or hide: controls, direction marks, line ends."""
    return text if text.isprintable() else "".join(c if c.isprintable() else _escaped(c) for c in text)


def cut(text: str, most_characters: int) -> str:
    """The text, with ``…`` for what is too long."""
    return text if len(text) <= most_characters else text[: most_characters - 1] + "…"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
