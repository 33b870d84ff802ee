"""``Batch``: records on their way to every chest; ``CommitTracker`` and ``Batcher``: which records of one ring are in which batch."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from chest.delivery.log import RateLimitedLog
from chest.record.counters import Counters
from chest.record.record import Record
from chest.ring.segments.batch_notes import MOST_RANGES, BatchNotes, Range, joined

if TYPE_CHECKING:
    from chest.delivery.workers import ChestWorkers

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Batch:
    """Records, and how many workers have yet to settle them: to write them, spool them, or keep them as dead letters.

    :param workers: how many.
    :param is_fixed: whether its limits stay as they are: they are noted, or a chest may have it already.
    """

    __slots__ = ("_others", "is_fixed", "is_settled", "records")

    def __init__(self, records: Sequence[Record], workers: int, *, is_fixed: bool = False) -> None:
        self.records = records
        self.is_fixed = is_fixed
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

    def commit_settled(self, held: Container[Batch] = ()) -> None:
        """Commit what is settled by now.

        :param held: batches that are not to be committed, although they may have been settled meanwhile.
        """
        for segment in tuple(self._pieces):
            pieces = self._pieces[segment]
            while pieces and pieces[0][0].is_settled and pieces[0][0] not in held:
                self._commit(segment, pieces.popleft()[1])
            if not pieces:
                del self._pieces[segment]

    def __bool__(self) -> bool:
        return bool(self._pieces)


class Chunk(Protocol[T_co]):
    """Whole lines of a ring; see :class:`chest.ring.reader.Chunk`."""

    @property
    def data(self) -> T_co: ...
    @property
    def segment(self) -> int: ...
    @property
    def begin(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def left(self) -> int | None: ...


class Batcher(Generic[T]):
    """Takes a ring's chunks, decodes them and submits their records to the workers, a batch at a time.

    Which lines are a batch is noted in the ring before it is submitted: after a kill it is sent again as the same batch. If a
    step is ended in its middle (MemoryError), it can be repeated: a chunk is kept until it is decoded.

    :param take: gives the next chunk of the ring; None if the ring has no more.
    :param decode: gives the records of a chunk.
    :param commit: told the segment and the end of each chunk that is settled, in order.
    :param batch_records: about how many records make a batch.
    :param counters: ``batches_unnoted``, by the class of what was raised.
    :param notes: gives what notes batches in the ring's file; None: nothing does.
    """

    def __init__(
        self,
        take: Callable[[], Chunk[T] | None],
        decode: Callable[[T], Sequence[Record]],
        commit: Callable[[int, int], None],
        batch_records: int,
        counters: Counters,
        notes: Callable[[], BatchNotes | None] = lambda: None,
    ) -> None:
        self._take = take
        self._decode = decode
        self._commits = CommitTracker(commit)
        self._batch_records = batch_records
        self._counters = counters
        self._trouble = RateLimitedLog(counters)
        self._notes = notes
        self._noted: dict[Batch, tuple[BatchNotes, int]] = {}
        self._chunk: Chunk[T] | None = None
        self._records: list[Record] = []
        self._ranges: list[Range] = []
        self._left: int | None = None
        """0: the batch is whole; more: it was sent before, and has more chunks; None: it was not sent before."""

    @property
    def is_begun(self) -> bool:
        """True if a batch is being filled."""
        return bool(self._ranges) or self._chunk is not None

    @property
    def is_unsettled(self) -> bool:
        """True if a batch of this ring is not settled."""
        return bool(self._commits)

    def fill(self) -> bool:
        """Fill the batch from the ring; True if the ring has no more."""
        while self._left or (self._left is None and self._has_room):
            if self._chunk is None:
                self._chunk = self._take()
            if self._chunk is None:
                return True
            chunk = self._chunk
            self._records += self._decode(chunk.data)
            self._ranges = joined([*self._ranges, Range(chunk.segment, chunk.begin, chunk.end)])
            self._left, self._chunk = chunk.left, None
        return False

    @property
    def _has_room(self) -> bool:
        return len(self._records) < self._batch_records and len(self._ranges) < MOST_RANGES

    def submit_to(self, workers: ChestWorkers) -> int | None:
        """Give the batch to the workers; returns how many records it has; None: no batch."""
        records, ranges = self._records, self._ranges
        if not ranges:
            return None
        notes, slot = self._noted_as(ranges) if records else (None, None)
        batch = workers.submit(records, is_fixed=self._left is not None or slot is not None)
        # Not before: if that raised, another batch would be committed with this one.
        self._records, self._ranges, self._left = [], [], None
        if notes is not None and slot is not None:
            self._noted[batch] = notes, slot
        for segment, _, end in ranges:
            self._commits.add(batch, segment, end)
        workers.poll()
        return len(records)

    def _noted_as(self, ranges: Sequence[Range]) -> tuple[BatchNotes | None, int | None]:
        """What notes this batch, and the slot of its note. A batch that cannot be noted is delivered all the same."""
        try:
            notes = self._notes()
            return notes, None if notes is None else notes.note(ranges)
        except Exception as error:  # noqa: BLE001 - a batch is worth more than its note
            self._counters.add(f"batches_unnoted.{type(error).__name__}")
            self._trouble.error(
                "a batch could not be noted in its ring's file: after a kill it may be sent again, divided in another way",
                error,
            )
            return None, None

    def commit_settled(self) -> None:
        """Commit what every chest has by now, or has on disk."""
        for batch in [batch for batch in self._noted if batch.is_settled]:
            notes, slot = self._noted.pop(batch)
            with suppress(ValueError):  # the ring was closed
                notes.settle(slot)  # before any segment of it is committed, and used anew
        self._commits.commit_settled(held=self._noted)


AnyBatcher = Batcher[Any]
