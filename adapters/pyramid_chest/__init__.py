"""Chest for Pyramid: routes and exceptions of each request, for records that ``chest.ChestMiddleware`` makes.

``config.include("pyramid_chest")`` adds a tween that tells the record of each request what Pyramid knows of it: the pattern of the
route, its name (``pyramid.route_name``), the exception that an exception view answered, and the user id that the application asked
its security policy for. The record itself is made by :class:`chest.ChestMiddleware` around the application.

Example::

    with Configurator() as config:
        config.include("pyramid_chest")
        application = ChestMiddleware(config.make_wsgi_app())
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, Final

from chest.adapter import Bypass, record_answered, record_route, record_user

if TYPE_CHECKING:
    from pyramid.config import Configurator

__all__ = ["includeme", "recording_tween_factory"]

_BYPASS: Final = (
    "Pyramid served a request that leaves no record, since it did not pass ChestMiddleware. Give the server"
    " ChestMiddleware(config.make_wsgi_app())."
)


def includeme(config: Configurator) -> None:
    """Add the tween; for ``config.include("pyramid_chest")``."""
    config.add_tween("pyramid_chest.recording_tween_factory")


def recording_tween_factory(handler: Callable[[Any], Any], registry: Any) -> Callable[[Any], Any]:
    """The tween, for an application that lists ``pyramid.tweens`` in its settings: above ``pyramid.tweens.excview_tween_factory``.

    :param handler: the rest of Pyramid.
    """
    bypass = Bypass(_BYPASS)
    _record_users(registry)

    def recording_tween(request: Any) -> Any:
        environ = request.environ
        bypass.look(environ)
        try:
            response = handler(request)
        finally:
            route = getattr(request, "matched_route", None)
            if route is not None:
                record_route(environ, f"/{route.pattern.lstrip('/')}", {"pyramid.route_name": route.name})
        error = request.exception
        if error is not None:
            record_answered(environ, error, "pyramid", getattr(error, "code", None))
        return response

    return recording_tween


def _record_users(registry: Any) -> None:
    """Have the security policy tell a record each user id that it gives. It is never asked for a record: that may load a user."""
    from pyramid.interfaces import ISecurityPolicy

    policy = registry.queryUtility(ISecurityPolicy)
    if policy is None:
        return
    ask = policy.authenticated_userid

    @wraps(ask)
    def authenticated_userid(request: Any) -> Any:
        user_id = ask(request)
        record_user(request.environ, user_id)
        return user_id

    try:
        policy.authenticated_userid = authenticated_userid
    except AttributeError:  # a class with slots: its users are not recorded
        pass
