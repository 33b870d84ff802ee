"""``chest transfer`` from a stream."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import Result

from chest.chests.memory import MemoryChest
from chest.chests.nats.chest import NatsChest
from chest.chests.registry import open_chest
from chest.chests.sql.sqlite.chest import SQLiteChest
from chest.delivery.spool.dead_letters import DeadLetters
from chest.delivery.spool.file import SpoolFile
from chest.delivery.spool.place import spool_path
from chest.errors import RecordRejected
from chest.record.encoding import encode
from chest.record.record import Record
from tests.processes import clean_environment
from tests.servers.nats import Nats
from tests.support import make_record, wait_until

Run = Callable[..., Result]
_ROOM_FOR_ONE = len(encode(make_record()[:])) * 3 // 2


def _write(url: str, count: int) -> list[Record]:
    records = [make_record() for _ in range(count)]
    with open_chest(url) as chest:
        chest.write(records)
    return records


def test_it_takes_what_there_is_and_the_next_time_what_is_new(run: Run, nats: Nats, shelf: MemoryChest) -> None:
    url = nats.new_url()
    first = _write(url, 7)
    assert run("transfer", url, shelf.name, "--dry-run").stdout == "Records to transfer: 7; nothing was written\n"
    limited = run("transfer", url, shelf.name, "--limit=5")
    assert "read: 5, written: 5;" in limited.stdout
    assert "goes on from here" in limited.stderr
    assert "read: 2, written: 2;" in run("transfer", url, shelf.name).stdout
    second = _write(url, 3)
    assert "read: 3, written: 3;" in run("transfer", url, shelf.name).stdout
    assert shelf.records == first + second
    assert "read: 10" in run("transfer", url, shelf.name, "--name=again").stdout


@pytest.mark.parametrize(
    "options", [["--since=1d"], ["--route=/x"], ["--move"], ["--from-start"], ["--follow", "--limit=1"]]
)
def test_what_would_lose_records_is_refused(run: Run, nats: Nats, shelf: MemoryChest, options: list[str]) -> None:
    url = nats.new_url()
    _write(url, 1)
    result = run("transfer", url, shelf.name, *options)
    assert result.exit_code == 2
    assert f"{options[-1].partition('=')[0]}: not with a stream" in result.stderr
    assert "read: 1" in run("transfer", url, shelf.name).stdout


def test_only_a_stream_can_be_followed(run: Run, shelf: MemoryChest, tmp_path: Path) -> None:
    with SQLiteChest(f"sqlite:///{tmp_path}/source.sqlite3") as source:
        source.open()
    result = run("transfer", str(tmp_path / "source.sqlite3"), shelf.name, "--follow")
    assert result.exit_code == 2
    assert "SOURCE is no stream" in result.stderr


def _refuse(self: MemoryChest, records: list[Record]) -> None:
    raise RecordRejected("too large", [record.id for record in records])


def test_it_stops_before_a_dead_letter_is_dropped_of_a_record_that_the_stream_may_have_no_more(
    run: Run, nats: Nats, shelf: MemoryChest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(MemoryChest, "write", _refuse)
    url = nats.new_url()
    first = _write(url, 1)
    assert run("transfer", url, shelf.name, f"--directory={tmp_path}").exit_code == 1
    second = _write(url, 1)
    monkeypatch.setattr("chest.delivery.spool.dead_letters.DEAD_LETTER_BYTES", _ROOM_FOR_ONE)
    for option in ("--batch=1", "--follow"):
        failed = run("transfer", url, shelf.name, f"--directory={tmp_path}", option)
        assert failed.exit_code == 1
        assert "is full of dead letters" in failed.stderr
        assert "Make room: chest dead list" in failed.stderr
    with closing(SpoolFile(spool_path(tmp_path, shelf.name))) as file:
        letters = DeadLetters(file).list()
        assert [letter.record for letter in letters] == first
        DeadLetters(file).discard(letters)
    assert "refused for good: 1" in run("transfer", url, shelf.name, f"--directory={tmp_path}").stdout
    with closing(SpoolFile(spool_path(tmp_path, shelf.name))) as file:
        assert [letter.record for letter in DeadLetters(file).list()] == second


def test_dead_letters_that_were_dropped_are_counted_if_their_records_stay_in_the_source(
    run: Run, shelf: MemoryChest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(MemoryChest, "write", _refuse)
    monkeypatch.setattr("chest.delivery.spool.dead_letters.DEAD_LETTER_BYTES", _ROOM_FOR_ONE)
    _write(f"sqlite:///{tmp_path}/source.sqlite3", 3)
    result = run("transfer", str(tmp_path / "source.sqlite3"), shelf.name, f"--directory={tmp_path}")
    assert "2 older dead letters were dropped" in result.stderr


def test_a_refused_record_is_a_dead_letter_and_stays_in_the_stream_if_it_cannot_be_one(
    run: Run, nats: Nats, shelf: MemoryChest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    url = nats.new_url()
    _write(url, 2)
    monkeypatch.setattr(MemoryChest, "write", _refuse)
    (tmp_path / "state").touch()
    failed = run("transfer", url, shelf.name)
    assert failed.exit_code == 1
    (tmp_path / "state").unlink()
    result = run("transfer", url, shelf.name)
    assert "refused for good: 2" in result.stdout
    assert "chest dead list" in result.stderr


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_it_follows_until_it_is_stopped_and_through_a_restart(nats: Nats, tmp_path: Path, sign: signal.Signals) -> None:
    url, target = nats.new_url(), f"sqlite:///{tmp_path}/target.sqlite3"
    records = _write(url, 5)

    with SQLiteChest(target) as chest:
        chest.open()

    def stored() -> int:
        with SQLiteChest(target) as chest:
            return len(chest.read(limit=100))

    def pending() -> int:
        with NatsChest(url) as chest, closing(chest.reader("follow")) as reader:
            return reader.pending()

    command = [sys.executable, "-m", "chest", "transfer", url, target, "--follow", "--name=follow"]
    environ = clean_environment(XDG_STATE_HOME=str(tmp_path / "state"))
    with subprocess.Popen(
        command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            wait_until(lambda: stored() == 5 and pending() == 0, 60)
            nats.server.stop()
            nats.server.start()
            records += _write(url, 5)
            wait_until(lambda: stored() == 10, 60)
            process.send_signal(sign)
            said, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0, errors
    assert "read: 10, written: 10" in said
