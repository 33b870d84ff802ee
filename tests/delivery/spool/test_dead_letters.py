"""Dead letters of transfers: kept where a worker of the same chest keeps its own."""

from __future__ import annotations

import stat
from contextlib import closing
from pathlib import Path

import pytest

from chest.delivery.spool.dead_letters import DeadLetter, DeadLetterKeeper, DeadLetters
from chest.delivery.spool.file import SpoolFile
from chest.delivery.spool.place import spool_path
from chest.errors import DirectoryError
from chest.record.counters import Counters
from tests.support import make_record

LABEL = "postgresql://shop@db/records"


def letters_in(directory: Path, label: str = LABEL) -> list[DeadLetter]:
    with closing(SpoolFile(spool_path(directory, label))) as file:
        return DeadLetters(file).list()


def test_a_record_is_kept_with_chest_and_reason_and_counted(tmp_path: Path) -> None:
    counters, directory = Counters(), tmp_path / "rings"
    record = make_record(path="/poison")
    DeadLetterKeeper(lambda: directory, counters).dead_letter(
        LABEL, record, "no room at https://bob:hunter2@store/\nforged"
    )
    [letter] = letters_in(directory)
    assert letter.record == record
    assert letter.reason == "no room at https://bob:***@store/\\nforged"
    assert counters.get(f"dead_letters.{LABEL}") == 1
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_what_cannot_be_kept_raises_and_is_not_counted(tmp_path: Path) -> None:
    counters = Counters()
    dead_letters = DeadLetterKeeper(lambda: tmp_path, counters)
    spool_path(tmp_path, LABEL).mkdir()
    with pytest.raises(DirectoryError, match="cannot be kept"):
        dead_letters.dead_letter(LABEL, make_record(), "no")
    (tmp_path / "file").touch()
    with pytest.raises(DirectoryError):
        DeadLetterKeeper(lambda: tmp_path / "file" / "rings", counters).dead_letter(LABEL, make_record(), "no")
    assert counters.snapshot().get("dead_letters") is None


def test_they_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chest.delivery.spool.dead_letters.DEAD_LETTER_BYTES", 5_000)
    counters = Counters()
    dead_letters = DeadLetterKeeper(lambda: tmp_path, counters)
    for number in range(40):
        dead_letters.dead_letter(LABEL, make_record(duration_ns=number), "no")
    kept = [letter.record.duration_ns for letter in letters_in(tmp_path)]
    assert kept == list(range(40 - len(kept), 40))
    assert counters.get("dropped.dead_letters_full") == 40 - len(kept) > 0
