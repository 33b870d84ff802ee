"""One bare route in each framework, which records three variables: what an application of that framework is to a middleware."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Final

from benchmarks.rig.application import App
from chest import current

_ANSWER: Final = "hello"


def _record() -> None:
    context = current()
    context["user_id"] = "123"
    context["plan"] = "premium"
    context["cart_items"] = 5


def flask_app() -> Any:
    """A :class:`flask.Flask`; ``/`` is answered whole, ``/rows`` as a stream. Its variables are attributes of ``g``."""
    from flask import Flask, Response, g

    app = Flask("benchmarks.shop")

    def record() -> None:
        g.user_id, g.plan, g.cart_items = "123", "premium", 5

    @app.get("/")
    def item() -> str:
        record()
        return _ANSWER

    @app.get("/rows")
    def rows() -> Response:
        record()
        return Response(iter([_ANSWER]))

    return app


def flask_app_for_middleware() -> Any:
    """The same, with its variables in the context: nothing reads ``g`` for a middleware alone."""
    from flask import Flask, Response

    app = Flask("benchmarks.shop")

    @app.get("/")
    def item() -> str:
        _record()
        return _ANSWER

    @app.get("/rows")
    def rows() -> Response:
        _record()
        return Response(iter([_ANSWER]))

    return app


def django_app() -> App:
    """Django's handler with no middleware of its own; the settings of the process are made at the first call."""
    import django
    from django.conf import settings
    from django.core.handlers.wsgi import WSGIHandler
    from django.http import HttpRequest, HttpResponse
    from django.urls import path

    def view(request: HttpRequest) -> HttpResponse:
        _record()
        return HttpResponse(_ANSWER, content_type="text/plain")

    if not settings.configured:
        settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=(path("", view),), SECRET_KEY="benchmarks", MIDDLEWARE=[])
        django.setup()
    handler: App = WSGIHandler()
    return handler


def falcon_app() -> App:
    """A :class:`falcon.App`."""
    import falcon

    class Item:
        def on_get(self, request: Any, response: Any) -> None:
            _record()
            response.text = _ANSWER

    app: Any = falcon.App()
    app.add_route("/", Item())
    answered: App = app
    return answered


def bottle_app() -> App:
    """A :class:`bottle.Bottle`."""
    import bottle

    app: Any = bottle.Bottle()

    @app.get("/")
    def item() -> str:
        _record()
        return _ANSWER

    answered: App = app
    return answered


def pyramid_app() -> App:
    """The application that a :class:`pyramid.config.Configurator` makes."""
    with warnings.catch_warnings(action="ignore"):  # it imports what other packages say is deprecated
        from pyramid.config import Configurator
        from pyramid.response import Response

    def item(request: Any) -> Any:
        _record()
        return Response(_ANSWER)

    with Configurator() as configurator:
        configurator.add_route("item", "/")
        configurator.add_view(item, route_name="item")
        made: App = configurator.make_wsgi_app()
    return made


FRAMEWORKS: Final[dict[str, Callable[[], App]]] = {
    "Django": django_app,
    "Falcon": falcon_app,
    "Bottle": bottle_app,
    "Pyramid": pyramid_app,
}
"""Those that are wrapped whole, by name."""
