"""``chest dead``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from chest.delivery.spool.place import spool_path
from chest.delivery.spool.spool import Spool
from chest.record.counters import Counters
from chest.record.record import Record

Run = Callable[..., Result]
MakeRecord = Callable[..., Record]


@pytest.fixture
def refused(tmp_path: Path, record: MakeRecord) -> list[Record]:
    """Records that two chests refused."""
    records = [record(path=f"/{number}", id=f"{number:032x}") for number in range(3)]
    for label, letters in (("mongodb://db/shop", records[:2]), ("postgresql://db/shop", records[2:])):
        spool = Spool(spool_path(tmp_path, label), label, 1 << 20, Counters())
        assert spool.dead_letter(letters, "value out of range \x1b[31m")
        spool.close()
    return records


def waiting(directory: Path, label: str) -> list[str]:
    spool = Spool(spool_path(directory, label), label, 1 << 20, Counters())
    piece = spool.oldest()
    spool.close()
    return [] if piece is None else [record.id for record in piece.records]


def test_each_is_listed_with_time_chest_and_reason(run: Run, tmp_path: Path, refused: list[Record]) -> None:
    listed = run("dead", "list", "--directory", str(tmp_path))
    assert listed.exit_code == 0
    assert [text.split()[0] for text in listed.stdout.splitlines()] == [record.id for record in refused]
    assert listed.stderr == "Dead letters: 3\n"
    assert "mongodb://db/shop: value out of range" in listed.output
    assert "\x1b" not in listed.output


def test_those_of_one_chest_can_be_listed_as_json(run: Run, tmp_path: Path, refused: list[Record]) -> None:
    listed = run("dead", "list", "--directory", str(tmp_path), "--chest", "postgresql", "--json")
    [line] = listed.stdout.splitlines()
    found = json.loads(line)
    assert (found["id"], found["chest"]) == (refused[2].id, "postgresql://db/shop")
    assert found["reason"].startswith("value out of range")


def test_one_is_shown_whole(run: Run, tmp_path: Path, refused: list[Record]) -> None:
    shown = run("dead", "show", "--directory", str(tmp_path), refused[1].id)
    assert "/1" in shown.output
    assert "refused by mongodb://db/shop" in shown.output


def test_one_that_is_retried_waits_for_its_chest_again(run: Run, tmp_path: Path, refused: list[Record]) -> None:
    done = run("dead", "retry", "--directory", str(tmp_path), refused[0].id)
    assert done.output == "Records that will be delivered again: 1\n"
    assert waiting(tmp_path, "mongodb://db/shop") == [refused[0].id]
    assert refused[0].id not in run("dead", "list", "--directory", str(tmp_path)).output


def test_all_can_be_forgotten(run: Run, tmp_path: Path, refused: list[Record]) -> None:
    assert run("dead", "drop", "--directory", str(tmp_path), "--all").output == "Records forgotten: 3\n"
    assert run("dead", "list", "--directory", str(tmp_path)).stdout == ""


@pytest.mark.parametrize("arguments", [[], ["--all", "0" * 32]])
def test_the_dead_letters_have_to_be_named(
    run: Run, tmp_path: Path, refused: list[Record], arguments: list[str]
) -> None:
    done = run("dead", "drop", "--directory", str(tmp_path), *arguments)
    assert done.exit_code == 2
    assert "--all" in done.stderr


def test_an_id_that_is_not_there_changes_nothing(run: Run, tmp_path: Path, refused: list[Record]) -> None:
    done = run("dead", "drop", "--directory", str(tmp_path), refused[0].id, "f" * 32)
    assert done.exit_code == 1
    assert len(run("dead", "list", "--directory", str(tmp_path)).stdout.splitlines()) == 3


def test_a_file_that_cannot_be_read_is_said(run: Run, tmp_path: Path) -> None:
    (tmp_path / "broken-1.spool").write_text("no database" * 100)
    done = run("dead", "list", "--directory", str(tmp_path))
    assert done.exit_code == 1
    assert "cannot be read" in done.stderr
