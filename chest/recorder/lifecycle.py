"""``Lifecycle``: what a recorder is from process to process: made ready at the first request, begun anew in a forked child, ended once."""

from __future__ import annotations

import socket
import time
from functools import partial
from pathlib import Path
from typing import Final

from chest.delivery.background import AskedFlush
from chest.delivery.flush import Delivered
from chest.delivery.spool.dead_letters import DeadLetterKeeper
from chest.record.messages import safe_message
from chest.recorder.ending import hooks
from chest.recorder.ending.last_delivery import LastDelivery
from chest.recorder.ending.process_end import tell_of_lost_records
from chest.recorder.ending.termination import LastRing, deliver_before_termination
from chest.recorder.notices import Notices
from chest.recorder.process_state import ProcessState, RecorderParts, weakly
from chest.recorder.recorder_chests import DefaultPlace, RecorderChests
from chest.recorder.request_side import RequestSide
from chest.recorder.scheduled_transfers import ScheduledTransfers
from chest.request.framework import look_for_tracing
from chest.ring.line import Lineage, Resource
from chest.ring.reader import RingReader
from chest.ring.writer import PRE_OPEN_RECORDS
from chest.settings.settings import Settings
from chest.system.directory import default_directory
from chest.system.fork_guard import call_in_child, check_fork
from chest.system.process_hooks import effective_user, is_forked_by_multiprocessing
from chest.system.threads import new_lock

LOOK_EVERY_SECONDS: Final = 0.002
_FIRST_LOOK_SECONDS: Final = 0.0001
"""A store in memory has the records by then; twice as long after each look, up to ``LOOK_EVERY_SECONDS``."""
_FIRST_PAUSE_SECONDS: Final = 0.1
_LONGEST_PAUSE_SECONDS: Final = 30.0
"""How long a process that could not be made ready is left so, twice as long after each failure: requests come meanwhile, and
each would pay for another try."""
_PREPARE_SECONDS: Final = 1.0
"""How long a request waits for another that makes the process ready: a file is made in milliseconds. It may be this very
thread, interrupted by the signal handler that calls, and must not wait for itself."""


class Lifecycle:
    """Makes, keeps and ends the :class:`ProcessState` of this process.

    :param settings: of the recorder.
    :param name: the recorder's, with which the names of its files begin.
    :param service: the name of the service, if the settings give none.
    """

    def __init__(self, settings: Settings, name: str, service: str) -> None:
        notices = Notices()
        resource = Resource(settings.service or service, settings.release, socket.gethostname())
        request_side = RequestSide(
            resource, weakly(self.prepare, None), notes_requests=settings.in_flight, counts_requests=settings.metrics
        )
        directory = partial(_directory_of, settings, resource.service, notices)
        chests = RecorderChests(settings.chests, directory)
        # With spool_bytes=0 nothing is kept on disk: what a target refuses is logged, and stays in the source.
        dead_letter = DeadLetterKeeper(directory, request_side.counters).dead_letter if settings.spool_bytes else None
        transfers = ScheduledTransfers(settings.scheduled_transfers, chests.readable, directory, dead_letter)
        place = DefaultPlace(settings)
        self.parts = RecorderParts(settings, name, directory, request_side, chests, transfers, notices, place)
        self.state: ProcessState | None = None
        """What there is in this process; None before its first request."""
        self.is_closed = False
        self._ring = request_side.ring
        self._lineage = Lineage(request_side.record_ids.process)
        self._is_forked = False
        self._preparing, self._closing = new_lock(), new_lock()
        self._failures, self._try_again_at = 0, 0.0
        self._last_delivery: LastDelivery | None = None
        self._has_ended, self._is_delivered = False, True
        call_in_child(self._begin_in_child)
        hooks.register(self)

    # -- the beginning -----------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """See :meth:`chest.Recorder.prepare`. What fails is tried again after a pause."""
        check_fork()
        if not self._try_again_at or time.monotonic() >= self._try_again_at:
            self._prepare(_PREPARE_SECONDS, with_thread=True)

    def _prepare(self, wait_seconds: float, *, with_thread: bool) -> None:
        lock = self._preparing
        if not lock.acquire(timeout=wait_seconds):
            return  # until it is ready, records wait in memory
        try:
            if not self.is_closed and not self.parts.request_side.fork_guard[0]:
                self._make_ready(with_thread=with_thread)
                if self._failures:
                    self._failures, self._try_again_at = 0, 0.0
                    self.parts.notices.add_at_once("this process records now")
        except Exception as error:  # noqa: BLE001 - the request goes on; its record waits in memory for the next try
            self._note_failure(error)
        finally:
            lock.release()

    def _make_ready(self, *, with_thread: bool) -> None:
        if self.state is not None and self.state.user != effective_user():
            self.state.discard()
            self.state = None
        if self.state is None:
            begun = partial(
                deliver_before_termination, hooks.deliver_at_termination, self.parts.settings.shutdown_seconds
            )
            self.state = ProcessState(self.parts, self._lineage, begun)
            if self._is_forked or is_forked_by_multiprocessing():
                hooks.close_before_quick_exit()
        look_for_tracing()
        if self.state.make_ready(with_thread=with_thread):
            self.parts.request_side.fork_guard[0] = 1
        self._ring.flush_pre_open_buffer()

    def _note_failure(self, error: Exception) -> None:
        pause_seconds = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2**self._failures)
        self._try_again_at = time.monotonic() + pause_seconds
        self._failures = min(self._failures + 1, 10)
        counters = self.parts.request_side.counters
        counters.add("prepare_failed")
        notice = (
            f"this process cannot record yet: {safe_message(error)}. It tries again, at most {_LONGEST_PAUSE_SECONDS:g} s "
            f"apart, and keeps {PRE_OPEN_RECORDS:,} records in memory meanwhile; more are dropped and counted as before_open."
        )
        counters.error(notice)
        if self._failures == 1:
            self.parts.notices.add_at_once(notice)

    def _begin_in_child(self) -> None:
        """In a forked child: what its parent had is its parent's, and the child begins anew with its first request."""
        inherited, self.state = self.state, None
        request_side = self.parts.request_side
        request_side.begin_in_child()
        if inherited is not None:
            inherited.begin_in_child()
        self.parts.notices.begin_in_child()
        self._preparing, self._closing = new_lock(), new_lock()
        self._failures, self._try_again_at = 0, 0.0
        self._last_delivery = None
        self._is_forked = True
        process = request_side.record_ids.process
        # A grandchild, whose parent recorded nothing, may also be inside a request of the first process.
        is_heir = inherited is not None or bool(self._lineage.parents)
        self._lineage = self._lineage.child_of(process) if is_heir else Lineage(process)

    @property
    def is_ready(self) -> bool:
        """True if requests of this process need not prepare it."""
        return bool(self.parts.request_side.fork_guard[0])

    @property
    def has_something(self) -> bool:
        """True if this process records, or has offered something before it was ready."""
        check_fork()
        return self.state is not None or self._ring.has_pre_open_records

    # -- a flush -----------------------------------------------------------------------------------------------------

    def ask_for_flush(self, *, is_exit: bool = False) -> AskedFlush:
        """Have a flush begin, so that those of several recorders run at the same time; then call :meth:`flush`.

        :param is_exit: as :meth:`flush` takes it.
        """
        if self.has_something and not self.parts.request_side.fork_guard[0] and not self.is_closed:
            self.prepare()  # what was offered without a middleware; and a thread that died is started again
        delivery = None if self.state is None else self.state.delivery
        if delivery is None or self.is_closed:
            return AskedFlush(None, 0)
        return AskedFlush(delivery, delivery.ask_for_flush(tries_now=is_exit))

    def flush(self, deadline: float, *, is_exit: bool = False, asked: AskedFlush | None = None) -> bool:
        """Wait until everything offered before the call is in every chest; False if it is not by then.

        :param is_exit: whether the process ends after it: a store that fails now is not waited for.
        :param asked: what :meth:`ask_for_flush` gave: what was offered before that is waited for.
        """
        if asked is None:
            asked = self.ask_for_flush(is_exit=is_exit)
        if self.state is None:
            return not self._ring.has_pre_open_records
        delivery = self.state.delivery
        if self._ring.drains_elsewhere and not self.is_closed:
            return not is_exit and _wait_until_drained(self.state.reader, deadline)
        if delivery is None or self.is_closed:
            return self._is_delivered and not self.state.reader.undelivered_bytes()
        # Another delivery than the one that was asked, as it was made since, knows nothing of the ticket.
        ticket = asked.ticket if asked.delivery is delivery else delivery.ask_for_flush(tries_now=is_exit)
        pause_seconds = _FIRST_LOOK_SECONDS
        while not delivery.is_flushed(ticket):
            if time.monotonic() >= deadline or (is_exit and delivery.should_give_up):
                return False
            if not delivery.is_running:
                self.parts.request_side.fork_guard[0] = 0
                self.prepare()
                delivery.turn_without_thread()
            # The module's own sleep, which gevent may have made a cooperative one: a greenlet that flushes must not stop the hub.
            time.sleep(pause_seconds)
            pause_seconds = min(LOOK_EVERY_SECONDS, 2 * pause_seconds)
        return True

    def delivered(self, is_complete: bool) -> Delivered:
        """How far the records of this process have come."""
        state = self.state
        if state is None:
            return Delivered(is_complete)
        left = 0 if self._last_delivery is None else self._last_delivery.left
        written = [state.counters.get(f"written.{chest.name}") for chest in self.parts.chests.opened]
        return Delivered(
            is_complete,
            delivered=min(written, default=0),
            spooled=0 if state.delivery is None else state.delivery.own_spooled(),
            waiting=left if self.is_closed else 0 if is_complete else state.reader.undelivered_records(),
        )

    # -- the end -----------------------------------------------------------------------------------------------------

    def close(self, deadline: float, *, is_exit: bool, ends_quickly: bool = False) -> Delivered:
        """See :meth:`chest.Recorder.close`.

        :param is_exit: whether the process ends after it.
        :param ends_quickly: whether the process is a child that a server forks for each request.
        """
        check_fork()
        closing = self._closing
        if not closing.acquire(timeout=max(0.0, deadline - time.monotonic())):
            return Delivered(False)  # another thread is at it
        try:
            self._begin_to_close(deadline, ends_quickly)
            if not self._has_ended:
                self._has_ended = True
                self._is_delivered = self._end(deadline, is_exit)
                self.parts.scheduled_transfers.wait(deadline)
            return self.delivered(self._is_delivered)
        finally:
            closing.release()

    def begin_to_close(self, deadline: float, *, ends_quickly: bool = False) -> None:
        """Begin to close, so that all recorders of a process that ends deliver at the same time."""
        closing = self._closing
        if closing.acquire(timeout=max(0.0, deadline - time.monotonic())):
            try:
                self._begin_to_close(deadline, ends_quickly)
            finally:
                closing.release()

    def _begin_to_close(self, deadline: float, ends_quickly: bool) -> None:
        if self.is_closed:
            return
        self.parts.request_side.end_websockets()
        if self.state is None and self._ring.has_pre_open_records:
            # No thread: this may be the exit of the interpreter, when none can be started.
            self._prepare(max(0.0, deadline - time.monotonic()), with_thread=False)
        self.is_closed = True
        self.parts.scheduled_transfers.stop()
        if self.state is not None:
            self._last_delivery = LastDelivery(self.state, ends_quickly=ends_quickly)
            self._last_delivery.begin(deadline)

    def _end(self, deadline: float, is_exit: bool) -> bool:
        if self._last_delivery is not None and self.state is not None:
            try:
                return self._last_delivery.finish(deadline, is_exit=is_exit)
            finally:
                self.state.tally_keeper.end()
        has_pre_open_records = self._ring.has_pre_open_records
        if has_pre_open_records:  # this process could not be made ready
            self.parts.notices.log()
            tell_of_lost_records(self._ring, self.parts.request_side.counters, 0.0)
        return not has_pre_open_records

    def finish_before_termination(self, deadline: float) -> LastRing | None:
        """Deliver while requests are served and recorded; see :meth:`LastDelivery.finish_before_termination`."""
        if self.state is None:
            return None
        self._last_delivery = LastDelivery(self.state)
        return self._last_delivery.finish_before_termination(deadline)


def _directory_of(settings: Settings, service: str, notices: Notices) -> Path:
    return settings.directory or default_directory(service, notices.add)


def _wait_until_drained(reader: RingReader, deadline: float) -> bool:
    """Wait for another process to deliver what there is now."""
    written = reader.written()
    while not reader.has_committed(written):
        if time.monotonic() >= deadline:
            return False
        time.sleep(LOOK_EVERY_SECONDS)
    return True
