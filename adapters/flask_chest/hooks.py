"""Where the extension sees a request pass through Flask, and what it does there.

Three methods of Flask's dispatch that it documents as public are wrapped on the application, as its ``wsgi_app`` is:
``full_dispatch_request``, ``handle_user_exception`` and ``handle_exception``. They show what no signal does (an exception
that an error handler answers; the response after the last receiver of ``request_finished``), and cost a request a tenth of
what a signal's receiver does. Arguments are passed on as they come, since Flask 3.2 adds one.

Each finds its request by ``environ`` and not by thread, because Flask's contexts are copied into other threads, pushed twice
around a stream, and pushed without a request in tests. Nothing in here raises into the application.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from flask import Flask, has_request_context, request
from werkzeug.exceptions import HTTPException
from werkzeug.wsgi import ClosingIterator

from chest.adapter import (
    ENVIRON_KEY,
    Counters,
    StartResponse,
    WSGIApplication,
    WSGIEnvironment,
    is_being_recorded,
)
from flask_chest.contexts import app_context, request_context
from flask_chest.g_variables import OWNER, SERVED_KEY
from flask_chest.served_request import WHOLE_KINDS, ServedRequest, answers_whole, is_answer, known_of

_served_kinds: Final[set[type]] = set()
"""The classes of contexts of requests being served: a middleware has one."""


class Watch:
    """What the extension puts around the dispatch of one application.

    :param app: the application; its ``wsgi_app`` of now is what is to be recorded.
    :param takes_all: whether variables of ``g`` are taken that no decorator names.
    """

    def __init__(self, app: Flask, takes_all: bool) -> None:
        self._app = app
        self.takes_all = takes_all
        self.counters = Counters()
        """The recorder's, once :meth:`begin` was called."""
        is_flasks_own = getattr(app.wsgi_app, "__func__", None) is Flask.wsgi_app
        self.wsgi_app: WSGIApplication = app.wsgi_app if is_flasks_own else _InBetween(app, self)
        """What the middleware is to be put around."""

    def begin(self, counters: Counters) -> None:
        """Wrap the application's dispatch; once, before the first request.

        :param counters: the recorder's.
        """
        self.counters = counters
        self._app.full_dispatch_request = self._dispatch()  # type: ignore[method-assign]
        self._app.handle_user_exception = self._user_handler()  # type: ignore[method-assign]
        self._app.handle_exception = self._last_handler()  # type: ignore[method-assign]

    def _dispatch(self) -> Callable[..., Any]:
        """``full_dispatch_request``, which tells the request where Flask begins with it and what it answers."""
        dispatch, serve, watch = self._app.full_dispatch_request, self.serve, self
        served_kinds, whole_kinds = _served_kinds, WHOLE_KINDS
        known: dict[int, tuple[Any, str, dict[str, str]]] = {}  # each with its rule, so that no other gets its identity

        def full_dispatch_request(*args: Any) -> Any:
            # One function, long for this house: each call that it saves is a fortieth of what a request pays for us.
            current = request_context().request
            environ = current.environ
            served: ServedRequest | None = environ.get(SERVED_KEY)
            is_first = served is None or served.is_over
            if is_first:
                context = environ.get(ENVIRON_KEY)
                if type(context) in served_kinds:
                    served = environ[SERVED_KEY] = ServedRequest()
                    served.watch = watch
                    context.tell(served)
                else:
                    served = serve(environ)
            if served is None:
                return dispatch(*args)
            try:
                rule = current.url_rule
                if rule is not None:
                    try:
                        _, served.route, served.known_attributes = known[id(rule)]
                    except KeyError:
                        known[id(rule)] = rule, *known_of(rule)
                        _, served.route, served.known_attributes = known[id(rule)]
                names = vars(app_context().g)
                if names or served.names is not None:
                    served.claim_used(names)
                else:
                    served.names = names
                    names[OWNER] = served
            except Exception as trouble:  # noqa: BLE001 - the request goes on
                served.went_wrong(trouble)
            response = dispatch(*args)
            if not is_first:
                served.response = response
            elif (
                type(response) in whole_kinds and type(response.response) is list and not response._on_close
            ) or answers_whole(response, served):
                served.is_complete = True
            return response

        return full_dispatch_request

    def serve(self, environ: WSGIEnvironment) -> ServedRequest | None:
        """The request's facts, told to its context; None where it is not recorded."""
        if not is_being_recorded(environ):
            return None
        _served_kinds.add(type(environ[ENVIRON_KEY]))
        served = environ[SERVED_KEY] = ServedRequest()
        served.watch = self
        environ[ENVIRON_KEY].tell(served)
        return served

    def _user_handler(self) -> Callable[..., Any]:
        """``handle_user_exception``, which records the class of what an error handler may answer."""
        handle = self._app.handle_user_exception

        def handle_user_exception(*args: Any, **kwargs: Any) -> Any:
            environ = _current_environ()
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

    def _last_handler(self) -> Callable[..., Any]:
        """``handle_exception``, which records what no error handler answered, and what is answered in its place."""
        handle = self._app.handle_exception

        def handle_exception(*args: Any, **kwargs: Any) -> Any:
            environ = _current_environ()
            served: ServedRequest | None = environ.get(SERVED_KEY)
            if served is None or served.is_over:  # it was raised before the dispatch, or nothing is recorded
                served = self.serve(environ)
            if served is None:
                return handle(*args, **kwargs)
            environ[ENVIRON_KEY].record_error([*args, *kwargs.values()][-1])
            served.is_error_page = True
            response = handle(*args, **kwargs)
            if served.is_for_others:
                served.response = response
            elif served.watch is self and answers_whole(response, served):
                served.is_complete = True
            return response

        return handle_exception


class _InBetween:
    """Around middleware that an application has of its own: sees whether the body is still the one that Flask returned.

    :param app: the application; its ``wsgi_app`` of now is what is called.
    :param watch: the application's.
    """

    def __init__(self, app: Flask, watch: Watch) -> None:
        self.import_name = app.import_name
        self._wsgi_app: WSGIApplication = app.wsgi_app
        self._watch = watch

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        outer: ServedRequest | None = environ.get(SERVED_KEY)
        served = self._watch.serve(environ) if outer is None or outer.is_over else None
        if served is None:
            # Not recorded; or by the Flask application that this one is mounted in, which is watching.
            return self._wsgi_app(environ, start_response)
        served.is_for_others = True
        body = self._wsgi_app(environ, start_response)
        response, served.response = served.response, None
        if type(body) is ClosingIterator and response is not None and answers_whole(response, served):
            served.is_complete = True
        return body


def _current_environ() -> WSGIEnvironment:
    """That of the request; an empty one where an exception came before Flask had pushed its contexts."""
    environ: WSGIEnvironment = request.environ if has_request_context() else {}
    return environ
