"""``pages_ahead``: pages of a source, each read while the one before it is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import NamedTuple

from chest.chests.base import Cursor, StoredRecord
from chest.native import new_lock, socket_home, start_thread

__all__ = ["Page", "pages_ahead"]

Read = Callable[[Cursor | None], list[StoredRecord]]


class Page(NamedTuple):
    """Some records of a source."""

    stored: Sequence[StoredRecord]
    asked_at: datetime
    """Before it was read: what is stored later may be missing from it."""


def pages_ahead(read: Read, after: Cursor | None, size: int) -> Iterator[Page]:
    """Page after page; the last one is shorter than ``size``, and may be empty.

    One page at a time is read in a thread of its own: a target that is a server keeps this process waiting, not computing.

    :param read: gives the page after a cursor; may be called from another thread, one call at a time.
    """
    page = _page(read, after)
    while len(page.stored) == size:
        following = _Reading(read, page.stored[-1].cursor)
        try:
            yield page
        except BaseException:  # nobody wants more: what is read must have ended before the source is closed
            with suppress(Exception):
                following.page()
            raise
        page = following.page()
    yield page


def _page(read: Read, after: Cursor | None) -> Page:
    asked_at = datetime.now(UTC)
    return Page(read(after), asked_at)


class _Reading:
    """One page, being read."""

    def __init__(self, read: Read, after: Cursor) -> None:
        self._read, self._after = read, after
        self._page: Page | None = None
        self._error: BaseException | None = None
        self._done = new_lock()
        self._done.acquire()
        if socket_home()[1]:  # under gevent a thread of its own would need a connection of its own for each page
            self._run()
            return
        try:
            start_thread(self._run)
        except RuntimeError:  # the system gives none
            self._run()

    def page(self) -> Page:
        """The page, when it is there; raises what reading it raised."""
        self._done.acquire()
        if self._page is None:
            raise self._error or RuntimeError("nothing was read")
        return self._page

    def _run(self) -> None:
        try:
            self._page = _page(self._read, self._after)
        except BaseException as error:  # noqa: BLE001 - raised where the page is wanted
            self._error = error
        finally:
            self._done.release()
