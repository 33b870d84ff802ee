"""Chest for Bottle: routes and exceptions of each request, for records that ``chest.ChestMiddleware`` makes."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Final

from chest.adapter import Bypass, MissingDependencyError, record_answered, record_route, record_user

try:
    from bottle import request
except ModuleNotFoundError as error:
    if error.name != "bottle":
        raise
    raise MissingDependencyError("bottle_chest needs Bottle: pip install 'wsgi-chest[bottle]'") from error

__all__ = ["BottleRecorder"]

_BYPASS: Final = (
    "Bottle served a request that leaves no record, since it did not pass ChestMiddleware. Give the server"
    " ChestMiddleware(app): run(app=ChestMiddleware(app))."
)


class BottleRecorder:
    """A plugin that tells the record of each request what Bottle knows of it.

    The rule of the route, the name of its callback (``bottle.callback``), the server's ``REMOTE_USER``, and each exception that the
    callback raises: also one that another plugin answers, and ``abort(503)``. The record itself is made by :class:`chest.ChestMiddleware` around the
    application; without the plugin it has the route and exceptions that nothing answered.

    Example::

        app = bottle.Bottle()
        app.install(BottleRecorder())
        application = ChestMiddleware(app)
    """

    name = "chest"
    api = 2

    def __init__(self) -> None:
        self._bypass = Bypass(_BYPASS)

    def apply(self, callback: Callable[..., Any], route: Any) -> Callable[..., Any]:
        """The callback of a route, recorded."""
        rule, names = route.rule, {"bottle.callback": getattr(route.callback, "__qualname__", "")}

        @wraps(callback)
        def recorded(*args: Any, **kwargs: Any) -> Any:
            environ = request.environ
            self._bypass.look(environ)
            record_route(environ, rule, names)
            record_user(environ, environ.get("REMOTE_USER"))
            try:
                return callback(*args, **kwargs)
            except Exception as error:
                record_answered(environ, error, "bottle", getattr(error, "status_code", None))
                raise

        return recorded
