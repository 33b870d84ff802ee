"""``SegmentPool``: the segments of an open ring, and which of them is whose."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable
from typing import Final
from weakref import ref

from chest.ring.segments.file import ACTIVE, DRAINED, FREE, RETIRED, SegmentFile

_TRIES_WHEN_OTHERS_HOLD: Final = 100

Write = Callable[[bytes], object]
"""The bound ``write`` of a segment, of which there is one at a time: holding it is owning the segment."""


class SegmentPool:
    """Made for each file that a ring opens. The thread that has popped a segment from one of its lists owns it: nothing here waits.

    The pool itself knows each ``write`` by a weak reference only. So a segment whose owner was ended by an exception is one whose
    ``write`` is gone, and that holds without the global interpreter lock, too.

    :param drains_elsewhere: whether the reader is another process, which hands segments back by their state.
    """

    def __init__(self, file: SegmentFile, *, drains_elsewhere: bool) -> None:
        self.file = file
        self.drains_elsewhere = drains_elsewhere
        self.idle: list[Write] = []
        """Of the segments in use those without an owner."""
        self.free: list[Write] = []
        """Segments that are not in use."""
        self.retired: deque[Write] = deque()
        """Full segments that a reader in another process hands back."""
        self.cycles = [0] * len(file.segments)
        """Of each segment, how often it had been used before."""
        self.opened = [0] * len(file.segments)
        """Of each segment, its place in the order in which they were taken into use."""
        self._openings = itertools.count()
        self._writes = [ref(segment.write) for segment in file.segments]
        for index in reversed(range(len(file.segments))):
            self.put_free(index)

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
                write = self.free.pop() if self.free or not self.drains_elsewhere else self.take_back()
            except IndexError:
                pass
            else:
                index = self.index_of(write)
                self.opened[index] = next(self._openings)
                file.set_state(index, ACTIVE)
                return write
            if all(file.state(index) != ACTIVE for index in range(len(file.segments))):
                return None
            try:
                return self.idle.pop()
            except IndexError:
                continue
        return None

    def take_back(self) -> Write:
        """Own a segment that the reader in another process has emptied; raises IndexError if it has emptied none."""
        for _ in range(len(self.retired)):
            write = self.retired.popleft()
            index = self.index_of(write)
            if self.file.state(index) == DRAINED:
                self.file.segments[index].seek(0)
                self.cycles[index] += 1
                return write
            self.retired.append(write)
        raise IndexError

    def retire(self, write: Write) -> None:
        """Leave an owned segment, which is full, to the reader."""
        self.file.set_state(self.index_of(write), RETIRED)
        if self.drains_elsewhere:
            self.retired.append(write)

    def put_free(self, index: int) -> None:
        """Hand back a segment that has no owner, and is empty."""
        self.free.append(self._new_write(index))

    def index_of(self, write: Write) -> int:
        """The number of an owned segment."""
        return next(i for i, segment in enumerate(self.file.segments) if segment is write.__self__)  # type: ignore[attr-defined]

    def _new_write(self, index: int) -> Write:
        write = self.file.segments[index].write
        self._writes[index] = ref(write)
        return write

    @property
    def has_active(self) -> bool:
        """True if a segment may still be written: it is idle, or has an owner."""
        return any(self.file.state(index) == ACTIVE and write() is not None for index, write in enumerate(self._writes))

    def restore_header(self) -> None:
        """Write the header of the file anew if its page was lost: all that is known without it is which segments are in use.

        One that is retired counts as active until :meth:`reclaim` finds that it has no owner.
        """
        free, retired = ({self.index_of(write) for write in writes.copy()} for writes in (self.free, self.retired))
        count = len(self.file.segments)
        self.file.restore_header([FREE if i in free else RETIRED if i in retired else ACTIVE for i in range(count)])

    def reclaim(self) -> None:
        """Hand back the segments that have lost their owner; to be called from time to time, by the reader's thread.

        An exception that a signal handler raises, or another thread, may end an offer between taking a segment and handing
        it back. What is written there is taken and delivered like everything, but there would never be another line in it.
        """
        for index, write in enumerate(self._writes):
            if write() is not None:
                continue
            state = self.file.state(index)
            if state == FREE:
                self.put_free(index)
            elif state == ACTIVE:
                self.retire(self._new_write(index))
            elif self.drains_elsewhere:
                self.retired.append(self._new_write(index))
