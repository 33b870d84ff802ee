"""``FollowedRecords``: the matching records that were stored after a place, oldest first, within a budget."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from chest.chests.asking.cube import Basis
from chest.chests.asking.pieces import BudgetOver, Pieces, extent_within, seconds_left

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chest.chests.contract import Cursor, StoredRecord
    from chest.chests.query import Query

__all__ = ["FollowedRecords", "following_by_pieces"]

_FIRST_STRETCH: Final = 16
"""The first stretch is so many times as long as the number of records that are wanted."""
_GROWS: Final = 8


@dataclass(frozen=True)
class FollowedRecords:
    """The records stored first behind a place that match, oldest first.

    :param basis: exact if there are none beside them, or as many as were asked for. Its counts are of records that were read:
        how many a store looked through is not told by their places.
    :param after: where to go on: behind all that was looked through. If the chest is empty, as it was given.
    """

    records: Sequence[StoredRecord]
    basis: Basis
    after: Cursor | None


def following_by_pieces(
    store: Pieces, query: Query, after: int | None, newest: int, limit: int, seconds: float | None
) -> FollowedRecords:
    """Stretch after stretch, each longer than the one before, until there are enough or the budget is over.

    :param newest: the last place there is.
    """
    begin = time.monotonic()
    if after is None:  # what was stored before the first request of the time range is not looked through
        extent = extent_within(store, query, seconds)
        after = newest if extent is None else extent.first - 1
    next_, size, places = after + 1, max(1, limit * _FIRST_STRETCH), list[int]()
    while next_ <= newest and len(places) < limit:
        left, asked_at = seconds_left(begin, seconds), time.monotonic()
        last = min(newest, next_ + size - 1)
        try:
            if left is not None and left <= 0:
                break
            places += sorted(store.places(query, next_, last, left, limit - len(places)))
        except BudgetOver:
            break
        took, grown = max(1e-3, time.monotonic() - asked_at), size * _GROWS
        if left is not None:
            grown = max(1, min(grown, int((last - next_ + 1) * (left - took) / took)))
        next_, size = last + 1, grown
    is_enough = len(places) >= limit
    found = sorted(store.stored_at(places), key=lambda stored: int(stored.cursor))
    end = places[-1] if is_enough else next_ - 1
    basis = Basis(is_enough or end >= newest, len(found), len(found), time.monotonic() - begin)
    return FollowedRecords(found, basis, max(after, end))
