"""When Flask has read the request: before the first byte, or at the end."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import (
    Flask,
    Response,
    abort,
    g,
    make_response,
    redirect,
    request,
    request_finished,
    send_file,
    stream_with_context,
)
from flask.views import MethodView
from werkzeug.exceptions import NotFound
from werkzeug.middleware.proxy_fix import ProxyFix

from chest import current
from tests.adapters.flask_chest.served_request.exchange import Exchange, Make, OutOfStock


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
