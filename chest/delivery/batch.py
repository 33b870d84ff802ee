"""``Batch``: records on their way to every chest; ``Outstanding``: where they came from, to be committed when all have them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from chest.record import Record


class Batch:
    """Records, and how many lanes have yet to settle them: to write them, or to put them where they are kept.

    :param lanes: how many.
    """

    __slots__ = ("_others", "is_settled", "records")

    def __init__(self, records: Sequence[Record], lanes: int) -> None:
        self.records = records
        self.is_settled = lanes == 0
        # Counted by popping, which is one step whatever thread does it.
        self._others = [None] * (lanes - 1)

    def settle(self) -> None:
        """One more lane has done with it; each does so once."""
        try:
            self._others.pop()
        except IndexError:
            self.is_settled = True


class Outstanding:
    """Pieces of a ring that are in batches not yet settled; for the one thread that takes from the ring.

    Lanes settle in any order, and a segment is committed only up to where everything before is settled. So a batch that a
    chest does not answer for holds up the segments that it came from, and no other.

    :param commit: told the segment and the end of a piece, in the order of each segment's pieces.
    """

    def __init__(self, commit: Callable[[int, int], None]) -> None:
        self._commit = commit
        self._pieces: dict[int, deque[tuple[Batch, int]]] = {}

    def add(self, batch: Batch, segment: int, end: int) -> None:
        """A piece of the segment, ending there, is in this batch."""
        self._pieces.setdefault(segment, deque()).append((batch, end))

    def commit_settled(self) -> None:
        """Commit what is settled by now."""
        for segment in tuple(self._pieces):
            pieces = self._pieces[segment]
            while pieces and pieces[0][0].is_settled:
                self._commit(segment, pieces.popleft()[1])
            if not pieces:
                del self._pieces[segment]

    def __bool__(self) -> bool:
        return bool(self._pieces)
