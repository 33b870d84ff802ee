"""What the middleware returns for a body that is not complete, so that its end is seen: streams and served files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextvars import Context
from types import GeneratorType
from typing import Any, Final

from chest import speedups
from chest.record import Outcome
from chest.request.context import RequestContext, current_context
from chest.request.ending import Ending, Finishing
from chest.speedups import IS_NATIVE, Stream
from chest.wsgi import WSGIEnvironment

_get_current = current_context.get
_set_current = current_context.set
_perf_counter_ns = speedups.perf_counter_ns

_OF_FILES: Final = frozenset(("fileno", "read", "filelike"))
_BYTES: Final = (bytes, bytearray)
_MOST_DIGITS: Final = 18
"""Of a length that can be counted in 64 bits."""


class StreamedResponse(Ending):
    """A body that hands the application's chunks through, one for one, and ends the request at ``close()``.

    The end is in ``close()`` and not in a generator's ``finally``: a generator that was never started runs none, and HEAD
    requests start none. A server that never calls ``close()`` leaves it to the finalizer.
    """

    _asked: Iterator[bytes] | None = None
    _is_started = _is_exhausted = False

    def __init__(
        self,
        body: Any,
        recording: Finishing,
        context: RequestContext,
        tail: str,
        request_id: str,
        method: str,
        path: str,
        time_ns: int,
        begin_ns: int,
    ) -> None:
        # The same as in Ending, without the call.
        self.recording = recording
        self.context = context
        self.tail = tail
        self.request_id = request_id
        self.method = method
        self.path = path
        self.time_ns = time_ns
        self.begin_ns = begin_ns
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        """The chunks. ``current()`` is this request's while the application works, and the server's own in between.

        A generator, which costs half of what ``__next__`` would. It holds the response, and the response does not hold it.
        """
        context, is_outside = self.context, False
        self._is_started = True
        previous = _get_current()
        _set_current(context)
        try:
            for chunk in self._body:
                if chunk:
                    if not self.first_byte_ns:
                        self.first_byte_ns = _perf_counter_ns()
                    try:
                        self.body_bytes += len(chunk)
                    except TypeError:  # no bytes at all: the server says so
                        pass
                _set_current(previous)
                is_outside = True
                yield chunk
                is_outside = False
                previous = _get_current()
                _set_current(context)
            self._is_exhausted = True
        except BaseException as error:
            if not is_outside:  # else nobody asks any more, and this is the generator's own end
                self.failed(error)
            raise
        finally:
            if not is_outside:
                _set_current(previous)

    def __next__(self) -> bytes:
        """For who asks without ``iter()`` before: a body that is an iterator may be."""
        if self._asked is None:
            self._asked = iter(self)
        return next(self._asked)

    def close(self) -> None:
        """The end: closes the application's iterable, once, and records, whatever that raises."""
        context = self.context
        if context is None:
            return
        body, self._body = self._body, ()
        self._asked = None
        if self._is_exhausted and type(body) is GeneratorType:  # closed already: asking it would change nothing
            self.finish(None)
            return
        previous = _get_current()
        _set_current(context)
        try:
            if hasattr(body, "close"):
                body.close()
        except BaseException as error:
            self.failed(error, is_answered=True)
            raise
        finally:
            _set_current(previous)
            self.finish(None if self._is_exhausted or self._needs_no_body() else Outcome.CLIENT_DISCONNECT)

    _end_unusually = close
    """What is not done in C, where the rest is."""

    def _ask_application(self, name: str) -> Any:
        """Whatever else the application's object is asked for: Django's own tests read the status of what it returned.

        But for what would have a server read a file past this object.
        """
        if name.startswith("_") or name in _OF_FILES or self.context is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)
        return getattr(self._body, name)

    def __bytes__(self) -> bytes:
        """The whole body, as the application's object gives it."""
        return bytes(self._body)

    def _needs_no_body(self) -> bool:
        if self._is_started:
            return False
        context = self.context
        status = None if context is None else context._status
        return self.method == "HEAD" or (status or "")[:3] in ("204", "304")

    def __del__(self) -> None:
        self._abandoned()

    def _abandoned(self) -> None:
        """Nobody will close it any more."""
        context = self.context
        if context is None:
            return
        # In a Context of its own. Another request may be current on this thread: what a generator says at its own end, which
        # is here, is not that one's. And the collector may have come amid a change of the thread's Context, which CPython
        # does not survive where that is changed once more (seen in 3.11).
        Context().run(self._let_go, context)
        self.finish(None if self._is_exhausted else Outcome.ABANDONED)

    def _let_go(self, context: RequestContext) -> None:
        _set_current(context)
        self._asked = None
        self._body = ()


class StreamInPython(StreamedResponse):
    """Where nothing could be compiled."""

    __getattr__ = StreamedResponse._ask_application


class SizedStreamInPython(StreamInPython):
    """For a body with a length: servers make ``Content-Length`` of ``len() == 1`` (PEP 3333), so it is kept, if accurate."""

    def __len__(self) -> int:
        return len(self._body)


if IS_NATIVE:

    class _QuickStream(Stream, StreamedResponse):
        """With the chunks handed through in C, and so with what Python would look for before each attribute."""

        def __init__(self, *made_of: Any) -> None:
            StreamedResponse.__init__(self, *made_of)
            self._current = current_context

    class _QuickSizedStream(_QuickStream):
        """For a body with a length."""

        def __len__(self) -> int:
            return len(self._body)


STREAM: Final[type[StreamedResponse]] = _QuickStream if IS_NATIVE else StreamInPython
_SIZED_STREAM: Final[type[StreamedResponse]] = _QuickSizedStream if IS_NATIVE else SizedStreamInPython


class ServedFile:
    """The ``close`` put on a file wrapper: ends the request when the server has sent the file.

    A wrapper around the wrapper would lose the server's sendfile, which looks at the type of the object or at its identity.
    """

    __slots__ = ("_close", "_ending")

    def __init__(self, ending: Ending, close: Callable[[], object] | None) -> None:
        self._ending = ending
        self._close = close

    def __del__(self) -> None:
        self._ending.finish(Outcome.ABANDONED)  # the server never closed it, else this does nothing

    def __call__(self) -> None:
        close, self._close = self._close, None
        try:
            if close is not None:
                close()
        except BaseException as error:
            self._ending.failed(error, is_answered=True)
            raise
        finally:
            self._ending.finish(None)


def returned(ending: Ending, body: Any, environ: WSGIEnvironment) -> Iterable[bytes]:
    """What the middleware returns for a body that is not complete."""
    if is_served_file(body, environ):
        _watch_file(ending, body)
        return body  # type: ignore[no-any-return]
    context = ending.context
    assert context is not None
    if not (hasattr(type(body), "__iter__") or hasattr(type(body), "__getitem__")) or (
        context._status is None and "HTTP_UPGRADE" in environ
    ):
        # No body at all, or the sentinel of a server that has taken the connection over: by identity, untouched.
        ending.finish(Outcome.ERROR if "HTTP_UPGRADE" not in environ else Outcome.UPGRADED)
        return body  # type: ignore[no-any-return]
    if isinstance(body, _BYTES):  # no body that PEP 3333 knows, but uWSGI sends it: as it is, else uWSGI would not
        ending.body_bytes = len(body)
        ending.finish(None)
        return body  # type: ignore[return-value]
    made_of = (
        ending.recording,
        context,
        ending.tail,
        ending.request_id,
        ending.method,
        ending.path,
        ending.time_ns,
        ending.begin_ns,
    )
    return (_SIZED_STREAM if hasattr(type(body), "__len__") else STREAM)(body, *made_of)


def is_served_file(body: Any, environ: WSGIEnvironment) -> bool:
    """Whether the server may send this body with sendfile: an instance of its wrapper class, or, where the wrapper is a
    function that returns the file (uWSGI), something with ``read`` and ``fileno``."""
    wrapper = environ.get("wsgi.file_wrapper")
    if wrapper is None:
        return False
    if isinstance(wrapper, type):
        return isinstance(body, wrapper)
    return hasattr(body, "read") and hasattr(body, "fileno")


def _watch_file(ending: Ending, body: Any) -> None:
    context = ending.context
    if context is not None and context._status is not None:
        ending.body_bytes += _said_length(context._headers)
    end = ServedFile(ending, getattr(body, "close", None))
    try:
        body.close = end
    except (AttributeError, TypeError):
        ending.finish(Outcome.SENT_BY_SERVER)


def _said_length(headers: list[tuple[str, str]]) -> int:
    """The ``Content-Length`` of a file that the server sends by itself; 0 where none was said."""
    for name, value in headers:
        if name.lower() == "content-length" and value.isdecimal() and len(value) <= _MOST_DIGITS:
            return int(value)
    return 0
