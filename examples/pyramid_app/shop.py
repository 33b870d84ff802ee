"""A Pyramid application that is recorded.

With Chest, Pyramid and gunicorn installed, in this directory::

    CHEST_URLS=sqlite:///chest.sqlite3 gunicorn shop
    chest tail chest.sqlite3
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPConflict, HTTPNotFound
from pyramid.response import Response

from chest import ChestMiddleware, current


class SoldOut(Exception):
    pass


def item(request: Any) -> dict[str, float]:
    number = int(request.matchdict["number"])
    if number > 99:
        raise HTTPNotFound
    current()["item_id"] = number
    return {"price": 12 / number}


def buy(request: Any) -> None:
    raise SoldOut(f"item {request.matchdict['number']} is sold out")


def answer_sold_out(error: SoldOut, request: Any) -> Response:
    return HTTPConflict("sold out")


def rows(request: Any) -> Response:
    def lines() -> Iterator[bytes]:
        for number in range(3):
            current().increment("rows")
            yield b"%d\n" % number

    return Response(app_iter=lines(), content_type="text/plain")


def whoami(request: Any) -> dict[str, str | None]:
    return {"user": request.authenticated_userid}


class Policy:
    """Knows a user by a header, which a real one would check; a record asks it for nothing."""

    def authenticated_userid(self, request: Any) -> str | None:
        return request.headers.get("X-User")


with Configurator() as config:
    config.include("pyramid_chest")
    config.add_route("item", "/items/{number}")
    config.add_route("rows", "rows")
    config.add_view(item, route_name="item", request_method="GET", renderer="json")
    config.add_view(buy, route_name="item", request_method="POST")
    config.add_view(rows, route_name="rows")
    config.add_route("whoami", "whoami")
    config.add_view(whoami, route_name="whoami", renderer="json")
    config.set_security_policy(Policy())
    config.add_exception_view(answer_sold_out, context=SoldOut)
    application = ChestMiddleware(config.make_wsgi_app())
