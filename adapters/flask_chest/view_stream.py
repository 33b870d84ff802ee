"""``WatchedStream``: a body that a view streams, so that its end is seen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from werkzeug.wrappers import Response

from chest.adapter import RequestPart


class WatchedStream(Iterator[Any]):
    """Hands the pieces of a body through, and tells its end once: when it is exhausted, raises or is closed.

    :param body: what the view streams.
    :param view: is told how it ended.
    :param ended: called then.
    """

    def __init__(self, body: Iterable[Any], view: RequestPart, ended: Callable[[], object]) -> None:
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
        """The server is done with it. A HEAD request asks for no piece, and ends well all the same."""
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


def with_watched_stream(value: Any, view: RequestPart, ended: Callable[[], object]) -> Any:
    """What a view returned, its stream watched; None where it streams nothing, or a file that the server may send."""
    if isinstance(value, tuple) and value:
        body = with_watched_stream(value[0], view, ended)
        return None if body is None else (body, *value[1:])
    if isinstance(value, Response):
        if not value.is_streamed or value.direct_passthrough:
            return None
        value.response = WatchedStream(value.response, view, ended)
        return value
    return WatchedStream(value, view, ended) if isinstance(value, Iterator) else None
