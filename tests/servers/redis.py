"""Redis, of Debian: in memory only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.servers.process import HOST, Server, needs_program, private_directory, running


@contextmanager
def redis() -> Iterator[Server]:
    """Redis for the block, with nothing in it; it asks for no password and writes no file."""
    program = needs_program("redis-server", "redis-server")
    with private_directory() as directory:
        options = ["--bind", HOST, "--save", "", "--appendonly", "no"]
        with running("Redis", lambda port: [program, "--port", str(port), *options], directory) as server:
            yield server
