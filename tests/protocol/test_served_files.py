"""A file goes out by the server's own ``sendfile``, as it would without the middleware, and is recorded at its ``close()``."""

from __future__ import annotations

import gc
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from wsgiref.util import FileWrapper

import pytest

from chest.request.selection import Selection
from tests import servers
from tests.protocol.apps import FILE_BYTES
from tests.protocol.exchange import Recorded, environ_of, serve
from tests.protocol.wire import APP, Wire, new_id
from tests.support import wait_until


@pytest.mark.parametrize("wire", ["uwsgi"], indirect=True)
def test_uwsgi_sends_a_file_by_sendfile(wire: Wire) -> None:
    def count() -> int:
        return sum("GET /file?" in line and "via sendfile()" in line for line in wire.server.log().splitlines())

    begin = count()
    for app in ("bare", "recorded"):
        request_id = new_id()
        assert len(wire.ask(f"/file?{app}", request_id, app=app).body) == FILE_BYTES
    assert wire.record(request_id).outcome == "ok"
    wait_until(lambda: count() == begin + 2)


@pytest.mark.parametrize("worker_class", ["sync", "gthread"])
def test_gunicorn_sends_a_file_by_sendfile(worker_class: str, tmp_path: Path) -> None:
    # gevent's sockets have no sendfile to call.
    trace = tmp_path / "trace"
    strace = [servers.needs_program("strace", "strace"), "-D", "-f", "-qq", "-e", "trace=sendfile", "-o", str(trace)]

    def sent_bytes() -> int:
        results = [line.rpartition("= ")[2] for line in trace.read_text().splitlines() if "sendfile" in line]
        return sum(int(result) for result in results if result.isdigit())

    environ = Wire.environ(tmp_path / "server")
    with servers.gunicorn(APP, tmp_path / "server", worker_class=worker_class, environ=environ, under=strace) as server:
        wire = Wire(server)
        assert len(wire.ask("/file", new_id(), app="bare").body) == FILE_BYTES
        wait_until(lambda: sent_bytes() == FILE_BYTES)
        request_id = new_id()
        assert len(wire.ask("/file", request_id).body) == FILE_BYTES
        wait_until(lambda: sent_bytes() == 2 * FILE_BYTES)
        assert wire.record(request_id).outcome == "ok"


def _app(body: Any) -> Any:
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [("Content-Length", "7")])
        return body

    return app


def test_a_file_that_cannot_be_closed_is_recorded_and_its_error_raised() -> None:
    class Broken:
        read = io.BytesIO(b"content").read

        def close(self) -> None:
            raise OSError("the disk is gone")

    app = Recorded(_app(FileWrapper(Broken())))
    exchange = serve(app, **{"wsgi.file_wrapper": FileWrapper})
    assert (exchange.text, str(exchange.error)) == (b"content", "the disk is gone")
    assert (app.record.status, app.record.outcome, app.record.error) == (200, "error", "OSError")


def test_a_file_wrapper_without_a_close_is_recorded_when_the_server_closes_it() -> None:
    class Wrapper:
        def __iter__(self) -> Iterator[bytes]:
            return iter([b"content"])

    app = Recorded(_app(body := Wrapper()))
    exchange = serve(app, **{"wsgi.file_wrapper": Wrapper})
    assert exchange.body is body
    assert app.record.outcome == "ok"


def test_a_file_that_is_not_closed_is_recorded_when_it_is_forgotten() -> None:
    class Wrapper:
        def __iter__(self) -> Iterator[bytes]:
            return iter([b"content"])

    app = Recorded(lambda environ, start_response: start_response("200 OK", []) and Wrapper())
    app(environ_of(**{"wsgi.file_wrapper": Wrapper}), lambda *_: lambda _: None)
    gc.collect()
    assert app.record.outcome == "abandoned"


def test_a_wrapper_that_is_not_the_servers_is_a_stream_like_any_other() -> None:
    class Foreign(FileWrapper):
        pass

    class Servers:
        pass

    app = Recorded(_app(Foreign(io.BytesIO(b"content"))))
    assert serve(app, **{"wsgi.file_wrapper": Servers}).text == b"content"
    assert app.record.attributes["http.response.body.size"] == 7


def test_a_file_of_an_excluded_path_is_the_servers_alone() -> None:
    body = FileWrapper(io.BytesIO(b"content"))
    app = Recorded(_app(body), Selection(exclude_paths=("/static/*",)))
    assert app(environ_of("/static/logo.png", **{"wsgi.file_wrapper": FileWrapper}), lambda *_: lambda _: None) is body
    assert "close" not in vars(body) or body.close == body.filelike.close
    assert app.records == []


def test_the_size_of_a_file_is_the_content_length_that_was_said() -> None:
    app = Recorded(_app(FileWrapper(io.BytesIO(b"content"))))
    serve(app, **{"wsgi.file_wrapper": FileWrapper})
    assert app.record.attributes["http.response.body.size"] == 7
