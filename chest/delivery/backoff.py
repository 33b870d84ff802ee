"""``Backoff``: how long a chest that failed is to be left alone."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Final

FIRST_WAIT_SECONDS: Final = 0.2
LONGEST_WAIT_SECONDS: Final = 30.0
LONGEST_RETRY_AFTER_SECONDS: Final = 3600.0


class Backoff:
    """Waits that double up to 30 s, with full jitter: any time from none to all of it, so that workers spread themselves.

    (AWS Architecture Blog, "Exponential Backoff And Jitter": the least work for the store, and not the longest way home.)
    A store that said when to come again is taken at its word, up to an hour.

    :param clock: a monotonic clock in seconds: the wall's may be set.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._not_before = 0.0
        self.failures = 0
        """How often in a row."""
        self.failing_since: float | None = None
        """By the clock, when the first of them was."""

    def seconds_to_wait(self) -> float:
        """0 when it may be tried now."""
        return max(0.0, self._not_before - self._clock())

    def failed(self, retry_after_seconds: float | None = None) -> None:
        """Wait longer than after the failure before."""
        now = self._clock()
        longest = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2 ** min(self.failures, 20))
        wait = random.uniform(0, longest) if retry_after_seconds is None else retry_after_seconds  # noqa: S311 - jitter
        self._not_before = now + min(max(0.0, wait), LONGEST_RETRY_AFTER_SECONDS)
        self.failures += 1
        if self.failing_since is None:
            self.failing_since = now

    def succeeded(self) -> None:
        """Forget the failures."""
        self.failures = 0
        self.failing_since = None
        self._not_before = 0.0

    def try_now(self) -> None:
        """Forget the wait: at the end there is no later."""
        self._not_before = 0.0
