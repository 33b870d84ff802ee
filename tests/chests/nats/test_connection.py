"""What a connection to NATS does with what a server sends, line by line; the server is made up."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from typing import Any

import pytest

from chest.chests.nats.connection import NatsConnection, NoResponders
from chest.chests.nats.connections import NatsConnections
from chest.chests.nats.reader import NatsReader
from chest.chests.nats.stream import publish
from chest.chests.nats.url import NatsTarget
from chest.errors import ChestUnavailable, LoginRefused
from tests.servers.process import free_port

_INFO = b'INFO {"headers":true,"version":"2.15.1","max_payload":1000}\r\n'


class Peer:
    """The server's end of one connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket, self._file = connection, connection.makefile("rb")

    def line(self) -> bytes:
        return self._file.readline().rstrip(b"\r\n")

    def let_in(self) -> None:
        self.send(_INFO)
        assert self.line().startswith(b"CONNECT {")
        assert self.line() == b"PING"
        self.send(b"PONG\r\n")
        assert self.line().startswith(b"SUB _INBOX.")

    def send(self, content: bytes) -> None:
        self._socket.sendall(content)

    def wait_for_end(self) -> None:
        while self._file.readline():
            pass

    def close(self) -> None:
        self._file.close()
        self._socket.close()


Serve = Callable[[Callable[[Peer], object]], NatsTarget]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serves one connection in a thread, as the function says, and gives where."""
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def start(act: Callable[[Peer], object]) -> NatsTarget:
        def run() -> None:
            peer = Peer(listener.accept()[0])
            with suppress(OSError):
                act(peer)
            peer.close()

        threads.append(threading.Thread(target=run, daemon=True))
        threads[-1].start()
        return NatsTarget.of(f"nats://127.0.0.1:{listener.getsockname()[1]}/shop")

    yield start
    listener.close()
    for thread in threads:
        thread.join(60)


def test_a_ping_that_came_while_it_was_idle_is_answered(serve: Serve) -> None:
    said: list[bytes] = []
    sent = threading.Event()

    def act(peer: Peer) -> None:
        peer.let_in()
        peer.send(b"PING\r\nINFO {}\r\n+OK\r\nPI")
        sent.set()
        said.append(peer.line())
        peer.send(b"NG\r\n")
        said.append(peer.line())

    connection = NatsConnection(serve(act), 60)
    assert sent.wait(60)
    deadline = time.monotonic() + 60
    while len(said) < 2 and time.monotonic() < deadline:
        is_alive = connection.revive()
        time.sleep(0.01)
        if not is_alive:
            break
    connection.close()
    assert said == [b"PONG", b"PONG"]


def test_an_end_that_came_while_it_was_idle_is_noticed(serve: Serve) -> None:
    closed = threading.Event()

    def act(peer: Peer) -> None:
        peer.let_in()
        peer.close()
        closed.set()

    connection = NatsConnection(serve(act), 60)
    assert closed.wait(60)
    deadline = time.monotonic() + 60
    while connection.revive() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not connection.revive()
    connection.close()


def test_an_answer_in_small_pieces_and_one_that_nothing_waits_for(serve: Serve) -> None:
    def act(peer: Peer) -> None:
        peer.let_in()
        inbox = peer.line().split()[2]
        peer.line()
        whole = b"MSG another 1 2\r\nhi\r\nHMSG %b 1 12 14\r\nNATS/1.0\r\n\r\nok\r\n" % inbox
        for place in range(len(whole)):
            peer.send(whole[place : place + 1])
            time.sleep(0.001)

    connection = NatsConnection(serve(act), 60)
    message = connection.request("question", b"body")
    connection.close()
    assert (message.payload, message.status, message.reply) == (b"ok", 0, b"")


def test_a_question_that_nothing_takes(serve: Serve) -> None:
    def act(peer: Peer) -> None:
        peer.let_in()
        inbox = peer.line().split()[2]
        peer.line()
        peer.send(b"HMSG %b 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n" % inbox)

    connection = NatsConnection(serve(act), 60)
    with pytest.raises(NoResponders, match="nothing answers to question"):
        connection.request("question")
    connection.close()


@pytest.mark.parametrize(
    ("sent", "kind"),
    [
        (b"-ERR 'Permissions Violation for Publish to \"x\"'\r\n", LoginRefused),
        (b"-ERR 'User Authentication Expired'\r\n", LoginRefused),
        (b"-ERR 'Maximum Payload Violation'\r\n", ChestUnavailable),
        (b"-ERR 'Slow Consumer'\r\n", ChestUnavailable),
        (b"MSG x y z\r\n", ChestUnavailable),
        (b"HELLO\r\n", ChestUnavailable),
        (b"x" * (1 << 20) + b"y" * 100, ChestUnavailable),
        (b"", ChestUnavailable),
    ],
)
def test_what_a_server_sends_in_the_place_of_an_answer(serve: Serve, sent: bytes, kind: type[Exception]) -> None:
    def act(peer: Peer) -> None:
        peer.let_in()
        peer.line()
        peer.send(sent)

    connection = NatsConnection(serve(act), 60)
    with pytest.raises(ChestUnavailable) as failure:
        connection.request("question")
    connection.close()
    assert type(failure.value) is kind


def test_an_answer_that_comes_byte_by_byte_is_waited_for_only_as_long_as_said(serve: Serve) -> None:
    def act(peer: Peer) -> None:
        peer.let_in()
        for _ in range(600):
            peer.send(b"x")
            time.sleep(0.05)

    connection = NatsConnection(serve(act), 60)
    connection.begin(0.5)
    begin = time.monotonic()
    with pytest.raises(ChestUnavailable, match=r"did not answer within 0\.5 s"):
        connection.request("question")
    connection.close()
    assert time.monotonic() - begin < 20


def test_a_host_that_did_not_answer_leaves_the_others_the_time_that_there_is(serve: Serve) -> None:
    there = serve(lambda peer: peer.let_in())
    target = there._replace(hosts=(("127.0.0.1", free_port()), *there.hosts))
    connection = NatsConnection(target, 600)
    connection.close()
    assert connection._left() > 500


def test_the_next_host_is_tried_first_after_one_that_answers_and_does_nothing(serve: Serve) -> None:
    target, *_ = [serve(Peer.let_in) for _ in range(3)]
    target = target._replace(hosts=target.hosts * 2)
    connections = NatsConnections(target)
    places = []
    for _ in range(3):
        with suppress(NoResponders), connections.use() as connection:
            places.append(connection.host)
            raise NoResponders("no leader")
    assert places == [0, 1, 0]


def test_a_reader_leaves_a_host_that_does_nothing(serve: Serve) -> None:
    def act(peer: Peer) -> None:
        peer.let_in()
        if asked := peer.line():  # the second connection asks nothing
            peer.send(b"HMSG %b 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n" % asked.split()[2])

    target, _ = serve(act), serve(act)
    connections = NatsConnections(target._replace(hosts=target.hosts * 2))
    with pytest.raises(ChestUnavailable, match="JetStream does not answer"):
        NatsReader(target, connections, "shop").receive(1)
    with closing(connections.take()) as connection:
        assert connection.host == 1


def test_the_addresses_of_a_name_share_the_time(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    there = serve(Peer.let_in)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, ExitStack() as waiting:
        for _ in range(4):
            client = waiting.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(full.getsockname())

        def lead_to(*addresses: tuple[str, int]) -> None:
            found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]
            monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)

        lead_to(("127.0.0.1", free_port()), there.hosts[0])
        NatsConnection(there, 60).close()
        lead_to(*[full.getsockname()] * 40)
        begin = time.monotonic()
        with pytest.raises(ChestUnavailable, match="did not answer within 1 s"):
            NatsConnection(there, 1)
        assert time.monotonic() - begin < 20


@pytest.mark.parametrize(
    ("info", "says"),
    [
        (b"INFO no json\r\n", "JSONDecodeError"),
        (b'INFO {"version":"2.1"}\r\n', "knows no headers"),
        (b"HTTP/1.1 400 Bad Request\r\n", "is no NATS server: it began with .*HTTP"),
    ],
)
def test_what_is_no_server_of_now(serve: Serve, info: bytes, says: str) -> None:
    target: Any = serve(lambda peer: peer.send(info))
    with pytest.raises(ChestUnavailable, match=says):
        NatsConnection(target, 60)


_STORED = b'{"stream":"shop","seq":7}'
_FULL = b'{"error":{"code":400,"err_code":10077,"description":"maximum messages exceeded"},"stream":"shop","seq":0}'
_OTHERS = (
    b"ok",
    b"",
    b"{}",
    b"[" * 100_000,
    b'"error"',
    b'{"error":"no"}',
    b'{"stream":"shop"}',
    b'{"stream":"shop","seq":true}',
    b'{"stream":"other","seq":1}',
)


def _answering(*payloads: bytes) -> Callable[[Peer], object]:
    """Answers one published message so often."""

    def act(peer: Peer) -> None:
        peer.let_in()
        inbox = peer.line().split()[2]
        for payload in payloads:
            peer.send(b"MSG %b 1 %d\r\n%b\r\n" % (inbox, len(payload), payload))
        peer.wait_for_end()

    return act


@pytest.mark.parametrize("is_atomic", [False, True])
@pytest.mark.parametrize("other", _OTHERS)
def test_what_another_program_answers_says_nothing_of_what_is_stored(
    serve: Serve, other: bytes, is_atomic: bool
) -> None:
    """Any may subscribe to the subject, and be faster than the stream."""
    target = serve(_answering(other, _FULL))
    refused = pytest.raises(ChestUnavailable, match="maximum messages exceeded")
    with closing(NatsConnection(target, 60)) as connection, refused:
        publish(connection, target, [("id", b"{}")], is_atomic=is_atomic)
    target = serve(_answering(other, _STORED))
    with closing(NatsConnection(target, 60)) as connection:
        publish(connection, target, [("id", b"{}")], is_atomic=is_atomic)


def test_a_stream_that_does_not_answer_while_another_program_does_is_told(serve: Serve) -> None:
    target = serve(_answering(b"ok"))
    says = r"did not answer within 1 s\. Another program answers on shop\.records"
    with closing(NatsConnection(target, 60)) as connection:
        connection.begin(1)
        with pytest.raises(ChestUnavailable, match=says):
            publish(connection, target, [("id", b"{}")], is_atomic=False)
