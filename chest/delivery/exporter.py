"""``Exporter``: the thread between the ring and the lanes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from chest.counters import Counters
from chest.delivery.adoption import Adoption
from chest.delivery.batch import Outstanding
from chest.delivery.delivery import DUE_SHARE, NEARLY_FULL_SHARE, PRESSED_SHARE, Delivery
from chest.delivery.lane import Lane
from chest.delivery.losses import Losses
from chest.delivery.nap import Nap
from chest.native import new_lock, start_thread
from chest.record import Record
from chest.ring.line import Lineage, decode_lines
from chest.ring.recovery import DeadRing
from chest.ring.ring import Chunk, Ring, Written

logger = logging.getLogger("chest.delivery")

POLL_SECONDS: Final = 0.05
"""Waking the exporter for each record would cost the request 5 to 7 µs; asking twenty times a second costs 0.15 % of a core."""
_REST_SECONDS: Final = 0.2
"""How long it sleeps where nothing was offered for a while: what comes meanwhile is written at the end of it."""
_TURNS_UNTIL_REST: Final = 20
_BYTES_FOR_A_REST: Final = 8 << 20
"""A smaller ring could be full when it wakes."""
ADOPT_EVERY_SECONDS: Final = 5.0
_CHUNK_BYTES: Final = 32 * 1024
"""About a hundred records are decoded in one go: the interpreter lock is held some 50 µs, and a request never waits longer."""
_GRACE_SECONDS: Final = 0.25
"""How long the thread may take, at the deadline, to leave everything in order: else its ring would not be let go."""


class Exporter:
    """Empties the ring into every lane, and adopts the rings of processes that died.

    A batch goes to each lane once; the ring is committed when each has written it or put it on disk. It runs in a native
    daemon thread; the last round, when no thread may be started any more, runs in the thread that calls :meth:`stop`.

    :param ring: taken from by this exporter alone.
    :param lanes: one a chest.
    :param adopt: gives the rings in the directory whose owners are gone.
    :param died: called when the thread ends although nobody stopped it.
    :param look_after_file: called every few seconds, to notice when the ring's file is taken away.
    :param make_ready: called many times a second, to do what requests would else have to wait for.
    :param flush_seconds: how old the oldest record may become before it is written.
    :param batch_records: about how many records are written in one transaction.
    :param lineage: tells records of requests that a parent process began, and which get an id of this one's.
    :param notices: warnings to log once the thread runs, and which are taken out then: nothing is logged in a request's time, nor after a fork.
    """

    def __init__(
        self,
        ring: Ring,
        lanes: Sequence[Lane],
        counters: Counters,
        *,
        adopt: Callable[[], Iterator[DeadRing]],
        died: Callable[[], None],
        look_after_file: Callable[[], None] = lambda: None,
        make_ready: Callable[[], None] = lambda: None,
        flush_seconds: float,
        batch_records: int,
        lineage: Lineage,
        notices: list[str] | None = None,
    ) -> None:
        self._ring = ring
        self._delivery = Delivery(lanes, counters, self.wake)
        self._outstanding = Outstanding(ring.commit_to)
        self._adoption = Adoption(adopt, self._delivery, counters)
        self._losses = Losses(counters)
        self._counters = counters
        self._died = died
        self._look_after_file = look_after_file
        self._make_ready = make_ready
        self._flush_seconds = flush_seconds
        self._batch_records = batch_records
        self._lineage = lineage
        self._notices = [] if notices is None else notices
        self._nap = Nap()
        self._is_running = False
        self._ended = new_lock()
        self._stop_by: float | None = None
        self._at_end: Callable[[bool], None] | None = None
        self._is_drained = False
        self._asked = self._done = 0
        self._asking = new_lock()
        self._flush: tuple[int, Written] | None = None
        self._pending_since: float | None = None
        self._empty_at = time.monotonic()
        self._turns_at_rest = 0
        self._is_backlogged = False
        self._look_at = 0.0
        self._batch: list[Record] = []
        self._chunks: list[Chunk] = []
        self._chunk: Chunk | None = None

    @property
    def is_running(self) -> bool:
        """Whether the thread is there."""
        return self._is_running

    def spool_sizes(self) -> dict[str, dict[str, int]]:
        """What waits on disk for each chest, see :meth:`Delivery.spool_sizes`."""
        return self._delivery.spool_sizes()

    def start(self) -> None:
        """Start the thread. Raises RuntimeError when the system gives none."""
        self._ended.acquire()
        self._is_running = True
        try:
            start_thread(self._run)
        except BaseException:
            self._is_running = False
            self._ended.release()
            raise

    def _can_start(self) -> bool:
        try:
            self.start()
        except RuntimeError:
            return False
        return True

    def wake(self) -> None:
        """Let the thread look at the ring at once."""
        self._nap.end()

    def ask_for_flush(self) -> int:
        """Have everything that is in the ring now delivered; gives a ticket for :meth:`is_flushed`."""
        self._asking.acquire()
        self._asked = ticket = self._asked + 1
        self._asking.release()
        self.wake()
        return ticket

    def is_flushed(self, ticket: int) -> bool:
        """Whether everything that was offered before the ticket was given is in every chest, or spooled for it."""
        return self._done >= ticket

    def turn_without_thread(self) -> None:
        """What the thread does, once and in the calling thread; nothing where the thread is there."""
        if self._ended.acquire(blocking=False):
            try:
                self._turn()
            finally:
                self._ended.release()

    def stop(self, deadline: float, *, is_durable: bool) -> bool:
        """Deliver what there is until ``deadline`` (monotonic seconds), then end and close the chests.

        The thread does it, and the caller waits no longer than a quarter of a second beyond the deadline, whatever a chest
        does; one is started where there is none. Where none can be had the caller does it. True when nothing was left.

        :param is_durable: whether what is left is on disk: then the caller writes to no chest that may keep it longer.
        """
        self._stop_by = deadline
        if not self._is_running:
            if not self._has_ended_by(deadline):
                return False  # a flush that runs in another thread, for want of ours, is inside a chest
            if not self._can_start():
                if is_durable:
                    self._delivery.hurry(deadline)
                return self._finish()
        self.wake()
        # Else it is inside a chest; what it has not committed is adopted by the next process.
        return self._has_ended_by(deadline) and self._is_drained

    def _has_ended_by(self, deadline: float) -> bool:
        if not self._ended.acquire(timeout=max(0.0, deadline - time.monotonic()) + _GRACE_SECONDS):
            return False
        self._ended.release()
        return True

    def end_soon(self, deadline: float, at_end: Callable[[bool], None]) -> None:
        """Have the thread deliver what there is and end, without waiting for it.

        :param at_end: called from the thread when it has ended, with whether nothing was left.
        """
        self._at_end = at_end
        self._stop_by = deadline
        self.wake()

    def _finish(self) -> bool:
        """The last round: what can be delivered by the deadline, each chest tried once more; True when nothing is left."""
        deadline = self._stop_by or 0.0
        try:
            self._delivery.try_now()
            while not self._is_all_delivered():
                left_seconds = deadline - time.monotonic()
                if left_seconds <= 0 or self._delivery.is_hopeless:
                    break
                self._nap.take(min(POLL_SECONDS, left_seconds))
            self._delivery.spool_what_others_have()
        finally:
            self._delivery.close(deadline)
        self._outstanding.commit_settled()
        self._adoption.release()
        return not self._has_work()

    def _is_all_delivered(self) -> bool:
        """Of what this process recorded, and of what it has found that processes left which are gone."""
        if not self._hand_out():
            return False
        while self._adoption.has_work and self._adoption.step():
            if self._stop_by is not None and time.monotonic() >= self._stop_by:
                return False
        self._outstanding.commit_settled()
        return not (self._outstanding or self._adoption.has_work)

    # -- the thread --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while self._notices:
                logger.warning(self._notices.pop(0))
            if self._stop_by is None or self._has_work():
                self._delivery.open()
            while self._stop_by is None:
                self._turn()
                self._rest()
            self._is_drained = self._finish()
        except BaseException as error:  # noqa: BLE001 - MemoryError, SystemExit: a new thread is started at the next request
            self._counters.add("exporter_restarts")
            self._counters.error(f"the exporter ended with {error!r}")
        finally:
            self._is_running = False
            self._ended.release()
            if self._stop_by is None:
                self._died()
            elif self._at_end is not None:
                self._at_end(self._is_drained)

    def _has_work(self) -> bool:
        return bool(self._outstanding or self._chunks or self._chunk or self._ring.pending_bytes())

    def _turn(self) -> None:
        """Once around: deliver when it is time, and look for what others have left."""
        self._make_ready()
        if self._outstanding:
            self._outstanding.commit_settled()
        if self._delivery.is_holding:
            self._delivery.work()
            self._delivery.relieve(self._is_fuller_than(PRESSED_SHARE))
        if self._is_due() or self._asked > self._done:
            self._hand_out()
        if self._stop_by is not None:
            return
        if time.monotonic() >= self._look_at:
            self._look_around()
        while self._adoption.has_work and not self._is_due() and self._stop_by is None and self._adoption.step():
            pass

    def _rest(self) -> None:
        """Sleep until the next turn, longer where there was nothing to do for a while."""
        is_busy = self._pending_since is not None or self._outstanding or self._delivery.is_holding
        self._turns_at_rest = 0 if is_busy or self._adoption.has_work else self._turns_at_rest + 1
        seconds = POLL_SECONDS
        if self._turns_at_rest >= _TURNS_UNTIL_REST and self._ring.capacity_bytes >= _BYTES_FOR_A_REST:
            seconds = max(seconds, min(_REST_SECONDS, self._flush_seconds))
        self._nap.take(seconds)

    def _look_around(self) -> None:
        self._look_after_file()
        self._ring.reclaim()
        self._losses.look()
        self._delivery.look_at_spools()
        self._adoption.look()
        self._look_at = time.monotonic() + ADOPT_EVERY_SECONDS

    def _is_fuller_than(self, share: float) -> bool:
        return self._ring.undelivered_bytes() > self._ring.capacity_bytes * share

    def _is_due(self) -> bool:
        """Whether a batch is full, or its oldest record old enough."""
        if self._batch or self._chunk is not None or self._is_backlogged:
            return True
        pending = self._ring.pending_bytes()
        now = time.monotonic()
        if not pending and not self._ring.has_early:
            self._pending_since, self._empty_at = None, now
            return False
        if self._pending_since is None:
            self._pending_since = self._empty_at  # since then, at most: it may have come right after that
        return now - self._pending_since >= self._flush_seconds or pending >= self._ring.capacity_bytes * DUE_SHARE

    def _hand_out(self) -> bool:
        """Give what is in the ring to the lanes; False when they have no room for all of it, or there is no more time."""
        self._pending_since, self._empty_at = None, time.monotonic()
        while True:
            self._outstanding.commit_settled()
            self._answer_flush()
            self._is_backlogged = not self._has_room()
            if self._is_backlogged or (self._stop_by is not None and time.monotonic() >= self._stop_by):
                return False
            is_empty = self._fill_batch()
            if not self._chunks:
                return True
            self._give_batch()
            if is_empty and self._stop_by is None:
                # What came while it was written is young, and would be written as a batch of a few, and so on for ever.
                self._outstanding.commit_settled()
                self._answer_flush()
                return True

    def _has_room(self) -> bool:
        if self._delivery.has_room:
            return True
        self._delivery.relieve(self._is_fuller_than(PRESSED_SHARE))
        if not self._delivery.has_room and self._is_fuller_than(NEARLY_FULL_SHARE):
            if self._delivery.make_room():
                return True
            self._delivery.sacrifice()
        return self._delivery.has_room

    def _answer_flush(self) -> None:
        """Between any two batches: under load there may always be more, and only what was there before has to be written."""
        if self._flush is None and self._asked > self._done:
            ticket = self._asked  # read before the ring is looked at
            self._flush = ticket, self._ring.written()
        if self._flush is not None and self._ring.has_committed(self._flush[1]):
            self._done, self._flush = self._flush[0], None

    def _fill_batch(self) -> bool:
        """Fill the batch from the ring, a chunk at a time; True when the ring has no more.

        Each step leaves the exporter such that one ended in the middle of it (MemoryError) can be started again and goes
        on with what it has: a chunk is kept until it is decoded.
        """
        is_empty = False
        while not is_empty and len(self._batch) < self._batch_records:
            if self._chunk is None:
                self._chunk = self._ring.take(_CHUNK_BYTES)
            if self._chunk is None:
                is_empty = True
            else:
                records = self._decoded(self._chunk)
                self._batch += map(self._lineage.own, records) if self._lineage.parents else records
                self._chunks.append(self._chunk)
                self._chunk = None
        self._counters.add("taken", len(self._batch))
        return is_empty

    def _decoded(self, chunk: Chunk) -> list[Record]:
        try:
            return decode_lines(chunk.data, self._ring.resource)
        except MemoryError:
            raise  # of the machine, and no fault of a line: the chunk is kept for the next thread
        except Exception as error:  # noqa: BLE001 - one damaged line must not hold the others up
            self._counters.error(f"a piece of the ring could not be read: {error}")
            records = []
            for line in chunk.data.splitlines(keepends=True):
                try:
                    records += decode_lines(line, self._ring.resource)
                except MemoryError:
                    raise
                except Exception:  # noqa: BLE001
                    self._counters.add("dropped.damaged")
            return records

    def _give_batch(self) -> None:
        records, chunks = self._batch, self._chunks
        self._batch, self._chunks = [], []
        batch = self._delivery.take_on(records)
        for chunk in chunks:
            self._outstanding.add(batch, chunk.segment, chunk.end)
        self._delivery.work()
