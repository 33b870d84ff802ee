"""``pages_ahead``: pages of a source, each of which may be read while the one before it is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import NamedTuple

from chest.chests.contract import Cursor, StoredRecord
from chest.system.threads import new_lock, socket_home, start_thread

__all__ = ["Page", "pages_ahead"]

Read = Callable[[Cursor | None], Sequence[StoredRecord]]


class Page(NamedTuple):
    """Some records of a source."""

    stored: Sequence[StoredRecord]
    asked_at: datetime
    """Before it was read: what is stored later may be missing from it."""
    read_on: Callable[[], None] = lambda: None
    """Begins to read the page after it, if that has not begun."""


def pages_ahead(read: Read, after: Cursor | None, size: int) -> Iterator[Page]:
    """Page after page; the last one is shorter than ``size``, and may be empty.

    A page is read in a thread of its own from when :attr:`Page.read_on` is called, best while a server works on the page
    before: the thread holds the interpreter for milliseconds, and computation beside it waits. Else it is read when
    it is wanted.

    :param read: gives the page after a cursor; may be called from another thread, one call at a time.
    """
    page = _page(read, after)
    while len(page.stored) == size:
        next_page = _NextPage(read, page.stored[-1].cursor)
        try:
            yield page._replace(read_on=next_page.begin)
        except BaseException:  # no more is wanted: reading must have ended before the source is closed
            next_page.end()
            raise
        page = next_page.page()
    yield page


def _page(read: Read, after: Cursor | None) -> Page:
    asked_at = datetime.now(UTC)
    return Page(read(after), asked_at)


class _NextPage:
    """The page after a cursor; may be read ahead."""

    def __init__(self, read: Read, after: Cursor) -> None:
        self._read, self._after = read, after
        self._reader: _PageReader | None = None

    def begin(self) -> None:
        """Read it now, in another thread."""
        # Not under gevent: each thread would need its own connection.
        if self._reader is None and not socket_home()[1]:
            with suppress(RuntimeError):  # the system gives no thread
                self._reader = _PageReader(self._read, self._after)

    def page(self) -> Page:
        """The page; raises what reading it raised."""
        return _page(self._read, self._after) if self._reader is None else self._reader.page()

    def end(self) -> None:
        """Wait until no thread reads."""
        if self._reader is not None:
            with suppress(Exception):
                self._reader.page()


class _PageReader:
    """Reads one page in a thread of its own."""

    def __init__(self, read: Read, after: Cursor) -> None:
        self._read, self._after = read, after
        self._page: Page | None = None
        self._error: BaseException | None = None
        self._done = new_lock()
        self._done.acquire()
        start_thread(self._run)

    def page(self) -> Page:
        """The page, when it is there; raises what reading it raised."""
        self._done.acquire()
        if self._page is None:
            raise self._error or RuntimeError("nothing was read")
        return self._page

    def _run(self) -> None:
        try:
            self._page = _page(self._read, self._after)
        except BaseException as error:  # noqa: BLE001 - raised in the thread that asks for the page
            self._error = error
        finally:
            self._done.release()
