"""The clients: every kind of request, and never more or longer than they were told."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator

import pytest
from werkzeug.serving import make_server

from chest.cli.demo.exchange import CLIENT_LEFT, CONNECTION_LOST, Exchange
from chest.cli.demo.traffic import Traffic
from chest.request.wsgi import StartResponse, WSGIEnvironment

Address = tuple[str, int]


class Server:
    """A server with a thread for each request, which counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.is_answering = threading.Event()
        self.is_answering.set()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        self.is_answering.wait(60)
        self.asked.append((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
        start_response("200 OK", [("Content-Length", "2"), ("X-Request-ID", environ.get("HTTP_X_REQUEST_ID", "given"))])
        return [b"ok"]


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def address(server: Server) -> Iterator[Address]:
    http_server = make_server("127.0.0.1", 0, server, threaded=True)
    thread = threading.Thread(target=http_server.serve_forever, args=(0.02,))
    thread.start()
    yield ("127.0.0.1", http_server.server_port)
    server.is_answering.set()
    http_server.shutdown()
    thread.join()
    http_server.server_close()


def test_the_clients_make_as_many_requests_as_they_were_told_and_of_every_kind(
    server: Server, address: Address
) -> None:
    with Traffic(address, requests=64, deadline_seconds=60) as traffic:
        assert traffic.wait_for(64, timeout_seconds=60)
    assert len(traffic.exchanges) == len(server.asked) == 64
    assert {path.rpartition("/")[0] + "/" if "items" in path else path for _, path in server.asked} == {
        "/", "/items/", "/feed", "/search", "/cart", "/nowhere", "/export", "/broken",
    }  # fmt: skip
    assert Counter(method for method, _ in server.asked)["POST"] == 8
    assert Counter(exchange.failure for exchange in traffic.exchanges) == {None: 60, CLIENT_LEFT: 4}
    assert all(exchange.request_id for exchange in traffic.exchanges)


def test_the_clients_stop_at_the_deadline_with_requests_left(address: Address) -> None:
    with Traffic(address, requests=1_000_000, deadline_seconds=1) as traffic:
        assert traffic.wait_for(1_000_000, timeout_seconds=60)
        assert traffic.is_over
    assert 0 < len(traffic.exchanges) < 1_000_000


def test_leaving_the_block_begins_no_further_request(server: Server, address: Address) -> None:
    with Traffic(address, requests=1_000_000, deadline_seconds=60) as traffic:
        assert traffic.wait_for(20, timeout_seconds=60)
    assert traffic.is_over
    assert len(traffic.exchanges) < 1_000_000


def test_waiting_ends_with_the_time_when_nothing_is_answered(server: Server, address: Address) -> None:
    server.is_answering.clear()
    with Traffic(address, requests=8) as traffic:
        assert not traffic.wait_for(8, timeout_seconds=0.05)
        server.is_answering.set()


def test_a_server_that_is_gone_makes_unanswered_requests_and_no_error(address: Address) -> None:
    http_server = make_server("127.0.0.1", 0, Server())
    http_server.server_close()
    with Traffic(("127.0.0.1", http_server.server_port), requests=16, deadline_seconds=60) as traffic:
        assert traffic.wait_for(16, timeout_seconds=60)
    assert {exchange.failure for exchange in traffic.exchanges} <= {CONNECTION_LOST, CLIENT_LEFT}
    assert not any(exchange.is_answered for exchange in traffic.exchanges)


def test_what_others_asked_counts_too(address: Address) -> None:
    with Traffic(address, requests=0) as traffic:
        traffic.add(Exchange("GET", "/", "a", 200))
    assert [exchange.request_id for exchange in traffic.exchanges] == ["a"]


def test_without_streams_the_clients_begin_none(server: Server, address: Address) -> None:
    with Traffic(address, requests=160) as traffic, traffic.without_streams():
        before = [path for _, path in server.asked].count("/export")
        assert not traffic.wait_for(160, timeout_seconds=0.5)
        assert [path for _, path in server.asked].count("/export") == before
