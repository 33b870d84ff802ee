"""The end of a process: the moment from which all its deadlines count, and the rings that are left."""

from __future__ import annotations

import logging
import time
from typing import Final

from chest.delivery.background import BackgroundDelivery
from chest.record.counters import Counters
from chest.recorder.stores_in_use import forget_group
from chest.ring.owned_ring_file import OwnedRingFile
from chest.ring.reader import RingReader
from chest.ring.writer import RingWriter
from chest.system.fork_guard import call_in_child, check_fork, process_generation

logger = logging.getLogger("chest")

_LONGEST_END_SECONDS: Final = 60.0
"""A process that still runs after so long did not end: a hook was called for another reason, or the end was called off."""

_began_at: float | None = None
_left: Final[set[LeftRing]] = set()


def end_began_at() -> float:
    """When the end of this process began, in monotonic seconds: now, unless a hook of its server was told before.

    A server's hook, the interpreter's exit handlers and all recorders share it. Each has ``shutdown_seconds`` from there, so
    that the process takes that long to end, and not as many times as there is something to end.
    """
    global _began_at
    call_in_child(_forget_parent)
    check_fork()
    now = time.monotonic()
    if _began_at is None or now - _began_at > _LONGEST_END_SECONDS:
        _began_at = now
    return _began_at


def _forget_parent() -> None:
    """In a forked child: the end of its parent, and the rings that its parent left, are not its own."""
    global _began_at
    _began_at = None
    _left.clear()


def end_files(
    ring: RingWriter,
    file: OwnedRingFile | None,
    is_delivered: bool,
    *,
    is_exit: bool = False,
    keeps_delivered: bool = False,
) -> None:
    """The end of a ring: its file is removed if everything is delivered, else left to be adopted, with no more than it holds.

    :param is_exit: requests that other threads are serving end with the process: the process that adopts the file records them.
    :param keeps_delivered: whether another process may be delivering it.
    """
    has_killed = is_exit and ring.requests_in_flight > 0
    ring.close(forgets_requests=not is_exit)
    if file is not None and is_delivered and not has_killed:
        file.remove()
        forget_group(file.directory)
    elif file is not None:
        file.give_back_unused_room(keeps_delivered=keeps_delivered)
        file.let_go()


def tell_of_lost_records(ring: RingWriter, counters: Counters, seconds: float) -> None:
    """Count and log what dies with this process, because its ring is in memory.

    :param seconds: how long it was tried to deliver them.
    """
    lost = RingReader(ring, counters).undelivered_records() + ring.drop_pre_open_buffer()
    if lost:
        counters.add("dropped.undelivered", lost)
        logger.error(
            "chest: %d records are lost with this process: no chest took them within %g s, and they were in memory, since no file"
            " could be created for the ring. Set CHEST_DIRECTORY to a directory that this user can write, with room on its disk.",
            lost,
            seconds,
        )


class LeftRing:
    """The ring of a recorder that was not closed and is no longer referenced: its delivery thread empties it, and ends.

    The exit of the process waits for it.

    :param seconds: for how long it delivers.
    """

    def __init__(
        self,
        delivery: BackgroundDelivery,
        ring: RingWriter,
        file: OwnedRingFile | None,
        counters: Counters,
        seconds: float,
    ) -> None:
        self._delivery, self._ring, self._file, self._counters = delivery, ring, file, counters
        self._seconds = seconds
        call_in_child(_forget_parent)
        self._made_in = process_generation()

    def leave(self) -> None:
        """Begin to end, without waiting for it."""
        if self._made_in == process_generation():
            _left.add(self)
            self._ring.stop_accepting(0.0)
            self._delivery.end_soon(time.monotonic() + self._seconds, self._end)

    def _end(self, is_delivered: bool) -> None:
        try:
            _left.remove(self)  # in its thread or in the one that waits, whichever comes first
        except KeyError:
            return
        if not is_delivered and self._file is None:
            tell_of_lost_records(self._ring, self._counters, self._seconds)
        end_files(self._ring, self._file, is_delivered)

    def wait(self, began_at: float, most_seconds: float) -> None:
        """Wait for its end at the end of the process, which began then (monotonic seconds)."""
        deadline = began_at + min(most_seconds, self._seconds)
        is_delivered = self._delivery.stop(deadline, is_durable=self._file is not None)
        if not self._delivery.is_running:
            self._end(is_delivered)
        elif self._file is not None:  # its thread is inside a chest
            self._file.give_back_unused_room()


def wait_for_left_rings(began_at: float, most_seconds: float) -> None:
    """Wait until what was left is delivered.

    :param began_at: when the process began to end, in monotonic seconds.
    :param most_seconds: how long each is waited for at most, from there on.
    """
    check_fork()
    for left in tuple(_left):
        left.wait(began_at, most_seconds)
