"""What every request pays for, in C where it could be compiled: half of what the same costs in Python.

Where there was no compiler when Chest was installed, on systems other than Linux, and on interpreters other than CPython with
its lock, there is none of it, and everything works as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from chest.speedups._native import Serving, Slot, StartResponse, Stream, perf_counter_ns

    is_native = True
else:
    try:
        from chest.speedups._native import Serving, Slot, StartResponse, Stream, perf_counter_ns
    except ImportError:
        from time import perf_counter_ns

        is_native, Serving, Slot, StartResponse, Stream = False, object, None, None, None
    else:
        is_native = True

__all__ = ["IS_NATIVE", "Serving", "Slot", "StartResponse", "Stream", "perf_counter_ns"]

IS_NATIVE: Final[bool] = is_native
"""Whether requests that are like most are served without a line of Python."""
