"""``Trouble``: says what goes wrong, each kind at most once a minute, and once that it is over."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from chest.counters import Counters
from chest.delivery.plain_words import plain_words

EVERY_SECONDS: Final = 60.0

_logger: Final = logging.getLogger("chest.delivery")


class Trouble:
    """One kind of trouble of one thing, such as a chest that takes nothing.

    :param counters: told of each, as the last error.
    :param clock: a monotonic clock in seconds.
    """

    def __init__(self, counters: Counters, clock: Callable[[], float] = time.monotonic) -> None:
        self._counters = counters
        self._clock = clock
        self._said_at = float("-inf")
        self._unsaid = 0
        self._is_said = False

    def tell(self, what: str, error: BaseException | str) -> None:
        """It happened, maybe again.

        :param what: words of ours, said as they are.
        :param error: what was raised or answered: said without secrets, in one line.
        """
        message = f"{what}: {plain_words(error)}"
        self._counters.error(message)
        now = self._clock()
        if now - self._said_at < EVERY_SECONDS:
            self._unsaid += 1
            return
        again = f" ({self._unsaid} times more since this was last said)" if self._unsaid else ""
        self._said_at, self._unsaid, self._is_said = now, 0, True
        with suppress(Exception):  # of a handler of the application's, which is not to end delivery
            _logger.error("%s%s", message, again)

    def over(self, what: str) -> None:
        """It does not happen any more: said where it was said that it does, so that what comes and goes is no flood."""
        if self._is_said:
            self._is_said = False
            with suppress(Exception):
                _logger.warning("%s", what)
