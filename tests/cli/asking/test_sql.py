"""``chest sql``: queries that run as they stand, and a shell that cannot write."""

from __future__ import annotations

import os
import pty
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from chest.chests.registry import open_chest
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


@pytest.mark.parametrize("url", ["postgresql://ada:s%2Fcret@db:5433/shop", "mysql://ada:s%2Fcret@db:3307/shop?table=t"])
def test_a_password_is_not_shown(run: Run, url: str) -> None:
    output = run("sql", url).output
    assert "cret" not in output
    assert output.splitlines()[-1].endswith(" shop")
    assert ("FROM t " in output) == ("table=t" in url)


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
