"""``Position``: how far a transfer has come in its source, and what it has sent beyond that."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from chest.chests.contract import Cursor, StoredRecord
from chest.errors import ChestError
from chest.record.record import record_key
from chest.transfer.sent import IdBlock, Sent

__all__ = ["MOST_REMEMBERED", "SETTLED_AFTER", "Position"]

SETTLED_AFTER: Final = timedelta(seconds=60)
"""How long a record may turn up late: what was stored longer ago is complete. Half of it for a transaction that draws its
place in the sequence and commits later, half for the one behind it and for clocks of hosts that differ."""
MOST_REMEMBERED: Final = 200_000
"""Records that were sent and are not settled: 3,000 a second may be stored if not all are in order. Of more, a target
that knows ``id`` gets some again, and any other is kept waiting."""


class Position:
    """The position of a transfer: everything up to ``settled`` is done; of the records after it, those in ``sent`` were sent.

    In a source whose records may turn up before others that were read (``is_in_order`` is False), a record is settled when
    it was stored longer than :data:`SETTLED_AFTER` ago; the rest is read again the next time, and what was sent left out.

    :param settled: reading goes on after it; None: from the start.
    :param sent: the ids of what was sent of that which is read again.
    :param passed: a place that every matching record before it had been sent at, and when; see :meth:`pass_over`.
    """

    def __init__(
        self, settled: Cursor | None = None, sent: Sent | None = None, passed: tuple[float, Cursor] | None = None
    ) -> None:
        self.settled = settled
        self.sent = Sent() if sent is None else sent
        self.passed = passed

    @classmethod
    def of_text(cls, text: str, block_in: Callable[[int], str]) -> Position:
        """The position that :meth:`as_text` wrote down.

        :param block_in: gives the text of the block of :attr:`sent` that is kept in a slot.
        :raises ChestError: the text is not a position.
        """
        try:
            kept = json.loads(text)
            passed = kept["passed"]
            full = [IdBlock.of_json(json.loads(block_in(slot))["piece"], slot) for slot in kept["full"]]
            sent = Sent(full, IdBlock.of_json(kept["last"]))
            return cls(kept["settled"], sent, None if passed is None else (passed[0], passed[1]))
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise ChestError("The cursor of this transfer cannot be read: begin anew, under another name=.") from error

    def as_text(self) -> str:
        """The position as text, but for the full blocks of :attr:`sent`, of which it names the slots."""
        slots = [block.slot for block in self.sent.full]
        kept = {"settled": self.settled, "passed": self.passed, "full": slots, "last": self.sent.last.as_json()}
        return json.dumps(kept, separators=(",", ":"))

    def new_in(self, page: Sequence[StoredRecord]) -> Sequence[StoredRecord]:
        """What of the page was not sent."""
        return [stored for stored in page if record_key(stored.record) not in self.sent] if len(self.sent) else page

    def first_of(self, page: Sequence[StoredRecord], room: int, *, may_repeat: bool) -> Sequence[StoredRecord]:
        """The page up to the last record that is new and for which there is room.

        :param room: for how many new ones.
        :param may_repeat: whether records may be sent again. If not, the page ends when no more can be remembered before
            some records are settled.
        """
        if not may_repeat:
            if len(self.sent) >= MOST_REMEMBERED:
                self.sent.forget_oldest()
            room = min(room, max(0, MOST_REMEMBERED - len(self.sent)))
        if room >= len(page):
            return page
        for place, stored in enumerate(page):
            room -= record_key(stored.record) not in self.sent
            if room < 0:
                return page[:place]
        return page

    def advance(self, page: Sequence[StoredRecord], asked_at: datetime, *, is_in_order: bool) -> None:
        """All of the page, which holds something, was sent, or had been.

        :param asked_at: before it was read. Not when it was sent: a record that turned up meanwhile is not in it.
        """
        if is_in_order and not len(self.sent):
            self.settled, self.passed = page[-1].cursor, None
            return
        is_settled_up_to_here = True
        done: list[StoredRecord] = []
        for stored in page:
            is_settled_up_to_here &= is_in_order or stored.stored_at < asked_at - SETTLED_AFTER
            if is_settled_up_to_here:
                self.settled = stored.cursor
                self.passed = None
                done.append(stored)
            elif len(self.sent) < MOST_REMEMBERED:
                self.sent.add(stored)
        if done and len(self.sent):
            self.sent.forget(done)

    def pass_over(self, newest: Cursor | None, asked_at: datetime, *, is_in_order: bool) -> None:
        """Nothing after ``settled`` matched, up to the end, which was ``newest`` before the source was read.

        Without this, a condition that matches nothing would read ever more records, every time.
        """
        age = SETTLED_AFTER.total_seconds()
        if is_in_order:
            self.settled = self.settled if newest is None else newest
        elif self.passed is None and newest is not None:
            self.passed = (asked_at.timestamp(), newest)
        elif self.passed is not None and self.passed[0] < asked_at.timestamp() - age:
            self.settled, self.passed = self.passed[1], None
