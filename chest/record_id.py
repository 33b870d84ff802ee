"""``RecordIds``: ids that are unique across processes and hosts, in order of time, and tell when they were damaged."""

from __future__ import annotations

import itertools
import os
import re
from typing import Final

STEP: Final = 251
"""Tails are multiples of this prime: a changed hex digit moves a tail by d * 16**k, which 251 never divides."""
TAILS: Final = STEP * (0x1000000 // STEP)

_SHAPE: Final = re.compile(r"[0-9a-f]{32}")


class RecordIds:
    """Makes the ``Record.id`` of one process: 16 hex digits of time, 10 of the process, 6 that count.

    The process part is random (40 bits), so no two processes and no two hosts meet; the count tells records of one
    nanosecond apart. Because the time stands in the record too, the process part in the ring's header and the count moves in
    steps of a prime, the id is also a check on a line read back from the file of a dead process.

    After a fork call :meth:`renew`, else parent and child could make the same id.
    """

    __slots__ = ("_count", "process")

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Begin anew with a process part of this process's own."""
        self.process = os.urandom(5).hex()
        self._count = itertools.count(0, STEP).__next__

    def new(self, time_ns: int) -> str:
        """A new id for a record that began at ``time_ns`` (Unix time in nanoseconds)."""
        return "%016x%s%06x" % (time_ns, self.process, self._count() % TAILS)


def is_intact(record_id: object, time_ns: object, process: str) -> bool:
    """Whether an id can have been made by ``RecordIds`` of that process for that time: False for a damaged one."""
    return (
        isinstance(record_id, str)
        and isinstance(time_ns, int)
        and _SHAPE.fullmatch(record_id) is not None
        and int(record_id[:16], 16) == time_ns
        and record_id[16:26] == process
        and int(record_id[26:], 16) % STEP == 0
    )
