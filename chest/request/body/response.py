"""What the middleware returns for a body that is not complete, so that its end is seen: streams and served files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextvars import Context
from types import GeneratorType
from typing import Any, Final

from chest import native
from chest.native import IS_NATIVE, Stream
from chest.record.record import Outcome
from chest.request.body.served_file import is_served_file, watch_file
from chest.request.completion import NO_BYTES, RequestCompletion
from chest.request.context import RequestContext, current_context
from chest.request.sending import handled_here
from chest.request.wsgi import WSGIEnvironment, value_in

_OF_FILES: Final = frozenset(("fileno", "read", "filelike"))
_BYTES: Final = (bytes, bytearray)


class StreamedResponse(RequestCompletion):
    """A body that hands the application's chunks through, one for one, and ends the request at ``close()``.

    The end is in ``close()`` and not in a generator's ``finally``: a generator that was never started runs none, and HEAD
    requests start none. A server that never calls ``close()`` leaves it to the finalizer.
    """

    _asked: Iterator[bytes] | None = None
    _is_exhausted = False

    def __init__(self, completion: RequestCompletion, body: Any) -> None:
        """The request that this one was to complete goes on with a body."""
        vars(self).update(vars(completion))
        self.handled = handled_here()
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        """The chunks. ``current()`` is this request's while the application works, and the server's own in between.

        A generator, which costs half of what ``__next__`` would. It holds the response, and the response does not hold it.
        """
        context, is_outside = self.context, False
        previous = current_context.get()
        current_context.set(context)
        try:
            for chunk in self._body:
                self.chunk_bytes = size = len(chunk) if type(chunk) is bytes else _size_of(chunk)
                if size > 0:
                    if not self.first_byte_ns:
                        self.first_byte_ns = native.perf_counter_ns()
                    self.body_bytes += size
                current_context.set(previous)
                is_outside = True
                yield chunk
                is_outside = False
                previous = current_context.get()
                current_context.set(context)
            self._is_exhausted = True
        except BaseException as error:
            if (
                self._is_working()
            ):  # the application, or another thread, asks for a chunk amid a chunk: nothing ends of it
                self._asked = None
            elif not is_outside:  # else the server has stopped asking, and this is the generator's own end
                self.failed(error)
            raise
        finally:
            if not is_outside:
                current_context.set(previous)

    def _is_working(self) -> bool:
        body = self._body
        return type(body) is GeneratorType and body.gi_running

    def __next__(self) -> bytes:
        """For a server that calls ``next`` without ``iter()``, as it may if the body is an iterator."""
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
        self.closed(is_complete=self._is_exhausted)
        if self._is_exhausted and type(body) is GeneratorType:  # closed already: asking it would change nothing
            self.finish(None)
            return
        try:
            # Only then: in Python 3.11 a `ContextVar` may not be set by garbage that is collected while it is set, and such
            # garbage may close this response again.
            if hasattr(body, "close"):
                self._close_body(body, context)
        except BaseException as error:
            self.failed(error, is_answered=True)
            raise
        finally:
            self.finish(None)

    def _close_body(self, body: Any, context: RequestContext) -> None:
        previous = current_context.get()
        current_context.set(context)
        try:
            body.close()
        finally:
            current_context.set(previous)

    _end_unusually = close
    """What is not done in C, where the rest is."""

    def _failed_to_close(self, error: BaseException) -> None:
        """For the compiled part: the application's ``close`` raised."""
        self.failed(error, is_answered=True)
        self.finish(None)

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

    def __del__(self) -> None:
        self._abandoned()

    def _abandoned(self) -> None:
        """The server dropped it without closing it."""
        context = self.context
        if context is None:
            return
        # In a Context of its own. Another request may be current on this thread: what a generator says at its own end, which
        # is here, is not that one's. And the collector may have come during a change of the thread's Context, which CPython
        # does not survive where that is changed once more (seen in 3.11).
        Context().run(self._let_go, context)
        self.finish(None if self._is_exhausted else Outcome.ABANDONED)

    def _let_go(self, context: RequestContext) -> None:
        current_context.set(context)
        self._asked = None
        self._body = ()


def _size_of(chunk: Any) -> int:
    """Of what should be bytes; -1 of a text or a number, which servers refuse."""
    try:
        return NO_BYTES if isinstance(chunk, str) else len(chunk)
    except TypeError:
        return NO_BYTES


class StreamInPython(StreamedResponse):
    """Of a request that Python serves."""

    __getattr__ = StreamedResponse._ask_application


class SizedStreamInPython(StreamInPython):
    """For a body with a length: servers make ``Content-Length`` of ``len() == 1`` (PEP 3333), so it is kept, if accurate."""

    def __len__(self) -> int:
        return len(self._body)


if IS_NATIVE:

    class QuickStream(Stream, StreamedResponse):
        """Of a request that C serves, which makes it: chunks are handed through in C, and so is what is asked of the body."""

    class QuickSizedStream(QuickStream):
        """For a body with a length."""

        def __len__(self) -> int:
            return len(self._body)


def returned(completion: RequestCompletion, body: Any, environ: WSGIEnvironment) -> Iterable[bytes]:
    """What the middleware returns for a body that is not complete."""
    if is_served_file(body, environ):
        watch_file(completion, body)
        return body  # type: ignore[no-any-return]
    context, upgrade = completion.context, value_in(environ, "HTTP_UPGRADE")
    assert context is not None
    if not (hasattr(type(body), "__iter__") or hasattr(type(body), "__getitem__")) or (
        context._status is None and upgrade is not None
    ):
        # No body at all, or the sentinel of a server that has taken the connection over: by identity, untouched.
        completion.finish(Outcome.ERROR if upgrade is None else Outcome.UPGRADED)
        return body  # type: ignore[no-any-return]
    if isinstance(body, _BYTES):  # no body that PEP 3333 knows, but uWSGI sends it: as it is, else uWSGI would not
        completion.body_bytes = len(body)
        completion.finish(None)
        return body  # type: ignore[return-value]
    return (SizedStreamInPython if hasattr(type(body), "__len__") else StreamInPython)(completion, body)
