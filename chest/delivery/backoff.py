"""``Backoff``: how long to wait before a chest that failed is tried again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Final

FIRST_WAIT_SECONDS: Final = 0.2
LONGEST_WAIT_SECONDS: Final = 30.0
LONGEST_RETRY_AFTER_SECONDS: Final = 3600.0


class Backoff:
    """Waits that double up to 30 s, with full jitter: a random time from none to the whole wait, so that processes spread their tries.

    (AWS Architecture Blog, "Exponential Backoff And Jitter": the least work for the store, and not the longest way home.)
    A store that said when to come again is left alone for so long, up to an hour, or for the wait if that is longer: one that says
    "now" and refuses again would otherwise be asked without a pause.

    :param clock: a monotonic clock in seconds: the wall's may be set.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._not_before = 0.0
        self.failures = 0
        """How often in a row."""

    def seconds_to_wait(self) -> float:
        """0 when it may be tried now."""
        return max(0.0, self._not_before - self._clock())

    def failed(self, retry_after_seconds: float | None = None) -> None:
        """Wait longer than after the failure before."""
        now = self._clock()
        longest = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2 ** min(self.failures, 20))
        wait = max(random.uniform(0, longest), retry_after_seconds or 0.0)  # noqa: S311 - jitter
        self._not_before = now + min(wait, LONGEST_RETRY_AFTER_SECONDS)
        self.failures += 1

    def succeeded(self) -> None:
        """Forget the failures."""
        self.failures = 0
        self._not_before = 0.0

    def try_now(self) -> None:
        """Forget the wait: at the end of the process no later try follows."""
        self._not_before = 0.0
