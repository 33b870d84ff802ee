"""``follow_stream``: a transfer that goes on until it is stopped, whatever is down meanwhile."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from chest.errors import ChestUnavailable
from chest.record.messages import safe_message
from chest.system.threads import sleep
from chest.transfer.result import TransferResult
from chest.transfer.streams.stream_transfer import StreamTransfer

__all__ = ["follow_stream"]

_WAIT_SECONDS: Final = 1.0
"""How long one question to the stream waits for a record, and so how late a stop is noticed."""
_FIRST_PAUSE_SECONDS: Final = 1.0
_LONGEST_PAUSE_SECONDS: Final = 30.0
_logger: Final = logging.getLogger("chest.transfer")


def follow_stream(
    transfer: StreamTransfer, stop: Callable[[], bool], pause: Callable[[float], object] = sleep
) -> TransferResult:
    """Run the transfer again and again until ``stop`` says so; what was done in all.

    If the stream or the target is down, it waits, from 1 s up to 30 s, and says so once.

    :param pause: waits for so many seconds.
    :raises ChestError: for all that waiting does not mend.
    """
    total, seconds, is_failing = TransferResult(), _FIRST_PAUSE_SECONDS, False
    done = TransferResult()

    def note(now: TransferResult) -> None:
        nonlocal done
        done = replace(now)

    while not stop():
        done = TransferResult()
        try:
            done = transfer.run(stop=stop, wait_seconds=_WAIT_SECONDS, progress=note)
        except ChestUnavailable as error:
            if not is_failing:
                _logger.error("chest: %s waits, and loses nothing: %s", transfer.name, safe_message(error))
            is_failing, left = True, seconds
            while left > 0 and not stop():
                pause(min(left, _WAIT_SECONDS))
                left -= _WAIT_SECONDS
            seconds = min(2 * seconds, _LONGEST_PAUSE_SECONDS)
        else:
            if is_failing:
                _logger.warning("chest: %s works again", transfer.name)
            seconds, is_failing = _FIRST_PAUSE_SECONDS, False
        total += done
    return total
