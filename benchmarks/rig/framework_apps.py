"""One route in each framework: what an application of that framework is to a middleware.

It records what it is given to record: nothing for the bare application, three variables for Chest.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Final

from flask import g

from benchmarks.rig.application import App
from chest import current

_ANSWER: Final = "hello"


def nothing() -> None:
    """What a bare application records."""


def variables() -> None:
    """Three variables, for the middleware."""
    context = current()
    context["user_id"] = "123"
    context["plan"] = "premium"
    context["cart_items"] = 5


def variables_on_g() -> None:
    """The same, for the extension for Flask."""
    g.user_id, g.plan, g.cart_items = "123", "premium", 5


def flask_app(record: Callable[[], None] = nothing) -> Any:
    """A :class:`flask.Flask`; ``/`` is answered whole, ``/rows`` as a stream."""
    from flask import Flask, Response

    app = Flask("benchmarks.shop")

    @app.get("/")
    def item() -> str:
        record()
        return _ANSWER

    @app.get("/rows")
    def rows() -> Response:
        record()
        return Response(iter([_ANSWER]))

    return app


def django_app(record: Callable[[], None] = nothing) -> App:
    """Django's handler with no middleware of its own; the settings of the process are made at the first call."""
    import django
    from django.conf import settings
    from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
    from django.http import HttpRequest, HttpResponse
    from django.urls import path

    def view(request: HttpRequest) -> HttpResponse:
        record()
        return HttpResponse(_ANSWER, content_type="text/plain")

    if not settings.configured:
        settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=(), SECRET_KEY="benchmarks", MIDDLEWARE=[])
        django.setup()
    handler: Any = WSGIHandler()
    handler.request_class = type(
        "Request", (WSGIRequest,), {"urlconf": (path("", view),)}
    )  # each has a view of its own
    made: App = handler
    return made


def falcon_app(record: Callable[[], None] = nothing) -> App:
    """A :class:`falcon.App`."""
    import falcon

    class Item:
        def on_get(self, request: Any, response: Any) -> None:
            record()
            response.text = _ANSWER

    app: Any = falcon.App()
    app.add_route("/", Item())
    answered: App = app
    return answered


def bottle_app(record: Callable[[], None] = nothing) -> App:
    """A :class:`bottle.Bottle`."""
    import bottle

    app: Any = bottle.Bottle()

    @app.get("/")
    def item() -> str:
        record()
        return _ANSWER

    answered: App = app
    return answered


def pyramid_app(record: Callable[[], None] = nothing) -> App:
    """The application that a :class:`pyramid.config.Configurator` makes."""
    with warnings.catch_warnings(action="ignore"):  # it imports what other packages say is deprecated
        from pyramid.config import Configurator
        from pyramid.response import Response

    def item(request: Any) -> Any:
        record()
        return Response(_ANSWER)

    with Configurator() as configurator:
        configurator.add_route("item", "/")
        configurator.add_view(item, route_name="item")
        made: App = configurator.make_wsgi_app()
    return made


FRAMEWORKS: Final[dict[str, Callable[[Callable[[], None]], App]]] = {
    "Django": django_app,
    "Falcon": falcon_app,
    "Bottle": bottle_app,
    "Pyramid": pyramid_app,
}
"""Those that are wrapped whole, by name."""
