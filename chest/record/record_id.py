"""``RecordIds``: ids that are unique across processes and hosts, in order of time, and tell when they were damaged."""

from __future__ import annotations

import itertools
import os
import re
import struct
from collections.abc import Callable
from typing import Final

from chest.speedups import IS_NATIVE, CountedIds

STEP: Final = 251
"""Counts are multiples of this prime: a changed hex digit moves one by d * 16**k, which 251 never divides."""
_TAILS_AT_ONCE: Final = 16
"""Formatted together and kept ready: a third of the cost of formatting one a request; few, because one request pays."""
_TAILS_IN_STOCK: Final = 1024
"""What a thread that has time keeps ready: enough for 20,000 requests a second until it comes again."""

_pack: Final = struct.Struct(f">{_TAILS_AT_ONCE}Q").pack
_TAIL: Final = re.compile(r"[0-9a-f]{16}")


class RecordIds(CountedIds):
    """Makes the ``Record.id`` of one process: 16 hex digits of time, 8 of the process, 8 that count.

    The process part is random, and so is where the count begins: 56 bits that tell records of one nanosecond on two hosts
    apart; within a process the count does. Because the process part stands in the ring's header, and the count moves in steps of a prime, the id's
    second half is also a check on a line read back from the file of a dead process.

    After a fork call :meth:`renew`, else parent and child could make the same id.
    """

    def __init__(self) -> None:
        self.tails: list[str] = []
        """Those that are ready; always this one list."""
        self.pop_tail: Callable[[], str] = self.tails.pop
        """The part of an id behind the time; raises IndexError when :meth:`refill` has to be called instead."""
        self.renew()

    def renew(self) -> None:
        """Begin anew with a process part of this process's own."""
        self.process = os.urandom(4).hex()
        self.tails.clear()
        begin = int.from_bytes(os.urandom(3), "big")
        if IS_NATIVE:
            self._begin(int(self.process, 16), begin)
            self._next_block: Callable[[], int] = self._take_block
        else:
            self._next_block = itertools.count(begin).__next__
        # Out of step with the pool of request ids, so that no request pays for refilling both.
        self.refill()
        del self.tails[_TAILS_AT_ONCE // 2 :]

    def refill(self) -> str:
        """Make more tails, and return one."""
        tails = self._block()
        last = tails.pop()
        self.tails.extend(tails)
        return last

    def stock(self) -> None:
        """Make as many as may be needed until the next call, in the time of a thread that nobody waits for.

        Where requests are served in C they need none, see :meth:`~chest.request.request_id.RequestIds.stock`.
        """
        if IS_NATIVE:
            return
        for _ in range((_TAILS_IN_STOCK - len(self.tails)) // _TAILS_AT_ONCE):
            self.tails.extend(self._block())

    def _block(self) -> list[str]:
        block = STEP * _TAILS_AT_ONCE
        begin = (int(self.process, 16) << 32) + self._next_block() % (0x1_0000_0000 // block) * block
        return _pack(*range(begin + block - STEP, begin - STEP, -STEP)).hex(" ", 8).split()

    def new(self, time_ns: int) -> str:
        """A new id for a record that began at ``time_ns`` (Unix time in nanoseconds)."""
        try:
            tail = self.pop_tail()
        except IndexError:
            tail = self.refill()
        return f"{time_ns:016x}{tail}"


def is_tail(tail: object, process: str) -> bool:
    """Whether this can be the second half of an id that ``RecordIds`` of that process made: False for a damaged one."""
    return (
        isinstance(tail, str)
        and _TAIL.fullmatch(tail) is not None
        and tail[:8] == process
        and int(tail[8:], 16) % STEP == 0
    )
