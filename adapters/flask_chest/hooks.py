"""``Watch``: the points at which the extension sees a request pass through Flask, and what it does there.

Three public methods of Flask's dispatch are wrapped on the application, as its ``wsgi_app`` is: ``full_dispatch_request``,
``handle_user_exception`` and ``handle_exception``. They show what signals do not (an exception that an error handler answers;
the response after the last receiver of ``request_finished``), at a tenth of the cost of a receiver. Arguments are passed on
unchanged, since Flask 3.2 adds one.

An extension may replace the application's error handling later, and answer exceptions without Flask's. So the two methods
for exceptions are wrapped again when a route is used for the first time. The signal ``got_request_exception``, which such
extensions send themselves, is received too: it is sent for errors only.

Each method finds its request by ``environ`` and not by thread: Flask's contexts are copied into other threads, pushed twice
around a stream, and pushed without a request in tests. Nothing in this module raises into the application.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from flask import Flask, got_request_exception, has_request_context, request
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Rule
from werkzeug.wsgi import ClosingIterator

from chest import RequestContext
from chest.adapter import (
    ENVIRON_KEY,
    WHOLE_KINDS,
    Bypass,
    Counters,
    Dispatch,
    StartResponse,
    WSGIApplication,
    WSGIEnvironment,
    is_being_recorded,
    known_of,
    mounted,
)
from flask_chest.client import LOGIN
from flask_chest.contexts import SERVED_KEY, VARIABLES, app_context, request_context
from flask_chest.g_variables import DATA, OWNER, VARIABLE_NAMES
from flask_chest.served_request import ServedRequest, answers_whole, is_answer

_BYPASS: Final = (
    "a request of the Flask application {app!r} left no record, since it did not pass app.wsgi_app as FlaskRecorder left it: what"
    " serves the application took app.wsgi_app before, or it was replaced since. Call FlaskRecorder(app) before app.wsgi_app is"
    " used, or give the server app itself. A Connexion 3 FlaskApp takes app.wsgi_app when it is made, so its requests cannot be"
    " recorded. Further requests of this kind are counted as bypassed."
)


class Watch:
    """The wrappers around the dispatch of one application.

    :param app: the application; its present ``wsgi_app`` is recorded.
    :param takes_all: True if variables of ``g`` are also recorded without a decorator that names them.
    """

    def __init__(self, app: Flask, takes_all: bool) -> None:
        self._app = app
        self.takes_all = takes_all
        self.counters = Counters()
        """The recorder's, once :meth:`begin` was called."""
        self._bypass = Bypass(_BYPASS.format(app=app.name), "flask_chest")
        self._served_class: type[ServedRequest] = type("ServedRequest", (ServedRequest,), {"watch": self})
        self._served_kinds: set[type] = set()
        """The classes of contexts of requests being served; each middleware has one."""
        self._routes: dict[int, tuple[Rule, str, dict[str, str]]] = {}
        """By the identity of a rule. The entry holds the rule, so the identity is not reused."""
        self._handle_user_exception: Callable[..., Any] | None = None
        self._handle_exception: Callable[..., Any] | None = None
        is_flasks_own = getattr(app.wsgi_app, "__func__", None) is Flask.wsgi_app
        self.wsgi_app: WSGIApplication = app.wsgi_app if is_flasks_own else _InBetween(app, self)
        """The callable that the middleware wraps."""

    def begin(self, counters: Counters) -> None:
        """Wrap the application's dispatch; once, before the first request.

        :param counters: the recorder's.
        """
        self.counters = counters
        self._app.full_dispatch_request = self._dispatch()  # type: ignore[method-assign]
        self._be_outermost()
        got_request_exception.connect(self._on_exception, self._app)

    def _be_outermost(self) -> None:
        """Wrap the handlers of exceptions again if another extension has replaced them."""
        app = self._app
        if app.handle_user_exception is not self._handle_user_exception:
            app.handle_user_exception = self._handle_user_exception = self._user_handler()  # type: ignore[method-assign]
        if app.handle_exception is not self._handle_exception:
            app.handle_exception = self._handle_exception = self._last_handler()  # type: ignore[method-assign]

    def _on_exception(self, sender: object, exception: BaseException, **_: Any) -> None:
        environ = _current_environ()
        served: ServedRequest | None = environ.get(SERVED_KEY)
        if served is None or served.is_over:
            return
        try:
            if not is_answer(exception):
                environ[ENVIRON_KEY].record_error(exception)
        except Exception as trouble:  # noqa: BLE001 - the request goes on
            served.went_wrong(trouble)

    def _dispatch(self) -> Callable[..., Any]:
        """``full_dispatch_request``, wrapped: notes the route and ``g`` before the dispatch, and the response after it.

        The compiled part does so for requests of the usual kind, and has this function do the others.
        """
        dispatch = self._app.full_dispatch_request

        def full_dispatch_request(*args: Any) -> Any:
            flask_request = request_context().request
            environ = flask_request.environ
            served: ServedRequest | None = environ.get(SERVED_KEY)
            is_first = served is None or served.is_over
            if is_first:
                served = self.serve(environ)
            if served is None:
                self.note_bypass(environ)
                return dispatch(*args)
            try:
                self._note_route(served, flask_request.url_rule, environ)
                served.claim(app_context().g)
            except Exception as trouble:  # noqa: BLE001 - the request goes on
                served.went_wrong(trouble)
            response = dispatch(*args)
            if _has_login(served):
                self._note_user(served)
            if not is_first:
                served.response = response
            elif answers_whole(response, served):
                served.is_complete = True
            return response

        if Dispatch is None or len(VARIABLES) < 2:
            return full_dispatch_request
        request_variable, app_variable = VARIABLES
        compiled: Callable[..., Any] = Dispatch(
            in_python=full_dispatch_request, dispatch=dispatch, served_class=self._served_class, context_class=RequestContext,
            served_kinds=self._served_kinds, whole_kinds=WHOLE_KINDS, routes=self._routes,
            request_context=request_variable, app_context=app_variable, mounted=mounted, answers_whole=answers_whole,
            note_user=self._note_user, served_key=SERVED_KEY, owner_key=OWNER, login_key=LOGIN,
            known_names=VARIABLE_NAMES, data_types=DATA, takes_all=self.takes_all,
        )  # fmt: skip
        return compiled

    def _note_route(self, served: ServedRequest, rule: Rule | None, environ: WSGIEnvironment) -> None:
        mount = environ.get("SCRIPT_NAME")
        if rule is not None:
            known = self._routes.get(id(rule))
            if known is None:
                self._be_outermost()
                known = self._routes[id(rule)] = rule, *known_of(rule.rule, rule.endpoint)
            _, route, served.known_attributes = known
            served.route = mounted(mount, route)
        if mount and "werkzeug.proxy_fix.orig" in environ:
            # ProxyFix may stand further in than the recorder, and the prefix of a proxy is part of the path.
            served.path, served.has_more = mount + environ["PATH_INFO"], True

    def serve(self, environ: WSGIEnvironment) -> ServedRequest | None:
        """The request's metadata, attached to its context; None if the request is not recorded."""
        if not is_being_recorded(environ):
            return None
        kind = type(environ[ENVIRON_KEY])
        if kind not in self._served_kinds:
            self._be_outermost()
            self._served_kinds.add(kind)
        served = environ[SERVED_KEY] = self._served_class()
        environ[ENVIRON_KEY].attach_metadata(served)
        return served

    def _note_user(self, served: ServedRequest) -> None:
        """The session is still at hand, for the id of a user whose object has expired."""
        try:
            served.note_user(lambda: request_context().session)
        except Exception as trouble:  # noqa: BLE001 - the request goes on
            served.went_wrong(trouble)

    def note_bypass(self, environ: WSGIEnvironment) -> None:
        """Count a request that Flask dispatches and that did not pass the middleware."""
        if self._bypass.look(environ):
            self.counters.add("bypassed")

    def _user_handler(self) -> Callable[..., Any]:
        """``handle_user_exception``, wrapped: records the exception, which an error handler may answer."""
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
            served.is_error_page = isinstance(answer, HTTPException) and (
                answer.response is None or answers_whole(answer.response, served)  # type: ignore[arg-type]
            )
            return answer

        return handle_user_exception

    def _last_handler(self) -> Callable[..., Any]:
        """``handle_exception``, wrapped: records an unanswered exception, and Flask's response to it."""
        handle = self._app.handle_exception

        def handle_exception(*args: Any, **kwargs: Any) -> Any:
            environ = _current_environ()
            served: ServedRequest | None = environ.get(SERVED_KEY)
            if served is None or served.is_over:  # it was raised before the dispatch, or nothing is recorded
                served = self.serve(environ)
            if served is None:
                return handle(*args, **kwargs)
            try:
                environ[ENVIRON_KEY].record_error([*args, *kwargs.values()][-1])
            except Exception as trouble:  # noqa: BLE001 - an application may take Chest's keys out of environ
                served.went_wrong(trouble)
            self._note_user(served)
            served.is_error_page = True
            response = handle(*args, **kwargs)
            if served.is_for_others:
                served.response = response
            elif served.watch is self and answers_whole(response, served):
                served.is_complete = True
            return response

        return handle_exception


class _InBetween:
    """Wraps the application's own middleware: notices whether the body is still the one that Flask returned.

    :param app: the application; its present ``wsgi_app`` is called.
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


def _has_login(served: ServedRequest) -> bool:
    try:
        return served.names is not None and LOGIN in served.names
    except Exception:  # noqa: BLE001 - another name's __eq__
        return False


def _current_environ() -> WSGIEnvironment:
    """The request's ``environ``; an empty one if an exception came before Flask had pushed its contexts."""
    environ: WSGIEnvironment = request.environ if has_request_context() else {}
    return environ
