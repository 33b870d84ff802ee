"""What every request pays for, in C where it could be compiled: a third of what the same costs in Python.

Where there was no compiler when Chest was installed, on systems other than Linux, and on interpreters other than CPython with
its lock, there is none of it, and everything works as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

try:
    from chest.speedups._native import (
        CountedIds,
        Notes,
        Offering,
        RandomIds,
        Segment,
        Serving,
        Slot,
        StartResponse,
        Stream,
        perf_counter_ns,
        records_of,
    )

    is_native = True
except ImportError:
    if not TYPE_CHECKING:
        from mmap import mmap as Segment
        from time import perf_counter_ns

        CountedIds = Notes = Offering = RandomIds = Serving = object
        Slot = StartResponse = Stream = records_of = None
    is_native = False

__all__ = [
    "IS_NATIVE",
    "CountedIds",
    "Notes",
    "Offering",
    "RandomIds",
    "Segment",
    "Serving",
    "Slot",
    "StartResponse",
    "Stream",
    "perf_counter_ns",
    "records_of",
]

IS_NATIVE: Final[bool] = is_native
"""Whether requests that are like most are served without a line of Python."""
