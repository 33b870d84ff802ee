"""``chest forget``: a person's records are removed, no other one is, and what was not looked at is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from chest.chests.contract import ReadableChest
from chest.chests.memory import MemoryChest
from chest.chests.registry import open_chest
from chest.record.record import Record

Run = Callable[..., Result]
MakeRecord = Callable[..., Record]


@pytest.fixture(params=["memory", "sqlite"])
def url(request: pytest.FixtureRequest, shelf: MemoryChest, record: MakeRecord, tmp_path: Path) -> str:
    """A chest with 1200 records of user 42 among 1203."""
    url = shelf.name if request.param == "memory" else f"sqlite:///{tmp_path}/chest.sqlite3"
    with open_chest(url) as chest:
        chest.write([record(variables={"user_id": 42 if number % 2 else "42"}) for number in range(1200)])
        chest.write([record(variables={"user_id": "421"}), record(variables={"other": "42"}), record(service="till")])
    return url


def left(url: str) -> int:
    chest = open_chest(url)
    assert isinstance(chest, ReadableChest)
    with chest:
        return len(chest.read(limit=5000))


def test_the_records_of_one_user_are_removed_and_counted_before_and_after(run: Run, url: str) -> None:
    result = run("forget", url, "user_id=42", "--yes")
    assert result.exit_code == 0
    before, after, *rest = result.stdout.splitlines()
    assert before == f"Records matching in {url}: 1,200, from 2026-01-01 to 2026-01-01 (UTC)"
    assert after == "Records removed: 1,200; matching now: 0"
    assert left(url) == 3
    for kind in ("spools", "rings", "dead letters", "other chests", "transfers"):
        assert kind in "\n".join(rest)


def test_a_dry_run_counts_and_removes_nothing(run: Run, url: str) -> None:
    result = run("forget", url, "user_id=42", "--dry-run")
    assert result.exit_code == 0
    assert "Records matching" in result.stdout
    assert "removed" not in result.stdout
    assert left(url) == 1203


def test_without_a_terminal_nothing_is_removed_unless_yes_is_said(run: Run, url: str) -> None:
    result = run("forget", url, "user_id=42")
    assert result.exit_code == 2
    assert "--yes" in result.stderr
    assert left(url) == 1203


@pytest.mark.parametrize(("answer", "code", "count"), [("y", 0, 3), ("n", 1, 1203)])
def test_on_a_terminal_the_user_is_asked(
    run: Run, url: str, monkeypatch: pytest.MonkeyPatch, answer: str, code: int, count: int
) -> None:
    monkeypatch.setattr("chest.cli.forget._has_terminal", lambda: True)
    result = run("forget", url, "user_id=42", input=f"{answer}\n")
    assert "Remove 1,200 records for good?" in result.stdout
    assert (result.exit_code, left(url)) == (code, count)


@pytest.mark.parametrize("arguments", [[], ["--service", "shop"]])
def test_without_a_condition_nothing_is_removed(run: Run, url: str, arguments: list[str]) -> None:
    result = run("forget", url, *arguments, "--yes")
    assert (result.exit_code, left(url)) == (2, 1203)
    assert "user_id=42" in result.stderr


def test_all_conditions_hold_for_what_is_removed(run: Run, url: str) -> None:
    assert run("forget", url, "user_id=42", "--status", "404", "--yes").exit_code == 1
    assert left(url) == 1203
    assert run("forget", url, "user_id=42", "--until", "2026-01-01T12:00:11", "--yes").exit_code == 0
    assert left(url) == 1193


def test_a_chest_that_nothing_can_be_removed_from_is_said(run: Run, record: MakeRecord, tmp_path: Path) -> None:
    path = tmp_path / "records.ndjson"
    with open_chest(f"ndjson:{path}") as chest:
        chest.write([record(variables={"user_id": "42"})])
    result = run("forget", f"ndjson:{path}", "user_id=42", "--yes")
    assert (result.exit_code, "only appended to" in result.stderr) == (1, True)
    result = run("forget", "log:", "user_id=42", "--yes")
    assert (result.exit_code, "can only be written" in result.stderr) == (2, True)


def test_the_room_of_what_was_removed_is_given_back(run: Run, record: MakeRecord, tmp_path: Path) -> None:
    path = tmp_path / "large.sqlite3"
    with open_chest(f"sqlite:///{path}") as chest:
        chest.write([record(variables={"user_id": "42", "text": "x" * 4000}) for _ in range(500)])
    assert path.stat().st_size > 2**20
    assert run("forget", str(path), "user_id=42", "--yes").exit_code == 0
    assert path.stat().st_size < 2**20
    assert b"x" * 4000 not in path.read_bytes()


def test_the_records_of_a_user_are_removed_by_the_attribute(run: Run, shelf: MemoryChest, record: MakeRecord) -> None:
    shelf.write([record(attributes={"enduser.id": each}) for each in ("42", "43", "42")])
    result = run("forget", shelf.name, "--user", "42", "--yes")
    assert result.exit_code == 0
    assert [each.attributes["enduser.id"] for each in shelf.records] == ["43"]
