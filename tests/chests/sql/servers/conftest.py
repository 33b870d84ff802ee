"""What the tests of the SQL chest on servers share; a test says by ``server`` on which it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from chest.chests.sql.chest import SQLChest
from chest.chests.sql.dialect import database_of
from chest.chests.sql.url import SQLTarget
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
    database = database_of(SQLTarget.of(url))

    def run(statement: str) -> list[tuple[Any, ...]]:
        with database.connect_to_write() as connection:
            result = connection.exec_driver_sql(statement)
            rows = [tuple(row) for row in result] if result.returns_rows else []
            connection.commit()
        return rows

    return run


_user_numbers = count(1)


@pytest.fixture
def url_of_user(
    server: DatabaseServer, url: str, execute: Callable[[str], list[tuple[Any, ...]]]
) -> Callable[..., str]:
    """Makes a user with these rights, such as ``INSERT ON chest_records``, and gives the URL of the same database for it."""

    def make(*rights: str) -> str:
        name = f"limited_{next(_user_numbers)}"
        is_postgresql = server.scheme == "postgresql"
        user = name if is_postgresql else f"{name}@127.0.0.1"
        execute(f"CREATE ROLE {name} LOGIN PASSWORD 'x'" if is_postgresql else f"CREATE USER {user} IDENTIFIED BY 'x'")
        for right in rights:
            execute(f"GRANT {right} TO {user}")
        return make_url(url).set(username=name, password="x").render_as_string(hide_password=False)

    return make
