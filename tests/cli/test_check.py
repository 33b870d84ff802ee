"""``chest check``: whether records could be written; nothing is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from chest.chests.registry import open_chest
from chest.record import Record

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


def test_a_url_that_cannot_be_meant_is_one_that_fails_and_its_password_is_not_shown(run: Run) -> None:
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
