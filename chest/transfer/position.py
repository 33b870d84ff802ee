"""``Position``: how far a transfer has come in its source, and what it has sent beyond that."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from chest.chests.base import Cursor, StoredRecord
from chest.errors import ChestError

__all__ = ["MOST_REMEMBERED", "SETTLED_AFTER", "Position", "Sent"]

SETTLED_AFTER: Final = timedelta(seconds=60)
"""How long a record may turn up late: what was stored longer ago is complete. Half of it for a transaction that draws its
place in the sequence and commits later, half for the one behind it and for clocks of hosts that differ."""
MOST_REMEMBERED: Final = 50_000
"""Runs of records that were sent and are not settled. They grow together where nothing is missing, so that one run holds
any number; a condition that few records meet, or a source whose places are no numbers, makes one of each."""


class Sent:
    """The places of records that were sent: numbers as runs, anything else one by one."""

    def __init__(self, runs: Iterable[tuple[int, int]] = (), others: Iterable[str] = ()) -> None:
        self._runs = [tuple(run) for run in runs]
        self._others = set(others)

    def __contains__(self, cursor: Cursor) -> bool:
        if isinstance(cursor, str):
            return cursor in self._others
        at = bisect_right(self._runs, (cursor, 2**63)) - 1
        return at >= 0 and self._runs[at][1] >= cursor

    def __len__(self) -> int:
        return len(self._runs) + len(self._others)

    def add(self, cursor: Cursor) -> None:
        """Remember a record."""
        if isinstance(cursor, str):
            self._others.add(cursor)
        elif cursor not in self:
            self._add_number(cursor)

    def _add_number(self, number: int) -> None:
        runs = self._runs
        at = bisect_right(runs, (number, number))
        first = last = number
        if at < len(runs) and runs[at][0] == number + 1:
            last = runs.pop(at)[1]
        if at and runs[at - 1][1] == number - 1:
            at -= 1
            first = runs.pop(at)[0]
        runs.insert(at, (first, last))

    def forget(self, cursors: Iterable[Cursor]) -> None:
        """These are settled, and with them all numbers up to the highest of them."""
        for cursor in cursors:
            if isinstance(cursor, str):
                self._others.discard(cursor)
            else:
                self._forget_up_to(cursor)

    def _forget_up_to(self, number: int) -> None:
        while self._runs and self._runs[0][0] <= number:
            last = self._runs.pop(0)[1]
            if last > number:
                self._runs.insert(0, (number + 1, last))

    def as_json(self) -> list[Any]:
        """What :class:`Sent` is made of again."""
        return [self._runs, sorted(self._others)]


class Position:
    """Where a transfer stands: everything up to ``settled`` is done with; of what follows, ``sent`` was sent.

    In a source whose records may turn up before others that were read (``is_in_order`` is False), a record is settled when
    it was stored longer than :data:`SETTLED_AFTER` ago; the rest is read again the next time, and what was sent left out.

    :param settled: reading goes on after it; None: from the start.
    :param sent: what was sent of that which is read again.
    :param passed: a place that every matching record before it had been sent at, and when; see :meth:`pass_over`.
    """

    def __init__(
        self, settled: Cursor | None = None, sent: Sent | None = None, passed: tuple[float, Cursor] | None = None
    ) -> None:
        self.settled = settled
        self.sent = Sent() if sent is None else sent
        self.passed = passed

    @classmethod
    def of_text(cls, text: str) -> Position:
        """The position that :meth:`as_text` wrote down.

        :raises ChestError: it is none.
        """
        try:
            kept = json.loads(text)
            passed = kept["passed"]
            runs, others = kept["sent"]
            sent = Sent([(first, last) for first, last in runs], others)
            return cls(kept["settled"], sent, None if passed is None else (passed[0], passed[1]))
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise ChestError("The cursor of this transfer cannot be read: begin anew, under another name=.") from error

    def as_text(self) -> str:
        """The position as text."""
        kept = {"settled": self.settled, "sent": self.sent.as_json(), "passed": self.passed}
        return json.dumps(kept, separators=(",", ":"))

    def new_in(self, page: Sequence[StoredRecord]) -> Sequence[StoredRecord]:
        """What of the page was not sent."""
        return [stored for stored in page if stored.cursor not in self.sent] if len(self.sent) else page

    def first_of(self, page: Sequence[StoredRecord], room: int) -> Sequence[StoredRecord]:
        """The page up to the last record that is new and for which there is room.

        :param room: for how many new ones; or less, where no more can be remembered before some of it is settled.
        """
        room = min(room, max(0, MOST_REMEMBERED - len(self.sent)))
        if room >= len(page):
            return page
        for place, stored in enumerate(page):
            room -= stored.cursor not in self.sent
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
        done = []
        for stored in page:
            is_settled_up_to_here &= is_in_order or stored.stored_at < asked_at - SETTLED_AFTER
            if is_settled_up_to_here:
                self.settled = stored.cursor
                self.passed = None
                done.append(stored.cursor)
            else:
                self.sent.add(stored.cursor)
        self.sent.forget(done)

    def pass_over(self, newest: Cursor | None, asked_at: datetime, *, is_in_order: bool) -> None:
        """Nothing after ``settled`` matched, up to the end, where ``newest`` stood before the source was read.

        Without this, a condition that no record meets would have ever more of them looked at, every time.
        """
        age = SETTLED_AFTER.total_seconds()
        if is_in_order:
            self.settled = self.settled if newest is None else newest
        elif self.passed is None and newest is not None:
            self.passed = (asked_at.timestamp(), newest)
        elif self.passed is not None and self.passed[0] < asked_at.timestamp() - age:
            self.settled, self.passed = self.passed[1], None
