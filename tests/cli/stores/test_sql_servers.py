"""The commands, on the databases that are servers."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable

import pytest
from click.testing import Result

from chest.chests.sql.chest import SQLChest
from chest.chests.sql.shell import shell_of, sql_target_of
from chest.chests.sql.url import SQLTarget
from chest.cli.asking.sql import queries
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


def test_the_queries_that_chest_sql_prints_run_in_the_shell_that_it_opens_which_cannot_write(
    server: DatabaseServer,
) -> None:
    url = server.new_url()
    with SQLChest(url) as chest:
        chest.write([make_record(outcome="error"), make_record()])
    target = sql_target_of(url)
    assert isinstance(target, SQLTarget)
    arguments, environment = shell_of(target)
    if shutil.which(arguments[0]) is None:
        pytest.skip(f"{arguments[0]} is not installed")

    def said(statements: list[str]) -> tuple[str, str]:
        done = subprocess.run(
            arguments, input="".join(f"{each};\n" for each in statements), capture_output=True, text=True,
            env=os.environ | environment, timeout=300,
        )  # fmt: skip
        return done.stdout, done.stderr

    output, errors = said(list(queries(target.backend, "chest_records").values()))
    assert errors == ""
    assert output.count("/items/") == 5  # the last requests, one route, and the slowest requests
    assert "read" in said(["DELETE FROM chest_records"])[1].lower()


def test_the_shell_refuses_a_connection_without_the_encryption_that_the_url_asks_for(server: DatabaseServer) -> None:
    url = server.new_url()
    is_postgresql = url.startswith("postgresql")
    option = "sslmode=require" if is_postgresql else "ssl_mode=REQUIRED"
    target = sql_target_of(f"{url}{'&' if '?' in url else '?'}{option}")
    assert target is not None
    arguments, environment = shell_of(target)
    if shutil.which(arguments[0]) is None:
        pytest.skip(f"{arguments[0]} is not installed")
    done = subprocess.run(
        arguments, input="SELECT 1;\n", capture_output=True, text=True, env=os.environ | environment, timeout=300
    )
    assert done.returncode != 0
    assert "SSL" in done.stderr
