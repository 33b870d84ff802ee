"""An HTTP server on a free loopback port that keeps every request and answers as it was told; for chests over HTTP."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit


class Received(NamedTuple):
    """One request as it came."""

    method: str
    target: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes
    connection: int
    """The same for requests over one connection."""

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def params(self) -> list[tuple[str, str]]:
        return parse_qsl(urlsplit(self.target).query)

    @property
    def content(self) -> bytes:
        """The body, uncompressed."""
        return gzip.decompress(self.body) if self.headers.get("content-encoding") == "gzip" else self.body

    @property
    def form(self) -> list[tuple[str, str]]:
        return parse_qsl(self.content.decode(), keep_blank_values=True)

    @property
    def json(self) -> Any:
        return json.loads(self.content)


class Reply(NamedTuple):
    """What to answer."""

    status: int = 204
    headers: Mapping[str, str] = {}
    body: bytes = b""
    delay_seconds: float = 0.0
    cut_before: bool = False
    """Read the request, and close the connection without an answer."""


class RecordingServer:
    """What came, and what to answer: ``reply`` to each request, after those of ``replies`` are used up."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.replies: list[Reply] = []
        self.reply = Reply()
        self.ending = threading.Event()
        self.url = ""
        self.port = 0

    def next_reply(self) -> Reply:
        return self.replies.pop(0) if self.replies else self.reply

    @property
    def posts(self) -> list[Received]:
        return [request for request in self.received if request.method == "POST"]


@contextlib.contextmanager
def recording_server(
    tls: ssl.SSLContext | None = None,
    reply: Callable[[Received], Reply | None] | None = None,
    port: int = 0,
    listen: str = "127.0.0.1",
) -> Iterator[RecordingServer]:
    """A server for the block, on 127.0.0.1.

    :param tls: speaks TLS with this context.
    :param reply: asked first what to answer.
    :param port: the port that it had before; 0: a free one.
    :param listen: the address on which it listens; whatever it is, 127.0.0.1 has to reach it.
    """
    record = RecordingServer()
    open_connections: set[socket.socket] = set()
    numbers = itertools.count()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def setup(self) -> None:
            super().setup()
            self.number = next(numbers)

        def handle_any(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            if len(body) < length:  # of a client that was killed meanwhile
                self.close_connection = True
                return
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Received(self.command, self.path, headers, body, self.number)
            record.received.append(request)
            answer = (reply(request) if reply is not None else None) or record.next_reply()
            if answer.delay_seconds:
                record.ending.wait(answer.delay_seconds)
            if answer.cut_before:
                self.close_connection = True
                with contextlib.suppress(OSError):
                    self.connection.shutdown(socket.SHUT_RDWR)
                return
            if "Date" in answer.headers:
                self.send_response_only(answer.status)
            else:
                self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if answer.status != 204:
                self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)

        do_POST = do_HEAD = do_GET = handle_any

        def handle(self) -> None:
            with contextlib.suppress(ConnectionError):  # a client that gave up waiting
                super().handle()

        def log_message(self, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass

        def get_request(self) -> tuple[Any, Any]:
            connection, address = super().get_request()
            if tls is not None:
                connection = tls.wrap_socket(connection, server_side=True)
            open_connections.add(connection)
            return connection, address

        def close_request(self, request: Any) -> None:
            open_connections.discard(request)
            super().close_request(request)

    server = Server((listen, port), Handler)
    record.port = server.server_address[1]
    record.url = f"http{'s' if tls else ''}://127.0.0.1:{record.port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield record
    finally:
        record.ending.set()
        server.shutdown()
        server.server_close()
        for connection in list(open_connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        thread.join(5)


@contextlib.contextmanager
def silent_server() -> Iterator[int]:
    """A port that takes connections and never says a word; gives its number."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        yield listener.getsockname()[1]


def refused_port() -> int:
    """A loopback port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def elapsed_seconds(work: Callable[[], object]) -> float:
    """How long a call takes that raises or returns."""
    begin = time.monotonic()
    with contextlib.suppress(Exception):
        work()
    return time.monotonic() - begin
