"""``RecordIds``: ids that are unique across processes and hosts, in order of time, and tell when they were damaged."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable
from typing import Final

from chest.native import IS_NATIVE, CountedIds, agree

STEP: Final = 251
"""Counts are multiples of this prime: a changed hex digit moves one by d * 16**k, which 251 never divides."""
_COUNTS: Final = 0x1_0000_0000 // STEP
agree(STEP=STEP)
_TAIL: Final = re.compile(r"[0-9a-f]{16}")


class RecordIds(CountedIds):
    """Makes the ``Record.id`` of one process: 16 hex digits of time, 8 of the process, 8 that count.

    The process part and the first count are random: 56 bits that tell records of one nanosecond on two hosts
    apart; within a process the count does. Because the process part stands in the ring's header, and the count moves in steps of a prime, the id's
    second half is also a check on a line read back from the file of a dead process.

    After a fork call :meth:`renew`, else parent and child could make the same id.
    """

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Begin anew with a process part of this process's own."""
        self.process = os.urandom(4).hex()
        begin = int.from_bytes(os.urandom(3), "big")
        if IS_NATIVE:
            self._begin(int(self.process, 16), begin)
            self._count: Callable[[], int] = self._take
        else:
            self._count = itertools.count(begin).__next__

    def new_tail(self) -> str:
        """The part of an id behind the time."""
        return f"{self.process}{self._count() % _COUNTS * STEP:08x}"

    def new(self, time_ns: int) -> str:
        """A new id for a record that began at ``time_ns`` (Unix time in nanoseconds)."""
        return first_id(time_ns) + self.new_tail()


def first_id(time_ns: int) -> str:
    """How the ids of all records of that nanosecond begin: no id of an earlier record is greater, none of a later one less.

    A table that is partitioned by ``id`` is divided by this.
    """
    return f"{time_ns:016x}"


def is_tail(tail: object, process: str) -> bool:
    """True if this can be the second half of an id that ``RecordIds`` of that process made: False for a damaged one."""
    return (
        isinstance(tail, str)
        and _TAIL.fullmatch(tail) is not None
        and tail[:8] == process
        and int(tail[8:], 16) % STEP == 0
    )
