"""ClickHouse 26.5: its engine, from PyPI's chdb-core-lite, behind the HTTP interface of ``engine.py``."""

from __future__ import annotations

import base64
import itertools
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

from tests.servers.http_ready import answers
from tests.servers.process import HOST, Server, needs, pinned, private_directory, running

USER = "chest"
PASSWORDS = {USER: "chest/p:w@d", "reader": "reader"}
"""Of each user; ``reader`` may not write."""


class ClickHouse:
    """The server, and databases in it."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._numbers = itertools.count()

    @property
    def port(self) -> int:
        return self.server.port

    def new_database(self) -> str:
        """The name of an empty one."""
        name = f"shop_{next(self._numbers)}"
        self.run(f"CREATE DATABASE {name}")
        return name

    def url(
        self,
        database: str,
        *,
        user: str = USER,
        password: str | None = None,
        host: str = HOST,
        port: int | None = None,
        query: str = "",
    ) -> str:
        """A chest's URL."""
        secret = quote(PASSWORDS[user] if password is None else password, safe="")
        return f"clickhouse://{user}:{secret}@{host}:{port or self.port}/{database}{'?' * bool(query)}{query}"

    def new_url(self) -> str:
        """The chest URL of an empty database."""
        return self.url(self.new_database())

    def run(self, statement: str) -> str:
        """What the server says to a statement."""
        login = base64.b64encode(f"{USER}:{PASSWORDS[USER]}".encode()).decode()
        request = urllib.request.Request(
            f"http://{HOST}:{self.port}/", statement.encode(), {"Authorization": f"Basic {login}"}
        )  # fmt: skip
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=60) as answer:
            return str(answer.read().decode())


@contextmanager
def clickhouse(listen: str = HOST) -> Iterator[ClickHouse]:
    """ClickHouse for the block, with no database but its own.

    :param listen: the address on which it listens; whatever it is, 127.0.0.1 has to reach it.
    """
    needs("chdb", pinned("chdb-core-lite"))
    with private_directory() as directory:

        def command(port: int) -> list[str]:
            place = str(directory / "data")
            return [sys.executable, "-m", "tests.servers.clickhouse.engine", listen, str(port), place]

        with running("ClickHouse", command, directory, is_ready=answers("/ping", 200)) as server:
            yield ClickHouse(server)
