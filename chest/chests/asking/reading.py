"""``Reading``: all records that match, page by page, until a deadline."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from chest.chests.contract import ReadableChest

if TYPE_CHECKING:
    from chest.chests.contract import Cursor, StoredRecord
    from chest.chests.query import Query

__all__ = ["Reading"]

_PAGE_RECORDS: Final = 1000
_LEAST_SECONDS: Final = 0.05
"""Even if the time is over, so that each answer is an answer."""


class Reading:
    """Reads records in the order of storing, in any number of queries that share one deadline.

    A store that can be stopped is stopped at the deadline; of any other the page is read to its end.

    :param chest: where to read.
    :param seconds: how long from now on; None: without an end.
    """

    def __init__(self, chest: ReadableChest, seconds: float | None) -> None:
        self.is_whole = True
        """False if the time was over before all that matches was read."""
        self._chest = chest
        self._deadline = None if seconds is None else time.monotonic() + seconds

    def seconds_left(self) -> float | None:
        """For the next question; never nothing."""
        return None if self._deadline is None else max(_LEAST_SECONDS, self._deadline - time.monotonic())

    def records(self, query: Query) -> Iterator[StoredRecord]:
        """Those that match, as far as the time goes."""
        after: Cursor | None = None
        while True:
            page, is_last, after = self._page(query, after)
            yield from page
            if is_last:
                return
            if self._deadline is not None and time.monotonic() > self._deadline:
                self.is_whole = False
                return

    def _page(self, query: Query, after: Cursor | None) -> tuple[list[StoredRecord], bool, Cursor | None]:
        """A page, whether it is the last one, and where the next begins."""
        if type(self._chest).following is ReadableChest.following:  # it cannot be stopped, and only asks once more
            page = self._chest.read(query, after=after, limit=_PAGE_RECORDS)
            return page, len(page) < _PAGE_RECORDS, page[-1].cursor if page else after
        found = self._chest.following(query, after=after, limit=_PAGE_RECORDS, seconds=self.seconds_left())
        if not found.basis.is_exact:
            self.is_whole = False
            return list(found.records), True, after
        return list(found.records), len(found.records) < _PAGE_RECORDS, found.after
