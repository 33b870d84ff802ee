"""Whether a client has left, or its server failed, or was told to stop; and requests that become a websocket."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from typing import Any, Final

from chest.record.record import Outcome
from chest.request.fields import class_name, class_names
from chest.request.wsgi import WSGIEnvironment, value_in

_ERRORS_OF_A_CONNECTION: Final = frozenset(
    (
        errno.EPIPE, errno.ECONNRESET, errno.ECONNABORTED, errno.ENOTCONN, errno.ESHUTDOWN, errno.ETIMEDOUT,
        errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.ENETRESET,
        errno.EBADF,  # gevent: the socket was closed in another greenlet
    )
)  # fmt: skip
_NAMES_OF_A_CONNECTION: Final = frozenset(
    # waitress, Starlette's name for the same, ssl's errors, and the timeouts of gevent and eventlet, which are no TimeoutError
    ("ClientDisconnected", "ClientDisconnect", "SSLError", "Timeout")
)
# Asked of the class itself: what an application's own class makes of it may raise.
_exit_code_of: Final[Callable[[SystemExit], Any]] = SystemExit.__dict__["code"].__get__


def handled_here() -> int:
    """The identity of what is being handled; kept instead of the exception, which would keep its frames."""
    return id(sys.exc_info()[1])


def exception_under_way(handled: int) -> BaseException | None:
    """What the server raised; for code called from its ``finally`` or ``except``, as a body's ``close()`` is.

    :param handled: :func:`handled_here` when the request began: that one has nothing to do with it.
    """
    error = sys.exc_info()[1]
    while isinstance(error, GeneratorExit):  # ends a generator of middleware further out; behind it stands why
        error = error.__context__
    return None if id(error) == handled or isinstance(error, StopIteration) else error


def has_client_left(error: BaseException) -> bool:
    """True if a server that raises this while it sends has lost its client."""
    if isinstance(error, (ConnectionError, TimeoutError)):
        return True
    if not _NAMES_OF_A_CONNECTION.isdisjoint(class_names(error)):
        return True
    if type(error) is OSError and error.errno is None:  # uWSGI and mod_wsgi raise nothing but a text
        return True
    return isinstance(error, OSError) and error.errno in _ERRORS_OF_A_CONNECTION


def outcome_of(error: BaseException) -> str:
    """The outcome of a request that ended in this exception, if no connection is involved.

    Servers end a request from outside with an exception of these kinds: gunicorn's sync worker raises SystemExit(1) in the
    view when it times out and SystemExit(0) on SIGINT and SIGQUIT; gevent kills with GreenletExit.
    """
    if isinstance(error, SystemExit):
        by_worker_timeout = _exit_code_of(error) == 1 and "gunicorn" in sys.modules
        return Outcome.WORKER_TIMEOUT if by_worker_timeout else Outcome.SHUTDOWN
    if isinstance(error, KeyboardInterrupt) or class_name(error) == "GreenletExit":
        return Outcome.SHUTDOWN
    if isinstance(error, GeneratorExit):
        return Outcome.CLIENT_DISCONNECT
    return Outcome.ERROR


def has_sent_headers(start_response: Any) -> bool | None:
    """True if the server has sent the status; None if it does not say. gunicorn, wsgiref and gevent do."""
    try:
        return bool(start_response.__self__.headers_sent)
    except Exception:  # noqa: BLE001 - a server may make it whatever it likes
        return None


_NAMES_OF_A_CLOSED_WEBSOCKET: Final = frozenset(
    ("ConnectionClosed", "WebSocketError")  # simple-websocket's and websockets'; gevent-websocket's
)


def asks_for_websocket(environ: WSGIEnvironment) -> bool:
    """True if the client wants to have a websocket."""
    asked = value_in(environ, "HTTP_UPGRADE")
    return isinstance(asked, str) and asked.strip().lower() == "websocket"


def may_be_of_a_websocket(status: object) -> bool:
    """True if an application says this status, beside an empty body, once its websocket is over.

    The client got 101, from the library that has the websocket. Afterwards engine.io says 200, as does flask-sock under
    Werkzeug's server, and others say nothing. An application that refuses a websocket says 4xx.
    """
    return status is None or (isinstance(status, str) and (status[:1] == "2" or status[:3] == "101"))


def is_end_of_a_websocket(error: BaseException) -> bool:
    """True if the application raised this because its websocket is over."""
    return (
        isinstance(error, StopIteration)
        or has_client_left(error)
        or not _NAMES_OF_A_CLOSED_WEBSOCKET.isdisjoint(class_names(error))
    )
