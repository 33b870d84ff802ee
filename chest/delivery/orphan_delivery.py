"""``Adoption``: the rings of processes that are gone, handed out piece by piece, beside whatever else there is to deliver."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from chest.counters import Counters
from chest.delivery.batch import Outstanding
from chest.delivery.delivery import Delivery
from chest.record import Record
from chest.ring.recovery import DeadRing

Pieces = Iterator[tuple[list[Record], int, int]]


class Adoption:
    """Delivers one dead ring after the other; each is removed when every lane has settled all of it.

    :param adopt: gives the rings in the directory whose owners are gone.
    """

    def __init__(self, adopt: Callable[[], Iterator[DeadRing]], delivery: Delivery, counters: Counters) -> None:
        self._adopt = adopt
        self._delivery = delivery
        self._counters = counters
        self._found: Iterator[DeadRing] | None = None
        self._ring: DeadRing | None = None
        self._pieces: Pieces = iter(())
        self._sizes: dict[tuple[int, int], int] = {}
        self._outstanding = Outstanding(self._commit)

    def look(self) -> None:
        """Look at the directory again, unless what was found the last time is still being delivered."""
        if self._ring is None and self._delivery.may_adopt:
            self._found = self._adopt()

    @property
    def has_work(self) -> bool:
        """Whether there may be something to hand out."""
        return self._ring is not None or self._found is not None

    def step(self) -> bool:
        """Hand out one piece; False when there is none, or the lanes have no room for it."""
        if self._ring is None and not self._has_next():
            return False
        self._outstanding.commit_settled()
        if not self._delivery.has_room or not self._delivery.may_adopt:
            return False
        piece = next(self._pieces, None)
        if piece is None:
            return self._is_finished()
        records, segment, end = piece
        batch = self._delivery.take_on(records)
        self._sizes[segment, end] = len(records)
        self._outstanding.add(batch, segment, end)
        self._delivery.work()
        return True

    def _has_next(self) -> bool:
        if self._found is None:
            return False
        self._ring = next(self._found, None)
        if self._ring is None:
            self._found = None
            return False
        self._pieces = self._ring.pieces()
        return True

    def _is_finished(self) -> bool:
        """Remove the ring when everything of it is settled."""
        self._outstanding.commit_settled()
        if self._outstanding or self._ring is None:
            return False
        ring, self._ring = self._ring, None
        ring.remove()
        return True

    def _commit(self, segment: int, end: int) -> None:
        assert self._ring is not None
        self._ring.commit(segment, end)
        self._counters.add("recovered", self._sizes.pop((segment, end)))

    def release(self) -> None:
        """Leave the rest to the next process."""
        self._outstanding.commit_settled()
        ring, self._ring = self._ring, None
        if ring is not None:
            self._outstanding = Outstanding(self._commit)
            self._sizes.clear()
            ring.release()
