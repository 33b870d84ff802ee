"""ASGI applications are refused at start, by name and with what to do; what may be a WSGI application is not."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import bottle
import falcon
import falcon.asgi
import pytest
from asgiref.wsgi import WsgiToAsgi
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from flask import Flask
from flask_chest import FlaskRecorder
from werkzeug.wrappers import Request, Response

from chest import ChestMiddleware, SettingsError


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    pass


def of_two_steps(scope: Any) -> Callable[..., Any]:
    async def serve(receive: Any, send: Any) -> None:
        pass

    return serve


class OfTwoSteps:
    def __init__(self, scope: Any) -> None:
        pass

    async def __call__(self, receive: Any, send: Any) -> None:
        pass


class Asynchronous:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        pass

    async def asgi_app(self, scope: Any, receive: Any, send: Any) -> None:
        pass


@functools.wraps(asgi)
def handed_on(*args: Any, **kwargs: Any) -> Any:
    return asgi(*args, **kwargs)


class Returning:
    """What returns a coroutine without being one's function."""

    def __call__(self, first: Any, second: Any, third: Any) -> Any:
        return asgi(first, second, third)


@pytest.mark.parametrize("wrap", [ChestMiddleware, FlaskRecorder])
@pytest.mark.parametrize(
    ("app", "name"),
    [
        (asgi, "tests.settings.test_asgi.asgi"),
        (of_two_steps, "tests.settings.test_asgi.of_two_steps"),
        (OfTwoSteps, "tests.settings.test_asgi.OfTwoSteps"),
        (Asynchronous(), "tests.settings.test_asgi.Asynchronous"),
        (Asynchronous().asgi_app, "tests.settings.test_asgi.Asynchronous"),
        (functools.partial(asgi), "tests.settings.test_asgi.asgi"),
        (Returning(), "tests.settings.test_asgi.Returning"),
        (handed_on, "tests.settings.test_asgi.asgi"),
        (ASGIHandler.__new__(ASGIHandler), "get_wsgi_application()"),
        (falcon.asgi.App(), "falcon.App is Falcon's WSGI application"),
        (WsgiToAsgi(Flask("shop")), "asgiref.wsgi.WsgiToAsgi"),
    ],
)
def test_an_asgi_application_is_refused_by_name(wrap: Any, app: Any, name: str) -> None:
    with pytest.raises(SettingsError, match="is an ASGI application") as refused:
        wrap(app, chests=["memory:"])
    assert name in str(refused.value)


def plain(environ: Any, start_response: Any, exc_info: Any = None) -> list[bytes]:
    return []


@Request.application
def of_werkzeug(request: Request) -> Response:
    return Response("x")


def with_more_before(shop: Any, environ: Any, start_response: Any) -> list[bytes]:
    return []


class WithoutSignature:
    @property
    def __signature__(self) -> inspect.Signature:
        raise RuntimeError("none")

    def __call__(self, *environ: Any) -> list[bytes]:
        return []


@pytest.mark.parametrize(
    "app",
    [
        plain,
        of_werkzeug,
        functools.partial(with_more_before, "shop"),
        lambda *both: [],
        Flask("shop"),
        Flask("shop").wsgi_app,
        falcon.App(),
        bottle.Bottle(),
        WSGIHandler.__new__(WSGIHandler),
        Mock(),
        WithoutSignature(),
        ChestMiddleware(plain, chests=["memory:"]),
    ],
)
def test_what_may_be_a_wsgi_application_is_accepted(app: Any) -> None:
    ChestMiddleware(app, chests=["memory:"])
