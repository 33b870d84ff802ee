"""What a record has of a request that Flask served: its route and its exception."""

from __future__ import annotations

import copy
import functools
import importlib
import io
from collections.abc import Callable
from typing import Any

import pytest
from flask import (
    Blueprint,
    Flask,
    Response,
    abort,
    g,
    got_request_exception,
)
from flask.sessions import SecureCookieSessionInterface
from werkzeug.exceptions import HTTPException, InternalServerError, NotFound
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import Client

from tests.adapters.flask_chest.served_request.exchange import Exchange, Make, OutOfStock

# -- the route --------------------------------------------------------------------------------------------------------------


def test_the_route_is_the_rule_and_never_the_path(recorded: Make) -> None:
    app = Flask("shop")
    app.get("/items/<int:item_id>")(lambda item_id: str(item_id))
    shop = recorded(app)
    shop.client.get("/items/3")
    assert (shop.record.route, shop.record.path) == ("/items/<int:item_id>", "/items/3")
    assert shop.told == {"flask.endpoint": "<lambda>"}


def test_endpoint_and_blueprint_are_attributes_also_of_a_nested_blueprint(recorded: Make) -> None:
    admin, users = Blueprint("admin", "admin", url_prefix="/admin"), Blueprint("users", "users", url_prefix="/users")
    users.get("/<name>", endpoint="show")(lambda name: name)
    admin.register_blueprint(users)
    app = Flask("shop")
    app.register_blueprint(admin)
    shop = recorded(app)
    shop.client.get("/admin/users/ada")
    assert shop.record.route == "/admin/users/<name>"
    assert shop.told == {"flask.endpoint": "admin.users.show", "flask.blueprint": "admin.users"}


def test_the_route_has_the_mount_of_its_application_as_the_path_has(recorded: Make) -> None:
    def shop_of(name: str) -> Flask:
        app = Flask(name)
        app.get("/items/<int:number>")(lambda number: name)
        return app

    shop = recorded(shop_of("shop"))
    admin = recorded(shop_of("admin"), chests=[shop.chest])
    mounts = DispatcherMiddleware(shop.app, {"/admin": admin.app, "/caf\u00c3\u00a9/x": admin.app})
    for path in ("/items/1", "/admin/items/1", "/admin/nothing", "/café/x/items/1"):
        Client(mounts).get(path)
    assert admin.recorder.flush(60)
    assert sorted((record.path, record.route) for record in shop.records) == [
        ("/admin/items/1", "/admin/items/<int:number>"),
        ("/admin/nothing", None),
        ("/café/x/items/1", "/café/x/items/<int:number>"),
        ("/items/1", "/items/<int:number>"),
    ]


@pytest.mark.parametrize("is_around", [False, True])
def test_the_route_has_the_prefix_that_a_proxy_takes_away(recorded: Make, is_around: bool) -> None:
    app = Flask("shop")
    app.get("/items/<int:number>")(lambda number: "item")
    if not is_around:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_prefix=1)  # type: ignore[method-assign]
    shop = recorded(app)
    if is_around:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_prefix=1)  # type: ignore[method-assign]
    for path in ("/items/3", "/nothing"):
        shop.client.get(path, headers={"X-Forwarded-Prefix": "/shop"})
    shop.client.get("/items/3")
    assert [(record.path, record.route) for record in shop.records] == [
        ("/shop/items/3", "/shop/items/<int:number>"),
        ("/shop/nothing", None),
        ("/items/3", "/items/<int:number>"),
    ]


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("POST", "/items", 405)])
def test_a_request_without_a_rule_has_no_route(recorded: Make, method: str, path: str, status: int) -> None:
    app = Flask("shop")
    app.get("/items")(lambda: "items")
    shop = recorded(app)
    shop.client.open(path, method=method)
    assert (shop.record.route, shop.record.status, shop.told) == (None, status, {})


def test_a_request_that_a_before_request_function_answers_has_its_route(recorded: Make) -> None:
    app = Flask("shop")
    app.before_request(lambda: ("not you", 401))
    app.get("/items")(lambda: "items")
    shop = recorded(app)
    shop.client.get("/items")
    assert (shop.record.route, shop.record.status) == ("/items", 401)


def test_a_view_may_say_another_route(recorded: Make) -> None:
    app = Flask("shop")

    @app.get("/<path:path>")
    def page(path: str) -> str:
        g.chest.route = "/pages/*"
        return path

    shop = recorded(app)
    shop.client.get("/a/b")
    assert shop.record.route == "/pages/*"


def test_a_request_whose_worker_is_stopped_in_the_view_has_its_route_and_its_variables(recorded: Make) -> None:
    app = Flask("shop")

    @app.get("/slow")
    def slow() -> str:
        g.user_id = "123"
        raise SystemExit(0)

    shop = recorded(app)
    with pytest.raises(SystemExit):
        shop.client.get("/slow")
    assert (shop.record.route, shop.record.outcome, shop.record.variables) == ("/slow", "shutdown", {"user_id": "123"})


# -- exceptions -------------------------------------------------------------------------------------------------------------


class SessionsThatDoNotOpen(SecureCookieSessionInterface):
    def open_session(self, app: Flask, request: Any) -> Any:
        raise ConnectionError("no session store")


class Teapot(HTTPException):
    code = 418
    description = "short and stout"


def raising(error: BaseException, *handled: type[Exception] | int, **config: Any) -> Flask:
    """An application whose view raises, and which handles these."""
    app = Flask("shop")
    app.config.update(config)

    @app.get("/")
    def view() -> str:
        g.user_id = "123"
        raise error

    for kind in handled:
        app.register_error_handler(kind, lambda error: ("handled", 409))
    return app


def answering_itself(app: Flask) -> None:
    """What extensions do: answer exceptions without what was there."""
    app.handle_exception = lambda error: Response("oh", 500)  # type: ignore[method-assign,assignment]


def answering_users_itself(app: Flask) -> None:
    app.handle_user_exception = lambda error: Response("oh", 500)  # type: ignore[method-assign,assignment]


def wrapping(app: Flask) -> None:
    @functools.wraps(app.handle_user_exception)
    def handle_user_exception(error: Exception) -> Response:
        return Response("oh", 500)

    app.handle_user_exception = handle_user_exception  # type: ignore[method-assign,assignment]


def restful(name: str) -> Callable[[Flask], None]:
    return lambda app: importlib.import_module(name).Api(app)  # type: ignore[no-any-return]


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize(
    "extend", [answering_itself, answering_users_itself, wrapping, restful("flask_restful"), restful("flask_restx")]
)
def test_an_exception_is_recorded_whatever_extension_answers_it_before_or_after_the_recorder(
    recorded: Make, extend: Callable[[Flask], None], is_first: bool
) -> None:
    app = Flask("shop")
    app.config["PROPAGATE_EXCEPTIONS"] = False
    if not is_first:
        extend(app)
    shop = recorded(app)
    if is_first:
        extend(app)

    @app.get("/broken")
    def view() -> None:
        raise OutOfStock("no lamps left")

    shop.client.get("/broken").close()
    assert (shop.record.status, shop.record.error) == (500, "OutOfStock")
    assert shop.record.attributes["exception.message"] == "no lamps left"


def test_an_extension_that_only_sends_the_signal_is_heard(recorded: Make) -> None:
    app = Flask("shop")

    @app.get("/<kind>")
    def view(kind: str) -> tuple[str, int]:
        error = OutOfStock("no lamps left") if kind == "broken" else NotFound()
        got_request_exception.send(app, exception=error)
        return "oh", 500

    shop = recorded(app)
    shop.client.get("/broken")
    shop.client.get("/missing")
    assert [record.error for record in shop.records] == ["OutOfStock", None]


def test_an_exception_that_a_handler_answers_is_recorded_with_its_class(recorded: Make) -> None:
    shop = recorded(raising(OutOfStock("no lamps left"), OutOfStock))
    assert shop.client.get("/").text == "handled"
    record = shop.record
    assert (record.error, record.status, record.outcome) == ("OutOfStock", 409, "ok")
    assert record.attributes["exception.message"] == "no lamps left"
    assert record.variables == {"user_id": "123"}


def test_an_exception_that_the_handler_of_a_blueprint_answers_is_recorded_too(recorded: Make) -> None:
    blueprint = Blueprint("shop", "shop")
    blueprint.register_error_handler(ZeroDivisionError, lambda error: ("handled", 400))
    blueprint.get("/")(lambda: str(1 // 0))
    app = Flask("shop")
    app.register_blueprint(blueprint)
    shop = recorded(app)
    shop.client.get("/")
    assert (shop.record.error, shop.record.status) == ("ZeroDivisionError", 400)


def test_an_unhandled_exception_is_recorded_with_the_status_that_is_sent(recorded: Make) -> None:
    shop = recorded(raising(OutOfStock("no lamps left")))
    assert shop.client.get("/").status_code == 500
    record = shop.record
    assert (record.error, record.status, record.outcome, record.route) == ("OutOfStock", 500, "error", "/")
    assert record.variables == {"user_id": "123"}


def test_an_exception_that_propagates_is_recorded_although_no_after_request_runs(recorded: Make) -> None:
    app = raising(OutOfStock("no lamps left"), TESTING=True)
    app.after_request(lambda response: pytest.fail("after_request"))
    shop = recorded(app)
    with pytest.raises(OutOfStock):
        shop.client.get("/")
    assert (shop.record.error, shop.record.status, shop.record.outcome) == ("OutOfStock", 500, "error")
    assert (shop.record.route, shop.record.variables) == ("/", {"user_id": "123"})


def test_what_a_handler_raises_itself_is_what_is_recorded(recorded: Make) -> None:
    app = raising(OutOfStock())

    @app.errorhandler(OutOfStock)
    def handler(error: OutOfStock) -> str:
        raise LookupError("no template")

    shop = recorded(app)
    assert shop.client.get("/").status_code == 500
    assert (shop.record.error, shop.record.attributes["exception.message"]) == ("LookupError", "no template")


def test_the_handlers_own_word_counts_most(recorded: Make) -> None:
    app = raising(OutOfStock())

    @app.errorhandler(OutOfStock)
    def handler(error: OutOfStock) -> tuple[str, int]:
        g.chest.record_error(TimeoutError("the warehouse"))
        return "later", 503

    shop = recorded(app)
    shop.client.get("/")
    assert (shop.record.error, shop.record.outcome) == ("TimeoutError", "error")


def test_what_the_handler_of_the_500_sets_is_recorded(recorded: Make) -> None:
    app = raising(OutOfStock())

    @app.errorhandler(500)
    def handler(error: InternalServerError) -> tuple[str, int]:
        g.error_number = 7
        return "sorry", 500

    shop = recorded(app)
    shop.client.get("/")
    assert shop.record.variables == {"user_id": "123", "error_number": 7}


@pytest.mark.parametrize("handled", [(), (NotFound,), (404,)])
def test_an_abort_below_500_is_an_answer_and_no_error(recorded: Make, handled: tuple[Any, ...]) -> None:
    shop = recorded(raising(NotFound(), *handled))
    status = shop.client.get("/").status_code
    assert (shop.record.status, shop.record.error, shop.record.outcome) == (status, None, "ok")


def test_a_redirect_of_flasks_routing_is_not_an_error(recorded: Make) -> None:
    app = Flask("shop")
    app.get("/items/")(lambda: "items")
    shop = recorded(app)
    assert shop.client.get("/items").status_code == 308
    assert (shop.record.error, shop.record.route) == (None, None)


def test_an_abort_of_500_and_above_is_an_error(recorded: Make) -> None:
    app = Flask("shop")
    app.get("/")(lambda: abort(503))
    shop = recorded(app)
    shop.client.get("/")
    assert (shop.record.error, shop.record.status, shop.record.outcome) == ("ServiceUnavailable", 503, "error")


def test_an_http_exception_of_the_applications_own_is_recorded_with_its_class(recorded: Make) -> None:
    shop = recorded(raising(Teapot()))
    shop.client.get("/")
    assert (shop.record.error, shop.record.status, shop.record.outcome) == ("Teapot", 418, "ok")


def test_an_abort_that_was_trapped_into_a_500_is_an_error(recorded: Make) -> None:
    shop = recorded(raising(NotFound(), TRAP_HTTP_EXCEPTIONS=True))
    shop.client.get("/")
    assert (shop.record.error, shop.record.status) == ("NotFound", 500)


def test_an_exception_of_an_after_request_function_is_recorded(recorded: Make) -> None:
    app = Flask("shop")
    app.get("/")(lambda: "fine")
    app.after_request(lambda response: (_ for _ in ()).throw(LookupError("no header")))
    shop = recorded(app)
    assert shop.client.get("/").status_code == 500
    assert (shop.record.error, shop.record.status) == ("LookupError", 500)


def test_an_exception_while_the_session_is_opened_leaves_a_record_without_a_route(recorded: Make) -> None:
    app = Flask("shop", static_folder=None)
    app.get("/")(lambda: "fine")
    app.session_interface = SessionsThatDoNotOpen()
    shop = recorded(app)
    assert shop.client.get("/").status_code == 500
    assert (shop.record.error, shop.record.status, shop.record.route) == ("ConnectionError", 500, None)


# -- environ ----------------------------------------------------------------------------------------------------------------


def test_environ_can_be_copied_in_depth_before_flask_has_it_and_the_copy_served_is_a_request_of_its_own(
    recorded: Make,
) -> None:
    app = Flask("shop")
    app.get("/<name>")(lambda name: name)
    flask = app.wsgi_app

    def twice(environ: dict[str, Any], start_response: Any) -> Any:
        if environ["PATH_INFO"] == "/outer":
            copied = {**copy.deepcopy(environ), "PATH_INFO": "/inner"}
            assert copied["chest.flask"] is None
            b"".join(shop.app(copied, lambda *_: io.BytesIO().write))
        return flask(environ, start_response)

    app.wsgi_app = twice  # type: ignore[method-assign]
    shop = recorded(app)
    assert Exchange(shop, "/outer").finish() == b"outer"
    assert sorted((record.path, record.route) for record in shop.records) == [
        ("/inner", "/<name>"),
        ("/outer", "/<name>"),
    ]
