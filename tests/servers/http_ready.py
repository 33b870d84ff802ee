"""Whether a server that speaks HTTP is ready: it answers one path as it should."""

from __future__ import annotations

import http.client
from collections.abc import Callable
from contextlib import closing

from tests.servers.process import HOST


def answers(path: str, status: int) -> Callable[[int], bool]:
    """Whether the server of a port answers GET of ``path`` with ``status``."""

    def ask(port: int) -> bool:
        with closing(http.client.HTTPConnection(HOST, port, timeout=2)) as connection:
            try:
                connection.request("GET", path)
                return connection.getresponse().status == status
            except (OSError, http.client.HTTPException):
                return False

    return ask
