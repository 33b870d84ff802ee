"""``Losses``: says that records are being dropped, for those who read a log and no counters."""

from __future__ import annotations

from typing import Any, Final

from chest.counters import Counters
from chest.delivery.trouble import Trouble

_REASONS: Final = {
    "ring_full": "the ring is full: a store does not keep up, or ring_bytes is too small",
    "too_large": "they are longer than a sixteenth of ring_bytes",
    "not_encodable": "they could not be made JSON",
    "before_open": "more came before the ring was open than memory may hold",
    "closed": "their requests ended after the recorder was closed",
    "internal_error": "of a mistake in Chest, which please report",
    "no_spool": "their chest is late, the ring nearly full, and they could not be put on disk",
}
"""Of what is dropped where nothing may be logged, in the request's time, and what is not said where it is dropped."""


class Losses:
    """Compares the counts of dropped records with those of the last look, and tells of each reason that grew."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._seen: dict[str, int] = {}
        self._troubles: dict[str, Trouble] = {}

    def look(self) -> None:
        """To be called every few seconds, from a thread that may log."""
        dropped: dict[str, Any] = self._counters.snapshot().get("dropped", {})
        for reason, because in _REASONS.items():
            count = dropped.get(reason, 0)
            more = count - self._seen.get(reason, 0)
            if more > 0:
                trouble = self._troubles.setdefault(reason, Trouble(self._counters))
                trouble.tell(f"{more} records were dropped, because {because}", f"{count} in this process")
            elif reason in self._troubles:
                self._troubles.pop(reason).over(f"No more records are dropped because {because}")
            self._seen[reason] = count
