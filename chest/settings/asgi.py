"""Recognizes ASGI applications at start: called as WSGI they would fail with each request."""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any, Final

from chest.errors import SettingsError

_FIRST_NAME: Final = "scope"
_ASGI_ARGUMENTS: Final = 3
_ADVICE: Final = {
    "django": "Wrap what django.core.wsgi.get_wsgi_application() returns instead.",
    "connexion": "Requests of Connexion 3 pass no WSGI application that could be wrapped, so they cannot be recorded.",
    "falcon": "falcon.App is Falcon's WSGI application.",
}
"""By the package that an application's class comes from."""
_ADVICE_FOR_OTHERS: Final = (
    "A WSGI application that an ASGI server is to serve is recorded inside the bridge:"
    " WsgiToAsgi(ChestMiddleware(app)), with asgiref."
)


def refuse_asgi(app: Any, wrapper: str) -> None:
    """Do nothing if ``app`` may be a WSGI application.

    :param wrapper: what was to record it, for the message.
    :raises SettingsError: it is an ASGI application.
    """
    if _is_asgi(app):
        raise SettingsError(
            f"{wrapper} records WSGI applications, and {_name_of(app)} is an ASGI application: it is called with scope,"
            f" receive and send. {_ADVICE.get(_kind_of(app).__module__.partition('.')[0], _ADVICE_FOR_OTHERS)}"
        )


def _is_asgi(app: Any) -> bool:
    function = _function_of(app)
    try:
        for called in (function, getattr(function, "__call__", None)):  # noqa: B004 - which function it is, and not whether
            if inspect.iscoroutinefunction(called) or inspect.isasyncgenfunction(called):
                return True
        # What a decorator wraps may take other arguments than what it returns.
        signature = inspect.signature(app, follow_wrapped=False)
    except Exception:  # noqa: BLE001 - a callable in C, or one whose attributes raise: its requests will tell
        return False
    if next(iter(signature.parameters), None) == _FIRST_NAME:
        return True
    takes_three = _can_be_called_with(_ASGI_ARGUMENTS, signature)
    if takes_three and _can_be_called_with(2, signature):  # a decorator's (*args, **kwargs): it hands them on
        return inspect.iscoroutinefunction(inspect.unwrap(function))
    return takes_three


def _can_be_called_with(count: int, signature: inspect.Signature) -> bool:
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return False
    return True


def _function_of(app: Any) -> Any:
    while isinstance(app, partial):
        app = app.func
    return app


def _kind_of(app: Any) -> Any:
    """The class of an object, also behind a method of it; a function itself."""
    app = _function_of(app)
    owner = getattr(app, "__self__", app)
    return owner if inspect.isroutine(owner) or isinstance(owner, type) else type(owner)


def _name_of(app: Any) -> str:
    kind = _kind_of(app)
    return f"{kind.__module__}.{kind.__qualname__}"
