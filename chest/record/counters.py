"""The recorder's counts by name, and its last error with the time."""

from __future__ import annotations

import time
from _thread import get_ident
from typing import Any, Final, NamedTuple

_LONGEST_CHARACTERS: Final = 5000
"""What is logged is shorter; the repr of an exception may hold megabytes of the application's."""


class Fault(NamedTuple):
    """The last fault of a kind, and how often there was one; of two threads at once one may not be counted."""

    message: str
    times: int


class Counters:
    """Named counts that any thread may add to, exact without a lock.

    Each thread adds under a key of its own, so no two threads ever write one entry; reading sums the entries up.
    Names with a dot are grouped in :meth:`snapshot`: ``dropped.ring_full`` is shown as ``{"dropped": {"ring_full": 1}}``.
    """

    def __init__(self) -> None:
        self._counts: dict[tuple[str, int], int] = {}
        self._last_error: str | None = None
        self._last_error_time: float | None = None
        self._faults: dict[str, Fault] = {}

    def add(self, name: str, count: int = 1) -> None:
        """Add ``count`` to ``name``."""
        key = (name, get_ident())
        self._counts[key] = self._counts.get(key, 0) + count

    def get(self, name: str) -> int:
        """The count under ``name``; 0 when nothing was counted."""
        return sum(count for (key, _), count in self._counts.copy().items() if key == name)

    def error(self, message: str) -> None:
        """Remember the last thing that went wrong, with the time."""
        self._last_error = message
        self._last_error_time = time.time()

    def fault(self, kind: str, *details: object) -> None:
        """Remember the last thing that went wrong, and have a thread that may wait log it: see ``TroubleReporter``.

        :param kind: the message, with ``%s`` for each of the details.
        """
        try:
            message = (kind % details)[:_LONGEST_CHARACTERS]
        except Exception:  # noqa: BLE001 - an exception of the application's may have a repr() that raises
            message = kind.replace("%r", "%s") % tuple(type(each).__name__ for each in details)
        self.error(message)
        before = self._faults.get(kind)
        self._faults[kind] = Fault(message, before.times + 1 if before else 1)

    def faults(self) -> dict[str, Fault]:
        """The last fault of each kind."""
        return self._faults.copy()

    def totals(self) -> dict[str, int]:
        """Every count by its name."""
        totals: dict[str, int] = {}
        for (name, _), count in self._counts.copy().items():
            totals[name] = totals.get(name, 0) + count
        return totals

    def snapshot(self) -> dict[str, Any]:
        """A copy of all counts, those with a dot in their names grouped, and the last error (Unix time in seconds)."""
        grouped: dict[str, Any] = {}
        for name, total in sorted(self.totals().items()):
            group, _, reason = name.partition(".")
            if reason:
                grouped.setdefault(group, {})[reason] = total
            else:
                grouped[group] = total
        grouped["last_error"] = self._last_error
        grouped["last_error_time"] = self._last_error_time
        return grouped

    def clear(self) -> None:
        """Begin anew: a forked process counts for itself."""
        self._counts.clear()
        self._faults.clear()
        self._last_error = self._last_error_time = None
