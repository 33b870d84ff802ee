"""``RequestMiddleware``: around one request; knows no ring, no thread and no store, only ``offer``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any, Final, TypeAlias

from chest import native
from chest.native import IS_NATIVE, FastMiddleware
from chest.record.encoding import encode
from chest.record.record import Outcome
from chest.request.body import response
from chest.request.body.served_file import said_length
from chest.request.body.whole_body import OF_WERKZEUG, WHOLE_KINDS, whole_bytes
from chest.request.closed_contexts import UnrecordedContext
from chest.request.completion import Process, RequestCompletion
from chest.request.context import ENVIRON_KEY, RequestContext, current_context
from chest.request.fields import scheme_of
from chest.request.framework import read_left_by
from chest.request.metadata import RequestMetadata, trace_of
from chest.request.record_emitter import RecordEmitter
from chest.request.request_id import MOST_CHARACTERS, accepted, generated, is_echoable
from chest.request.sanitizer.conversion import SCALARS
from chest.request.selection import Selection
from chest.request.sending import asks_for_websocket, is_end_of_a_websocket
from chest.request.served import echoing_context, served_context
from chest.request.wsgi import StartResponse, WSGIApplication, WSGIEnvironment, put_in, value_in

_COMPLETE: Final = frozenset((list, tuple))
Known: TypeAlias = tuple[RequestContext, str, str, str, str, int, int]
"""The arguments of a :class:`~chest.request.completion.RequestCompletion` after its handler."""


class RequestMiddleware(FastMiddleware):
    """Gives each request of ``app`` a context, and hands what one leaves to ``offer``.

    :param app: any WSGI application (PEP 3333).
    :param offer: takes what each request leaves, a :data:`~chest.record.row.Row` as a line of JSON; must not wait. A list's ``append`` will do in a test.
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
        self._emitter = RecordEmitter(offer, selection, process)
        self._selection = selection
        self._process = process
        self._header_key = "HTTP_" + request_id_header.upper().replace("-", "_")
        self._context_class = echoing_context(request_id_header) if echo_request_id else served_context()
        self._generator = request_id_generator
        if IS_NATIVE:
            self._make_fast(offer)

    def _make_fast(self, offer: Callable[[bytes], object]) -> None:
        """Have requests served in C, which asks the functions here for each value that it does not know."""
        emitter, selection, process = self._emitter, self._selection, self._process
        self._enable_fast_path(
            app=self._app, offer=offer, emitter=emitter, current=current_context, fork_guard=process.fork_guard,
            in_flight=process.in_flight, request_ids=process.request_ids, record_ids=process.record_ids,
            context_class=self._context_class, unrecorded_context=UnrecordedContext, finished_context=emitter.finished_context,
            metadata_class=RequestMetadata, stream_class=response.QuickStream,
            sized_stream_class=response.QuickSizedStream, namespace=SimpleNamespace, excludes=selection.excludes,
            header_key=self._header_key, asks_for_id=self._generator is not None, accepted=accepted, trace_of=trace_of,
            clean_path=emitter.clean_path, clean_route=emitter.clean_route, clean_id=emitter.clean_id,
            clean_user=selection.clean_user,
            known_names=selection.sanitizer.known_names, plain_keys=selection.redaction.plain_keys, scalars=SCALARS,
            tracked=selection.tracked_names,
            fragment=selection.sanitizer.fragment, whole_bytes=whole_bytes, whole_kinds=WHOLE_KINDS, of_werkzeug=OF_WERKZEUG, add_metadata=emitter.add_metadata, encode=encode,
            sampled=emitter.sample_rate if selection.is_sampled else None,
            last_word=emitter.last_word if selection.before_record is not None else None, tally=process.tally,
        )  # fmt: skip

    def _serve(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path, mount = value_in(environ, "PATH_INFO") or "", value_in(environ, "SCRIPT_NAME")
        if mount:
            path = f"{mount}{path}"
        if self._selection.is_excluded(path):
            if not is_being_recorded(environ):
                put_in(environ, ENVIRON_KEY, UnrecordedContext())
            return self._app(environ, start_response)
        if not self._process.fork_guard[0]:
            self._process.prepare()
        if is_being_recorded(environ):
            return self._app(environ, start_response)
        context = self._context_class()
        put_in(environ, ENVIRON_KEY, context)
        completion = self._begin(environ, start_response, context, path)
        previous = current_context.get()
        try:
            current_context.set(context)
            body = self._app(environ, context)
        except BaseException as error:
            self._raised(completion, error, environ)
            raise
        finally:
            current_context.set(previous)
            context._environ = None
        return self._returned(completion, body, environ)

    if not IS_NATIVE:
        __call__ = _serve

    def _begin(
        self, environ: WSGIEnvironment, start_response: StartResponse, context: RequestContext, path: Any
    ) -> RequestCompletion:
        """What is needed of environ is copied now, and environ is kept for the call of the application alone: servers use it again."""
        context._server_start_response, context._environ = start_response, environ
        context._metadata = context._scheme = context._status = context._in_flight = None
        trace = trace_of(value_in(environ, "HTTP_TRACEPARENT"))
        if trace is not None:
            context._metadata = RequestMetadata()
            context._metadata.trace = trace
        context._scheme = scheme_of(environ)
        request_id = context._request_id = self._request_id(environ, context)
        method = value_in(environ, "REQUEST_METHOD") or ""
        tail, time_ns, in_flight = self._emitter.new_tail(), time.time_ns(), self._process.in_flight
        is_websocket = asks_for_websocket(environ)
        if in_flight is not None and not is_websocket:
            context._in_flight = in_flight.begin(
                tail, request_id, time_ns, method, self._emitter.clean_path(path), context._scheme or ""
            )
        begin_ns = native.perf_counter_ns()
        completion = RequestCompletion(self._emitter, context, tail, request_id, method, path, time_ns, begin_ns)
        if is_websocket:
            # It is not noted as being served: a connection that a deploy ends is no request that was lost, and connections
            # would take the slots of requests. Those that are open when the recorder ends have their record made then.
            completion.is_websocket = True
            self._process.websockets.add(completion)
        return completion

    def _returned(self, completion: RequestCompletion, body: Any, environ: WSGIEnvironment) -> Iterable[bytes]:
        """Recorded before a complete body is returned: once the server has sent it, a kill must find the record in the ring."""
        context = completion.context
        if context is None:  # a websocket's, recorded already: the recorder has ended meanwhile
            return body  # type: ignore[no-any-return]
        try:
            metadata = context._metadata
            if type(body) in _COMPLETE:
                body_bytes = _bytes_in(body)
            else:
                is_complete = metadata is not None and metadata.is_complete
                body_bytes = said_length(context) if is_complete else whole_bytes(body)
            if body_bytes < 0:
                return self._watched(completion, body, environ)
            completion.body_bytes = body_bytes
        except Exception:  # noqa: BLE001 - a body whose attributes raise is left for the server to report
            pass
        except BaseException:  # of a signal handler: nothing else will end the request
            if context._in_flight is not None:
                self._emitter.forget(context)
            raise
        is_upgrade = (
            not completion.body_bytes and context._status is None and value_in(environ, "HTTP_UPGRADE") is not None
        )
        completion.finish(Outcome.UPGRADED if is_upgrade else None)
        return body  # type: ignore[no-any-return]

    def _watched(self, completion: RequestCompletion, body: Any, environ: WSGIEnvironment) -> Iterable[bytes]:
        """A body of which more is to come, so that its end is seen."""
        watched = response.returned(completion, body, environ)
        if completion.is_websocket and isinstance(watched, RequestCompletion):
            self._process.websockets.add(watched)
        return watched

    def _ended(self, known: Known, body: Any, environ: WSGIEnvironment) -> Iterable[bytes]:
        """For what serves in C: a request that ended in a way that is Python's to record."""
        return self._returned(RequestCompletion(self._emitter, *known), body, environ)

    def _failed(self, known: Known, error: BaseException, environ: WSGIEnvironment) -> None:
        """For what serves in C: the application raised."""
        self._raised(RequestCompletion(self._emitter, *known), error, environ)

    def _request_id(self, environ: WSGIEnvironment, context: RequestContext) -> str:
        """The user's generator's, or one of ours if that fails; without a generator a valid incoming id, else one of ours."""
        if self._generator is None:
            return accepted(value_in(environ, self._header_key)) or self._process.request_ids.new()
        request_id = generated(self._generator, self._process.counters)
        if request_id is None:
            return self._process.request_ids.new()
        if not is_echoable(request_id):
            context._ensure_metadata().request_id = request_id  # looked at before it goes into a header or a record
        return request_id[:MOST_CHARACTERS]

    def _raised(self, completion: RequestCompletion, error: BaseException, environ: WSGIEnvironment) -> None:
        """The application raised instead of returning; a websocket library may, when the connection is over."""
        context = completion.context
        has_started = context is not None and context._status is not None
        if not has_started and value_in(environ, "HTTP_UPGRADE") is not None and is_end_of_a_websocket(error):
            completion.finish(Outcome.UPGRADED)
            return
        if context is not None:
            read_left_by(error, environ, context)
        completion.failed(error)
        completion.finish(None)


def _bytes_in(body: Iterable[bytes]) -> int:
    """As far as the chunks are bytes: of others the server says so."""
    body_bytes = 0
    try:
        for chunk in body:
            body_bytes += len(chunk)
    except Exception:  # noqa: BLE001 - chunks that are no bytes
        pass
    return body_bytes


def is_being_recorded(environ: WSGIEnvironment) -> bool:
    """True if a middleware further out records this request already; any other context is a leftover, or keeps nothing."""
    context = value_in(environ, ENVIRON_KEY)
    return isinstance(context, RequestContext) and context.is_being_recorded
