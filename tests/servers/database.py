"""``DatabaseServer``: a server with a user, a password and as many empty databases as tests ask for."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Final
from urllib.parse import quote

from tests.servers.process import HOST, Server

USER: Final = "chest"
PASSWORD: Final = "p@ss/w:rd?#%"
"""Has to be quoted in a URL, and must never be shown."""


class DatabaseServer:
    """A database server that runs.

    :param scheme: of the URLs, such as ``postgresql``.
    :param server: its process: ``server.stop()`` and ``server.start()`` in the middle of a test are welcome; whoever
        stops it starts it again.
    :param execute: runs one statement as an administrator.
    """

    def __init__(self, scheme: str, server: Server, execute: Callable[[str], object]) -> None:
        self.scheme = scheme
        self.server = server
        self._execute = execute
        self._numbers = count(1)

    @property
    def port(self) -> int:
        """Where it answers on 127.0.0.1."""
        return self.server.port

    def new_database(self) -> str:
        """The name of a new, empty database."""
        name = f"chest_{next(self._numbers)}"
        self._execute(f"CREATE DATABASE {name}")
        return name

    def url(
        self, database: str, *, port: int | None = None, host: str = HOST, password: str = PASSWORD, query: str = ""
    ) -> str:
        """A chest URL.

        :param port: another than the server's own, such as that of a proxy.
        :param query: what stands after the ``?``.
        """
        address = f"{USER}:{quote(password, safe='')}@{host}:{port or self.port}"
        return f"{self.scheme}://{address}/{database}" + (f"?{query}" if query else "")

    def new_url(self, query: str = "") -> str:
        """The URL of a new, empty database."""
        return self.url(self.new_database(), query=query)
