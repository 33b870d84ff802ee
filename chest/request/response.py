"""``Response``: from ``start_response`` to the end of the body, and that end told once."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Final

from chest.record import Outcome
from chest.request.context import ENVIRON_KEY, RequestContext, current_context, message_of
from chest.request.request_id import MOST_CHARACTERS, is_echoable
from chest.wsgi import StartResponse, WSGIEnvironment

TIME_TO_FIRST_BYTE: Final = "chest.time_to_first_byte_ns"

_TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")
"""W3C Trace Context, section 3.2."""

ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]


class Response:
    """One response as it comes into being: the ``start_response`` of the application below.

    Made without ``__init__`` and filled in by the middleware, which saves a Python call a request. ``finish`` is the
    middleware's; it is called once, and then forgets the context, so that no later call finds anything to record.
    """

    __slots__ = (
        "begin_ns",
        "body",
        "body_bytes",
        "context",
        "echoed_header",
        "error",
        "finish",
        "first_byte_ns",
        "generated_id",
        "headers",
        "is_exhausted",
        "is_rare",
        "iterator",
        "message",
        "method",
        "outcome",
        "path",
        "server_start_response",
        "server_write",
        "status",
        "time_ns",
        "trace_id",
    )

    begin_ns: int
    body: Any
    body_bytes: int
    context: RequestContext | None
    echoed_header: tuple[str, str, int] | None
    error: str | None
    finish: Callable[[Response, str], None]
    first_byte_ns: int
    generated_id: str
    headers: list[tuple[str, str]]
    is_exhausted: bool
    is_rare: bool  # whether there is more to tell than most requests have
    iterator: Iterator[bytes] | None
    message: str | None
    method: str
    outcome: str
    path: str
    server_start_response: StartResponse
    server_write: Callable[[bytes], object]
    status: str | None
    time_ns: int
    trace_id: str | None

    def __call__(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], object]:
        """``start_response`` (PEP 3333). ``exc_info`` is passed on only where it was given, and no reference to it is kept.

        The request's id is added unless the application set one; the application's own list is never changed.
        """
        if self.echoed_header is not None and isinstance(headers, list):
            name, lower_name, length = self.echoed_header
            try:
                for other, _ in headers:
                    if len(other) == length and other.lower() == lower_name:
                        break
                else:
                    request_id = self.context.request_id  # type: ignore[union-attr]
                    if request_id is self.generated_id:
                        headers = [*headers, (name, request_id)]
                    elif is_echoable(request_id[:MOST_CHARACTERS]):
                        headers = [*headers, (name, request_id[:MOST_CHARACTERS])]
            except Exception:  # noqa: BLE001 - headers that are no list of pairs: the server says so better than we could
                pass
        if exc_info is None:
            self.server_write = self.server_start_response(status, headers)
        else:
            try:
                self.server_write = self.server_start_response(status, headers, exc_info)
            except SystemError:  # uWSGI's way with exc_info: it takes the new status, and then raises this
                self.status = status
                raise
            finally:
                exc_info = None
        self.headers = headers
        self.status = status  # only now: what the server refused (said twice, or after it sent the first) is not sent
        return self._write

    def _write(self, data: bytes) -> object:
        """The imperative way of PEP 3333; its bytes count as the body's."""
        self.body_bytes += len(data)
        return self.server_write(data)

    def read_trace_id(self, traceparent: object) -> None:
        """Take the trace id of a valid ``traceparent``; an invalid one is ignored as a whole."""
        match = _TRACEPARENT.fullmatch(traceparent) if isinstance(traceparent, str) else None
        if match is not None:
            self.tell_more()
            self.trace_id = match[1]

    def tell_more(self) -> None:
        """From here on this response has more to tell than most have; what most lack is not even set to None for them."""
        if not self.is_rare:
            self.is_rare = True
            self.outcome = Outcome.OK
            self.error = self.message = self.trace_id = None
            self.first_byte_ns = 0

    def failed(self, error: BaseException, *, is_answered: bool = False) -> None:
        """The application raised: how the request ended, without keeping the exception, which would keep its frames.

        A server that has sent nothing yet answers 500 by itself, whatever status was said, and we never see it. uWSGI sends
        what was said.

        :param is_answered: whether the answer is with the server already, so that it stays.
        """
        self.tell_more()
        if self.error is not None:
            return  # what follows an error is not its cause
        self.outcome = outcome_of(error)
        self.error = type(error).__name__
        self.message = message_of(error)
        is_sent = is_answered or self.body_bytes or ("uwsgi" in sys.modules and self.status is not None)
        if self.outcome == Outcome.ERROR and not is_sent:
            self.status = "500 Internal Server Error"
            if self.context is not None:
                self.context.attributes["chest.status_inferred"] = True


def outcome_of(error: BaseException) -> str:
    """How a request ended that ended in this exception.

    Servers end a request from outside with an exception of these kinds: gunicorn's sync worker raises SystemExit(1) in the
    view when it times out and SystemExit(0) on SIGINT and SIGQUIT; gevent kills with GreenletExit.
    """
    if isinstance(error, SystemExit):
        by_worker_timeout = error.code == 1 and "gunicorn" in sys.modules
        return Outcome.WORKER_TIMEOUT if by_worker_timeout else Outcome.SHUTDOWN
    if isinstance(error, KeyboardInterrupt) or type(error).__name__ == "GreenletExit":
        return Outcome.SHUTDOWN
    if isinstance(error, GeneratorExit):
        return Outcome.CLIENT_DISCONNECT
    return Outcome.ERROR


class StreamedResponse(Response):
    """A response that is also its body: hands chunks through one for one, and ends the request at ``close()``.

    A response becomes one by changing its class, which costs less than another object. The end is in ``close()`` and not in
    a generator's ``finally``: a generator that was never started runs none, and HEAD requests start none. A server that
    never calls ``close()`` leaves it to the finalizer.
    """

    __slots__ = ()

    def __iter__(self) -> Iterator[bytes]:
        if self.iterator is not None:
            return self  # who asks again goes on, as with any iterator, and starts nothing again
        previous = current_context.get()
        current_context.set(self.context)
        try:
            self.iterator = iter(self.body)
        except BaseException as error:
            self.failed(error)
            raise
        finally:
            current_context.set(previous)
        return self

    def __next__(self) -> bytes:
        if self.iterator is None:  # asked without iter() before: a body that is an iterator may be
            iter(self)
        previous = current_context.get()
        current_context.set(self.context)
        try:
            chunk = next(self.iterator)  # type: ignore[arg-type]
        except StopIteration:
            self.is_exhausted = True
            raise
        except BaseException as error:
            self.failed(error)
            raise
        finally:
            current_context.set(previous)
        if chunk and not self.body_bytes:
            self.first_byte_ns = time.perf_counter_ns()
        try:
            self.body_bytes += len(chunk)
        except TypeError:  # no bytes at all: the server says so
            pass
        return chunk

    def close(self) -> None:
        """The end: closes the application's iterable, once, and records, whatever that raises."""
        context = self.context
        if context is None:
            return
        body, self.body = self.body, None
        previous = current_context.get()
        current_context.set(context)
        try:
            if hasattr(body, "close"):
                body.close()
        except BaseException as error:
            self.failed(error, is_answered=True)
            raise
        finally:
            current_context.set(previous)
            self.finish(self, self._end())

    def _end(self) -> str:
        if self.outcome != Outcome.OK or self.is_exhausted or (self.iterator is None and self._needs_no_body()):
            return self.outcome
        return Outcome.CLIENT_DISCONNECT

    def _needs_no_body(self) -> bool:
        return self.method == "HEAD" or (self.status or "")[:3] in ("204", "304")

    def __del__(self) -> None:
        if self.context is not None:
            self.finish(self, self.outcome if self.is_exhausted else Outcome.ABANDONED)


class SizedStreamedResponse(StreamedResponse):
    """For a body with a length: servers make ``Content-Length`` of ``len() == 1`` (PEP 3333), so it is kept, if accurate."""

    __slots__ = ()

    def __len__(self) -> int:
        return len(self.body)


class ServedFile:
    """The ``close`` put on a file wrapper: ends the request when the server has sent the file.

    A wrapper around the wrapper would lose the server's sendfile, which looks at the type of the object or at its identity.
    """

    __slots__ = ("_close", "_response")

    def __init__(self, response: Response, close: Callable[[], object] | None) -> None:
        self._response = response
        self._close = close

    def __del__(self) -> None:
        if self._response.context is not None:  # the server never closed it
            self._response.finish(self._response, Outcome.ABANDONED)

    def __call__(self) -> None:
        close, self._close = self._close, None
        try:
            if close is not None:
                close()
        except BaseException as error:
            self._response.failed(error, is_answered=True)
            raise
        finally:
            self._response.finish(self._response, self._response.outcome)


def returned(response: Response, body: Any, environ: WSGIEnvironment) -> Iterable[bytes]:
    """What the middleware returns for a body that is not complete, so that its end is seen."""
    if is_served_file(body, environ):
        _watch_file(response, body)
        return body  # type: ignore[no-any-return]
    if not (hasattr(type(body), "__iter__") or hasattr(type(body), "__getitem__")) or (
        response.status is None and "HTTP_UPGRADE" in environ
    ):
        # No body at all, or the sentinel of a server that has taken the connection over: by identity, untouched.
        response.finish(response, Outcome.ERROR if "HTTP_UPGRADE" not in environ else Outcome.UPGRADED)
        return body  # type: ignore[no-any-return]
    response.body = body
    response.iterator = None
    response.is_exhausted = False
    response.tell_more()
    response.__class__ = SizedStreamedResponse if hasattr(type(body), "__len__") else StreamedResponse
    return response  # type: ignore[return-value]


def is_served_file(body: Any, environ: WSGIEnvironment) -> bool:
    """Whether the server may send this body with sendfile: an instance of its wrapper class, or, where the wrapper is a
    function that returns the file (uWSGI), something with ``read`` and ``fileno``."""
    wrapper = environ.get("wsgi.file_wrapper")
    if wrapper is None:
        return False
    if isinstance(wrapper, type):
        return isinstance(body, wrapper)
    return hasattr(body, "read") and hasattr(body, "fileno")


def _watch_file(response: Response, body: Any) -> None:
    response.tell_more()
    if response.status is not None:
        response.body_bytes += _said_length(response.headers)
    end = ServedFile(response, getattr(body, "close", None))
    try:
        body.close = end
    except (AttributeError, TypeError):
        response.finish(response, Outcome.SENT_BY_SERVER)


def _said_length(headers: list[tuple[str, str]]) -> int:
    """The ``Content-Length`` of a file that the server sends by itself; 0 where none was said."""
    for name, value in headers:
        if name.lower() == "content-length" and value.isdigit():
            return int(value)
    return 0


def is_being_recorded(environ: WSGIEnvironment) -> bool:
    """Whether a middleware further out records this request already; any other context is a leftover, or keeps nothing."""
    return type(environ.get(ENVIRON_KEY)) is RequestContext
