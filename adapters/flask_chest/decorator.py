"""``flask_chest``: Flask-Chest's decorator, for views that leave a record of their own, or record fewer variables."""

from __future__ import annotations

import inspect
import logging
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar, cast

from flask import Flask

from chest import ChestError, RequestContext, SettingsError
from chest.adapter import (
    ENVIRON_KEY,
    asks_for_websocket,
    clean_request_id,
    is_being_recorded,
    open_chest,
    tracked_names,
)
from flask_chest.contexts import SERVED_KEY, app_context, request_context
from flask_chest.g_variables import REQUEST_ID_NAME, GVariables
from flask_chest.tracked import set_custom_request_id, write_tracked_variables
from flask_chest.used_g import Before
from flask_chest.view_call import VIEW_MARK, ViewCall
from flask_chest.view_chests import KEY, AnyChest, ViewChests, key_of, recorders_of, view_chests

__all__ = [
    "default_request_id",
    "flask_chest",
    "recorders_of",
    "set_custom_request_id",
    "write_tracked_variables",
]

P = ParamSpec("P")
R = TypeVar("R")

_logger: Final = logging.getLogger("flask_chest")
_ID_KEY: Final = "chest.flask.request_id"
"""Under this key ``environ`` holds the id that the request's first decorator gave it."""

_BEFORE_KEY: Final = "chest.flask.before"
"""Under this key ``environ`` holds what another request had left on ``g`` when the first decorator ran."""

_UNNAMED: Final[tuple[str, ...]] = ("",)
"""The names to record for a method that was not named: none, since no name on ``g`` is empty."""


def default_request_id() -> str:
    """Flask-Chest's default generator. As the default argument it means: keep the id that the request has."""
    return str(uuid.uuid4())


def flask_chest(
    chests: Sequence[AnyChest] | None = None,
    tracked_vars: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
    request_id_generator: Callable[[], object] | None = default_request_id,
    raise_exceptions: bool = True,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Record what a view leaves on ``flask.g``.

    With ``chests``, each call of the view leaves a record of its own there, with an id of its own and the request's
    ``request_id``; a view that raises does too. Without, nothing more is stored: the record that ``FlaskRecorder`` makes of
    the request keeps only the variables named here.

    In production use ``raise_exceptions=False``, or ``FlaskRecorder`` and no chests: a request then never waits for a
    store and never fails because of one. ``True``, Flask-Chest's documented default, is for a request that must not be
    answered before its variables are stored: it waits for every chest.

    Example::

        @app.route("/", methods=["GET", "POST"])
        @flask_chest(chests=[FlaskChestSQLite()], tracked_vars={"GET": ["user_id"]}, raise_exceptions=False)
        def index(): ...

    Write it below ``@app.route``. It works on functions, coroutines, methods of a ``MethodView`` (and as one of its
    ``decorators``), and above or below other decorators. If a view streams, ``raise_exceptions=True`` writes what is on ``g``
    when the view returns; ``False`` records when the stream has ended.

    :param chests: the chests to write to: objects of Flask-Chest's classes, chests, URLs of chests.
    :param tracked_vars: names on ``g``, for all methods or by method (``{"GET": [...]}``; a method that is not named
        tracks nothing, and leaves no record of its own); None: everything that the request set. Names that are not set
        are skipped.
    :param request_id_generator: makes the request's id, kept in ``g.custom_request_id`` and cut at 255 characters. The
        default, None, and one that raises mean the id that the request has already.
    :param raise_exceptions: True writes before the response is returned, and raises errors of the chests.
    :raises SettingsError: at start, for an invalid argument.
    :raises ChestWriteError: in the request, after every chest was tried; only with ``raise_exceptions=True``, and not in place of
        an exception of the view.
    """
    recorded = _Recorded(chests, tracked_vars, request_id_generator, raise_exceptions)

    def decorate(view: Callable[P, R]) -> Callable[P, R]:
        if not callable(view):
            raise SettingsError(f"flask_chest(...) decorates a view function, not {type(view).__name__}")
        if isinstance(view, type):
            raise SettingsError(
                f"flask_chest(...) decorates functions: in {view.__name__} decorate its methods, or write"
                " decorators = [flask_chest(...)]"
            )
        if inspect.iscoroutinefunction(view):

            @wraps(view)
            async def asynchronous(*args: P.args, **kwargs: P.kwargs) -> Any:
                call = recorded.begin()
                if call is None:
                    return await view(*args, **kwargs)
                try:
                    value = await view(*args, **kwargs)
                except BaseException as error:
                    call.view_raised(error)
                    raise
                return call.returned(value)

            return cast("Callable[P, R]", asynchronous)

        @wraps(view)
        def synchronous(*args: P.args, **kwargs: P.kwargs) -> R:
            call = recorded.begin()
            if call is None:
                return view(*args, **kwargs)
            try:
                value = view(*args, **kwargs)
            except BaseException as error:
                call.view_raised(error)
                raise
            return cast("R", call.returned(value))

        return synchronous

    return decorate


class _Recorded:
    """The checked arguments of one decorator, and its work in each request."""

    def __init__(
        self,
        chests: Sequence[AnyChest] | None,
        tracked_vars: Sequence[str] | Mapping[str, Sequence[str]] | None,
        request_id_generator: Callable[[], object] | None,
        raise_exceptions: bool,
    ) -> None:
        self.chests = _checked_chests(chests)
        self.key = key_of(self.chests)
        self.raises = raise_exceptions
        names = _checked_names(tracked_vars)
        self._by_method = names if isinstance(names, Mapping) else None
        self._names = None if isinstance(names, Mapping) else names
        if request_id_generator is not None and not callable(request_id_generator):
            raise SettingsError("request_id_generator is a function without parameters, or None")
        self._generator = None if request_id_generator is default_request_id else request_id_generator
        self._has_warned = False

    def begin(self) -> ViewCall | None:
        """Begin a call of the view; None if nothing is to be done when it ends."""
        try:
            served = request_context().request
        except (LookupError, RuntimeError, AttributeError):  # outside a request the view is just called
            return None
        environ = served.environ
        # None: nothing is recorded of the whole request
        context = environ[ENVIRON_KEY] if ENVIRON_KEY in environ and is_being_recorded(environ) else None
        by_method = self._by_method
        tracked = self._names if by_method is None else by_method.get(environ.get("REQUEST_METHOD", ""), _UNNAMED)
        of_app = app_context()
        try:
            chests = of_app.app.extensions[KEY][self.key]
        except KeyError:
            chests = self._view_chests(of_app.app)
        if chests is not None and not self.raises and not chests.fork_guard[0]:
            chests.prepare()
        try:
            names_on_g = vars(of_app.g)
        except (
            TypeError
        ):  # the application's class for g has no __dict__: its variables are not recorded, and the request goes on
            names_on_g = {}
        watched_g: GVariables | None = environ.get(SERVED_KEY)
        # An event of Socket.IO is handled with the environ of the handshake, and a g of its own.
        is_event = watched_g is not None and not watched_g.is_of(names_on_g)
        if is_event:
            watched_g = None
        request_id = environ.get(_ID_KEY)
        if request_id is None:
            request_id = environ[_ID_KEY] = self._new_request_id(context, chests)
            # Another request's g, or one that several share; the extension, if there, knows which.
            if VIEW_MARK in names_on_g and watched_g is None:
                environ[_BEFORE_KEY] = Before(of_app.g)
        names_on_g[REQUEST_ID_NAME] = names_on_g[VIEW_MARK] = request_id
        if not self.chests and not is_event:
            self._narrow(watched_g, tracked)
        if chests is None or tracked is _UNNAMED:
            return None
        call = ViewCall()
        call.chests = chests
        call.names_on_g = names_on_g
        call.raises = self.raises
        call.request_context = context
        call.request_id = request_id
        call.tracked = tracked
        call.watched_g = watched_g
        before: Before | None = environ.get(_BEFORE_KEY)
        call.before = before if before is None or before.is_of(names_on_g) else None
        rule = served.url_rule
        call.is_view = rule is not None and "event" not in vars(served) and not asks_for_websocket(environ)
        call.begin(environ, None if rule is None else rule.rule)
        return call

    def _view_chests(self, app: Flask) -> ViewChests | None:
        """What the application's decorators with these chests share; None if nothing is recorded."""
        try:
            return view_chests(app, self.key, self.chests) if self.chests else None
        except ChestError as error:
            if self.raises:
                raise
            self._warn("chest: flask_chest() records nothing: %s", error)
            return None

    def _new_request_id(self, context: RequestContext | None, chests: ViewChests | None) -> str:
        """The request's id: the first decorator's generator makes it; otherwise the request keeps its own."""
        made = None if self._generator is None else self._generated(self._generator)
        if made is not None and context is not None:
            context.request_id = made
        request_id = made or (None if context is None else clean_request_id(context.request_id))
        if request_id:
            return request_id
        if chests is None:
            return default_request_id()
        return chests.new_request_id() if self.raises else chests.ready_request_id()

    def _generated(self, generator: Callable[[], object]) -> str | None:
        try:
            return clean_request_id(generator() or "") or None
        except Exception as error:  # noqa: BLE001 - the user's code must not fail the request
            self._warn("chest: request_id_generator raised %r: the request keeps its own id", error)
            return None

    def _narrow(self, on_g: GVariables | None, tracked: Sequence[str] | None) -> None:
        if on_g is None:
            self._warn(
                "chest: flask_chest() without chests= selects variables for the record that FlaskRecorder makes, but there is no"
                " FlaskRecorder: add FlaskRecorder(app), or give chests="
            )
        elif tracked is not None:
            on_g.narrow(tracked)

    def _warn(self, message: str, *arguments: object) -> None:
        if not self._has_warned:
            self._has_warned = True
            _logger.warning(message, *arguments)


def _checked_chests(chests: Any) -> tuple[AnyChest, ...]:
    if chests is None:
        return ()
    if isinstance(chests, str) or hasattr(chests, "write"):
        chests = (chests,)
    if not isinstance(chests, Iterable):
        raise SettingsError("flask_chest(chests=[...]) takes a list of chests; write the decorator with parentheses")
    checked = tuple(chests)
    for chest in checked:
        if isinstance(chest, str):
            open_chest(chest)  # connects to nothing, and says now what is wrong with a URL
        elif not callable(getattr(chest, "write", None)):
            raise SettingsError(f"chests: {type(chest).__name__} is neither a chest nor the URL of one")
    return checked


def _checked_names(tracked_vars: Any) -> tuple[str, ...] | Mapping[str, tuple[str, ...]] | None:
    if tracked_vars is None:
        return None
    try:
        return cast("tuple[str, ...] | Mapping[str, tuple[str, ...]]", tracked_names().parse(tracked_vars))
    except ValueError as error:
        raise SettingsError(f"tracked_vars: expected {tracked_names().text}; {error}") from None
