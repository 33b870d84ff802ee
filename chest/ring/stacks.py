"""Whether any thread is inside one of some functions, told by the stacks of all threads."""

from __future__ import annotations

import sys
from collections.abc import Set
from types import CodeType


def may_be_running(functions: Set[CodeType]) -> bool:
    """Whether any thread may be inside one of these functions, itself or in something called from there.

    Holds for the moment of the call, during which, under the global interpreter lock, no other thread runs between two
    looks at one stack. Without that lock the stacks of running threads cannot be walked: the answer then is always True.
    """
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        return True
    for top in sys._current_frames().values():
        frame = top
        while frame is not None:
            if frame.f_code in functions:
                return True
            frame = frame.f_back  # type: ignore[assignment]
    return False
