"""``ChestWorker``: the queue of one chest: batches that wait in memory, and pieces of the spool."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from chest.chests.contract import Chest
from chest.delivery.batch import Batch
from chest.delivery.spool.spool import Spool
from chest.delivery.spool_policy import WorkerState, should_spool, should_spool_at_once
from chest.delivery.writer import ChestWriter, batch_write
from chest.record.counters import Counters
from chest.record.record import Record
from chest.ring.in_flight import has_killed

if TYPE_CHECKING:
    from chest.delivery.spool.file import Piece


class _QueuedBatch:
    """A batch that this worker has not settled."""

    __slots__ = ("batch", "since", "writing")

    def __init__(self, batch: Batch, since: float) -> None:
        self.batch = batch
        self.since = since
        self.writing = batch_write(batch.records)


class ChestWorker:
    """Brings batches to one chest, in a thread of its own or in the one that calls :meth:`step`.

    While a chest fails it is tried with one batch at a time. A batch that waits for too long goes to the spool, and so do
    the ones after it until the chest takes one again; then the worker delivers one new batch and one piece of the spool in
    turn, so that neither keeps the other waiting.

    :meth:`put`, :meth:`spool_if_late` and :meth:`spool_waiting` are for the thread that takes from the ring; :meth:`step` is
    for the worker's own. What both touch is a deque whose steps are atomic: the thread that popped a batch owns it.

    :param chest: opened at the first batch, in the thread that delivers.
    :param counters: ``unspooled.<chest>``, ``dropped.no_spool``, and those of :class:`ChestWriter`.
    :param clock: a monotonic clock in seconds.
    :param spool: None if nothing can be kept on disk.
    :param most_held: how many batches it may hold in memory that are not settled.
    """

    def __init__(
        self,
        chest: Chest,
        counters: Counters,
        clock: Callable[[], float] = time.monotonic,
        spool: Spool | None = None,
        most_held: int = 2,
    ) -> None:
        self.chest = chest
        self.spool = spool
        self.writer = ChestWriter(chest, counters, clock, self._keep_refused)
        self._other_spools: list[Spool] = []
        """Spools of the same store under other names."""
        self._counters = counters
        self._clock = clock
        self._most_held = most_held
        self._waiting: deque[_QueuedBatch] = deque()
        self._in_hand: _QueuedBatch | None = None
        self._is_spooling = False
        self._is_draining = False
        self._is_turn_of_spool = False

    # -- for the thread that takes from the ring ---------------------------------------------------------------------

    def put(self, batch: Batch) -> None:
        """Take a batch over; it is settled when the chest or the spool has it. Without room in the queue it is spooled at once."""
        queued = _QueuedBatch(batch, self._clock())
        if not (should_spool_at_once(self._state()) and self._spool(queued)):
            self._waiting.append(queued)

    def put_orphaned(self, batch: Batch) -> None:
        """:meth:`put`, for records that waited in a file already: while the chest fails they go to the spool at once.

        There they take the room of the records alone, within the spool's bound; the ring that they come from is removed.
        So does the note of a killed request while the spool holds anything: its record may wait there, and not every
        store lets it take the note's place.
        """
        goes_behind = self._is_failing_or_spooling or (
            has_killed(batch.records) and any(spool.exists() for spool in self.spools)
        )
        if not (goes_behind and self._spool(_QueuedBatch(batch, self._clock()))):
            self.put(batch)

    @property
    def has_room_for_orphaned(self) -> bool:
        """True if another batch may be given to :meth:`put_orphaned`."""
        return self.has_room or (self._is_failing_or_spooling and self.spool is not None and self.spool.is_usable)

    @property
    def _is_failing_or_spooling(self) -> bool:
        return self.is_failing or self._is_spooling

    @property
    def is_holding(self) -> bool:
        """True if a batch is not settled."""
        return bool(self._waiting) or self._in_hand is not None

    @property
    def has_room(self) -> bool:
        """True if another batch may be put."""
        return len(self._waiting) + (self._in_hand is not None) < self._most_held

    def _state(self) -> WorkerState:
        oldest = self._in_hand or self._oldest_waiting()
        return WorkerState(
            waiting=len(self._waiting),
            oldest_seconds=None if oldest is None else self._clock() - oldest.since,
            is_writing=self._in_hand is not None,
            is_backing_off=self.writer.seconds_to_wait() > 0,
            is_spooling=self._is_spooling,
            has_room=self.has_room,
        )

    def _oldest_waiting(self) -> _QueuedBatch | None:
        try:
            return self._waiting[0]
        except IndexError:
            return None

    def spool_if_late(self, is_urgent: bool) -> None:
        """Put what has waited for too long on disk.

        :param is_urgent: whether others have to wait because of this worker: another chest, or requests for the ring's room.
        """
        if self.spool is not None and should_spool(self._state(), is_urgent):
            self.spool_waiting()

    def spool_waiting(self) -> bool:
        """Put what waits on disk, and settle it; False if that is not possible. What is being written stays."""
        while True:
            try:
                queued = self._waiting.popleft()
            except IndexError:
                return True
            if not self._spool(queued):
                self._waiting.appendleft(queued)
                return False
            self._is_spooling = True

    def _spool(self, queued: _QueuedBatch) -> bool:
        pieces = queued.writing.pieces() if queued.batch.is_fixed else None
        if self.spool is None or not self.spool.add(queued.writing.left(), self.writer.why, pieces):
            return False
        queued.batch.settle()
        self._is_draining = True  # worth a look when the chest is back
        return True

    def drop_waiting(self) -> None:
        """Drop and count what waits: the disk takes nothing, and other chests would lose their records."""
        while True:
            try:
                queued = self._waiting.popleft()
            except IndexError:
                return
            self._counters.add("dropped.no_spool", len(queued.writing.left()))
            queued.batch.settle()

    def look_at_spool(self) -> None:
        """Have the spool delivered if there is one, whether this process filled it or another that is gone."""
        if self.spool is not None and (self._other_spools or self.spool.exists()):
            self._is_draining = True

    def adopt_spool(self, path: Path, label: str) -> None:
        """Also deliver from this file: it belongs to the same store, under another name."""
        if self.spool is not None:
            self._other_spools.append(self.spool.beside(path, label))
            self._is_draining = True

    @property
    def spools(self) -> list[Spool]:
        """Its own, which it adds to, and those that it only empties."""
        return [] if self.spool is None else [self.spool, *self._other_spools]

    # -- for the thread that delivers --------------------------------------------------------------------------------

    def seconds_to_sleep(self) -> float | None:
        """How many seconds the worker may sleep; None: until a batch is submitted."""
        return self.writer.seconds_to_wait() if self._waiting or self._is_draining else None

    @property
    def needs_thread(self) -> bool:
        """True if this chest should get its own thread: it fails, or has a spool to deliver."""
        return self.is_failing or self._is_draining

    @property
    def is_failing(self) -> bool:
        """True if the last try failed."""
        return self.writer.is_failing

    def step(self) -> bool:
        """Write one batch, or one piece of the spool; False when nothing is to do, or the write failed."""
        if self.writer.seconds_to_wait() or not self.writer.limit_wait():
            return False
        if self._is_turn_of_spool or not self._waiting:
            self._is_turn_of_spool = False
            if self._is_draining and not (self.is_failing and self._waiting):
                return self._write_spooled() or bool(self._waiting)
        self._is_turn_of_spool = self._is_draining
        return self._write_waiting()

    def _write_waiting(self) -> bool:
        try:
            queued = self._in_hand = self._waiting.popleft()
        except IndexError:
            return False
        is_written, queued.batch.is_fixed = False, True
        try:
            is_written = self.writer.write(queued.writing)
        finally:  # what ends the thread does not end the batch
            if is_written:
                self._is_spooling = False
                queued.batch.settle()
            else:
                self._waiting.appendleft(queued)
            self._in_hand = None
        return is_written

    def _write_spooled(self) -> bool:
        for spool in self.spools:
            if spool.begin():
                piece = spool.oldest()
                if piece is not None:
                    return self._deliver_piece(spool, piece)
                spool.end()
        self._is_draining = False
        return False

    def _deliver_piece(self, spool: Spool, piece: Piece) -> bool:
        if not self.writer.write(batch_write(piece.records)):
            return False
        self._is_spooling = False
        spool.remove(piece)
        self._counters.add(f"unspooled.{self.chest.name}", len(piece.records))
        return True

    def _keep_refused(self, records: Sequence[Record], reason: str) -> bool:
        return self.spool is not None and self.spool.dead_letter(records, reason)

    def open(self) -> None:
        """Open the chest before there is anything to write, so that the first batch does not wait for it."""
        if self.writer.open():
            self._is_spooling = False

    def close(self) -> None:
        """Close the spools and the chest; what that raises is counted."""
        for spool in self.spools:
            spool.close()
        self.writer.close()
