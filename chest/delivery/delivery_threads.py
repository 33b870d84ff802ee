"""``DeliveryThreads``: the threads of this process that deliver: one for all recorders, and another if one recorder holds the others up."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from chest.system.fork_guard import call_in_child, check_fork
from chest.system.threads import Claim, WakeEvent, new_lock, sleep, socket_home, start_thread

_LATE_SECONDS: Final = 0.5
"""How long one step may take before the other recorders of its thread get another one: it is inside a slow chest."""
_APART_SECONDS: Final = 10.0
"""How long a recorder whose store was slow keeps a thread of its own after that."""
_WATCH_EVERY_SECONDS: Final = 0.1
_LOCK_SECONDS: Final = 1.0
_AFTER_MISHAP_SECONDS: Final = 1.0


class Steps(Protocol):
    """What is stepped: the delivery of one recorder."""

    def step(self) -> float | None:
        """Do what there is to do; how many seconds until the next step, None when it has ended. Never raises."""


class Seat(Claim):
    """The place of one recorder's delivery in one of the threads. Who has taken it may step or move it."""

    def __init__(self, delivery: Steps, thread: _DeliveryThread) -> None:
        super().__init__()
        self.delivery = delivery
        self.thread = thread
        self.due_at = 0.0
        self.is_woken = False

    def wake(self) -> None:
        """Have it stepped at once. Never waits, and may be called from a signal handler."""
        self.is_woken = True
        self.thread.wake_event.set()

    def leave(self) -> bool:
        """Leave the delivery to the caller if another one keeps its thread; False if none does."""
        return self.thread.threads.take_out(self)

    def spread(self) -> None:
        """Give a delivery that is to end soon a thread of its own, if the system gives one: no other takes its time then."""
        self.thread.threads.move_apart(self)


class DeliveryThreads:
    """Gives each recorder's delivery a seat in a thread that steps it.

    As long as every store answers, one native daemon thread serves all recorders. If there are several, a second thread watches
    the first. A delivery whose step takes long keeps the thread
    that it is in, and the others are moved to another.
    """

    def __init__(self) -> None:
        self._lock = new_lock()
        self._threads: list[_DeliveryThread] = []
        self._is_watched = False

    @staticmethod
    def of_this_process() -> DeliveryThreads:
        """Those of this very process: a fork brings no thread with it."""
        global _threads
        check_fork()
        if _threads is None:
            call_in_child(_forget_threads)
            _threads = DeliveryThreads()
        return _threads

    def add(self, delivery: Steps) -> Seat:
        """Have it stepped from now on, until it has ended. Raises RuntimeError when the system gives no thread."""
        with self._locked():
            seat = Seat(delivery, self._thread_in_time())
            self._seat([seat])
            if not self._is_watched and any(len(thread.seats) > 1 for thread in self._threads):
                self._start_watch()
        return seat

    def has(self, delivery: Steps) -> bool:
        """True if a thread steps it."""
        return any(seat.delivery is delivery for thread in tuple(self._threads) for seat in tuple(thread.seats))

    @property
    def count(self) -> int:
        """How many threads deliver now."""
        return len(self._threads)

    def take_out(self, seat: Seat) -> bool:
        """See :meth:`Seat.leave`."""
        with self._locked():
            if not seat.thread.is_late or not seat.take():
                return False
            seat.thread.seats.remove(seat)
            return True

    def move_apart(self, seat: Seat) -> None:
        """See :meth:`Seat.spread`."""
        with self._locked():
            if len(seat.thread.seats) > 1:
                self._move([seat], _DeliveryThread(self))

    def end_if_idle(self, thread: _DeliveryThread) -> bool:
        """Take the thread out if nothing is left for it to do; True if it was taken out, and is to end."""
        if thread.seats:
            return False
        with self._locked():
            if thread.seats:
                return False
            self._threads.remove(thread)
            return True

    def join_others(self, thread: _DeliveryThread) -> None:
        """Have a thread whose only delivery is no longer slow give it to the first thread.

        Not under gevent or eventlet: the connections of its chest belong to the thread that made them.
        """
        first = self._threads[0]
        if thread is not first and len(thread.seats) == 1 and not first.is_late and socket_home()[1] == 0:
            with self._locked():
                self._move(list(thread.seats), first)

    def _thread_in_time(self) -> _DeliveryThread:
        return next((thread for thread in self._threads if not thread.is_late), _DeliveryThread(self))

    def _move(self, seats: list[Seat], thread: _DeliveryThread) -> None:
        """Move the seats that are not being stepped to another thread; they stay if it cannot be started."""
        taken = [seat for seat in seats if seat.take()]
        before = {seat: seat.thread for seat in taken}
        for seat in taken:
            seat.thread = thread
        try:
            if taken:
                self._seat(taken)
                for seat in taken:
                    before[seat].seats.remove(seat)
        except RuntimeError:
            for seat in taken:
                seat.thread = before[seat]
        finally:
            for seat in taken:
                seat.give_back()
        thread.wake_event.set()

    def _seat(self, seats: list[Seat]) -> None:
        """Have the thread that they name step these, and start it if it is new."""
        thread = seats[0].thread
        thread.seats.extend(seats)
        if thread in self._threads:
            thread.wake_event.set()
            return
        claim = Claim()

        def run() -> None:
            if claim.take():
                thread.run()

        self._threads.append(thread)
        try:
            start_thread(run)
        except BaseException:
            if claim.take():  # else the thread runs, and this is of a signal handler
                self._threads.remove(thread)
                thread.seats.clear()
            raise

    def _start_watch(self) -> None:
        try:
            self._is_watched = True
            start_thread(self._watch)
        except RuntimeError:
            self._is_watched = False  # with the next recorder

    def _watch(self) -> None:
        while True:
            sleep(_WATCH_EVERY_SECONDS)
            with self._locked():
                shared = [thread for thread in self._threads if len(thread.seats) > 1]
                if not shared:
                    self._is_watched = False
                    return
                for thread in shared:
                    if thread.is_late:
                        self._move(list(thread.seats), self._thread_in_time())

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # It is held for microseconds. If it is not given back, its holder was interrupted by a signal handler: it may be
        # this very thread, which must not wait for itself, or the handler raised.
        self._lock.acquire(timeout=_LOCK_SECONDS)
        try:
            yield
        finally:
            try:
                self._lock.release()
            except RuntimeError:
                pass


class _DeliveryThread:
    def __init__(self, threads: DeliveryThreads) -> None:
        self.threads = threads
        self.seats: list[Seat] = []
        self.wake_event = WakeEvent()
        self._step_began_at: float | None = None
        self._was_late_at = time.monotonic()

    @property
    def is_late(self) -> bool:
        """True if one delivery has kept it for long."""
        began_at = self._step_began_at
        return began_at is not None and time.monotonic() - began_at > _LATE_SECONDS

    def run(self) -> None:
        while True:
            try:
                if self._go_around():
                    return
            except BaseException:  # noqa: BLE001 - MemoryError: these recorders have no other thread
                sleep(_AFTER_MISHAP_SECONDS)

    def _go_around(self) -> bool:
        """Step all that are due, and sleep; True when none is left."""
        for seat in tuple(self.seats):
            if (seat.is_woken or time.monotonic() >= seat.due_at) and seat.thread is self and seat.take():
                self._step(seat)
        if self.threads.end_if_idle(self):
            return True
        if time.monotonic() - self._was_late_at > _APART_SECONDS:
            self.threads.join_others(self)
        waits = [0.0 if seat.is_woken else seat.due_at - time.monotonic() for seat in tuple(self.seats)]
        if waits and (seconds := min(waits)) > 0:
            self.wake_event.wait(seconds)
        return False

    def _step(self, seat: Seat) -> None:
        try:
            if seat.thread is not self:  # moved before it was taken
                return
            seat.is_woken = False
            self._step_began_at = time.monotonic()
            seconds = seat.delivery.step()
            if self.is_late:
                self._was_late_at = time.monotonic()
            if seconds is None:
                self.seats.remove(seat)
            else:
                seat.due_at = time.monotonic() + seconds
        finally:
            self._step_began_at = None
            seat.give_back()


_threads: DeliveryThreads | None = None


def _forget_threads() -> None:
    """In a forked child: a fork brings no thread with it."""
    global _threads
    _threads = None
