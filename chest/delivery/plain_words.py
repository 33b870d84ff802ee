"""``plain_words``: what went wrong, as one line that may be logged and kept: no secret, no line break, not endless."""

from __future__ import annotations

import re
from typing import Final

from chest.errors import ChestError

_LONGEST_CHARACTERS: Final = 500
_LOOKED_AT_CHARACTERS: Final = 5000
"""What is cut off before it is cleaned, so that cleaning takes bounded time; a URL may be longer than what is kept."""
_PASSWORD: Final = re.compile(r"(://[^\s/?#@:]*):[^\s]*@")
"""Up to the last "@" of the word: a password may hold what a URL should not. Rather too much is hidden than too little."""
_SECRET: Final = re.compile(
    r"((?:token|secret|password|passwd|pwd|passphrase|api[_-]?key|signature|credential|authorization)\w*[\"']?\s*[=:]\s*)"
    r"(?:(?:bearer|basic|token)\s+)?[\"']?[^\s,;&\"')]+",
    re.IGNORECASE,
)
_UNPRINTABLE: Final = re.compile(
    r"[^\x20-\x7e\u00a1-\u2027\u202f-\ud7ff\ue000-\ufeff\uff01-\ufffd\U00010000-\U0010ffff]"
)
"""Control characters and what terminals take for such, line and paragraph separators, lone surrogates."""


def plain_words(error: BaseException | str) -> str:
    """The error in one line. The class stands before the words of what is not Chest's own: theirs may be bare."""
    is_ours = isinstance(error, str | ChestError)
    text = _text_of(error) if is_ours else f"{type(error).__name__}: {_text_of(error)}"
    text = text[:_LOOKED_AT_CHARACTERS]
    text = _SECRET.sub(r"\1***", _PASSWORD.sub(r"\1:***@", text))
    text = _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
    return text if len(text) <= _LONGEST_CHARACTERS else text[: _LONGEST_CHARACTERS - 1] + "\u2026"


def _text_of(error: BaseException | str) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - somebody's __str__
        return f"{type(error).__name__} that cannot say what it is" if isinstance(error, ChestError) else ""
