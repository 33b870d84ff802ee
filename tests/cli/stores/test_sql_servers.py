"""The commands, on the databases that are servers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from click.testing import Result

from chest.chests.sql import SQLChest
from chest.testing.records import make_record
from tests.servers.database import DatabaseServer

Run = Callable[..., Result]

pytestmark = pytest.mark.parametrize("server", ["postgresql", "mariadb", "mysql57"], indirect=True)


@pytest.fixture
def server(request: pytest.FixtureRequest) -> DatabaseServer:
    """The server of this test."""
    server: DatabaseServer = request.getfixturevalue(request.param)
    return server


def test_the_commands_read_a_server_as_they_read_a_file(server: DatabaseServer, run: Run) -> None:
    url = server.new_url()
    with SQLChest(url) as chest:
        chest.write([make_record(request_id=f"order-{place}", variables={"user_id": place}) for place in range(30)])
    assert run("check", url).exit_code == 0
    found = run("find", url, "user_id=7")
    assert (found.exit_code, "order-7" in found.output, "order-17" in found.output) == (0, True, False)
    shown = run("show", url, "order-12")
    assert (shown.exit_code, "user_id = 12" in shown.output) == (0, True)
    tail = run("tail", "--no-follow", "-n", "2", url)
    assert [name for name in ("order-27", "order-28", "order-29") if name in tail.output] == ["order-28", "order-29"]


def test_a_check_says_what_is_wrong_without_the_password(server: DatabaseServer, run: Run) -> None:
    checked = run("check", server.url("no_such_database"))
    assert checked.exit_code == 1
    assert "no such database" in checked.output
    assert "%23" not in checked.output, "the end of the password, as it stands in the URL"
    assert "p@ss" not in checked.output
