"""``chest transfer``."""

from __future__ import annotations

import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import Result

from chest.chests.memory import MemoryChest
from chest.chests.sql.sqlite.chest import SQLiteChest
from chest.record.record import Record
from tests.processes import clean_environment
from tests.support import wait_until

Run = Callable[..., Result]
Make = Callable[..., Record]


@pytest.fixture
def source(tmp_path: Path, record: Make) -> Path:
    """A SQLite file with ten records, three of them errors."""
    path = tmp_path / "source.sqlite3"
    with SQLiteChest(f"sqlite:///{path}") as chest:
        chest.write([record(outcome="error" if place < 3 else "ok") for place in range(10)])
    return path


def test_it_copies_says_what_it_did_and_goes_on_the_next_time(run: Run, source: Path, shelf: MemoryChest) -> None:
    first = run("transfer", str(source), shelf.name)
    assert first.exit_code == 0
    assert re.fullmatch(r"Records read: 10, written: 10; \d+\.\d s\n", first.stdout)
    assert len(shelf.records) == 10
    assert "read: 0" in run("transfer", str(source), shelf.name).stdout
    assert "read: 10" in run("transfer", str(source), shelf.name, "--from-start").stdout
    assert len(shelf.records) == 10


def test_a_dry_run_writes_nothing(run: Run, source: Path, shelf: MemoryChest) -> None:
    assert (
        run("transfer", str(source), shelf.name, "--dry-run").stdout == "Records to transfer: 10; nothing was written\n"
    )
    assert shelf.records == []


def test_conditions_and_a_limit(run: Run, source: Path, shelf: MemoryChest) -> None:
    limited = run(
        "transfer", str(source), shelf.name, "--outcome=error", "--limit=2", "--service=shop", "--since=5000d"
    )
    assert "written: 2" in limited.stdout
    assert "goes on from here" in limited.stderr
    assert "written: 1" in run("transfer", str(source), shelf.name, "--outcome=error", "--service=shop").stdout
    assert "written: 10" in run("transfer", str(source), shelf.name, "--name=all", "--batch=3").stdout


def test_moving_empties_the_source(run: Run, source: Path, shelf: MemoryChest) -> None:
    run("transfer", str(source), shelf.name, "--move")
    with closing(sqlite3.connect(source)) as connection:
        assert connection.execute("SELECT count(*) FROM chest_records").fetchone() == (0,)


def test_to_a_file_to_carry_away_and_back(run: Run, source: Path, tmp_path: Path) -> None:
    file, back = f"ndjson:{tmp_path / 'carried.ndjson.gz'}", f"sqlite:///{tmp_path / 'back.sqlite3'}"
    assert "written: 10" in run("transfer", str(source), file).stdout
    assert "written: 10" in run("transfer", file, back).stdout
    assert "read: 0" in run("transfer", file, back).stdout
    assert "read: 10" in run("transfer", file, back, "--directory", str(tmp_path / "notes")).stdout


def test_what_the_target_refuses_is_told_and_a_dead_letter_that_can_be_delivered_later(
    run: Run, source: Path, shelf: MemoryChest, monkeypatch: pytest.MonkeyPatch
) -> None:
    from chest.errors import RecordRejected

    def refuse(self: MemoryChest, records: list[Record]) -> None:
        raise RecordRejected("too large", [records[0].id])

    monkeypatch.setattr(MemoryChest, "write", refuse)
    result = run("transfer", str(source), shelf.name)
    assert result.exit_code == 1
    assert "refused for good: 10" in result.stdout
    assert result.stderr.count("too large") == 3
    [place] = re.findall(r"chest dead list --directory (\S+) shows", result.stderr)
    listed = run("dead", "list", "--directory", place)
    assert listed.stdout.count("too large") == 10

    monkeypatch.undo()
    assert "again: 10" in run("dead", "retry", "--directory", place, "--all").stdout
    assert "recovered: 10" in run("recover", place, "--to", shelf.name).stdout
    assert len(shelf.records) == 10


def test_what_is_refused_and_can_be_kept_nowhere_is_told_and_stops_nothing(
    run: Run, source: Path, shelf: MemoryChest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from chest.errors import RecordRejected

    def refuse(self: MemoryChest, records: list[Record]) -> None:
        raise RecordRejected("too large", [records[0].id])

    monkeypatch.setattr(MemoryChest, "write", refuse)
    (tmp_path / "state").touch()
    result = run("transfer", str(source), shelf.name)
    assert result.exit_code == 1
    assert "refused for good: 10" in result.stdout
    assert "10 of them could not be kept as dead letters" in result.stderr


def test_what_is_invalid_is_said_in_one_line(run: Run, source: Path, shelf: MemoryChest, tmp_path: Path) -> None:
    assert run("transfer", str(source), str(source)).exit_code == 2
    missing = run("transfer", f"sqlite:///{tmp_path / 'none.sqlite3'}", shelf.name)
    assert missing.exit_code == 1
    assert "no such file" in missing.stderr
    only_written = run("transfer", "https://127.0.0.1:1/x", shelf.name)
    assert only_written.exit_code == 2
    assert "can only be written" in only_written.stderr


def test_ctrl_c_ends_it_after_the_batch_and_the_same_command_goes_on(tmp_path: Path, record: Make) -> None:
    source, target = tmp_path / "a.sqlite3", tmp_path / "b.ndjson"
    with SQLiteChest(f"sqlite:///{source}") as chest:
        for _ in range(10):
            chest.write([record() for _ in range(1000)])
    command = [sys.executable, "-m", "chest", "transfer", str(source), f"ndjson:{target}", "--batch=5"]
    environ = clean_environment(XDG_STATE_HOME=str(tmp_path / "state"))
    with subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True) as process:
        wait_until(lambda: target.exists() and target.stat().st_size > 0)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "goes on from here" in said
    assert 0 < len(target.read_text().splitlines()) < 10_000
    subprocess.run(command, env=environ, check=True, timeout=300, capture_output=True)
    lines = target.read_text().splitlines()
    assert len(lines) == len(set(lines)) == 10_000
