"""Delivers the records of this process before a SIGTERM that would end it at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence, Set
from pathlib import Path
from typing import Final

from chest.native import IS_NATIVE, await_termination, catch_termination, release_termination, terminate
from chest.recorder.stores_in_use import marks_without
from chest.ring.owned_ring_file import OwnedRingFile
from chest.ring.reader import RingReader
from chest.ring.writer import RingWriter
from chest.system.fork_guard import call_in_child, check_fork
from chest.system.threads import Lock, new_lock, start_thread

_GRACE_SECONDS: Final = 0.5
"""How much longer than ``shutdown_seconds`` the process may take: a store is left at the deadline, and its ring after it."""
_END_SECONDS: Final = 1.0

_is_asked = False
"""True if this process has asked for the signal."""
_ended: Lock | None = None
"""What the thread releases at its end; None if the signal is not caught."""

Removable = tuple[tuple[tuple[object, int], ...], tuple[bytes, ...]]
"""Each segment of a ring with its position, and the files to remove if no position has changed."""


class LastRing:
    """A ring whose delivery has ended and that requests write to until the process dies.

    :param ring: open, of this process.
    :param reader: of the ring.
    :param file: its file.
    """

    def __init__(self, ring: RingWriter, reader: RingReader, file: OwnedRingFile) -> None:
        self._ring = ring
        self._reader = reader
        self._file = file

    @property
    def path(self) -> Path:
        """Of its file."""
        return self._file.path

    def removable(self, rings: Set[str]) -> Removable | None:
        """What may be removed if nothing is written to it any more; None if something waits in it.

        A request that is being served has its note in the file, for the record of what ended it.

        :param rings: names of the files that this process leaves.
        """
        segments = self._ring.file
        if segments is None:
            return None
        try:
            places = tuple((segment, segment.tell()) for segment in segments.segments)
            if self._reader.undelivered_bytes() or self._ring.requests_in_flight:
                return None
        except ValueError:  # another thread closes it
            return None
        paths = *self._file.paths, *marks_without(self._file.directory, rings)
        return places, tuple(os.fsencode(path) for path in paths)


def deliver_before_termination(deliver: Callable[[], Sequence[LastRing]], seconds: float) -> None:
    """Have a SIGTERM deliver first if its default action would end the process; any other handler stays in place.

    The handler is in C: it needs no main thread, and does not show in ``signal.getsignal``. ``deliver`` is called in a thread of
    its own, and the process ends by the signal when it returns. A second SIGTERM ends the process at once. A process asks once: code
    that gives the signal its default action back later has it. Without the compiled part nothing is done.

    :param deliver: delivers what there is within ``seconds``, and gives the rings that are left.
    :param seconds: after so many, and half a second, the process ends whatever happens; of several calls the longest holds.
    """
    global _is_asked, _ended
    if not IS_NATIVE:
        return
    call_in_child(_forget_parent)
    check_fork()
    if _is_asked:
        if _ended is not None:
            catch_termination(seconds + _GRACE_SECONDS)
        return
    ended = new_lock()
    ended.acquire()
    _is_asked = True
    if not catch_termination(seconds + _GRACE_SECONDS):
        return

    def wait() -> None:
        try:
            if await_termination():
                rings: Sequence[LastRing] = ()
                try:
                    rings = deliver()
                finally:
                    names = {ring.path.name for ring in rings}
                    terminate(tuple(ring.removable(names) for ring in rings))
        finally:
            ended.release()

    try:
        start_thread(wait)
    except RuntimeError:  # no thread can be had: the signal ends the process as it did
        release_termination()
    else:
        _ended = ended


def release_at_exit() -> None:
    """Give the signal its default action back, and end the thread: an interpreter that ends has none to deliver with."""
    global _ended
    check_fork()
    ended, _ended = _ended, None
    if ended is not None:
        release_termination()
        ended.acquire(timeout=_END_SECONDS)


def _forget_parent() -> None:
    """In a forked child: the thread that waits for the signal is its parent's."""
    global _is_asked, _ended
    _is_asked, _ended = False, None
