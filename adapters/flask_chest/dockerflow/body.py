"""``watch_end``: calls a function when the body of a response has ended."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from flask import Response
from werkzeug.wsgi import ClosingIterator

_FIRST_OF_PAGES: Final = 300

End = Callable[[BaseException | None], None]
"""Called once at the end of the body, with the exception that ended it, or None."""


def is_complete(response: Response) -> bool:
    """True if the whole body exists: a sequence, or the page of an error or a redirect, which Flask runs like an application."""
    if response.is_sequence:
        return True
    return type(response.response) is ClosingIterator and response.status_code >= _FIRST_OF_PAGES


def watch_end(response: Response, end: End) -> None:
    """Call ``end`` when the body of this response has ended: when it is exhausted, raises, or is closed.

    A file that the server may send by itself stays the same object. If its end cannot be seen, it counts as ended at once.
    """
    told = _Once(end)
    body = response.response
    if not response.direct_passthrough:
        response.response = WatchedBody(body, told)
        return
    try:
        body.close = _FileEnd(getattr(body, "close", None), told)  # type: ignore[union-attr]
    except (AttributeError, TypeError):
        told(None)


class WatchedBody:
    """Passes the chunks of a body on, and reports its end."""

    def __init__(self, body: Iterable[Any], end: End) -> None:
        self._body = body
        self._end = end
        self._iterator: Iterator[Any] | None = None

    def __iter__(self) -> WatchedBody:
        return self

    def __next__(self) -> Any:
        try:
            if self._iterator is None:
                self._iterator = iter(self._body)
            return next(self._iterator)
        except StopIteration:
            self._end(None)
            raise
        except BaseException as error:
            self._end(error)
            raise

    def close(self) -> None:
        """Close the body, which ends here at the latest."""
        try:
            if hasattr(self._body, "close"):
                self._body.close()
        except BaseException as error:
            self._end(error)
            raise
        self._end(None)


class _FileEnd:
    """The ``close`` put on a file."""

    def __init__(self, close: Callable[[], object] | None, end: End) -> None:
        self._close = close
        self._end = end

    def __call__(self) -> None:
        try:
            if self._close is not None:
                self._close()
        finally:
            self._end(None)


class _Once:
    """Reports an end once."""

    def __init__(self, end: End) -> None:
        self._left: End | None = end

    def __call__(self, error: BaseException | None) -> None:
        end, self._left = self._left, None
        if end is not None:
            end(error)
