"""``chest check``: whether records could be written; nothing is."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import Result

from chest.chests.registry import open_chest
from chest.record.record import Record
from tests.recording_server import recording_server

Run = Callable[..., Result]
MakeRecord = Callable[..., Record]


def test_chests_that_can_be_written_are_ok(run: Run, tmp_path: Path, record: MakeRecord) -> None:
    url = f"sqlite:///{tmp_path}/chest.sqlite3"
    with open_chest(url) as chest:
        chest.write([record()])
    result = run("check", url, "memory:")
    assert (result.exit_code, result.stdout.splitlines()) == (0, [f"ok      {url}", "ok      memory:"])


def test_one_that_cannot_be_written_is_said_with_the_reason_and_the_others_are_checked_too(
    run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("this is no database, but it is long enough to look at" * 100)
    result = run("check", f"sqlite:///{path}", "memory:")
    failed, fine = result.stdout.splitlines()
    assert result.exit_code == 1
    assert failed.startswith(f"failed  sqlite:///{path}: ")
    assert fine == "ok      memory:"


def test_a_url_that_is_invalid_is_one_that_fails_and_its_password_is_not_shown(run: Run) -> None:
    result = run("check", "sqltie://shop:hunter2@db/x")
    assert result.exit_code == 1
    assert "failed  sqltie://shop:***@db/x: " in result.stdout
    assert "hunter2" not in result.output


def test_without_a_url_all_of_the_environment_s_are_checked(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHEST_URLS", "memory:a memory:b")
    assert run("check").stdout.splitlines() == ["ok      memory:a", "ok      memory:b"]


def test_nothing_is_made_by_checking(run: Run, tmp_path: Path) -> None:
    run("check", f"sqlite:///{tmp_path}/chest.sqlite3")
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_only_a_record_can_prove_is_said_to_answer(run: Run) -> None:
    with recording_server() as server:
        result = run("check", server.url)
    assert result.exit_code == 0
    assert "it answers; only a record shows whether it takes records" in result.stdout


def test_what_is_known_against_the_sqlite_in_use_is_said_once_and_is_not_a_failure(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chest.chests.sql.sqlite.chest.version_notice", lambda: "SQLite 3.0.1 is old.")
    result = run("check", f"sqlite:///{tmp_path}/a.sqlite3", f"sqlite:///{tmp_path}/b.sqlite3", "memory:")
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 3
    assert result.stderr.splitlines() == ["note    SQLite 3.0.1 is old."]


def test_a_column_that_a_table_lacks_is_a_note(run: Run, record: MakeRecord, tmp_path: Path) -> None:
    path = tmp_path / "chest.sqlite3"
    with open_chest(f"sqlite:///{path}") as chest:
        chest.write([record()])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("ALTER TABLE chest_records DROP COLUMN status")
        result = run("check", f"sqlite:///{path}")
        assert "status" not in connection.execute("SELECT sql FROM sqlite_schema").fetchone()[0]
    assert result.exit_code == 0
    assert "the table chest_records has no column status" in result.stderr
