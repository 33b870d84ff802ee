"""Files that the server sends by itself, without reading them through the middleware: their ``close`` ends the request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from chest.record.record import Outcome
from chest.request.completion import RequestCompletion
from chest.request.context import RequestContext
from chest.request.wsgi import WSGIEnvironment, value_in

_MOST_DIGITS: Final = 18
"""Of a length that can be counted in 64 bits."""


class ServedFile:
    """The ``close`` put on a file wrapper: ends the request when the server has sent the file.

    A wrapper around the wrapper would lose the server's sendfile, which looks at the type of the object or at its identity.
    """

    __slots__ = ("_close", "_ending")

    def __init__(self, completion: RequestCompletion, close: Callable[[], object] | None) -> None:
        self._ending = completion
        self._close = close

    def __del__(self) -> None:
        self._ending.finish(Outcome.ABANDONED)  # the server never closed it, else this does nothing

    def __call__(self) -> None:
        close, self._close = self._close, None
        self._ending.closed(is_complete=True)
        try:
            if close is not None:
                close()
        except BaseException as error:
            self._ending.failed(error, is_answered=True)
            raise
        finally:
            self._ending.finish(None)


def is_served_file(body: Any, environ: WSGIEnvironment) -> bool:
    """True if the server may send this body with sendfile: an instance of its wrapper class, or, if the wrapper is a
    function that returns the file (uWSGI), something with ``read`` and ``fileno``."""
    wrapper = value_in(environ, "wsgi.file_wrapper")
    if wrapper is None:
        return False
    if isinstance(wrapper, type):
        return isinstance(body, wrapper)
    return hasattr(body, "read") and hasattr(body, "fileno")


def watch_file(completion: RequestCompletion, body: Any) -> None:
    context = completion.context
    if context is not None:
        completion.body_bytes += said_length(context)
    end = ServedFile(completion, getattr(body, "close", None))
    try:
        body.close = end
    except (AttributeError, TypeError):
        completion.finish(Outcome.SENT_BY_SERVER)


def said_length(context: RequestContext) -> int:
    """The ``Content-Length`` of a body that is not counted here; 0 if none was said, or in headers of an unusual kind."""
    if context._status is None or type(context._headers) is not list:
        return 0
    for pair in context._headers:
        if type(pair) is not tuple or len(pair) != 2:
            return 0
        name, value = pair
        if type(name) is str and name.lower() == "content-length":
            is_number = type(value) is str and value.isascii() and value.isdecimal() and len(value) <= _MOST_DIGITS
            return int(value) if is_number else 0
    return 0
