"""``RecordByRecord``: answers what the store itself cannot, by reading its records within the budget."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Final

from chest.chests.asking.conditions import Name
from chest.chests.asking.cube import Cell, Step
from chest.chests.asking.pieces import BudgetOver, Pieces
from chest.chests.asking.tally import cell_of

if TYPE_CHECKING:
    from chest.chests.contract import StoredRecord
    from chest.chests.query import Query

__all__ = ["RecordByRecord"]

_READ_AT_ONCE: Final = 1000


class RecordByRecord:
    """As the :class:`~chest.chests.asking.pieces.Pieces` that it is made of, for any query."""

    def __init__(self, store: Pieces) -> None:
        self._store = store
        self.time_range, self.extent, self.stored_at, self.drawn = (
            store.time_range, store.extent, store.stored_at, store.drawn,
        )  # fmt: skip

    def cells(
        self, query: Query, first: int, last: int, by: Sequence[Name], step: Step | None, seconds: float | None
    ) -> Iterator[Cell]:
        for stored in self._matching(query, first, last, seconds):
            yield cell_of(stored.record, by, step)

    def places(self, query: Query, first: int, last: int, seconds: float | None, limit: int | None = None) -> list[int]:
        return [int(stored.cursor) for stored in islice(self._matching(query, first, last, seconds), limit)]

    def _matching(self, query: Query, first: int, last: int, seconds: float | None) -> Iterator[StoredRecord]:
        """In the order of places."""
        end = None if seconds is None else time.monotonic() + seconds
        for start in range(first, last + 1, _READ_AT_ONCE):
            if end is not None and time.monotonic() > end:
                raise BudgetOver
            places = range(start, min(start + _READ_AT_ONCE, last + 1))
            found = sorted(self._store.stored_at(places), key=lambda stored: int(stored.cursor))
            yield from (stored for stored in found if query.matches(stored.record))
