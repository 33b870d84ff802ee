"""``SegmentPool``: the segments of an open ring, and which of them is whose."""

from __future__ import annotations

import itertools
import sys
from collections import deque
from collections.abc import Callable, Set
from types import CodeType
from typing import Final

from chest.ring.segments.file import ACTIVE, DRAINED, FREE, RETIRED, SegmentFile

_TRIES_WHEN_OTHERS_HOLD: Final = 100

Write = Callable[[bytes], object]
"""The bound ``write`` of a segment: holding it is owning the segment."""
_Held = dict[int, tuple[int, int, int]]
"""State, cycle and position of segments."""


class SegmentPool:
    """Made for each file that a ring opens. The thread that has popped a segment from one of its lists owns it: nothing here waits.

    :param drains_elsewhere: whether the reader is another process, which hands segments back by their state.
    """

    def __init__(self, file: SegmentFile, *, drains_elsewhere: bool) -> None:
        self.file = file
        self.drains_elsewhere = drains_elsewhere
        self.idle: list[Write] = []
        """Of the segments in use those without an owner."""
        self.free = list(range(len(file.segments) - 1, -1, -1))
        """Segments that are not in use."""
        self.retired: deque[int] = deque()
        """Full segments that a reader in another process hands back."""
        self.cycles = [0] * len(file.segments)
        """Of each segment, how often it had been used before."""
        self.opened = [0] * len(file.segments)
        """Of each segment, its place in the order in which they were taken into use."""
        self._openings = itertools.count()
        self._suspected: _Held = {}

    def take(self) -> Write | None:
        """Own a segment; None if none is to be had."""
        try:
            return self.idle.pop()
        except IndexError:
            return self.take_next()

    def take_next(self) -> Write | None:
        """Own a free segment, else one that another thread hands back in these microseconds."""
        file = self.file
        for _ in range(_TRIES_WHEN_OTHERS_HOLD):
            try:
                index = self.free.pop() if self.free or not self.drains_elsewhere else self.take_back()
            except IndexError:
                pass
            else:
                self.opened[index] = next(self._openings)
                file.set_state(index, ACTIVE)
                return file.segments[index].write
            if all(file.state(index) != ACTIVE for index in range(len(file.segments))):
                return None
            try:
                return self.idle.pop()
            except IndexError:
                continue
        return None

    def take_back(self) -> int:
        """A segment that the reader in another process has emptied; raises IndexError if it has emptied none."""
        for _ in range(len(self.retired)):
            index = self.retired.popleft()
            if self.file.state(index) == DRAINED:
                self.file.segments[index].seek(0)
                self.cycles[index] += 1
                return index
            self.retired.append(index)
        raise IndexError

    def retire(self, write: Write) -> None:
        """Leave an owned segment, which is full, to the reader."""
        index = next(i for i, segment in enumerate(self.file.segments) if segment is write.__self__)  # type: ignore[attr-defined]
        self.file.set_state(index, RETIRED)
        if self.drains_elsewhere:
            self.retired.append(index)

    @property
    def has_active(self) -> bool:
        """True if a segment may still be written."""
        return any(self.file.state(index) == ACTIVE for index in range(len(self.file.segments)))

    def restore_header(self) -> None:
        """Write the header of the file anew if its page was lost: all that is known without it is which segments are in use.

        One that is retired counts as active until :meth:`reclaim` finds that it has no owner.
        """
        free, retired = self.free.copy(), self.retired.copy()
        count = len(self.file.segments)
        self.file.restore_header([FREE if i in free else RETIRED if i in retired else ACTIVE for i in range(count)])

    def reclaim(self, offering: Set[CodeType]) -> None:
        """Hand back the segments that have lost their owner; to be called from time to time, by the reader's thread.

        An exception that a signal handler raises, or another thread, may end an offer between taking a segment and handing
        it back. What is written there is taken and delivered like everything, but there would never be another line in it.
        A segment is lost that two looks in a row find held and unchanged, while no thread is in an offer.

        :param offering: the functions in which a segment has an owner.
        """
        held = self._held()
        suspected, self._suspected = self._suspected, held
        lost = held.items() & suspected.items()
        if not lost or may_be_running(offering):
            return
        for index, (state, _, _) in lost & self._held().items():
            if state == ACTIVE:
                self.file.set_state(index, RETIRED)
            else:
                self.free.append(index)

    def _held(self) -> _Held:
        """The segments that are neither idle nor free nor the reader's."""
        file, idle, free = self.file, self.idle.copy(), self.free.copy()
        return {
            index: (file.state(index), self.cycles[index], segment.tell())
            for index, segment in enumerate(file.segments)
            if (file.state(index) == ACTIVE and segment.write not in idle)
            or (file.state(index) == FREE and index not in free)
        }


def may_be_running(functions: Set[CodeType]) -> bool:
    """True if any thread may be inside one of these functions, itself or in something called from there.

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
