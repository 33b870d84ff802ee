"""``chest sql``: queries that run as they stand, and a shell that cannot write."""

from __future__ import annotations

import json
import os
import pty
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from chest.chests.registry import open_chest
from chest.chests.sql.shell import shell_of, sql_target_of
from chest.cli.asking.sql import queries
from chest.testing.records import make_record

Run = Callable[..., Result]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A store with ten records, one of them of an error."""
    file = tmp_path / "chest.sqlite3"
    with open_chest(f"sqlite:///{file}") as chest:
        chest.write([make_record(outcome="error" if place == 0 else "ok") for place in range(10)])
    return file


def test_every_query_runs_as_it_is_printed(run: Run, file: Path) -> None:
    printed = run("sql", str(file)).stdout
    answers = {}
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as connection:
        for title, query in queries("sqlite", "chest_records").items():
            assert f"-- {title}\n{query};" in printed
            answers[title] = connection.execute(query).fetchall()
    connection.close()
    assert [len(rows) for rows in answers.values()] == [10, 1, len(answers["requests a minute"]), 10, 1]
    assert sum(row[1] for row in answers["requests a minute"]) == 10
    assert answers["users by errors; user_id is a variable"] == [("123", 1)]


def test_the_columns_and_the_shell_are_named_and_in_a_pipe_no_shell_opens(run: Run, file: Path) -> None:
    first, *_, last = run("sql", str(file)).stdout.splitlines()
    assert first.startswith("chest_records: seq (integer), ")
    assert "duration_ns (integer)" in first
    assert "variables (JSON)" in first
    assert last == f"The store's shell: sqlite3 -readonly {file}"


@pytest.mark.parametrize(
    ("url", "arguments"),
    [
        ("postgresql://ada:s%2Fcret@db:5433/shop", ["psql", "host=db dbname=shop user=ada port=5433"]),
        ("postgres://ada:s%2Fcret@db/shop?table=t", ["psql", "host=db dbname=shop user=ada"]),
        ("postgresql+psycopg://ada@db/shop", ["psql", "host=db dbname=shop user=ada"]),
        (
            "postgresql://ada@db/shop?sslmode=verify-full&sslrootcert=/etc/db.pem&host=a,b&port=1,2",
            ["psql", "host=a,b dbname=shop user=ada sslmode=verify-full sslrootcert=/etc/db.pem port=1,2"],
        ),
        ("postgresql:///shop?host=/run/pg", ["psql", "dbname=shop host=/run/pg"]),
        ("mysql://ada:s%2Fcret@db:3307/shop?table=t", ["-h", "db", "-P", "3307", "--protocol=TCP", "-u", "ada"]),
        ("mariadb+pymysql://ada:s%2Fcret@localhost/shop", ["-h", "localhost", "-P", "3306", "--protocol=TCP", "-u", "ada"]),
        ("mysql+pymysql://db/shop?ssl_mode=DISABLED", ["-h", "db", "-P", "3306", "--protocol=TCP", "--skip-ssl"]),
        (
            "mariadb://ada@/shop?unix_socket=/run/my.sock&ssl-ca=/etc/ca.pem",
            ["--socket=/run/my.sock", "--protocol=SOCKET", "-u", "ada", "--ssl-verify-server-cert", "--ssl-ca=/etc/ca.pem"],
        ),
    ],
)  # fmt: skip
def test_the_shell_connects_as_the_chest_does_and_no_argument_holds_a_password(
    run: Run, monkeypatch: pytest.MonkeyPatch, url: str, arguments: list[str]
) -> None:
    monkeypatch.setattr("chest.chests.sql.shell.shutil.which", lambda tool: tool if tool == "mariadb" else None)
    told = json.loads(run("sql", url, "--json").stdout)
    expected = (
        arguments
        if arguments[0] == "psql"
        else ["mariadb", *arguments, "--init-command=SET SESSION TRANSACTION READ ONLY", "shop"]
    )
    assert told["shell"] == expected
    printed = run("sql", url)
    assert printed.stdout.splitlines()[-1] == f"The store's shell: {shlex.join(expected)}"
    assert "cret" not in printed.output + json.dumps(told)
    assert ("FROM t " in printed.output) == (told["table"] == "t") == ("table=t" in url)
    target = sql_target_of(url)
    assert target is not None
    assert ("s/cret" in shell_of(target).environment.values()) == ("cret" in url)


def test_the_shell_of_mysql_is_given_the_mode_of_its_own_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chest.chests.sql.shell.shutil.which", lambda tool: None)
    for option, expected in (
        ("ssl_mode=required", ["--ssl-mode=REQUIRED"]),
        ("ssl_mode=DISABLED", ["--ssl-mode=DISABLED"]),
        ("ssl_ca=/ca.pem&ssl_key=/k", ["--ssl-mode=VERIFY_IDENTITY", "--ssl-ca=/ca.pem", "--ssl-key=/k"]),
        ("timeout_seconds=3", []),
    ):
        target = sql_target_of(f"mysql://ada@db/shop?{option}")
        assert target is not None
        arguments = shell_of(target).arguments
        assert (arguments[0], arguments[8:-2]) == ("mysql", expected)


def test_an_option_that_the_chest_would_refuse_is_refused(run: Run) -> None:
    result = run("sql", "postgresql://db/shop?sslmod=require")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "sslmod" in result.stderr


def test_json_has_the_table_its_columns_and_the_queries(run: Run, file: Path) -> None:
    told = json.loads(run("sql", str(file), "--json").stdout)
    assert told["table"] == "chest_records"
    assert {"name": "seq", "type": "integer"} in told["columns"]
    assert {"name": "variables", "type": "JSON"} in told["columns"]
    assert {"name": "route", "type": "text"} in told["columns"]
    assert told["queries"] == queries("sqlite", "chest_records")


def test_a_chest_without_sql_is_an_error_that_names_the_commands_that_ask_it(run: Run) -> None:
    result = run("sql", "memory:here")
    assert result.exit_code == 2
    assert (
        "memory:here is not a SQL chest; chest top, chest compare and chest values work with every chest"
        in result.stderr
    )


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="sqlite3 is not installed")
def test_on_a_terminal_the_shell_opens_and_cannot_write(file: Path) -> None:
    terminal, theirs = pty.openpty()
    command = [sys.executable, "-m", "chest", "sql", str(file)]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        os.write(terminal, b"DELETE FROM chest_records;\n.quit\n")
        shown = b""
        while True:
            try:
                more = os.read(terminal, 65536)
            except OSError:  # the other side is closed
                break
            if not more:
                break
            shown += more
        assert process.wait(60) == 0
    os.close(terminal)
    assert b"readonly" in shown
