"""``LastDelivery``: how a recorder ends in a process: it delivers what it can, and leaves the rest to be found."""

from __future__ import annotations

import logging

from chest.recorder.ending.process_end import end_files, tell_of_lost_records
from chest.recorder.ending.termination import LastRing
from chest.recorder.process_state import ProcessState

logger = logging.getLogger("chest")


class LastDelivery:
    """The end of what a recorder has in this process.

    :param ends_quickly: whether the process is a child that a server forks for each request.
    """

    def __init__(self, state: ProcessState, *, ends_quickly: bool = False) -> None:
        self.left = 0
        """Records that were in the ring at the end."""
        self._state = state
        self._ring = state.ring
        self._ends_quickly = ends_quickly
        self._has_stopped_accepting = True

    def begin(self, deadline: float) -> None:
        """Have the ring accept no more records, and delivery end by the deadline."""
        self._state.is_closing = True
        if self._state.delivery is not None:
            self._stop_accepting()
            self._state.delivery.begin_to_stop(deadline)

    def _stop_accepting(self) -> None:
        self._ring.flush_pre_open_buffer()  # what came after the delivery thread died, while there is room for it
        self._has_stopped_accepting = self._ring.stop_accepting()

    def finish(self, deadline: float, *, is_exit: bool) -> bool:
        """Wait for the end, at most until then; True if everything is in every chest.

        :param is_exit: whether the process ends after it.
        """
        state = self._state
        if self._ring.drains_elsewhere:
            state.stop_watch()
            if state.file is not None:
                return self._leave_to_others(is_exit)
            state.delivery = state.new_delivery()
            self._stop_accepting()
        if state.delivery is None:
            return self._leave_in_the_file()
        is_delivered = self._stop_delivery(deadline) and self._has_stopped_accepting
        self._count_left(is_delivered)
        if not is_delivered:
            state.keep_file(at_once=True)
            if state.file is None and (is_exit or not state.delivery.is_running):
                self._tell_of_lost_records()
        self._say_what_waits()
        if state.delivery.is_running:
            if state.file is not None:
                state.file.give_back_unused_room()
            return False
        state.detach()
        self._end_files(is_delivered, is_exit=is_exit)
        return is_delivered

    def finish_before_termination(self, deadline: float) -> LastRing | None:
        """Wait for the delivery thread to end, and give the ring that the process holds until it dies; None if it has no file."""
        if self._state.delivery is None:
            return None
        is_delivered = self._stop_delivery(deadline)
        self._count_left(is_delivered)
        if self._state.file is None and not is_delivered:
            self._tell_of_lost_records()
        self._say_what_waits()
        return (
            None
            if self._state.file is None or not is_delivered
            else LastRing(self._ring, self._state.reader, self._state.file)
        )

    def _stop_delivery(self, deadline: float) -> bool:
        delivery = self._state.delivery
        return delivery is not None and delivery.stop(deadline, is_durable=self._state.file is not None)

    def _leave_in_the_file(self) -> bool:
        """In the process that uWSGI forks no thread delivers: what was offered waits in its file."""
        self._count_left(False)
        has_pre_open_records = self._ring.has_pre_open_records
        if has_pre_open_records:
            self._state.parts.notices.log()
            tell_of_lost_records(self._ring, self._state.counters, 0.0)
        file, self._state.keeper.file = self._state.file, None
        if file is not None:
            file.give_back_unused_room()
            file.let_go()
        return not (self.left or has_pre_open_records)

    def _leave_to_others(self, is_exit: bool) -> bool:
        """If another process delivers, do not wait: it goes on with the file after this process has ended."""
        self._ring.flush_pre_open_buffer()
        is_delivered = self._ring.stop_accepting() and not self._state.reader.undelivered_bytes()
        self._count_left(is_delivered)
        self._state.parts.notices.log()
        self._end_files(is_delivered, is_exit=is_exit, keeps_delivered=True)
        return is_delivered

    def _end_files(self, is_delivered: bool, *, is_exit: bool, keeps_delivered: bool = False) -> None:
        end_files(self._ring, self._state.file, is_delivered, is_exit=is_exit, keeps_delivered=keeps_delivered)
        self._state.keeper.file = None

    def _count_left(self, is_delivered: bool) -> None:
        self.left = 0 if is_delivered or not self._ring.is_open else self._state.reader.undelivered_records()

    def _tell_of_lost_records(self) -> None:
        tell_of_lost_records(self._ring, self._state.counters, self._state.parts.settings.shutdown_seconds)

    def _say_what_waits(self) -> None:
        """Log one line if a store was down: how many records wait, where, and what delivers them."""
        state = self._state
        spooled = {
            worker.chest.name: worker.spool.own_waiting() for worker in state.workers if worker.spool is not None
        }
        places = [f"{self.left:,} in the ring"] if self.left and state.directory is not None else []
        places += [f"{count:,} on disk for {chest}" for chest, count in spooled.items() if count]
        if places:
            directory = state.directory or state.parts.directory()
            # A server that forks a child for each request would warn once a request, for as long as the store is down.
            is_of_one_request = self._ends_quickly and self.left + sum(spooled.values()) <= 1
            logger.log(
                logging.INFO if is_of_one_request else logging.WARNING,
                "chest: records wait in %s: %s. The next process of service %s delivers them, or: chest recover %s",
                directory, ", ".join(places), state.parts.request_side.resource.service, directory,
            )  # fmt: skip
