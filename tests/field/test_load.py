"""``Clients``: no end of a server ends them. And the receiver: the end of a client during a request leaves none."""

from __future__ import annotations

import socket
import threading

from tests.field.load import Clients
from tests.recording_server import recording_server
from tests.servers import HOST
from tests.support import wait_until

_WHOLE = b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n7"


def test_a_client_goes_on_wherever_a_worker_ends_in_its_answer() -> None:
    with socket.create_server((HOST, 0)) as listening:

        def serve() -> None:
            for end in range(len(_WHOLE) + 1):
                connection, _ = listening.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(_WHOLE[:end])

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        port = listening.getsockname()[1]
        with Clients(port, keeps_connections=False, count=1, pause_seconds=0) as clients:
            clients.wait_for(1, lambda: None, 60)
    assert clients.errors == []
    assert clients.unanswered >= len(_WHOLE)


def test_a_receiver_takes_no_request_whose_body_was_cut() -> None:
    with recording_server() as receiver:
        for cut, length in ((b"", 2), (b"[", 2), (b"[]", 2)):
            with socket.create_connection((HOST, receiver.port)) as connection:
                connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (length, cut))
        wait_until(lambda: receiver.posts, 60)
        assert [post.json for post in receiver.posts] == [[]]
