"""``chest show``: all that is known about one request."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from chest.chests.memory import MemoryChest
from chest.chests.registry import open_chest
from chest.record import Record

Run = Callable[..., Result]
MakeRecord = Callable[..., Record]


def test_every_record_with_the_id_is_shown_whole(run: Run, shelf: MemoryChest, record: MakeRecord) -> None:
    shelf.write([record(request_id="abc", path="/first"), record(), record(request_id="abc", path="/again")])
    result = run("show", shelf.name, "abc")
    assert result.exit_code == 0
    first, again = result.stdout.split("\n\n")
    assert "GET /first" in first
    assert "GET /again" in again


def test_json_is_one_object_a_line(run: Run, shelf: MemoryChest, record: MakeRecord) -> None:
    shelf.write([record(request_id="abc"), record(request_id="abc")])
    lines = run("show", shelf.name, "abc", "--json").stdout.splitlines()
    assert [json.loads(line)["seq"] for line in lines] == [1, 2]


def test_an_id_that_no_record_has_is_said_with_exit_code_1(run: Run, shelf: MemoryChest, record: MakeRecord) -> None:
    shelf.write([record()])
    result = run("show", shelf.name, "no\x1bsuch")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"chest: no record with request id no\\x1bsuch in {shelf.name}\n"


def test_an_id_alone_is_looked_up_in_the_environment_s_chest(
    run: Run, shelf: MemoryChest, record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHEST_URLS", shelf.name)
    shelf.write([record(request_id="abc")])
    assert run("show", "abc").exit_code == 0


def test_a_record_in_a_sqlite_file_is_shown(run: Run, tmp_path: Path, record: MakeRecord) -> None:
    url = f"sqlite:///{tmp_path}/chest.sqlite3"
    with open_chest(url) as chest:
        chest.write([record(request_id="abc", variables={"plan": "premium"}), record()])
    assert 'plan = "premium"' in run("show", url, "abc").stdout


@pytest.mark.parametrize("arguments", [[], ["memory:x"], ["memory:x", "abc", "def"]])
def test_a_url_without_an_id_and_too_many_words_are_refused(run: Run, arguments: list[str]) -> None:
    result = run("show", *arguments)
    assert result.exit_code == 2
    assert "Give the id of a request" in result.stderr
