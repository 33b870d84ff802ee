"""Flushes: ``FlushTickets``, which the loop answers, and ``Delivered``, the answer of ``Recorder.flush`` and ``close``."""

from __future__ import annotations

from typing import Self

from chest.ring.reader import RingReader, Written
from chest.system.threads import new_lock


class FlushTickets:
    """Flushes that were asked for. A ticket is answered when everything offered before it is in every chest, or on disk.

    :meth:`ask` and :meth:`is_answered` are for any thread, the others for the one that takes from the ring.
    """

    def __init__(self, ring: RingReader) -> None:
        self._ring = ring
        self._lock = new_lock()
        self._asked = self._answered = 0
        self._pending: tuple[int, Written] | None = None

    def ask(self) -> int:
        """A ticket for what is in the ring now."""
        self._lock.acquire()
        self._asked = ticket = self._asked + 1
        self._lock.release()
        return ticket

    def is_answered(self, ticket: int) -> bool:
        """True if everything that was offered before the ticket was given is in every chest, or on disk for it."""
        return self._answered >= ticket

    @property
    def are_pending(self) -> bool:
        """True if a ticket is not answered."""
        return self._asked > self._answered

    def answer(self) -> None:
        """To be called between any two batches: under load there may always be more, and only what was there before counts."""
        if self._pending is None and self._asked > self._answered:
            ticket = self._asked  # read before the ring is looked at
            self._pending = ticket, self._ring.written()
        if self._pending is not None and self._ring.has_committed(self._pending[1]):
            self._answered, self._pending = self._pending[0], None


class Delivered(int):
    """True if everything offered before the call is in every chest; otherwise it counts what is not, and where it waits.

    An ``int``, as a ``bool`` is one: ``if recorder.flush(): ...``, and JSON takes it.
    """

    delivered: int
    """Records that this process has written to each of its chests; 0 if another process delivers."""
    spooled: int
    """Records of this process that are on disk for a chest which takes none; any process of this service delivers them."""
    waiting: int
    """Records in the ring, which some chest has neither taken nor had put on disk."""

    def __new__(cls, is_complete: bool, *, delivered: int = 0, spooled: int = 0, waiting: int = 0) -> Self:
        answer = super().__new__(cls, is_complete and not spooled)
        answer.delivered, answer.spooled, answer.waiting = delivered, spooled, waiting
        return answer

    def __repr__(self) -> str:
        return f"<Delivered {bool(self)}: delivered {self.delivered}, spooled {self.spooled}, waiting {self.waiting}>"
