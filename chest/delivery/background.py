"""``BackgroundDelivery``: the delivery loop of a recorder, stepped by a thread that all recorders of a process share."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from chest.chests.encoded import takes_own_json
from chest.delivery.delivery_threads import DeliveryThreads, Seat
from chest.delivery.loop import POLL_SECONDS, DeliveryLoop
from chest.delivery.own_ring import OwnRing
from chest.delivery.worker import ChestWorker
from chest.record.counters import Counters
from chest.record.record import Record
from chest.ring.line import Lineage
from chest.ring.orphaned_ring import OrphanedRing
from chest.ring.reader import RingReader
from chest.system.threads import WakeEvent, new_lock, untraced

logger = logging.getLogger("chest.delivery")

_GRACE_SECONDS: Final = 0.25
"""How long the thread may take, at the deadline, to leave everything in order: else its ring would not be let go."""
_LEAST_GRACE_SECONDS: Final = 0.05


class AskedFlush(NamedTuple):
    """A flush that has begun."""

    delivery: BackgroundDelivery | None
    """Which was asked; None: nothing delivers."""
    ticket: int
    """What it gave."""


class BackgroundDelivery:
    """Delivers the records of one recorder in a native daemon thread.

    All recorders of the process share the thread as long as none holds the others up; the last round, when no thread may be
    started any more, runs in the thread that calls :meth:`stop`.

    :param ring: taken from here alone.
    :param workers: one a chest.
    :param adopt: gives the rings in the directory whose owners are gone; None now and then while it finds none.
    :param died: called when the thread ends although it was not stopped.
    :param look_after_file: called every few seconds, to notice when the ring's file is taken away.
    :param begun: called when the thread begins, before it opens a store.
    :param flush_seconds: how old the oldest record may become before it is written.
    :param batch_records: about how many records are written in one transaction.
    :param lineage: tells records of requests that a parent process began, and which get an id of this one's.
    :param notices: warnings to log once the thread runs, and which are taken out then: nothing is logged in a request's time, nor after a fork.
    :param observe: told of what is taken from the ring, in a run of tests.
    """

    def __init__(
        self,
        ring: RingReader,
        workers: Sequence[ChestWorker],
        counters: Counters,
        *,
        adopt: Callable[[], Iterator[OrphanedRing | None]],
        died: Callable[[], None],
        look_after_file: Callable[[], None] = lambda: None,
        begun: Callable[[], None] = lambda: None,
        flush_seconds: float,
        batch_records: int,
        lineage: Lineage,
        notices: list[str] | None = None,
        observe: Callable[[Sequence[Record]], object] | None = None,
    ) -> None:
        source = OwnRing(
            ring, lineage, counters, look_after_file=look_after_file, flush_seconds=flush_seconds,
            batch_records=batch_records, observe=observe,
            as_encoded=all(takes_own_json(worker.chest) for worker in workers),
        )  # fmt: skip
        self._flushes = source.flushes
        self.loop = DeliveryLoop(source, workers, counters, adopt=adopt, wake=self.wake)
        self._counters = counters
        self._died = died
        self._begun = begun
        self._notices = [] if notices is None else notices
        self._wake_event = WakeEvent()  # of a caller that does the work itself
        self._seat: Seat | None = None
        self._has_begun = self._is_running = False
        self._ended = new_lock()
        self._working = new_lock()
        self._at_end: Callable[[bool], None] | None = None

    @property
    def is_running(self) -> bool:
        """True if the thread is there."""
        return self._is_running

    def spool_sizes(self) -> dict[str, dict[str, int]]:
        """What waits on disk for each chest, see :meth:`ChestWorkers.spool_sizes`."""
        return self.loop.workers.spool_sizes()

    def own_spooled(self) -> int:
        """Records of this process that wait on disk, see :meth:`ChestWorkers.own_spooled`."""
        return self.loop.workers.own_spooled()

    @property
    def is_emptying_spools(self) -> bool:
        """See :attr:`ChestWorkers.is_emptying_spools`."""
        return self.loop.workers.is_emptying_spools

    def start(self) -> None:
        """Have a thread step the loop. Raises RuntimeError if the system gives none."""
        threads, ended = DeliveryThreads.of_this_process(), new_lock()
        ended.acquire()
        try:
            self._ended, self._is_running, self._has_begun = ended, True, False
            self._seat = threads.add(self)
        except BaseException:
            if not threads.has(self):  # else it is stepped, and this is of a signal handler
                self._is_running = False
                ended.release()
            raise

    def _try_start(self) -> bool:
        try:
            self.start()
        except RuntimeError:
            return False
        return True

    def wake(self) -> None:
        """Let the thread look at the ring at once."""
        seat = self._seat
        if seat is not None:
            seat.wake()
        self._wake_event.set()

    def ask_for_flush(self, *, tries_now: bool = False) -> int:
        """Have everything that is in the ring now delivered; gives a ticket for :meth:`is_flushed`.

        :param tries_now: whether chests that wait after a failure are tried once more now, for :attr:`should_give_up`.
        """
        if tries_now:
            self.loop.try_now()
        ticket = self._flushes.ask()
        self.wake()
        return ticket

    def is_flushed(self, ticket: int) -> bool:
        """True if everything that was offered before the ticket was given is in every chest, or spooled for it."""
        return self._flushes.is_answered(ticket)

    @property
    def should_give_up(self) -> bool:
        """See :attr:`DeliveryLoop.should_give_up`."""
        return self.loop.should_give_up

    @untraced()
    def turn_without_thread(self) -> None:
        """Do what the thread does, once and in the calling thread; nothing if the thread is at it."""
        if self._working.acquire(blocking=False):
            try:
                self.loop.turn()
            finally:
                self._working.release()

    # -- the end -----------------------------------------------------------------------------------------------------

    def begin_to_stop(self, deadline: float) -> None:
        """Have the thread deliver what there is until then (monotonic seconds), and end; :meth:`stop` waits for it."""
        self.loop.stop_by = deadline
        if self._seat is not None and self._is_running:
            self._seat.spread()
        self.wake()

    def stop(self, deadline: float, *, is_durable: bool) -> bool:
        """Deliver what there is until ``deadline`` (monotonic seconds), then end and close the chests.

        The thread does it, and the caller waits no longer than a quarter of a second beyond the deadline, whatever a chest
        does; a missing thread is started. If the system gives no thread, the caller delivers. True when nothing was left.

        :param is_durable: whether what is left is on disk: then the caller writes to no chest that may keep it longer.
        """
        self.loop.stop_by = deadline
        if not self._is_running:
            if not self._wait_for_end(deadline):
                return False  # a flush that runs in another thread, for want of ours, is inside a chest
            if not self._try_start():
                if is_durable:
                    self.loop.workers.set_deadline(deadline)
                return self._finish()
        self.wake()
        # Else it is inside a chest; what it has not committed is adopted by the next process.
        return self._wait_for_end(deadline) and self.loop.is_drained

    def finish_if_held_up(self, deadline: float) -> None:
        """At an exit at which no thread can be started: finish here, if another recorder keeps the thread of this one.

        For a ring on disk: it is written to no chest that may keep the caller beyond the deadline.
        """
        seat = self._seat
        if self._is_running and seat is not None and seat.leave():
            self.loop.workers.set_deadline(deadline)
            try:
                self._finish()
            finally:
                self._end()

    def end_soon(self, deadline: float, at_end: Callable[[bool], None]) -> None:
        """Have the thread deliver what there is and end, without waiting for it.

        :param at_end: called from the thread when it has ended, with whether nothing was left.
        """
        self._at_end = at_end
        self.loop.stop_by = deadline
        self.wake()

    def _wait_for_end(self, deadline: float) -> bool:
        for lock in (self._ended, self._working):
            # Of several recorders that end by one deadline, those that come later share its grace.
            left_seconds = deadline + _GRACE_SECONDS - time.monotonic()
            if not lock.acquire(timeout=max(_LEAST_GRACE_SECONDS, left_seconds)):
                return False
            lock.release()
        return True

    @untraced()
    def _finish(self) -> bool:
        """The last round, in the calling thread; True when nothing is left. False also if a flush does the work in another."""
        left_seconds = (self.loop.stop_by or 0.0) + _GRACE_SECONDS - time.monotonic()
        if not self._working.acquire(timeout=max(_LEAST_GRACE_SECONDS, left_seconds)):
            return False
        try:
            while (seconds := self.loop.step_to_end()) is not None:
                self._wake_event.wait(seconds)
        finally:
            self._working.release()
        return self.loop.is_drained

    # -- for the thread ----------------------------------------------------------------------------------------------

    def step(self) -> float | None:
        """Once around; how many seconds until the next time, None when it has ended. Never raises."""
        if not self._working.acquire(blocking=False):
            return POLL_SECONDS  # a flush does the work, for want of a thread until now
        try:
            return self._step_or_end()
        finally:
            self._working.release()

    def _step_or_end(self) -> float | None:
        try:
            if not self._has_begun:
                self._begin()
            seconds = self.loop.step()
        except BaseException as error:  # noqa: BLE001 - MemoryError, SystemExit: it is started anew at the next request
            self._counters.add("delivery_restarts")
            self._counters.fault("the delivery thread ended with %r", error)
            seconds = None
        if seconds is None:
            self._end()
        return seconds

    def _begin(self) -> None:
        self._has_begun = True
        log_notices(self._notices)
        if self.loop.stop_by is None:
            self._begun()
        self.loop.restart()

    def _end(self) -> None:
        ended, self._is_running = self._ended, False  # from here on it may be started again, with another lock
        try:
            if self.loop.stop_by is None:
                self._died()
            elif self._at_end is not None:
                self._at_end(self.loop.is_drained)
        finally:
            ended.release()


def log_notices(notices: list[str]) -> None:
    """Log what could not be logged when it was found, and take it out; another thread may do so at the same time."""
    with suppress(IndexError):
        while notices:
            logger.warning("chest: %s", notices.pop(0))
