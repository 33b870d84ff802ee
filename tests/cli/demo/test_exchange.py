"""What a client sees of its request, told by servers that answer, cut and hang up on purpose."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from chest.cli.demo.exchange import CLIENT_LEFT, CONNECTION_LOST, STREAM_CUT, Client

Serve = Callable[[bytes], tuple[tuple[str, int], Callable[[], bytes]]]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """A server for one request, which sends given bytes and hangs up; the second result is what it was asked."""
    with ThreadPoolExecutor() as threads, socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)

        def answer(response: bytes) -> bytes:
            connection, _ = listener.accept()
            with connection:
                request = connection.recv(65536)
                while b"Content-Length" in request and not request.endswith(b"}"):  # a body comes in a piece of its own
                    request += connection.recv(65536)
                connection.sendall(response)
            return request

        def start(response: bytes) -> tuple[tuple[str, int], Callable[[], bytes]]:
            return listener.getsockname(), threads.submit(answer, response).result

        yield start


def test_a_whole_response_is_an_answer(serve: Serve) -> None:
    address, _ = serve(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno")
    exchange = Client(address, "ada").send("GET", "/nowhere")
    assert exchange.is_answered
    assert (exchange.method, exchange.path, exchange.status) == ("GET", "/nowhere", 404)


def test_the_client_says_who_it_is_and_names_the_request(serve: Serve) -> None:
    address, asked = serve(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
    exchange = Client(address, "ada").send("POST", "/cart", {"item_ids": [1]})
    head, _, body = asked().decode().partition("\r\n\r\n")
    assert "X-User: ada" in head
    assert f"X-Request-ID: {exchange.request_id}" in head
    assert json.loads(body) == {"item_ids": [1]}


def test_a_request_without_a_name_is_known_by_the_one_the_server_gave_it(serve: Serve) -> None:
    address, asked = serve(b"HTTP/1.1 200 OK\r\nX-Request-ID: made-by-server\r\nContent-Length: 0\r\n\r\n")
    exchange = Client(address, "ada").send("GET", "/", names_request=False)
    assert b"X-Request-ID" not in asked()
    assert exchange.request_id == "made-by-server"


@pytest.mark.parametrize(
    ("response", "failure"),
    [
        (b"", CONNECTION_LOST),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", CONNECTION_LOST),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", STREAM_CUT),
    ],
)
def test_a_response_that_breaks_off_is_not_an_answer(serve: Serve, response: bytes, failure: str) -> None:
    address, _ = serve(response)
    assert Client(address, "ada").send("GET", "/").failure == failure


def test_a_refused_connection_is_not_an_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
    exchange = Client(address, "ada").send("GET", "/")
    assert (exchange.failure, exchange.status) == (CONNECTION_LOST, None)


def test_leaving_hangs_up_amid_the_stream() -> None:
    gone = threading.Event()

    def stream_until_hung_up(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            try:
                for _ in range(1_000_000):
                    connection.sendall(b"5\r\nline\n\r\n")
            except OSError:
                gone.set()

    with ThreadPoolExecutor() as threads, socket.create_server(("127.0.0.1", 0)) as listener:
        threads.submit(stream_until_hung_up, listener)
        exchange = Client(listener.getsockname(), "ada").leave("/export")
        assert gone.wait(60)
    assert (exchange.failure, exchange.status) == (CLIENT_LEFT, 200)
