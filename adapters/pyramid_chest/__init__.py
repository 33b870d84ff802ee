"""Chest for Pyramid: routes and exceptions of each request, for records that ``chest.ChestMiddleware`` makes.

``config.include("pyramid_chest")`` adds a tween that tells the record of each request what Pyramid knows of it: the pattern of the
route, its name (``pyramid.route_name``), and the exception that an exception view answered. The record itself is made by
:class:`chest.ChestMiddleware` around the application.

Example::

    with Configurator() as config:
        config.include("pyramid_chest")
        application = ChestMiddleware(config.make_wsgi_app())
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from chest.adapter import Bypass, record_answered, record_route

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
