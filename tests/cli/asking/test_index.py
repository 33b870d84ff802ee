"""``chest index``: an index on a variable is made on request, listed with what it costs, and removed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from chest.chests.registry import open_chest
from chest.chests.sql.sqlite.indexes import SQLiteVariableIndexes
from chest.testing.records import make_record

Run = Callable[..., Result]


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A file with some records."""
    with open_chest(f"sqlite:///{tmp_path / 'shop.sqlite3'}") as chest:
        chest.write([make_record(variables={"plan": "free"}) for _ in range(50)])
    return str(tmp_path / "shop.sqlite3")


def test_an_index_is_made_listed_and_removed(run: Run, path: str) -> None:
    assert run("index", path).stderr == "No index on a variable; make one with --variable NAME.\n"
    made = run("index", path, "--variable", "plan", "--variable", "attr.enduser.id")
    assert [line.partition(":")[0].partition(",")[0] for line in made.stdout.splitlines()] == [
        "plan",
        "attr.enduser.id",
    ]
    assert "made in" in made.stdout
    assert "making an index on plan; no record is written meanwhile" in made.stderr
    assert len(run("index", path).stdout.splitlines()) == 2
    assert run("index", path, "--variable", "plan", "--drop").stdout == "plan: removed\n"
    assert run("index", path, "--variable", "plan", "--drop").stdout == "plan: there was no index\n"
    assert run("find", path, "plan=free").exit_code == 0


def test_what_cannot_have_an_index_is_refused(run: Run, path: str, url: str) -> None:
    assert "is a field" in run("index", path, "--variable", "route").stderr
    assert run("index", path, "--drop").exit_code == 2
    assert "SQLite, PostgreSQL, MySQL, MariaDB and MongoDB can" in run("index", url, "--variable", "plan").stderr


def test_names_that_differ_in_case_have_an_index_each(run: Run, path: str) -> None:
    made = run("index", path, "--variable", "plan", "--variable", "Plan")
    assert [line.partition(":")[0].partition(",")[0] for line in made.stdout.splitlines()] == ["plan", "Plan"]
    assert len(run("index", path).stdout.splitlines()) == 2
    assert run("index", path, "--variable", "PLAN", "--drop").stdout == "PLAN: there was no index\n"
    assert run("index", path, "--variable", "plan", "--drop").stdout == "plan: removed\n"
    assert run("index", path).stdout.startswith("Plan")


def test_an_index_that_is_not_there_afterwards_is_an_error(
    run: Run, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SQLiteVariableIndexes, "make", lambda indexes, name: None)
    made = run("index", path, "--variable", "plan")
    assert made.exit_code
    assert not made.stdout
    assert "there is no index on 'plan' now" in made.stderr


def test_the_indexes_are_shown_as_json_and_csv(run: Run, path: str) -> None:
    assert json.loads(run("index", path, "--json").stdout) == {"indexes": []}
    (made,) = json.loads(run("index", path, "--variable", "plan", "--json").stdout)["indexes"]
    assert made.keys() == {"name", "size_bytes", "made_seconds"}
    assert (made["name"], made["made_seconds"] > 0) == ("plan", True)
    (found,) = json.loads(run("index", path, "--json").stdout)["indexes"]
    assert found == {"name": "plan", "size_bytes": made["size_bytes"]}
    assert run("index", path, "--csv").stdout == f"name,size_bytes\nplan,{made['size_bytes'] or ''}\n"
    dropped = json.loads(run("index", path, "--variable", "plan", "--drop", "--json").stdout)
    assert dropped == {"indexes": [{"name": "plan", "is_removed": True}]}
