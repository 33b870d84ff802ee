"""What the tests of the SQL chest on servers share; a test says by ``server`` on which it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from chest.chests.sql import SQLChest
from tests.servers.database import DatabaseServer


@pytest.fixture
def server(request: pytest.FixtureRequest) -> DatabaseServer:
    """The server of this test, named by the parameter."""
    server: DatabaseServer = request.getfixturevalue(request.param)
    return server


@pytest.fixture
def url(server: DatabaseServer) -> str:
    """The URL of an empty database on it."""
    return server.new_url()


@pytest.fixture
def chest(url: str) -> Iterator[SQLChest]:
    """A chest that was not opened."""
    with SQLChest(url) as chest:
        yield chest


@pytest.fixture
def execute(url: str) -> Callable[[str], list[tuple[Any, ...]]]:
    """Some other program that uses the database: runs one statement on a connection of its own."""
    database = SQLChest(url)._database

    def run(statement: str) -> list[tuple[Any, ...]]:
        with database.connect_to_write() as connection:
            result = connection.exec_driver_sql(statement)
            rows = [tuple(row) for row in result] if result.returns_rows else []
            connection.commit()
        return rows

    return run
