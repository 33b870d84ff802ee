"""``ServedRequest``: what Flask says of a request, and whether its record is made before the first byte is sent."""

from __future__ import annotations

import copy
import functools
import importlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest
from flask import (
    Blueprint,
    Flask,
    Response,
    abort,
    g,
    got_request_exception,
    make_response,
    redirect,
    request,
    request_finished,
    send_file,
    stream_with_context,
)
from flask.sessions import SecureCookieSessionInterface
from flask.views import MethodView
from werkzeug.exceptions import HTTPException, InternalServerError, NotFound
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import Client

from chest import current

Make = Callable[..., Any]


class Exchange:
    """One request, made as a server makes it, step by step."""

    def __init__(self, shop: Any, path: str, method: str = "GET") -> None:
        self._shop = shop
        environ: dict[str, Any] = {"PATH_INFO": path, "REQUEST_METHOD": method}
        setup_testing_defaults(environ)
        self.body = shop.app(environ, self._start_response)

    def _start_response(self, status: str, headers: Any, exc_info: Any = None) -> Callable[[bytes], object]:
        self.status = status
        return io.BytesIO().write

    @property
    def is_recorded(self) -> bool:
        return bool(self._shop.records)

    def finish(self) -> bytes:
        try:
            return b"".join(self.body)
        finally:
            if hasattr(self.body, "close"):
                self.body.close()


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


class OutOfStock(Exception):
    pass


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


# -- before the first byte, or at the end -------------------------------------------------------------------------------------


def serving(views: dict[str, Callable[[], Any]]) -> Flask:
    """An application with each view under its name."""
    app = Flask("shop")
    for name, view in views.items():
        app.add_url_rule(f"/{name}", name, view)
    return app


class Shelf(MethodView):
    def get(self) -> str:
        return "shelf"


def raised() -> None:
    raise NotFound(response=Response("nothing here", 404))


def complete_views() -> Flask:
    app = serving(
        {
            "text": lambda: "text",
            "json": lambda: {"a": 1},
            "list": lambda: Response(["a", "b", "ü"]),
            "empty": lambda: ("", 204),
            "redirect": lambda: redirect("/text"),
            "abort": lambda: abort(404),
            "aborted": lambda: abort(make_response({"a": 1}, 409)),
            "raised": raised,
            "broken": lambda: str(1 // 0),
            "method": Shelf.as_view("shelf"),
            "buffered": lambda: Response(["a", "b"]),
        }
    )

    @app.after_request
    def sized(response: Response) -> Response:
        if request.path == "/buffered":
            response.add_etag()
        return response

    return app


@pytest.mark.parametrize(
    "path",
    [
        "/text",
        "/json",
        "/list",
        "/empty",
        "/redirect",
        "/abort",
        "/aborted",
        "/raised",
        "/broken",
        "/method",
        "/buffered",
        "/nowhere",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_complete_response_is_recorded_before_its_first_byte(recorded: Make, path: str, method: str) -> None:
    shop = recorded(complete_views())
    exchange = Exchange(shop, path, method)
    assert exchange.is_recorded
    size = len(exchange.finish())
    assert shop.record.status == int(exchange.status[:3])
    assert shop.record.attributes.get("http.response.body.size", 0) == size
    assert "chest.time_to_first_byte_ns" not in shop.record.attributes
    assert shop.record.outcome == ("error" if path == "/broken" else "ok")


def test_options_and_405_are_recorded_before_their_first_byte(recorded: Make) -> None:
    shop = recorded(complete_views())
    assert Exchange(shop, "/text", "OPTIONS").is_recorded
    assert Exchange(shop, "/text", "POST").status.startswith("405")
    assert len(shop.records) == 2


def streaming_views(path: Path) -> Flask:
    def rows() -> Iterator[str]:
        yield "a"
        current()["rows"] = 2
        yield "b"

    def aborted() -> None:
        response = Response("ab")
        record = current()
        response.call_on_close(lambda: record.update(rows=2))
        abort(response)

    app = serving(
        {
            "stream": lambda: Response(rows()),
            "generator": rows,
            "with_context": lambda: Response(stream_with_context(rows())),
            "file": lambda: send_file(path),
            "text": lambda: "text",
            "abort": lambda: abort(Response(rows(), 409)),
            "aborted": aborted,
        }
    )

    @app.get("/callback")
    def callback() -> Response:
        response = make_response("ab")
        record = current()
        response.call_on_close(lambda: record.update(rows=2))
        return response

    @app.after_request
    def stream(response: Response) -> Response:
        if request.args or request.path == "/text":
            response.response = rows()
            del response.headers["Content-Length"]
        return response

    return app


@pytest.mark.parametrize("path", ["/stream", "/generator", "/with_context", "/abort", "/aborted", "/callback", "/text"])
def test_a_stream_and_what_becomes_one_is_recorded_when_it_ends(recorded: Make, tmp_path: Path, path: str) -> None:
    shop = recorded(streaming_views(tmp_path))
    exchange = Exchange(shop, path)
    assert not exchange.is_recorded
    assert exchange.finish() == b"ab"
    assert (shop.record.variables, shop.record.outcome) == ({"rows": 2}, "ok")
    assert shop.record.attributes["http.response.body.size"] == 2


def test_what_a_receiver_of_request_finished_makes_a_stream_is_one(recorded: Make) -> None:
    app = Flask("shop")
    app.get("/")(lambda: "text")

    def make_stream(sender: Flask, response: Response) -> None:
        response.response = iter(["st", "ream"])
        del response.headers["Content-Length"]

    request_finished.connect(make_stream, app)
    shop = recorded(app)
    exchange = Exchange(shop, "/")
    assert not exchange.is_recorded
    assert exchange.finish() == b"stream"
    assert shop.record.attributes["http.response.body.size"] == 6


def test_a_file_is_recorded_when_it_was_sent_and_the_servers_own_way_is_left_to_it(
    recorded: Make, tmp_path: Path
) -> None:
    (tmp_path / "lamp.bin").write_bytes(b"l" * 5000)
    shop = recorded(streaming_views(tmp_path / "lamp.bin"))
    exchange = Exchange(shop, "/file")
    assert not exchange.is_recorded
    assert exchange.finish() == b"l" * 5000
    assert (shop.record.route, shop.record.status, shop.record.outcome) == ("/file", 200, "ok")


def test_middleware_in_between_that_makes_another_body_is_waited_for(recorded: Make) -> None:
    app = Flask("shop")
    app.get("/")(lambda: "text")
    inner = app.wsgi_app

    def lazy(environ: Any, start_response: Any) -> Iterator[bytes]:
        return (chunk.upper() for chunk in inner(environ, start_response))

    app.wsgi_app = lazy  # type: ignore[method-assign]
    shop = recorded(app)
    exchange = Exchange(shop, "/")
    assert not exchange.is_recorded
    assert exchange.finish() == b"TEXT"
    assert shop.record.status == 200


def test_middleware_in_between_that_leaves_the_body_alone_changes_nothing(recorded: Make) -> None:
    app = complete_views()
    app.wsgi_app = ProxyFix(app.wsgi_app)  # type: ignore[method-assign]
    shop = recorded(app)
    for path in ("/text", "/abort", "/broken", "/nowhere"):
        before = len(shop.records)
        exchange = Exchange(shop, path)
        assert len(shop.records) == before + 1, path
        exchange.finish()
    assert len(shop.records) == 4


class LoudResponse(Response):
    def __call__(self, environ: Any, start_response: Any) -> Any:
        return (chunk.upper() for chunk in super().__call__(environ, start_response))


class NumberedResponse(Response):
    def iter_encoded(self) -> Iterator[bytes]:
        for chunk in super().iter_encoded():
            g.chunks = g.get("chunks", 0) + 1
            yield chunk


@pytest.mark.parametrize(("kind", "body"), [(LoudResponse, b"TEXT"), (NumberedResponse, b"text")])
def test_a_class_of_responses_that_makes_another_body_is_waited_for(
    recorded: Make, kind: type[Response], body: bytes
) -> None:
    app = Flask("shop")
    app.response_class = kind
    app.get("/")(lambda: "text")
    shop = recorded(app)
    exchange = Exchange(shop, "/")
    assert not exchange.is_recorded
    if kind is NumberedResponse:
        with app.app_context():
            assert exchange.finish() == body
    else:
        assert exchange.finish() == body
    assert (shop.record.status, shop.record.outcome) == (200, "ok")


def test_an_answer_that_was_streamed_around_a_whole_one_is_waited_for(recorded: Make) -> None:
    app = Flask("shop")
    app.get("/inner")(lambda: "text")

    @app.get("/")
    def outer() -> Response:
        environ = {**request.environ, "PATH_INFO": "/inner"}  # as a middleware for sub-requests does
        inner = b"".join(app.wsgi_app(environ, lambda status, headers, exc_info=None: io.BytesIO().write))
        return Response(iter([inner, b"!"]))

    shop = recorded(app)
    exchange = Exchange(shop, "/")
    assert not exchange.is_recorded
    assert exchange.finish() == b"text!"
    assert shop.record.attributes["http.response.body.size"] == 5


def test_a_view_that_says_its_stream_is_complete_is_believed(recorded: Make) -> None:
    def view() -> Response:
        current().body_is_complete()
        return Response(iter(["a"]))

    shop = recorded(serving({"said": view}))
    exchange = Exchange(shop, "/said")
    assert exchange.is_recorded
    exchange.finish()
    assert len(shop.records) == 1


def test_a_stream_that_breaks_is_an_error_with_the_status_that_was_sent(recorded: Make) -> None:
    app = Flask("shop")

    def rows() -> Iterator[str]:
        yield "a"
        g.rows = 1
        raise OutOfStock

    app.get("/")(lambda: Response(stream_with_context(rows())))
    shop = recorded(app)
    exchange = Exchange(shop, "/")
    with pytest.raises(OutOfStock):
        exchange.finish()
    assert (shop.record.status, shop.record.outcome, shop.record.error) == (200, "error", "OutOfStock")
    assert shop.record.variables == {"rows": 1}


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
