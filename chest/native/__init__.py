"""What every request pays for, in C if it could be compiled: a third of the cost of the same in Python.

Without a compiler at installation, on systems other than Linux, and on interpreters other than CPython with its lock,
Python does the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

try:
    from chest.native._native import (
        CountedIds,
        Dispatch,
        FastMiddleware,
        FastRing,
        Metadata,
        RandomIds,
        Segment,
        Slot,
        StartResponse,
        Stream,
        Tally,
        await_termination,
        catch_termination,
        constants,
        encoded_records_of,
        fault_in,
        flat_rows,
        hold_file,
        map_file,
        may_hold_secret,
        note_spans,
        perf_counter_ns,
        records_of,
        release_file,
        release_termination,
        terminate,
    )

    is_native = True
except ImportError:
    if not TYPE_CHECKING:
        constants = {}
        from mmap import mmap as Segment
        from time import perf_counter_ns

        CountedIds = FastRing = RandomIds = FastMiddleware = Metadata = Tally = object
        Dispatch = Slot = StartResponse = Stream = hold_file = map_file = may_hold_secret = records_of = (
            release_file
        ) = None
        encoded_records_of = await_termination = fault_in = flat_rows = note_spans = catch_termination = (
            release_termination
        ) = terminate = None
    is_native = False

__all__ = [
    "IS_NATIVE",
    "CountedIds",
    "Dispatch",
    "FastMiddleware",
    "FastRing",
    "Metadata",
    "RandomIds",
    "Segment",
    "Slot",
    "StartResponse",
    "Stream",
    "Tally",
    "agree",
    "await_termination",
    "catch_termination",
    "encoded_records_of",
    "fault_in",
    "flat_rows",
    "hold_file",
    "map_file",
    "may_hold_secret",
    "note_spans",
    "perf_counter_ns",
    "records_of",
    "release_file",
    "release_termination",
    "terminate",
]

IS_NATIVE: Final[bool] = is_native
"""True if requests are served by the compiled part."""


def agree(**said: object) -> None:
    """Refuse to go on if the compiled part says otherwise: what both say is changed in both, or records are lost.

    :raises ImportError: a name stands for something else in C.
    """
    for name, value in said.items():
        if IS_NATIVE and constants[name] != value:
            raise ImportError(f"chest: {name} is {value!r} in Python and {constants[name]!r} in C: compile it again")
