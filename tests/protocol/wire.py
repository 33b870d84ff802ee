"""``Wire``: requests to a real server as the bytes that they are, and the records that they left."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple
from uuid import uuid4

from chest.chests.query import Query
from chest.chests.registry import sqlite_url
from chest.chests.sql.sqlite.chest import SQLiteChest
from chest.errors import ChestUnavailable
from chest.record.record import Record
from chest.recorder.directory_recovery import recover_directory
from tests.servers import HOST, Server
from tests.support import wait_until

APP: Final = "tests.protocol.apps:application"
"""What the servers of these tests serve."""

TIMEOUT_SECONDS: Final = 10.0
_VARYING: Final = (b"date:", b"x-request-id:")


class Answer(NamedTuple):
    """What came back until the server closed the connection."""

    status: int
    """0 when nothing came back, or nothing like a status."""
    head: bytes
    """Status line and headers, without those that differ from one answer to the next."""
    body: bytes
    """As it was framed, so with the sizes of chunks if there were any."""
    request_id: str
    """What the response said in ``X-Request-ID``."""


class Wire:
    """A client of one server whose application keeps its records in the server's directory.

    :param server: it serves ``tests.protocol.apps``, started with :meth:`environ`.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self.chest = SQLiteChest(self._url(server.directory))

    @staticmethod
    def environ(directory: Path) -> dict[str, str]:
        """The variables of the environment with which the recorder of the server keeps everything in one directory."""
        return {
            "CHEST_URLS": Wire._url(directory),
            "CHEST_DIRECTORY": str(directory / "rings"),
            "CHEST_FLUSH_SECONDS": "0.02",
            "CHEST_SERVICE": "protocol",
        }

    @staticmethod
    def _url(directory: Path) -> str:
        return sqlite_url(directory / "chest.sqlite3")

    def ask(
        self, target: str, request_id: str, *, method: str = "GET", app: str = "recorded", **headers: str
    ) -> Answer:
        """Send a request and take its answer to the end.

        :param target: what stands in the request line, ASCII.
        :param request_id: by which the record is found again.
        :param app: which application answers, see ``tests.protocol.apps``.
        :param headers: more headers, ``_`` for ``-``.
        """
        lines = {"Host": "shop.test", "Connection": "close", "X-App": app, "X-Request-ID": request_id}
        lines |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self.send(_request(method, target, lines))

    def send(self, request: bytes) -> Answer:
        """Send these bytes and take the answer to the end."""
        with self.connection() as connection:
            connection.sendall(request)
            return _answer(_everything(connection))

    @contextmanager
    def connection(self) -> Iterator[socket.socket]:
        """A connection to the server."""
        with socket.create_connection((HOST, self.server.port), timeout=TIMEOUT_SECONDS) as connection:
            yield connection

    def ask_and_leave(self, target: str, request_id: str) -> None:
        """Send a request, take the beginning of its answer, and reset the connection."""
        with self.connection() as connection:
            connection.sendall(_request("GET", target, {"Host": "shop.test", "X-Request-ID": request_id}))
            assert connection.recv(1)
            # No time to linger: the close is a reset, as when a client crashes.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def records(self, request_id: str) -> list[Record]:
        """What the chest holds of this request now."""
        try:
            return [stored.record for stored in self.chest.read(Query(request_id=request_id))]
        except ChestUnavailable:
            return []  # not made yet

    def all_records(self) -> list[Record]:
        """Whatever the chest holds now."""
        return [stored.record for stored in self.chest.read(limit=1_000_000)]

    def record(self, request_id: str) -> Record:
        """The one record of this request, once it has arrived."""
        wait_until(lambda: self.records(request_id))
        [record] = self.records(request_id)
        return record

    def recover(self) -> None:
        """Bring what the server, which has ended, left undelivered into the chest."""
        with suppress(ChestUnavailable):
            recover_directory(self.server.directory / "rings", [self.chest])

    def notes(self, request_id: str) -> list[str]:
        """What the application noticed of this request, in order."""
        path = self.server.directory / "notes"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line.partition(" ")[2] for line in lines if line.startswith(f"{request_id} ")]


def new_id() -> str:
    """An id that no other request has."""
    return str(uuid4())


def _request(method: str, target: str, headers: Mapping[str, str]) -> bytes:
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode()


def _everything(connection: socket.socket) -> bytes:
    parts = []
    with suppress(ConnectionResetError):  # how a server may end an answer that it cannot finish
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def _answer(received: bytes) -> Answer:
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    code = lines[0].split(b" ")[1:2]
    status = int(code[0]) if code and code[0].isdigit() else 0
    ids = [line.partition(b":")[2].strip().decode() for line in lines if line.lower().startswith(b"x-request-id:")]
    kept = [line for line in lines if not line.lower().startswith(_VARYING)]
    return Answer(status, b"\r\n".join(kept), body, ", ".join(ids))
