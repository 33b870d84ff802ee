"""``WatchedStream``: wraps a body that a view streams, and reports its end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from werkzeug.wrappers import Response

from chest.adapter import SubRecord


class WatchedStream(Iterator[Any]):
    """Passes the pieces of a body on, and reports its end once: when it is exhausted, raises or is closed.

    :param body: the stream of the view.
    :param view: is told how the stream ended.
    :param ended: called at the end.
    """

    def __init__(self, body: Iterable[Any], view: SubRecord, ended: Callable[[], object]) -> None:
        self._body = body
        self._pieces: Iterator[Any] | None = None
        self._view = view
        self._ended: Callable[[], object] | None = ended

    def __next__(self) -> Any:
        try:
            if self._pieces is None:
                self._pieces = iter(self._body)
            return next(self._pieces)
        except StopIteration:
            self._end()
            raise
        except BaseException as error:
            self._view.raised(error)
            self._end()
            raise

    def close(self) -> None:
        """Close the body. A HEAD request reads no piece, and still ends well."""
        try:
            if hasattr(self._body, "close"):
                self._body.close()
        finally:
            if self._ended is not None and self._pieces is not None:
                self._view.left()
            self._end()

    def _end(self) -> None:
        ended, self._ended = self._ended, None
        if ended is not None:
            ended()


def with_watched_stream(value: Any, view: SubRecord, ended: Callable[[], object]) -> Any:
    """A view's value with its stream watched; None if it does not stream, or streams a file that the server may send."""
    if isinstance(value, tuple) and value:
        body = with_watched_stream(value[0], view, ended)
        return None if body is None else (body, *value[1:])
    if isinstance(value, Response):
        if not value.is_streamed or value.direct_passthrough:
            return None
        value.response = WatchedStream(value.response, view, ended)
        return value
    return WatchedStream(value, view, ended) if isinstance(value, Iterator) else None
