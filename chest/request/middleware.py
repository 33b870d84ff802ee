"""``RequestMiddleware``: around one request; knows no ring, no thread and no store, only ``offer``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from chest.record import Outcome, Record
from chest.request.context import ENVIRON_KEY, NO_REQUEST, RequestContext, current_context
from chest.request.recording import Process, Recording
from chest.request.request_id import accepted, generated, is_echoable
from chest.request.response import Response, is_being_recorded, returned
from chest.request.selection import Selection
from chest.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_perf_counter_ns = time.perf_counter_ns
_time_ns = time.time_ns
_COMPLETE: Final = frozenset((list, tuple))
_get_current = current_context.get
_set_current = current_context.set


class RequestMiddleware:
    """Gives each request of ``app`` a context, and hands one :class:`Record` of it to ``offer``.

    :param app: any WSGI application (PEP 3333).
    :param offer: takes each record; must not wait. A list's ``append`` will do in a test.
    :param selection: what of a request is kept.
    :param process: the ids, the counters and the readiness of this process.
    :param request_id_header: the header that an incoming id is taken from and the effective one is echoed in.
    :param echo_request_id: whether the response carries the id.
    :param request_id_generator: called once a request for its id, in the place of an incoming one.
    """

    def __init__(
        self,
        app: WSGIApplication,
        offer: Callable[[Record], object],
        selection: Selection,
        process: Process,
        *,
        request_id_header: str = "X-Request-ID",
        echo_request_id: bool = True,
        request_id_generator: Callable[[], object] | None = None,
    ) -> None:
        self._app = app
        self._finish = Recording(offer, selection, process).finish
        self._excludes = selection.excludes
        self._process = process
        self._mark = process.mark
        self._pop_request_id = process.request_ids.pop
        self._refill_request_ids = process.request_ids.refill
        self._header_key = "HTTP_" + request_id_header.upper().replace("-", "_")
        self._echoed_header = (
            (request_id_header, request_id_header.lower(), len(request_id_header)) if echo_request_id else None
        )
        self._generator = request_id_generator

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        # One function, long for this house: each call that it saves is a thirtieth of what a request pays for us.
        if not self._mark[0]:
            self._process.prepare()
        path = environ.get("PATH_INFO") or ""
        try:
            if environ.get("SCRIPT_NAME"):
                path = environ["SCRIPT_NAME"] + path
            is_excluded = self._excludes is not None and self._excludes(path)
        except TypeError:  # no text, which PEP 3333 does not allow
            path, is_excluded = str(path), False
        if is_excluded:
            environ[ENVIRON_KEY] = NO_REQUEST
            return self._app(environ, start_response)
        if ENVIRON_KEY in environ and is_being_recorded(environ):
            return self._app(environ, start_response)

        # What is needed of environ is copied now and environ not kept: servers use it again.
        response = Response()
        response.context = environ[ENVIRON_KEY] = context = RequestContext()
        context._facts = None
        if self._header_key in environ or self._generator is not None:
            request_id = self._request_id(environ)
            # An id that is this very object was seen to be fit for a header; any other is looked at first.
            response.generated_id = request_id if is_echoable(request_id) else ""
        else:
            try:
                request_id = self._pop_request_id()
            except IndexError:
                request_id = self._refill_request_ids()
            response.generated_id = request_id
        context.request_id = request_id
        response.finish = self._finish
        response.server_start_response = start_response
        response.echoed_header = self._echoed_header
        response.status = None
        response.is_rare = False
        response.body_bytes = 0
        response.path = path
        response.method = environ.get("REQUEST_METHOD") or ""
        if "HTTP_TRACEPARENT" in environ:
            response.read_trace_id(environ["HTTP_TRACEPARENT"])
        previous = _get_current()
        _set_current(context)
        response.time_ns = _time_ns()
        response.begin_ns = _perf_counter_ns()
        try:
            body = self._app(environ, response)
        except BaseException as error:
            self._raised(response, error, environ)
            raise
        finally:
            _set_current(previous)
        if type(body) in _COMPLETE:
            # Recorded before it is returned: once the server has sent it, a kill must find the record in the ring.
            try:
                for chunk in body:
                    response.body_bytes += len(chunk)
            except Exception:  # noqa: BLE001 - chunks that are no bytes: the server says so
                pass
            self._finish(response, "ok")
            return body
        return self._returned(response, body, environ)

    def _request_id(self, environ: WSGIEnvironment) -> str:
        """The user's generator's, and where that fails one of ours; without one a valid incoming id, else one of ours."""
        if self._generator is not None:
            request_id = generated(self._generator, self._process.counters)
        else:
            request_id = accepted(environ.get(self._header_key))
        return self._process.request_ids.new() if request_id is None else request_id

    def _raised(self, response: Response, error: BaseException, environ: WSGIEnvironment) -> None:
        """The application raised instead of returning; a websocket library may, when the connection is over."""
        if (
            response.status is None
            and "HTTP_UPGRADE" in environ
            and isinstance(error, (StopIteration, ConnectionError))
        ):
            self._finish(response, Outcome.UPGRADED)
            return
        response.failed(error)
        self._finish(response, response.outcome)

    def _returned(self, response: Response, body: Any, environ: WSGIEnvironment) -> Iterable[bytes]:
        """A body that is complete by an adapter's word, as it is; any other so that its end is seen."""
        facts = response.context._facts if response.context is not None else None
        if facts is not None and facts.is_complete:
            self._finish(response, Outcome.OK)
            return body  # type: ignore[no-any-return]
        try:
            return returned(response, body, environ)
        except Exception:  # noqa: BLE001 - a body whose attributes raise is the server's to choke on
            self._finish(response, Outcome.OK)
            return body  # type: ignore[no-any-return]
