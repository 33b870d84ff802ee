"""``SanitizationReport``: what was changed in a record's variables, told in its attributes."""

from __future__ import annotations

from typing import Any, Final

from chest.native import agree

SANITIZED: Final = "chest.sanitized"
"""Attribute: the reasons by name or dotted path; ``*`` is the whole record, ``...`` counts notes without room."""
REDACTED_COUNT: Final = "chest.redacted"
"""Attribute: how many values and URLs were redacted."""
RAISED: Final = "raised"
MOST_NOTES: Final = 20
_PATH_CHARACTERS: Final = 200
agree(SANITIZED=SANITIZED, MOST_NOTES=MOST_NOTES)


class SanitizationReport:
    """Reasons by place, bounded in number and length; ``path`` holds the names that lead to the value being looked at.

    :param attributes: what earlier values of the record led to; not changed.
    """

    is_silent = False
    """True while a key is looked at as if it were a value: it is noted under what becomes of it."""
    _without_room = 0

    def __init__(self, attributes: dict[str, Any] | None = None) -> None:
        before = attributes or {}
        self.path: list[object] = []
        self.redacted: int = before.get(REDACTED_COUNT, 0)
        self._reasons: dict[str, Any] = dict(before.get(SANITIZED, ()))

    @property
    def is_full(self) -> bool:
        """True if the report has no room for another reason."""
        return len(self._reasons) >= MOST_NOTES

    def add(self, reason: str) -> None:
        """Note that something was done to the value at ``path``."""
        if self.is_silent:
            return
        path = ".".join(map(str, self.path))[:_PATH_CHARACTERS] or "*"
        known = self._reasons.get(path)
        if known is not None:
            if reason not in known:
                self._reasons[path] = f"{known}, {reason}"
        elif len(self._reasons) < MOST_NOTES:
            self._reasons[path] = reason
        else:
            self._without_room += 1

    def attributes(self) -> dict[str, Any] | None:
        """The notes as attributes of the record; None if nothing was noted."""
        attributes: dict[str, Any] = {}
        if self._reasons:
            more = {"...": self._without_room} if self._without_room else {}
            attributes[SANITIZED] = self._reasons | more
        if self.redacted:
            attributes[REDACTED_COUNT] = self.redacted
        return attributes or None
