"""What may follow ``?`` in a chest's URL and several chests have: read, or refused with what to write."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from typing import Final

from chest.errors import SettingsError

DEFAULT_TIMEOUT_SECONDS: Final = 10.0
_LONGEST_TIMEOUT_SECONDS: Final = 600.0
_YES_NO: Final = {"1": True, "true": True, "0": False, "false": False}


def timeout_seconds_of(given: str | float | None) -> float:
    """``timeout_seconds=``: how long a store is waited for."""
    try:
        seconds = DEFAULT_TIMEOUT_SECONDS if given is None else float(given)
        if 0.0 < seconds <= _LONGEST_TIMEOUT_SECONDS:
            return seconds
    except ValueError:
        pass
    raise SettingsError(f"timeout_seconds={given!r}: seconds, more than 0 and at most {_LONGEST_TIMEOUT_SECONDS:g}.")


def yes_no_of(name: str, text: str | None) -> bool:
    """An option that is on or off; off where it is left out."""
    if text is None or text.lower() in _YES_NO:
        return _YES_NO[(text or "0").lower()]
    raise SettingsError(f"{name}={text!r}: write {name}=1, or leave it out.")


def nearest_hint(name: str, known: Collection[str]) -> str:
    """``" Did you mean …?"`` for a mistyped name, empty where none is near."""
    nearest = difflib.get_close_matches(name, known, n=1)
    return f" Did you mean {nearest[0]}?" if nearest else ""
