"""``RateLimitedLog``: logs each kind of failure at most once a minute, and its end once; ``TroubleReporter`` logs what was counted."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from chest.record.counters import Counters
from chest.record.messages import safe_message

EVERY_SECONDS: Final = 60.0

_REASONS: Final = {
    "ring_full": "the ring is full: a store does not keep up, or ring_bytes is too small",
    "too_large": "they are longer than a sixteenth of ring_bytes; record less in a request, or make ring_bytes larger",
    "not_encodable": "they could not be encoded as JSON",
    "before_open": "more than 1,000 came before the ring was open",
    "closed": "their requests ended after recorder.close()",
    "internal_error": 'of a bug in Chest; report it with the line that begins with "while recording"',
    "no_spool": "their chest is late, the ring is nearly full, and they could not be spooled to disk; an earlier line says why",
}
"""Reasons that are logged later, by the delivery thread: a request logs nothing."""

_logger: Final = logging.getLogger("chest.delivery")


class RateLimitedLog:
    """Logs one kind of failure of one thing, such as a chest that takes no records.

    :param counters: told of each, as the last error.
    :param clock: a monotonic clock in seconds.
    """

    def __init__(self, counters: Counters, clock: Callable[[], float] = time.monotonic) -> None:
        self._counters = counters
        self._clock = clock
        self._said_at = float("-inf")
        self._unsaid = 0
        self.is_said = False
        """True if the failure was logged last and not its end, here or elsewhere."""

    def error(self, what: str, error: BaseException | str) -> None:
        """It failed, maybe again.

        :param what: our words, logged as they are.
        :param error: what was raised or answered: logged without secrets, in one line.
        """
        self.tell(f"{what}: {safe_message(error)}")

    def tell(self, message: str, times: int = 1) -> None:
        """It failed so many times more.

        :param message: of the last time, without secrets, in one line.
        """
        self._counters.error(message)
        now = self._clock()
        if now - self._said_at < EVERY_SECONDS:
            self._unsaid += times
            return
        more, since = self._unsaid + times - 1, " since this was last said" if self._said_at > float("-inf") else ""
        again = f" ({more} times more{since})" if more else ""
        self._said_at, self._unsaid, self.is_said = now, 0, True
        with suppress(Exception):  # of a handler of the application's, which is not to end delivery
            _logger.error("chest: %s%s", message, again)

    def recovered(self, what: str) -> None:
        """It works again. Logged only if the failure was: what comes and goes is no flood."""
        if self.is_said:
            self.is_said = False
            with suppress(Exception):
                _logger.warning("chest: %s", what)


class TroubleReporter:
    """Compares dropped records and faults with those of the last look, and logs each reason and kind that grew."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._seen: dict[str, int] = {}
        self._troubles: dict[str, RateLimitedLog] = {}

    def look(self) -> None:
        """To be called every few seconds, and at the end, from a thread that may log."""
        self._look_at_drops()
        for kind, fault in self._counters.faults().items():  # at last: the last error is to be a fault, which says more
            more = fault.times - self._seen.get(kind, 0)
            if more > 0:
                trouble = self._troubles.setdefault(kind, RateLimitedLog(self._counters))
                trouble.tell(safe_message(fault.message), more)
            self._seen[kind] = fault.times

    def _look_at_drops(self) -> None:
        dropped: dict[str, Any] = self._counters.snapshot().get("dropped", {})
        for reason, because in _REASONS.items():
            count = dropped.get(reason, 0)
            more = count - self._seen.get(reason, 0)
            if more > 0:
                trouble = self._troubles.setdefault(reason, RateLimitedLog(self._counters))
                trouble.error(f"{more} records were dropped, because {because}", f"{count} in this process")
            elif reason in self._troubles:
                self._troubles.pop(reason).recovered(f"No more records are dropped because {because}")
            self._seen[reason] = count
