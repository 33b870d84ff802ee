"""``Batch``: records on their way to every chest; ``CommitTracker`` and ``Batcher``: which records of one ring are in which batch."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from chest.record.record import Record

if TYPE_CHECKING:
    from chest.delivery.workers import ChestWorkers

T = TypeVar("T")


class Batch:
    """Records, and how many workers have yet to settle them: to write them, spool them, or keep them as dead letters.

    :param workers: how many.
    """

    __slots__ = ("_others", "is_settled", "records")

    def __init__(self, records: Sequence[Record], workers: int) -> None:
        self.records = records
        self.is_settled = workers == 0
        # Counted by popping, which is one step whatever thread does it.
        self._others = [None] * (workers - 1)

    def settle(self) -> None:
        """One more worker has done with it; each does so once."""
        try:
            self._others.pop()
        except IndexError:
            self.is_settled = True


class CommitTracker:
    """Pieces of a ring that are in batches not yet settled; for the one thread that takes from the ring.

    Workers settle in any order, and a segment is committed only up to where everything before is settled. So a batch that a
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


class Batcher(Generic[T]):
    """Takes a ring's chunks, decodes them and submits their records to the workers, a batch at a time.

    If a step is ended in its middle (MemoryError), it can be repeated: a chunk is kept until it is decoded.

    :param take: gives the next chunk of the ring, with its segment and its end in there; None if the ring has no more.
    :param decode: gives the records of a chunk.
    :param commit: told the segment and the end of each chunk that is settled, in order.
    :param batch_records: about how many records make a batch.
    """

    def __init__(
        self,
        take: Callable[[], tuple[T, int, int] | None],
        decode: Callable[[T], list[Record]],
        commit: Callable[[int, int], None],
        batch_records: int,
    ) -> None:
        self._take = take
        self._decode = decode
        self._commits = CommitTracker(commit)
        self._batch_records = batch_records
        self._chunk: tuple[T, int, int] | None = None
        self._records: list[Record] = []
        self._ends: list[tuple[int, int]] = []

    @property
    def is_begun(self) -> bool:
        """True if a batch is being filled."""
        return bool(self._ends) or self._chunk is not None

    @property
    def is_unsettled(self) -> bool:
        """True if a batch of this ring is not settled."""
        return bool(self._commits)

    def fill(self) -> bool:
        """Fill the batch from the ring; True if the ring has no more."""
        while len(self._records) < self._batch_records:
            if self._chunk is None:
                self._chunk = self._take()
            if self._chunk is None:
                return True
            data, segment, end = self._chunk
            self._records += self._decode(data)
            self._ends.append((segment, end))
            self._chunk = None
        return False

    def submit_to(self, workers: ChestWorkers) -> int | None:
        """Give the batch to the workers; returns how many records it has; None: no batch."""
        records, ends = self._records, self._ends
        if not ends:
            return None
        batch = workers.submit(records)
        self._records, self._ends = [], []  # not before: if that raised, another batch would be committed with this one
        for segment, end in ends:
            self._commits.add(batch, segment, end)
        workers.poll()
        return len(records)

    def commit_settled(self) -> None:
        """Commit what every chest has by now, or has on disk."""
        if self._commits:
            self._commits.commit_settled()


AnyBatcher = Batcher[Any]
