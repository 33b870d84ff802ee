"""The request line and what is made of it: targets of every form, paths in any encoding, keys that are missing."""

from __future__ import annotations

from typing import Any, Final

import pytest

from tests.protocol.exchange import Recorded, environ_of, serve
from tests.protocol.wire import Wire, new_id

# What stands in the request line, what the client sends beside it, and the path that is recorded where the server serves it.
TARGETS: Final = {
    "percent-encoded UTF-8": ("/caf%C3%A9", "/café"),
    "percent-encoded latin-1": ("/%FF%2F", "/\ufffd/"),
    "control characters": ("/a%00b", "/a\ufffdb"),
    "query": ("/search?q=secret", "/search"),
    "root": ("/", "/"),
}


@pytest.mark.parametrize(("target", "path"), TARGETS.values(), ids=TARGETS)
def test_a_path_is_recorded_decoded_and_without_its_query(wire: Wire, target: str, path: str) -> None:
    request_id = new_id()
    assert wire.ask(target, request_id) == wire.ask(target, new_id(), app="bare")._replace(request_id=request_id)
    record = wire.record(request_id)
    assert record.path == path
    assert "secret" not in repr(record)


@pytest.mark.parametrize(
    "request_line",
    [
        "GET //double//slash HTTP/1.1",
        "GET /../x/./y HTTP/1.1",
        "GET http://other.test/absolute?q HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "PURGE /unknown-method HTTP/1.1",
    ],
)
def test_a_target_of_an_uncommon_form_is_recorded_as_the_server_understood_it(wire: Wire, request_line: str) -> None:
    method, target, _ = request_line.split()
    request_id = new_id()
    answer = wire.ask(target, request_id, method=method)
    assert answer == wire.ask(target, new_id(), method=method, app="bare")._replace(request_id=request_id)
    record = wire.record(request_id)
    assert (record.method, record.status) == (method, 200)
    assert f"'PATH_INFO': {record.path!r}".encode() in answer.body


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_request_without_a_host_is_recorded(wire: Wire, version: str) -> None:
    request_id = new_id()
    answer = wire.send(
        f"GET /no-host HTTP/{version}\r\nX-Request-ID: {request_id}\r\nConnection: close\r\n\r\n".encode()
    )
    assert answer.status == 200
    assert wire.record(request_id).path == "/no-host"


def test_a_body_that_the_client_sends_reaches_the_application_whole(wire: Wire) -> None:
    request_id = new_id()
    sent = bytes(range(256)) * 100
    head = f"POST /form HTTP/1.1\r\nHost: a\r\nX-Request-ID: {request_id}\r\nConnection: close\r\n"
    answer = wire.send(f"{head}Content-Length: {len(sent)}\r\n\r\n".encode() + sent)
    assert sent in answer.body
    assert wire.record(request_id).method == "POST"


# -- environs that no server above gives ---------------------------------------------------------------------------------


def _hello(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return [b"hello"]


@pytest.mark.parametrize(
    ("environ", "path"),
    [
        ({"SCRIPT_NAME": None, "PATH_INFO": "/a"}, "/a"),
        ({"SCRIPT_NAME": "", "PATH_INFO": "/a"}, "/a"),
        ({"SCRIPT_NAME": "/shop", "PATH_INFO": ""}, "/shop"),
        ({"SCRIPT_NAME": "/caf\u00c3\u00a9", "PATH_INFO": "/\u00c3\u00a9"}, "/caf\u00e9/\u00e9"),
        ({"SCRIPT_NAME": "/shop", "PATH_INFO": "//a"}, "/shop//a"),
        ({"SCRIPT_NAME": None, "PATH_INFO": None}, ""),
        ({"PATH_INFO": "/\u00e9"}, "/\ufffd"),
        ({"PATH_INFO": "/\u20ac"}, "/\u20ac"),  # not what PEP 3333 calls a string, but test clients give it
    ],
)
def test_the_path_of_an_odd_environ_is_recorded_as_well_as_it_can_be(environ: dict[str, Any], path: str) -> None:
    app = Recorded(_hello)
    assert serve(app, **environ).text == b"hello"
    assert app.record.path == path


def test_a_request_of_which_nothing_is_known_is_recorded() -> None:
    app = Recorded(_hello)
    assert app({}, lambda *_: lambda _: None) == [b"hello"]  # type: ignore[arg-type]
    record = app.record
    assert (record.method, record.path, record.status) == ("", "", 200)


def test_an_environ_that_is_used_again_for_the_next_request_gives_a_record_each() -> None:
    app = Recorded(_hello)
    environ = environ_of("/first")
    app(environ, lambda *_: lambda _: None)
    environ["PATH_INFO"] = "/second"
    app(environ, lambda *_: lambda _: None)
    assert [record.path for record in app.records] == ["/first", "/second"]
    assert app.records[0].request_id != app.records[1].request_id


def test_a_stream_is_recorded_although_the_server_emptied_its_environ() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [])
        return iter([b"x"])

    recorded = Recorded(app)
    environ = environ_of("/streamed", "POST", HTTP_X_REQUEST_ID="abc")
    body = recorded(environ, lambda *_: lambda _: None)
    environ.clear()
    assert list(body) == [b"x"]
    body.close()  # type: ignore[attr-defined]
    record = recorded.record
    assert (record.method, record.path, record.request_id) == ("POST", "/streamed", "abc")
