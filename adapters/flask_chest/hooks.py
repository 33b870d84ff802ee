"""``RecordedFlask``: between the middleware and Flask, where it sees a request pass.

Three methods of Flask's dispatch that it documents as public are wrapped on the application, as its ``wsgi_app`` is:
``full_dispatch_request``, ``handle_user_exception`` and ``handle_exception``. They show what no signal does (an exception
that an error handler answers; the response after the last receiver of ``request_finished``), and cost a request a tenth of
what a signal's receiver does. Arguments are passed on as they come, since Flask 3.2 adds one.

Each finds its request by ``environ`` and not by thread, because Flask's contexts are copied into other threads, pushed twice
around a stream, and pushed without a request in tests. Nothing in here raises into the application.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask, has_request_context, request
from werkzeug.exceptions import HTTPException

from chest import RequestContext
from chest.counters import Counters
from chest.request.context import ENVIRON_KEY
from chest.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
from flask_chest.g_variables import SERVED_KEY
from flask_chest.served_request import ServedRequest, is_answer

_current_request: Callable[[], Any] = request._get_current_object  # type: ignore[attr-defined]


class RecordedFlask:
    """Flask's own WSGI application, watched.

    :param app: the application; its ``wsgi_app`` of now is what is called.
    :param takes_all: whether variables of ``g`` are taken that no decorator names.
    """

    def __init__(self, app: Flask, takes_all: bool) -> None:
        self.import_name = app.import_name
        self._wsgi_app: WSGIApplication = app.wsgi_app
        self._takes_all = takes_all
        self._counters = Counters()

    def watch(self, app: Flask, counters: Counters) -> None:
        """Wrap the application's dispatch; to be called once, before the first request.

        :param counters: the recorder's.
        """
        self._counters = counters
        app.full_dispatch_request = watched_dispatch(app)  # type: ignore[method-assign]
        app.handle_user_exception = watched_handler(app)  # type: ignore[method-assign]
        app.handle_exception = watched_last_handler(app)  # type: ignore[method-assign]

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        context = environ.get(ENVIRON_KEY)
        outer = environ.get(SERVED_KEY)
        if type(context) is not RequestContext or (outer is not None and not outer.is_over):
            # Not recorded; or by the Flask application that this one is mounted in, which is watching.
            return self._wsgi_app(environ, start_response)
        served = environ[SERVED_KEY] = ServedRequest(self._takes_all, self._counters)
        context.tell(served)
        body = self._wsgi_app(environ, start_response)
        served.returned(body)
        return body


def watched_dispatch(app: Flask) -> Callable[..., Any]:
    """``full_dispatch_request``, which tells the request where Flask begins with it and what it answers."""
    dispatch = app.full_dispatch_request
    attributes_of: dict[str, dict[str, str]] = {}

    def full_dispatch_request(*args: Any) -> Any:
        current = _current_request()
        served: ServedRequest | None = current.environ.get(SERVED_KEY)
        if served is None or served.is_over:
            return dispatch(*args)
        try:
            served.begin(current, attributes_of)
        except Exception as trouble:  # noqa: BLE001 - the request goes on
            served.went_wrong(trouble)
        served.response = response = dispatch(*args)
        return response

    return full_dispatch_request


def watched_handler(app: Flask) -> Callable[..., Any]:
    """``handle_user_exception``, which records the class of what an error handler may answer."""
    handle = app.handle_user_exception

    def handle_user_exception(*args: Any, **kwargs: Any) -> Any:
        environ = current_environ()
        served: ServedRequest | None = environ.get(SERVED_KEY)
        if served is None:
            return handle(*args, **kwargs)
        error = [*args, *kwargs.values()][-1]
        try:
            if not is_answer(error):
                environ[ENVIRON_KEY].record_error(error)
        except Exception as trouble:  # noqa: BLE001 - the request goes on
            served.went_wrong(trouble)
        answer = handle(*args, **kwargs)
        served.is_error_page = isinstance(answer, HTTPException) and answer.response is None
        return answer

    return handle_user_exception


def watched_last_handler(app: Flask) -> Callable[..., Any]:
    """``handle_exception``, which records what no error handler answered, and what is answered in its place."""
    handle = app.handle_exception

    def handle_exception(*args: Any, **kwargs: Any) -> Any:
        environ = current_environ()
        served: ServedRequest | None = environ.get(SERVED_KEY)
        if served is None:
            return handle(*args, **kwargs)
        environ[ENVIRON_KEY].record_error([*args, *kwargs.values()][-1])
        served.is_error_page = True
        served.response = response = handle(*args, **kwargs)
        return response

    return handle_exception


def current_environ() -> WSGIEnvironment:
    """That of the request; an empty one where an exception came before Flask had pushed its contexts."""
    environ: WSGIEnvironment = request.environ if has_request_context() else {}
    return environ
