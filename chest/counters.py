"""What the recorder knows of itself: counts by name, the last error, and when trouble began."""

from __future__ import annotations

import time
from typing import Any


class Counters:
    """Named counts that any thread may add to.

    ``add`` is for slow paths and the exporter's thread: two threads that add to one name in the same instant could lose
    one of the two, so each name belongs to the room that counts it, and a request only counts when something went wrong.
    A count under a request is therefore exact to within such a collision; no other figure is derived from it.

    Names with a dot are grouped in :meth:`snapshot`: ``dropped.ring_full`` is shown as ``{"dropped": {"ring_full": 1}}``.
    """

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._last_error: str | None = None
        self._last_error_time: float | None = None

    def add(self, name: str, count: int = 1) -> None:
        """Add ``count`` to ``name``."""
        self._counts[name] = self._counts.get(name, 0) + count

    def get(self, name: str) -> int:
        """The count under ``name``; 0 when nothing was counted."""
        return self._counts.get(name, 0)

    def error(self, message: str) -> None:
        """Remember the last thing that went wrong, with the time."""
        self._last_error = message
        self._last_error_time = time.time()

    def snapshot(self) -> dict[str, Any]:
        """A copy of all counts, those with a dot in their names grouped, and the last error."""
        grouped: dict[str, Any] = {}
        for name, count in sorted(self._counts.copy().items()):
            group, _, reason = name.partition(".")
            if reason:
                grouped.setdefault(group, {})[reason] = count
            else:
                grouped[group] = count
        grouped["last_error"] = self._last_error
        grouped["last_error_time"] = self._last_error_time
        return grouped

    def clear(self) -> None:
        """Begin anew: a forked process counts for itself."""
        self._counts.clear()
        self._last_error = self._last_error_time = None
