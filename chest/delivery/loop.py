"""``DeliveryLoop``: brings records from a source of rings to the worker of every chest."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

from chest.delivery.batch import AnyBatcher
from chest.delivery.log import TroubleReporter
from chest.delivery.orphan_delivery import OrphanDelivery
from chest.delivery.spool_policy import is_nearly_full
from chest.delivery.worker import ChestWorker
from chest.delivery.workers import ChestWorkers
from chest.record.counters import Counters
from chest.ring.orphaned_ring import OrphanedRing

POLL_SECONDS: Final = 0.05
"""Waking the loop for each record would cost the request 5 to 7 µs; asking twenty times a second costs 0.15 % of a core."""
_REST_SECONDS: Final = 0.2
"""How long it sleeps if nothing was offered for a while: records that arrive meanwhile are written when it wakes."""
_TURNS_UNTIL_REST: Final = 20
_CLOSING_STEP_SECONDS: Final = 0.005


class Source(Protocol):
    """One ring or several, which the loop empties. See :class:`~chest.delivery.own_ring.OwnRing`, which says what each is."""

    @property
    def look_every_seconds(self) -> float: ...
    @property
    def is_asked(self) -> bool: ...
    @property
    def is_idle(self) -> bool: ...
    def batchers(self) -> list[AnyBatcher]: ...
    def fill(self) -> float: ...
    def prepare(self) -> bool: ...
    def look_around(self) -> None: ...
    def look_if_due(self) -> bool: ...
    def longest_rest(self, seconds: float) -> float: ...
    def begin_round(self) -> None: ...
    def end_round(self, is_complete: bool) -> None: ...
    def commit(self, batcher: AnyBatcher) -> None: ...
    def begin_to_end(self) -> bool: ...
    def has_records(self) -> bool: ...
    def is_drained(self, is_all_delivered: bool) -> bool: ...
    def release(self) -> None: ...


class DeliveryLoop:
    """Empties the rings of a source into every worker, and adopts the rings of processes that are gone.

    A batch goes to each worker once; its ring is committed when each has written it or put it on disk. The owner of
    the loop calls :meth:`step` again and again, in one thread at a time.

    :param source: the rings.
    :param workers: one a chest.
    :param adopt: gives the rings in the directory whose owners are gone; None now and then while it finds none.
    :param wake: called from any thread when a worker has settled something, to have the next step begin at once.
    :param runs_in_caller: whether the thread that steps it must not be kept by a chest: every chest has a thread of its own,
        and in the last round those for which none could be started are told the deadline.
    """

    def __init__(
        self,
        source: Source,
        workers: Sequence[ChestWorker],
        counters: Counters,
        *,
        adopt: Callable[[], Iterator[OrphanedRing | None]],
        wake: Callable[[], None],
        runs_in_caller: bool = False,
    ) -> None:
        self.workers = ChestWorkers(workers, counters, wake, waits_for_none=runs_in_caller)
        self._source = source
        self._counters = counters
        self._orphans = OrphanDelivery(adopt, self.workers, counters)
        self._troubles = TroubleReporter(counters)
        self._runs_in_caller = runs_in_caller
        self.stop_by: float | None = None
        """Deadline of the last round, in monotonic seconds; None: it is not to end."""
        self.put_off: Callable[[], object] = lambda: None
        """Called at the deadline, and may set another."""
        self.is_drained = False
        """True if nothing was left in the rings at the end."""
        self._is_open = self._is_finishing = self._is_closing = self._is_all_delivered = False
        self._tries_now = self._has_tried_now = False
        self._turns_at_rest = 0
        self._look_at = 0.0

    def try_now(self) -> None:
        """Have the next step try chests that wait after a failure once more, for :attr:`should_give_up`."""
        self._tries_now = True

    @property
    def should_give_up(self) -> bool:
        """True if each chest that has not taken what it was given failed since it was to be tried now."""
        return self._has_tried_now and self.workers.should_give_up

    def restart(self) -> None:
        """Have the next step open what has to be open: another thread takes the loop over."""
        self._is_open = False

    def step(self) -> float | None:
        """Once around: deliver what is due, and look for orphans. Returns the seconds until the next step, None after the last.

        From when :attr:`stop_by` is set, what there is is delivered by then, and the chests are closed.
        """
        if not self._is_open:
            self._is_open = True
            if self.stop_by is None or self._source.has_records():
                self._orphans.begin()
                self.workers.open()
        if self.stop_by is None:
            self.turn()
            return self._seconds_to_rest()
        if not self._look_at:
            self._look_around()  # every process of the service may be as short-lived as this one, and one of them has to adopt the orphans
        return self.step_to_end()

    def turn(self) -> None:
        """Deliver what is due, and look for orphans: a step of a loop that is not to end."""
        if self._source.prepare():
            self._orphans.look()
        if self._tries_now:
            self._tries_now, self._has_tried_now = False, True
            self.workers.try_now()
        self._commit_settled()
        if self.workers.is_holding:
            self.workers.poll()
            self.workers.spool_late(self._source.fill())
        if self._source.look_if_due() or self._source.is_asked:
            self._submit_batches()
        if self.stop_by is not None:
            return
        if time.monotonic() >= self._look_at:
            self._look_around()
        while (
            self._orphans.has_work and not self._source.look_if_due() and self.stop_by is None and self._orphans.step()
        ):
            pass

    def _look_around(self) -> None:
        self._source.look_around()
        self._troubles.look()
        self.workers.look_around()
        self._orphans.look()
        self._look_at = time.monotonic() + self._source.look_every_seconds

    def _seconds_to_rest(self) -> float:
        """How long until the next step, longer if there was nothing to do for a while."""
        if self.stop_by is not None:
            return 0.0
        is_busy = not self._source.is_idle or self._is_unsettled or self.workers.is_holding or self._orphans.has_work
        self._turns_at_rest = 0 if is_busy else self._turns_at_rest + 1
        if self._turns_at_rest < _TURNS_UNTIL_REST:
            return POLL_SECONDS
        return max(POLL_SECONDS, self._source.longest_rest(_REST_SECONDS))

    def _submit_batches(self) -> bool:
        """Submit a batch of each ring in turn until each ring was empty once; False if room or time ran out first."""
        self._source.begin_round()
        is_complete = self._submit_in_turn()
        self._source.end_round(is_complete)
        return is_complete

    def _submit_in_turn(self) -> bool:
        waiting = self._source.batchers()
        while waiting:
            for batcher in tuple(waiting):
                self._source.commit(batcher)
                if not self._ensure_room() or self._is_late():
                    return False
                is_empty = batcher.fill()
                count = batcher.submit_to(self.workers)
                self._counters.add("taken", count or 0)
                if count is None:
                    waiting.remove(batcher)
                elif is_empty and self.stop_by is None:
                    # What came while it was written is young, and would be written as a batch of a few, and so on for ever.
                    self._source.commit(batcher)
                    waiting.remove(batcher)
        return True

    def _ensure_room(self) -> bool:
        """Make room for another batch: spool to disk; if the ring is nearly full, drop records of late chests. False: no room."""
        if self.workers.has_room:
            return True
        self.workers.spool_late(self._source.fill())
        if not self.workers.has_room and is_nearly_full(self._source.fill()):
            if self.workers.spool_blocked():
                return True
            self.workers.drop_blocked()
        return self.workers.has_room

    def _is_late(self) -> bool:
        if self.stop_by is None or time.monotonic() < self.stop_by:
            return False
        self.put_off()
        return time.monotonic() >= self.stop_by

    @property
    def _is_unsettled(self) -> bool:
        return any(batcher.is_unsettled for batcher in self._source.batchers())

    def _commit_settled(self) -> None:
        for batcher in self._source.batchers():
            batcher.commit_settled()

    # -- the end -----------------------------------------------------------------------------------------------------

    def step_to_end(self) -> float | None:
        """A step of the last round: what can be delivered by the deadline, each chest tried once more. See :meth:`step`."""
        deadline = self.stop_by or 0.0
        if not self._is_finishing:
            self._is_finishing = True
            self._begin_to_end(deadline)
        if not self._is_closing:
            try:
                self._is_all_delivered = self._deliver_all()
                if not self._is_all_delivered and not self.workers.should_give_up and not self._is_late():
                    return max(0.0, min(POLL_SECONDS, (self.stop_by or 0.0) - time.monotonic()))
                self.workers.spool_what_others_have()
            except BaseException:
                self._begin_to_close()
                raise
            self._begin_to_close()
        if not self.workers.is_closed and time.monotonic() < deadline:
            return _CLOSING_STEP_SECONDS
        self._troubles.look()
        self.release()
        return None

    def _begin_to_end(self, deadline: float) -> None:
        self.workers.try_now()
        if self._runs_in_caller:
            self.workers.set_deadline(deadline)
        if self._source.begin_to_end():
            self._orphans.look()

    def _begin_to_close(self) -> None:
        self._is_closing = True
        self.workers.begin_to_close()

    def _deliver_all(self) -> bool:
        """Deliver what the source has, and the orphans that were found; False while something is left."""
        if not self._submit_batches():
            return False
        while self._orphans.has_work and self._orphans.step():
            if self._is_late():
                return False
        self._commit_settled()
        return not (self._is_unsettled or self._orphans.has_work_at_end)

    def release(self) -> None:
        """Leave what is not delivered to the next process. Idempotent."""
        self._commit_settled()
        self.is_drained = self._source.is_drained(self._is_all_delivered)
        self._orphans.release()
        self._source.release()
