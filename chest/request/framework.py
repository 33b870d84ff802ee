"""What a framework tells of a request: its route, the program's own names for it, and the exception that it answered.

Frameworks leave some of it in ``environ``, and an adapter hands the rest over. None of them is imported here: their objects
are known by their attributes.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import lru_cache
from types import TracebackType
from typing import Any, Final, TypeAlias

from chest import native
from chest.native import IS_NATIVE, agree
from chest.record.text import storable_text
from chest.request.client.user import loaded_user_id
from chest.request.context import ENVIRON_KEY, RequestContext
from chest.request.fields import ROUTE_CHARACTERS, mounted
from chest.request.metadata import RequestMetadata
from chest.request.wsgi import WSGIEnvironment, value_in

WERKZEUG_REQUEST: Final = "werkzeug.request"
"""Under this key Werkzeug's request is in ``environ``; Flask's knows its rule. Flask takes it out before it returns."""
TRACING: Final = "opentelemetry.trace"
BOTTLE_ROUTE: Final = "bottle.route"
agree(WERKZEUG_REQUEST=WERKZEUG_REQUEST, BOTTLE_ROUTE=BOTTLE_ROUTE)

ENDPOINT: Final = "flask.endpoint"
BLUEPRINT: Final = "flask.blueprint"
_NAME_CHARACTERS: Final = 512
_FIRST_SERVER_ERROR: Final = 500
_MOST_ROUTES: Final = 1000

Known: TypeAlias = tuple[str, dict[str, str]]
"""A route, and the program's own names for it; sanitized. Requests share it, so it must not be changed."""


@lru_cache(_MOST_ROUTES)
def known_of(route: str, endpoint: str | None) -> Known:
    """The route, and the names of endpoint and blueprint, of every request that a rule of Flask's matches.

    :param endpoint: None for a rule of Bottle's, which has none.
    """
    if endpoint is None:
        return _known(route, ())
    blueprint, _, _ = endpoint.rpartition(".")
    return _known(route, ((ENDPOINT, endpoint), (BLUEPRINT, blueprint)) if blueprint else ((ENDPOINT, endpoint),))


@lru_cache(_MOST_ROUTES)
def _known(route: str, names: tuple[tuple[str, str], ...]) -> Known:
    return storable_text(route, ROUTE_CHARACTERS), {
        name: storable_text(value, _NAME_CHARACTERS) for name, value in names
    }


# -- what an adapter hands over ----------------------------------------------------------------------------------------


def record_route(environ: WSGIEnvironment, route: str, names: Mapping[str, str] | None = None) -> None:
    """For adapters: have the record say the template of the route that was matched. Nothing if the request is not recorded.

    What the application said itself stays. The mount of the application is put before the route.

    :param route: the template as the framework has it (``/items/<int:id>``), never the raw path.
    :param names: attributes that are the same for each request of this route, such as the name of its view.
    """
    try:
        context = _recorded(environ)
        if context is not None:
            note_span(context)
            tell_route(environ, context, _known(route, tuple((names or {}).items())))
    except Exception:  # noqa: BLE001 - a framework's object that is no text: the record is made without it
        pass


def record_answered(environ: WSGIEnvironment, error: BaseException, framework: str, status: int | None) -> None:
    """For adapters: have the record say class, message and traceback of an exception that the framework answers.

    Nothing if the exception is an answer (:func:`is_answer_of`), or if an earlier one was recorded: what follows an error is not its
    cause.

    :param framework: the package whose exceptions with a status below 500 are answers.
    :param status: the status that the framework answers the exception with, if it is one of the framework's own.
    """
    try:
        context = _recorded(environ)
        if context is None or is_answer_of(framework, error, status):
            return
        if context._metadata is None or context._metadata.error is None:
            context.record_error(error)
    except Exception:  # noqa: BLE001 - an exception of the application's making
        pass


def record_user(environ: WSGIEnvironment, user: object) -> None:
    """For adapters: give the record the id of the user that the request has loaded; what the application set itself stays."""
    context = _recorded(environ)
    if context is not None and user is not None and context.user is None:
        user_id = loaded_user_id(user)
        if user_id is not None:
            context.user = user_id


def _recorded(environ: WSGIEnvironment) -> RequestContext | None:
    context = value_in(environ, ENVIRON_KEY)
    return context if isinstance(context, RequestContext) and context.is_being_recorded else None


# -- what a framework leaves -------------------------------------------------------------------------------------------


def tell_route(environ: WSGIEnvironment, context: RequestContext, known: Known) -> None:
    """Have the record say the route that a framework matched, and the names; what was said before stays."""
    metadata = context._metadata
    if metadata is None:
        metadata = context._metadata = RequestMetadata()
    if metadata.route is None:
        metadata.route = mounted(value_in(environ, "SCRIPT_NAME"), known[0])
    if metadata.known_attributes is None:
        metadata.known_attributes = known[1]


def read_left(environ: WSGIEnvironment, context: RequestContext) -> None:
    """Tell what Flask or Bottle left in ``environ``; nothing if there is nothing, or if an adapter told it. And the span."""
    try:
        note_span(context)
        if context._metadata is not None and context._metadata.known_attributes is not None:
            return
        rule = getattr(environ.get(WERKZEUG_REQUEST), "url_rule", None)
        if rule is not None:
            tell_route(environ, context, known_of(rule.rule, rule.endpoint))
        elif BOTTLE_ROUTE in environ:
            tell_route(environ, context, known_of(environ[BOTTLE_ROUTE].rule, None))
    except Exception:  # noqa: BLE001 - another program's object under that key: the record is made without it
        pass


def look_for_tracing() -> None:
    """Have requests ask for their span if OpenTelemetry is loaded. To be called when a process is made ready."""
    if IS_NATIVE and TRACING in sys.modules:
        native.note_spans()


def note_span(context: RequestContext) -> None:
    """Have the record say trace and span if OpenTelemetry, which is never loaded here, has a current one; the first one stays.

    It is asked when the route is told, and when the response starts: some instrumentations end the span before that.
    """
    tracing = sys.modules.get(TRACING)
    if tracing is not None:
        try:
            _note_span_of(tracing, context)
        except Exception:  # noqa: BLE001 - a span of another program's making: the record is made without it
            pass


def _note_span_of(tracing: Any, context: RequestContext) -> None:
    span = tracing.get_current_span()
    found = span.get_span_context()
    metadata, parent = context._metadata, getattr(span, "parent", None)
    said = None if metadata is None else metadata.trace
    if not found.is_valid or (said is not None and said[2] is not None):
        return
    trace_id, span_id = f"{found.trace_id:032x}", f"{found.span_id:016x}"
    if metadata is None:
        metadata = context._metadata = RequestMetadata()
    if found.is_remote:  # the caller's: nothing in this process makes spans
        metadata.trace = said or (trace_id, span_id, None)
    elif said is not None and said[0] == trace_id:
        metadata.trace = trace_id, said[1], span_id
    else:
        metadata.trace = trace_id, None if parent is None else f"{parent.span_id:016x}", span_id


def read_left_by(error: BaseException, environ: WSGIEnvironment, context: RequestContext) -> None:
    """As :func:`read_left` if the application raised: by then, Flask's request is in the traceback alone."""
    read_left(environ, context)
    try:
        trace: TracebackType | None = error.__traceback__
        while trace is not None and (context._metadata is None or context._metadata.known_attributes is None):
            if trace.tb_frame.f_code.co_name == "wsgi_app":
                names = trace.tb_frame.f_locals
                if names.get("environ") is environ:
                    rule = names["ctx"].request.url_rule
                    tell_route(environ, context, known_of(rule.rule, rule.endpoint))
            trace = trace.tb_next
    except Exception:  # noqa: BLE001 - another program's function of that name
        pass


def is_answer_of(framework: str, error: BaseException, status: int | None) -> bool:
    """True if an exception is an answer and not an error: what ``abort(404)`` or a redirect raises.

    Such an exception says no more than its status. A status of 500 and above is an error, and so is a class of the
    application's own, since its name says something.

    :param framework: the package whose classes are answers.
    :param status: the status that it is answered with; None if the framework does not know the exception.
    """
    return status is not None and status < _FIRST_SERVER_ERROR and type(error).__module__.partition(".")[0] == framework
