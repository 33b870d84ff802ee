"""One request, one record, however often the middleware is mounted; every inner mount adds to the same context."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from chest import current
from chest.request.selection import Selection
from tests.protocol.exchange import Recorded, environ_of, serve


def _app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [])
    environ["chest.context"]["by"] = environ["SCRIPT_NAME"]
    current().increment("times")
    return _stream() if environ["PATH_INFO"] == "/stream" else [b"list"]


def _stream() -> Iterator[bytes]:
    current().increment("times")
    yield b"chunk"


@pytest.mark.parametrize("path", ["/shop/list", "/shop/stream", "/list", "/stream"])
def test_inside_a_dispatcher_inside_another_mount_the_outer_one_records(path: str) -> None:
    inner = Recorded(_app)
    outer = Recorded(DispatcherMiddleware(_app, {"/shop": inner}))
    exchange = serve(outer, path)
    assert inner.records == []
    assert outer.record.path == path
    assert outer.record.variables == {"by": path.rpartition("/")[0], "times": 1 + path.endswith("stream")}
    assert [name for name, _ in exchange.headers] == ["X-Request-ID"]


def test_mounts_side_by_side_record_what_is_theirs() -> None:
    shop, blog = Recorded(_app), Recorded(_app)
    app = DispatcherMiddleware(_not_found, {"/shop": shop, "/blog": blog})
    serve(app, "/shop/list")
    serve(app, "/blog/stream")
    serve(app, "/other")
    assert (shop.record.path, blog.record.path) == ("/shop/list", "/blog/stream")


def _not_found(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("404 Not Found", [])
    return [b""]


def test_wrapped_twice_in_itself_a_middleware_records_once() -> None:
    first = Recorded(_app)
    again = Recorded(Recorded(first))
    assert serve(again, "/stream").text == b"chunk"
    assert first.records == []
    assert again.record.variables["times"] == 2


def test_an_exception_through_two_mounts_is_recorded_once() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        raise LookupError("inside")

    inner = Recorded(app)
    outer = Recorded(inner)
    assert str(serve(outer).error) == "inside"
    assert inner.records == []
    assert outer.record.error == "LookupError"


def test_what_the_outer_mount_excludes_the_inner_one_may_record() -> None:
    inner = Recorded(_app)
    outer = Recorded(DispatcherMiddleware(_app, {"/shop": inner}), Selection(exclude_paths=("/shop/*",)))
    serve(outer, "/shop/list")
    assert outer.records == []
    assert inner.record.path == "/shop/list"


def test_a_request_made_inside_a_request_with_an_environ_of_its_own_leaves_its_own_record() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        if environ["PATH_INFO"] == "/outer":
            current()["before"] = True
            serve(recorded, "/inner")
            current()["after"] = True
        start_response("200 OK", [])
        return [b""]

    recorded = Recorded(app)
    serve(recorded, "/outer")
    assert [(record.path, record.variables) for record in recorded.records] == [
        ("/inner", {}),
        ("/outer", {"before": True, "after": True}),
    ]


def test_a_request_forwarded_with_a_copy_of_its_environ_is_the_same_request() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/old":
            return recorded({**environ, "PATH_INFO": "/stream"}, start_response)
        return _app(environ, start_response)

    recorded = Recorded(app)
    assert serve(recorded, "/old").text == b"chunk"
    assert recorded.record.path == "/old"
    assert recorded.record.variables == {"by": "", "times": 2}


def test_streams_read_by_turns_by_one_thread_and_begun_in_another_keep_their_variables() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        for number in range(3):
            current()[f"{environ['PATH_INFO']}{number}"] = number
            yield b"x"

    inner = Recorded(app)
    outer = Recorded(inner)
    bodies: list[Any] = []

    def begin() -> None:
        bodies.extend(outer(environ_of(path), lambda *_: lambda _: None) for path in ("/a", "/b"))
        for body in bodies:
            next(iter(body))

    thread = threading.Thread(target=begin)
    thread.start()
    thread.join()
    for _ in range(2):
        for body in bodies:
            next(body)
    for body in bodies:
        body.close()
    assert [list(record.variables) for record in outer.records] == [["/a0", "/a1", "/a2"], ["/b0", "/b1", "/b2"]]
    assert inner.records == []
