"""``OrphanDelivery``: the rings of processes that are gone, delivered piece by piece beside the process's own records."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from chest.delivery.batch import CommitTracker
from chest.delivery.workers import ChestWorkers
from chest.record.counters import Counters
from chest.record.record import Record
from chest.ring.orphaned_ring import Ends, OrphanedRing

_MOST_VAIN_TURNS: Final = 20

Pieces = Iterator[tuple[list[Record], Ends]]


class OrphanDelivery:
    """Delivers one orphaned ring after the other; a ring is removed when every worker has settled all its records.

    While a store is down its worker settles them by putting them into the spool: what is left by processes that end in an
    outage, or are killed in it, is within the spool's bound as soon as a process of the service looks.

    :param adopt: gives the rings in the directory whose owners are gone; None now and then while it finds none.
    """

    def __init__(
        self, adopt: Callable[[], Iterator[OrphanedRing | None]], delivery: ChestWorkers, counters: Counters
    ) -> None:
        self._adopt = adopt
        self._delivery = delivery
        self._counters = counters
        self._found: Iterator[OrphanedRing | None] | None = None
        self._vain_turns = 0
        self._ring: OrphanedRing | None = None
        self._pieces: Pieces = iter(())
        self._sizes: dict[tuple[int, int], int] = {}
        self._commits = CommitTracker(self._commit)

    def look(self) -> None:
        """Look at the directory again, unless what was found the last time is still being delivered."""
        if self._ring is None:
            self._found = self._adopt()
            self._vain_turns = 0

    def begin(self) -> None:
        """Look before a chest is opened, which may take long: the look makes rings small that were left as they were reserved."""
        self.look()
        while self._ring is None and self.has_work_at_end:
            self._advance()

    @property
    def has_work(self) -> bool:
        """True if there may be something to hand out."""
        return self._ring is not None or self._found is not None

    @property
    def has_work_at_end(self) -> bool:
        """The same for a process that ends: a long look in which no ring was found is given up."""
        return self._ring is not None or (self._found is not None and self._vain_turns < _MOST_VAIN_TURNS)

    def step(self) -> bool:
        """Hand out one piece; False when no piece is left, or the workers have no room for it."""
        if self._ring is None and not self._advance():
            return False
        self._commits.commit_settled()
        if not self._delivery.has_room_for_orphaned:
            return False
        piece = next(self._pieces, None)
        if piece is None:
            return self._finish_if_settled()
        records, ends = piece
        batch = self._delivery.submit_orphaned(records)
        self._sizes[ends[-1]] = len(records)
        for segment, end in ends:
            self._commits.add(batch, segment, end)
        self._delivery.poll()
        return True

    def _advance(self) -> bool:
        if self._found is None:
            return False
        try:
            self._ring = next(self._found)
        except StopIteration:
            self._found = None
        if self._ring is None:
            self._vain_turns += 1
            return False
        self._vain_turns = 0
        self._pieces = self._ring.pieces()
        return True

    def _finish_if_settled(self) -> bool:
        """Remove the ring if all its records are settled; True if it was removed."""
        self._commits.commit_settled()
        if self._commits or self._ring is None:
            return False
        ring, self._ring = self._ring, None
        ring.remove()
        return True

    def _commit(self, segment: int, end: int) -> None:
        assert self._ring is not None
        self._ring.commit(segment, end)
        self._counters.add("recovered", self._sizes.pop((segment, end), 0))

    def release(self) -> None:
        """Leave the rest to the next process."""
        self._commits.commit_settled()
        ring, self._ring = self._ring, None
        if ring is not None:
            self._commits = CommitTracker(self._commit)
            self._sizes.clear()
            ring.release()
