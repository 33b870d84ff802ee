"""What Flask and Bottle leave in ``environ`` is in the record, without an adapter; an exception that is answered, too."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, Final

import bottle
import pytest
from flask import Blueprint, Flask, Response, request, stream_with_context
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

from chest import current
from chest.record.record import Record
from chest.request.framework import is_answer_of
from tests.protocol.exchange import Exchange, Recorded, environ_of

_SIZE: Final = "http.response.body.size"
_SCHEME: Final = "url.scheme"
_TIMES: Final = "chest.time_to_first_byte_ns"


def _flask_site() -> Flask:
    site, shop = Flask("site"), Blueprint("shop", "shop")

    @shop.get("/items/<int:number>")
    def item(number: int) -> str:
        return str(12 / number)

    @shop.get("/named")
    def named() -> str:
        current().route = "/by-hand"
        return ""

    @site.get("/rows")
    def rows() -> Response:
        return Response(stream_with_context(iter([request.path, "b"])))

    @site.get("/exit")
    def leave() -> str:
        raise SystemExit(1)

    site.register_blueprint(shop, url_prefix="/shop")
    site.logger.disabled = True
    return site


def _record(app: Any, path: str, **more: Any) -> Record:
    recorded = Recorded(app)
    Exchange().run(recorded, environ_of(path, **more))
    return recorded.record


def _told(record: Record) -> tuple[str | None, dict[str, Any]]:
    return record.route, {
        name: value for name, value in record.attributes.items() if name not in (_SIZE, _TIMES, _SCHEME)
    }


@pytest.mark.parametrize(
    ("path", "route", "attributes"),
    [
        ("/shop/items/3", "/shop/items/<int:number>", {"flask.endpoint": "shop.item", "flask.blueprint": "shop"}),
        ("/shop/items/0", "/shop/items/<int:number>", {"flask.endpoint": "shop.item", "flask.blueprint": "shop"}),
        ("/rows", "/rows", {"flask.endpoint": "rows"}),
        ("/shop/named", "/by-hand", {"flask.endpoint": "shop.named", "flask.blueprint": "shop"}),
        ("/missing", None, {}),
    ],
)
def test_flask_inside_the_middleware_has_route_endpoint_and_blueprint(
    path: str, route: str | None, attributes: dict[str, str]
) -> None:
    assert _told(_record(_flask_site().wsgi_app, path)) == (route, attributes)


def test_the_route_of_a_request_that_raises_is_in_the_traceback() -> None:
    record = _record(_flask_site().wsgi_app, "/exit")
    assert (record.route, record.outcome, record.attributes["flask.endpoint"]) == ("/exit", "shutdown", "leave")


def test_the_route_has_the_mount_of_its_application_before_it() -> None:
    mounted = DispatcherMiddleware(Flask("outer").wsgi_app, {"/eu": _flask_site().wsgi_app})
    assert _record(mounted, "/eu/shop/items/3").route == "/eu/shop/items/<int:number>"
    assert _record(_flask_site().wsgi_app, "/rows", SCRIPT_NAME="/eu").route == "/eu/rows"
    behind_proxy = ProxyFix(_flask_site().wsgi_app, x_prefix=1)
    assert _record(behind_proxy, "/rows", HTTP_X_FORWARDED_PREFIX="/eu").route == "/eu/rows"


def test_flasks_request_is_not_kept() -> None:
    environ = environ_of("/rows")
    recorded = Recorded(_flask_site().wsgi_app)
    body = recorded(environ, lambda *_: print)
    assert environ["chest.context"]._environ is None
    body.close()


def _bottle_site(catchall: bool = True) -> bottle.Bottle:
    site = bottle.Bottle()
    site.config["catchall"] = catchall
    site.get("/items/<number:int>")(lambda number: str(12 / number))
    site.get("/abort")(lambda: bottle.abort(403))

    @site.get("/rows")
    def rows() -> Iterator[str]:
        yield "a"

    return site


@pytest.mark.parametrize(
    ("path", "route", "error"),
    [
        ("/items/3", "/items/<number:int>", None),
        ("/items/0", "/items/<number:int>", "ZeroDivisionError"),
        ("/abort", "/abort", None),
        ("/rows", "/rows", None),
        ("/missing", None, None),
    ],
)
@pytest.mark.parametrize("catchall", [True, False])
def test_bottle_inside_the_middleware_has_its_route_and_its_exception(
    path: str, route: str | None, error: str | None, catchall: bool
) -> None:
    record = _record(_bottle_site(catchall), path)
    assert (record.route, record.error, record.status == 500) == (route, error, error is not None)
    assert record.attributes.get("exception.message") == (error and "division by zero")


def test_an_exception_that_is_answered_with_exc_info_is_recorded() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        try:
            raise ValueError("no such cart")
        except ValueError as error:
            start_response("400 Bad Request", [], (ValueError, error, error.__traceback__))
        return [b"sorry"]

    record = _record(app, "/")
    assert (record.status, record.error, record.attributes["exception.message"]) == (400, "ValueError", "no such cart")


class _Raising:
    @property
    def url_rule(self) -> Any:
        raise RuntimeError("not in a request")


@pytest.mark.parametrize(
    "left",
    [
        {"werkzeug.request": None},
        {"werkzeug.request": _Raising()},
        {"werkzeug.request": SimpleNamespace(url_rule=SimpleNamespace(rule=[], endpoint={}))},
        {"bottle.route": None},
        {"bottle.route": SimpleNamespace(rule=3)},
    ],
    ids=["none", "raising", "unhashable", "no route", "no text"],
)
def test_what_is_not_a_frameworks_costs_a_request_nothing(left: dict[str, Any]) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        environ.update(left)
        start_response("200 OK", [])
        return [b"a"]

    assert _told(_record(app, "/")) == (None, {})


class _OwnNotFound(bottle.HTTPError):
    pass


@pytest.mark.parametrize(
    ("error", "status", "expected"),
    [
        (bottle.HTTPError(404), 404, True),
        (bottle.HTTPError(500), 500, False),
        (_OwnNotFound(404), 404, False),
        (ValueError(), None, False),
        (bottle.BottleException(), None, False),
    ],
    ids=["of the framework", "of 500", "the application's own", "another's", "without a status"],
)
def test_a_frameworks_exception_below_500_says_no_more_than_its_status(
    error: BaseException, status: int | None, expected: bool
) -> None:
    assert is_answer_of("bottle", error, status) is expected


@pytest.mark.parametrize(
    "headers",
    [
        [("Cache-Control", "max-age=315360000, public, immutable")],
        [("Content-Type", "text/css"), ("cache-control", "Immutable")],
    ],
    ids=str,
)
@pytest.mark.parametrize("exc_info", [(), (None,)], ids=["no exc_info", "exc_info of None"])
def test_an_immutable_response_carries_no_id(headers: list[tuple[str, str]], exc_info: tuple[None, ...]) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", headers, *exc_info)
        return [b"body {}"]

    assert Exchange().run(Recorded(app), environ_of()).headers == headers


def test_any_other_response_that_may_be_cached_carries_the_id() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Cache-Control", "max-age=60, mutable"), ("X-Cache-Control", "immutable")])
        return [b"a"]

    assert [name for name, _ in Exchange().run(Recorded(app), environ_of()).headers][-1] == "X-Request-ID"
