"""``RequestMiddleware``: around one request; knows no ring, no thread and no store, only ``offer``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from types import GeneratorType
from typing import Any, Final, TypeAlias

from chest import speedups
from chest.encoding import NEWLINE, encode_line
from chest.record import Outcome
from chest.request.context import ENVIRON_KEY, RequestContext, UnrecordedContext, current_context
from chest.request.ending import Ending
from chest.request.recording import PLAIN_BYTES, Process, Recording
from chest.request.request_id import MOST_CHARACTERS, accepted, generated, is_echoable
from chest.request.response import STREAM, returned
from chest.request.selection import Selection
from chest.request.served import echoing_context, served_context
from chest.request.trace import trace_id_of
from chest.row import CHECK
from chest.speedups import IS_NATIVE, Serving
from chest.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_perf_counter_ns = speedups.perf_counter_ns
_time_ns = time.time_ns
_COMPLETE: Final = frozenset((list, tuple))
_NOTHING: Final[Any] = None
Known: TypeAlias = tuple[RequestContext, str, str, str, str, int, int]
"""What an :class:`~chest.request.ending.Ending` is made of, behind who is told of it."""
_get_current = current_context.get
_set_current = current_context.set


class RequestMiddleware(Serving):
    """Gives each request of ``app`` a context, and hands what one leaves to ``offer``.

    :param app: any WSGI application (PEP 3333).
    :param offer: takes what each request leaves, a :data:`~chest.row.Row` as a line of JSON; must not wait. A list's ``append`` will do in a test.
    :param selection: what of a request is kept.
    :param process: the ids, the counters and the readiness of this process.
    :param request_id_header: the header that an incoming id is taken from and the effective one is echoed in.
    :param echo_request_id: whether the response carries the id.
    :param request_id_generator: called once a request for its id, in the place of an incoming one.
    """

    def __init__(
        self,
        app: WSGIApplication,
        offer: Callable[[bytes], object],
        selection: Selection,
        process: Process,
        *,
        request_id_header: str = "X-Request-ID",
        echo_request_id: bool = True,
        request_id_generator: Callable[[], object] | None = None,
    ) -> None:
        self._app = app
        self._recording = Recording(offer, selection, process)
        self._finished_context = self._recording.finished_context
        self._is_simple = selection.keeps_everything
        self._is_plain = selection.sanitizer.is_plain
        self._offer = offer
        self._pop_tail = process.record_ids.pop_tail
        self._refill_tails = process.record_ids.refill
        self._excludes = selection.excludes
        self._excluded_paths = selection.excluded_paths
        self._process = process
        self._mark = process.mark
        self._in_flight = process.in_flight
        self._end_in_flight: Any = None if self._in_flight is None else self._in_flight.end
        self._pop_request_id = process.request_ids.pop
        self._refill_request_ids = process.request_ids.refill
        self._header_key = "HTTP_" + request_id_header.upper().replace("-", "_")
        self._context_class = echoing_context(request_id_header) if echo_request_id else served_context()
        self._generator = request_id_generator
        if IS_NATIVE and request_id_generator is None:
            self._quicken(
                is_simple=self._is_simple, app=app, offer=offer, recording=self._recording, current=current_context,
                mark=process.mark, in_flight=process.in_flight,
                request_ids=process.request_ids, ready_request_ids=process.request_ids.pool,
                record_ids=process.record_ids, ready_tails=process.record_ids.tails,
                context_class=self._context_class, finished_context=self._finished_context,
                unrecorded_context=UnrecordedContext, stream_class=STREAM, excludes=self._excludes, excluded_paths=self._excluded_paths,
                header_key=self._header_key, known_names=selection.sanitizer.known_names,
            )  # fmt: skip

    def _serve(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        # One function, long for this house: each call that it saves is a thirtieth of what a request pays for us.
        path = environ.get("PATH_INFO") or ""
        if environ.get("SCRIPT_NAME"):
            path = f"{environ['SCRIPT_NAME']}{path}"
        if self._excludes is not None:
            try:
                is_excluded = path in self._excluded_paths or self._excludes(path)
            except TypeError:  # no text, and nothing that a set could hold
                is_excluded = False
            if is_excluded:
                if ENVIRON_KEY not in environ or not is_being_recorded(environ):
                    environ[ENVIRON_KEY] = UnrecordedContext()
                return self._app(environ, start_response)
        if not self._mark[0]:
            self._process.prepare()
        if ENVIRON_KEY in environ and is_being_recorded(environ):
            return self._app(environ, start_response)

        # What is needed of environ is copied now and environ not kept: servers use it again.
        environ[ENVIRON_KEY] = context = self._context_class()
        context._server_start_response = start_response
        context._facts = context._status = context._in_flight = _NOTHING
        if self._header_key in environ or self._generator is not None:
            request_id = context._request_id = self._request_id(environ, context)
        else:
            try:
                request_id = context._request_id = self._pop_request_id()
            except IndexError:
                request_id = context._request_id = self._refill_request_ids()
        if "HTTP_TRACEPARENT" in environ:
            trace_id = trace_id_of(environ["HTTP_TRACEPARENT"])
            if trace_id is not None:
                context._told().trace_id = trace_id
        try:
            tail = self._pop_tail()
        except IndexError:
            tail = self._refill_tails()
        method = environ.get("REQUEST_METHOD") or ""
        try:
            # Without these two there is no secret in a path; whether there is one with them is not found out here.
            is_plain_path = "=" not in path and ":" not in path
        except TypeError:  # no text
            is_plain_path = False
        previous = _get_current()
        time_ns = _time_ns()
        if self._in_flight is not None:
            shown_path = path if is_plain_path else self._recording.clean_path(path)
            context._in_flight = self._in_flight.begin(tail, request_id, time_ns, method, shown_path)
        begin_ns = _perf_counter_ns()
        try:
            _set_current(context)
            body = self._app(environ, context)
        except BaseException as error:
            self._raised(
                Ending(self._recording, context, tail, request_id, method, path, time_ns, begin_ns), error, environ
            )
            raise
        finally:
            _set_current(previous)
        if type(body) in _COMPLETE:
            # Recorded before it is returned: once the server has sent it, a kill must find the record in the ring.
            body_bytes = 0
            try:
                for chunk in body:
                    body_bytes += len(chunk)
            except Exception:  # noqa: BLE001 - chunks that are no bytes: the server says so
                pass
            except BaseException:  # of a signal handler: nobody will end the request any more
                if context._in_flight is not None:
                    self._recording.forget(context)
                raise
            facts = context._facts
            if not body_bytes and "HTTP_UPGRADE" in environ and context._status is None:
                ending = Ending(self._recording, context, tail, request_id, method, path, time_ns, begin_ns)
                ending.finish(Outcome.UPGRADED)
                return body
        else:
            facts = context._facts
            if facts is None or not facts.is_complete:
                if type(body) is GeneratorType:
                    return STREAM(body, self._recording, context, tail, request_id, method, path, time_ns, begin_ns)
                ending = Ending(self._recording, context, tail, request_id, method, path, time_ns, begin_ns)
                return self._returned(ending, body, environ)
            body_bytes = 0
        duration_ns = _perf_counter_ns() - begin_ns
        try:
            if facts is None and self._is_simple:
                # From here on what is written goes nowhere, so that another thread cannot change what was found plain.
                context.__class__ = self._finished_context  # type: ignore[assignment]
                context._server_start_response = context._server_write = None
                if is_plain_path and self._is_plain(context) and context._facts is None:
                    try:
                        line = encode_line(
                            (
                                tail, request_id, time_ns, time_ns % CHECK, duration_ns, method, path, context._status,
                                body_bytes, context,
                            ),
                            None,
                            NEWLINE,
                        )  # fmt: skip
                    except (TypeError, ValueError):
                        pass  # a lone surrogate, or a name of a class of the application's
                    else:
                        if len(line) <= PLAIN_BYTES:
                            self._offer(line)
                            slot = context._in_flight
                            if slot is not None:
                                context._in_flight = None
                                self._end_in_flight(slot)
                            return body
        except Exception as trouble:  # noqa: BLE001 - the request goes on
            self._recording.went_wrong(context, trouble)
        else:
            known = tail, request_id, time_ns, time_ns % CHECK, duration_ns, method, path
            self._recording.finish(known, context, body_bytes)
        return body

    if not IS_NATIVE:
        __call__ = _serve

    def _ended(self, known: Known, body: Any, environ: WSGIEnvironment) -> Iterable[bytes]:
        """For what serves in C: a request of which more is to come, or that was no request."""
        if type(body) is GeneratorType:
            return STREAM(body, self._recording, *known)
        ending = Ending(self._recording, *known)
        if type(body) in _COMPLETE:
            ending.finish(Outcome.UPGRADED)
            return body  # type: ignore[no-any-return]
        return self._returned(ending, body, environ)

    def _failed(self, known: Known, error: BaseException, environ: WSGIEnvironment) -> None:
        """For what serves in C: the application raised."""
        self._raised(Ending(self._recording, *known), error, environ)

    def _returned(self, ending: Ending, body: Any, environ: WSGIEnvironment) -> Iterable[bytes]:
        """A body of which more is to come, so that its end is seen."""
        try:
            return returned(ending, body, environ)
        except Exception:  # noqa: BLE001 - a body whose attributes raise is the server's to choke on
            ending.finish(None)
            return body  # type: ignore[no-any-return]

    def _request_id(self, environ: WSGIEnvironment, context: RequestContext) -> str:
        """The user's generator's, and where that fails one of ours; without one a valid incoming id, else one of ours."""
        if self._generator is None:
            return accepted(environ.get(self._header_key)) or self._process.request_ids.new()
        request_id = generated(self._generator, self._process.counters)
        if request_id is None:
            return self._process.request_ids.new()
        if not is_echoable(request_id):
            context._told().request_id = request_id  # looked at before it goes into a header or a record
        return request_id[:MOST_CHARACTERS]

    def _raised(self, ending: Ending, error: BaseException, environ: WSGIEnvironment) -> None:
        """The application raised instead of returning; a websocket library may, when the connection is over."""
        context = ending.context
        has_started = context is not None and context._status is not None
        if not has_started and "HTTP_UPGRADE" in environ and isinstance(error, (StopIteration, ConnectionError)):
            ending.finish(Outcome.UPGRADED)
            return
        ending.failed(error)
        ending.finish(None)


def is_being_recorded(environ: WSGIEnvironment) -> bool:
    """Whether a middleware further out records this request already; any other context is a leftover, or keeps nothing."""
    context: Any = environ.get(ENVIRON_KEY)
    return isinstance(context, RequestContext) and context.is_being_recorded
