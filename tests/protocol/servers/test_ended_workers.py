"""A worker that is ended in the middle of a request: the exception passes through, and the record says what it was."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from chest.record.record import Record
from tests import servers
from tests.protocol.exchange import Recorded, serve
from tests.protocol.wire import APP, Wire, new_id
from tests.support import wait_until


@contextmanager
def _waiting(wire: Wire, request_id: str) -> Iterator[socket.socket]:
    """A request that is being served until the test ends it."""
    with wire.connection() as connection:
        head = f"GET /waits HTTP/1.1\r\nHost: a\r\nX-Request-ID: {request_id}\r\n\r\n"
        connection.sendall(head.encode())
        wait_until(lambda: wire.notes(request_id) == ["waiting"])
        yield connection


def _record_after_the_end(wire: Wire, request_id: str) -> Record:
    wire.server.stop()
    wire.recover()
    [record] = wire.records(request_id)
    return record


def test_a_request_that_gunicorn_times_out_is_recorded_as_a_worker_timeout(tmp_path: Path) -> None:
    request_id = new_id()
    with servers.gunicorn(APP, tmp_path, "--timeout=1", environ=Wire.environ(tmp_path)) as server:
        wire = Wire(server)
        with _waiting(wire, request_id):
            wait_until(lambda: "WORKER TIMEOUT" in server.log())
            wait_until(lambda: server.log().count("Booting worker") >= 2)
        record = _record_after_the_end(wire, request_id)
    assert (record.status, record.outcome, record.error) == (None, "worker_timeout", "SystemExit")
    assert record.variables == {"seen": "by the app"}
    assert record.duration_ns > 0.1e9


def test_a_request_that_a_quick_stop_of_gunicorn_ends_is_recorded_as_a_shutdown(tmp_path: Path) -> None:
    request_id = new_id()
    with servers.gunicorn(APP, tmp_path, environ=Wire.environ(tmp_path)) as server:
        wire = Wire(server)
        with _waiting(wire, request_id):
            server.stop(signal.SIGQUIT)
        record = _record_after_the_end(wire, request_id)
    assert (record.status, record.outcome, record.error) == (None, "shutdown", "SystemExit")


def test_a_greenlet_that_gunicorn_kills_when_its_grace_is_over_is_recorded_as_a_shutdown(tmp_path: Path) -> None:
    request_id = new_id()
    # One request is the most that the worker takes, so it ends by itself; told to by its master, it may be killed first.
    options = ["--max-requests=1", "--graceful-timeout=1"]
    with servers.gunicorn(APP, tmp_path, *options, worker_class="gevent", environ=Wire.environ(tmp_path)) as server:
        wire = Wire(server)
        with _waiting(wire, request_id):
            wait_until(lambda: server.log().count("Booting worker") >= 2)
        record = _record_after_the_end(wire, request_id)
    assert (record.status, record.outcome, record.error) == (None, "shutdown", "GreenletExit")


@pytest.mark.parametrize("wire", ["gunicorn-gevent", "wsgiref", "werkzeug"], indirect=True)
def test_an_application_that_exits_is_answered_as_without_the_middleware(wire: Wire) -> None:
    request_id = new_id()
    assert wire.ask("/exits", request_id) == wire.ask("/exits", new_id(), app="bare")
    record = wire.record(request_id)
    assert (record.outcome, record.error) == ("shutdown", "SystemExit")


@pytest.mark.parametrize("place", ["app", "first chunk", "second chunk", "close"])
def test_a_killed_greenlet_is_recorded_wherever_it_waits(place: str) -> None:
    servers.needs("gevent")
    import gevent

    def wait(here: str) -> None:
        if here == place:
            gevent.sleep(60)

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            wait("first chunk")
            yield b"first"
            wait("second chunk")
            yield b"second"

        def close(self) -> None:
            wait("close")

    def app(environ: dict[str, Any], start_response: Any) -> Body:
        start_response("200 OK", [])
        wait("app")
        return Body()

    recorded = Recorded(app)
    greenlet = gevent.spawn(serve, recorded)
    gevent.sleep(0)
    greenlet.kill()
    assert isinstance(greenlet.value.error, gevent.GreenletExit)
    assert (recorded.record.outcome, recorded.record.error) == ("shutdown", "GreenletExit")
