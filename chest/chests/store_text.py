"""``shortened``: what a store said about a failure, as a piece of a message of ours."""

from __future__ import annotations

import re
from typing import Final

SHOWN_CHARACTERS: Final = 300
"""How much of a store's text goes into a message."""

_UNPRINTABLE: Final = re.compile(r"[^\x20-\x7e\xa0-\uffff]+")


def shortened(said: str) -> str:
    """A store's text for a message of ours: one line, printable, not long."""
    line = " ".join(_UNPRINTABLE.sub(" ", said).split())
    return line if len(line) <= SHOWN_CHARACTERS else line[: SHOWN_CHARACTERS - 1] + "…"
