"""``Latest``: the records that were stored last, newest first: of any chest, and of a store that counts its records."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from chest.chests.asking.cube import Basis
from chest.chests.asking.pieces import BudgetOver, Pieces, extent_within, seconds_left

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chest.chests.contract import Cursor, ReadableChest, StoredRecord
    from chest.chests.query import Query

__all__ = ["Latest", "latest_by_pieces", "latest_by_reading"]

_PAGE_RECORDS: Final = 1000
_FIRST_STRETCH: Final = 4
"""The first stretch is so many times as long as the number of records that are wanted."""
_GROWS: Final = 8
_LONGEST_STRETCH: Final = 500_000
"""Records, about: the places of those that match in one are in memory at once, some 20 MB."""


@dataclass(frozen=True)
class Latest:
    """The records stored last that match, newest first.

    :param basis: exact if there are none beside them, or as many as were asked for; else how many records were looked through.
    :param before: where to go on: the cursor to give as ``before``. None: all were looked through, or the chest cannot go on.
    """

    records: Sequence[StoredRecord]
    basis: Basis
    before: Cursor | None = None


def latest_by_pieces(store: Pieces, query: Query, before: int | None, limit: int, seconds: float | None) -> Latest:
    """Stretch after stretch from the end on, each longer than the one before, until there are enough or the budget is over.

    The first is so long that it holds a few times as many records as are wanted, if they lie as close there as elsewhere.
    """
    begin = time.monotonic()
    extent = extent_within(store, query, seconds)
    if extent is None:
        return Latest((), Basis(True, 0, 0, time.monotonic() - begin))
    end = extent.last if before is None else min(extent.last, before - 1)
    places_a_record = max(1, (extent.last - extent.first + 1) // extent.records)
    last, size, places = end, max(1, limit * _FIRST_STRETCH * places_a_record), list[int]()
    while last >= extent.first and len(places) < limit:
        left, asked_at = seconds_left(begin, seconds), time.monotonic()
        first = max(extent.first, last - size + 1)
        try:
            if left is not None and left <= 0:
                break
            places += sorted(store.places(query, first, last, left), reverse=True)
        except BudgetOver:
            break
        took = max(1e-3, time.monotonic() - asked_at)
        grown = min(size * _GROWS, max(size, _LONGEST_STRETCH * places_a_record))
        if left is not None:
            grown = max(1, min(grown, int((last - first + 1) * (left - took) / took)))
        last, size = first - 1, grown
    is_exact = last < extent.first or len(places) >= limit
    read = extent.records * (extent.last - last) // (extent.last - extent.first + 1)
    found = sorted(store.stored_at(places[:limit]), key=lambda stored: int(stored.cursor), reverse=True)
    is_over = len(places) <= limit and last < extent.first
    oldest = places[limit - 1] if len(places) >= limit else last + 1
    return Latest(found, Basis(is_exact, read, extent.records, time.monotonic() - begin), None if is_over else oldest)


def latest_by_reading(
    chest: ReadableChest, query: Query, before: Cursor | None, limit: int, seconds: float | None
) -> Latest:
    """If places are whole numbers, ever longer stretches at the end are tried; else all is read."""
    begin, end = time.monotonic(), before
    kept: deque[StoredRecord] = deque(maxlen=limit)
    newest = chest.newest() if before is None or isinstance(before, int) else None
    end = newest if before is None else before
    span, read, is_whole = limit * _FIRST_STRETCH, 0, newest is None
    while isinstance(end, int) and newest is not None and not is_whole and len(kept) < limit:
        is_whole = end <= span
        kept, read, is_over = _last_after(chest, query, max(0, end - span), before, limit, begin, seconds)
        if is_over:
            return _latest(kept, read, begin, limit, is_exact=False)
        span *= 2 * _GROWS
    if not isinstance(end, int) and end is not None:
        kept, read, is_over = _last_after(chest, query, None, before, limit, begin, seconds)
        return _latest(kept, read, begin, limit, is_exact=not is_over)
    return _latest(kept, read, begin, limit, is_exact=True)


def _last_after(
    chest: ReadableChest, query: Query, after: Cursor | None, before: Cursor | None, limit: int, begin: float,
    seconds: float | None,
) -> tuple[deque[StoredRecord], int, bool]:  # fmt: skip
    """The last of the records between two places, how many were read, and whether the budget ended before all were."""
    kept: deque[StoredRecord] = deque(maxlen=limit)
    read = 0
    while True:
        page = chest.read(query, after=after, limit=_PAGE_RECORDS)
        for stored in page:
            if stored.cursor == before or (isinstance(before, int) and int(stored.cursor) >= before):
                return kept, read, False
            read += 1
            kept.append(stored)
        if len(page) < _PAGE_RECORDS:
            return kept, read, False
        if seconds is not None and time.monotonic() - begin > seconds:
            return kept, read, True
        after = page[-1].cursor


def _latest(kept: deque[StoredRecord], read: int, begin: float, limit: int, *, is_exact: bool) -> Latest:
    before = kept[0].cursor if is_exact and len(kept) == limit else None
    return Latest(list(reversed(kept)), Basis(is_exact, read, read, time.monotonic() - begin), before)
