"""What the SQL chest does with a SQLite file: making it, its pragmas, and every way in which it can be taken away."""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from chest.chests.registry import sqlite_url
from chest.chests.sql.sqlite.chest import SQLiteChest
from chest.errors import ChestUnavailable, RecordRejected, SettingsError
from chest.testing.contract import in_child
from chest.testing.records import make_record

Execute = Callable[..., list[tuple[Any, ...]]]

_WORKER = """
import sys
from chest.chests.sql.sqlite.chest import SQLiteChest
from chest.testing.records import make_record

chest = SQLiteChest(sys.argv[1])
record = make_record(request_id=sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
chest.write([record])
chest.close()
"""


@pytest.fixture
def locked(chest: SQLiteChest, path: Path) -> Iterator[sqlite3.Connection]:
    """The chest is open, and another program holds a transaction open."""
    chest.open()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield connection


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A directory on a disk of 512 KiB."""
    directory = tmp_path / "disk"
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(directory)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("this user may not mount a file system")
    yield directory
    subprocess.run(["umount", str(directory)], check=True)


def test_the_pragmas_are_really_set(chest: SQLiteChest, execute: Execute) -> None:
    chest.write([make_record()])
    assert execute("PRAGMA journal_mode") == [("wal",)]
    assert execute("PRAGMA auto_vacuum") == [(2,)]
    with chest.writing.use() as connection:
        assert connection.execute("PRAGMA synchronous").fetchone()[0] == 1
        assert connection.execute("PRAGMA busy_timeout").fetchone()[0] == 200


def test_without_being_asked_it_waits_a_second_for_a_lock(url: str) -> None:
    with SQLiteChest(url) as chest, chest.writing.use() as connection:
        assert connection.execute("PRAGMA busy_timeout").fetchone()[0] == 1000


def test_space_that_was_given_back_can_be_cut_off(chest: SQLiteChest, path: Path) -> None:
    chest.write([make_record(path="/" + "x" * 10_000) for _ in range(200)])
    chest.remove(chest.read())
    chest.close()
    before = path.stat().st_size
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("PRAGMA incremental_vacuum")
    assert path.stat().st_size < before / 2


def test_the_file_is_private_and_so_is_what_sqlite_puts_beside_it(chest: SQLiteChest, path: Path) -> None:
    before = os.umask(0o022)
    try:
        chest.write([make_record()])
    finally:
        os.umask(before)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == {"chest.sqlite3": 0o600, "chest.sqlite3-wal": 0o600, "chest.sqlite3-shm": 0o600}


def test_a_file_that_is_there_keeps_its_mode(chest: SQLiteChest, path: Path) -> None:
    path.touch()
    path.chmod(0o640)
    chest.write([make_record()])
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_the_last_directory_of_the_path_is_made_and_private(tmp_path: Path) -> None:
    with SQLiteChest(f"sqlite:///{tmp_path}/new/chest.sqlite3") as chest:
        chest.check()
        chest.write([make_record()])
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700


def test_of_a_longer_path_that_is_missing_nothing_is_made(tmp_path: Path) -> None:
    chest = SQLiteChest(f"sqlite:///{tmp_path}/mistyped/deep/chest.sqlite3")
    for call in (chest.open, chest.check):
        with pytest.raises(ChestUnavailable, match="make the directory"):
            call()
    assert list(tmp_path.iterdir()) == []


def test_a_relative_path_stays_where_it_was_when_the_working_directory_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    chest = SQLiteChest("sqlite:///relative.sqlite3")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with chest:
        chest.write([make_record()])
    assert (tmp_path / "relative.sqlite3").exists()
    assert chest.name == "sqlite:///relative.sqlite3"


@pytest.mark.parametrize(
    "name", ["with space", "per%cent", "hash#mark", "question?mark", "Zoë ☃", "quote'\"", "semi;colon&and=is"]
)
def test_a_file_may_have_any_name(tmp_path: Path, name: str) -> None:
    with SQLiteChest(sqlite_url(tmp_path / f"{name}.sqlite3")) as chest:
        chest.write([make_record()])
        chest.check()
        assert len(chest.read()) == 1
    assert [file.name for file in tmp_path.iterdir()] == [f"{name}.sqlite3"]


def test_processes_that_open_an_absent_file_at_once_all_succeed(url: str, execute: Execute) -> None:
    start = [sys.executable, "-c", _WORKER, f"{url}?busy_timeout_ms=20000"]
    workers = [
        subprocess.Popen([*start, str(number)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for number in range(8)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write(b"\n")
        worker.stdin.flush()
    errors = [worker.communicate(timeout=60)[1].decode() for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * 8, errors
    assert {int(number) for (number,) in execute("SELECT request_id FROM chest_records")} == set(range(8))
    assert execute("PRAGMA auto_vacuum") == [(2,)]


def test_a_lock_is_waited_for_no_longer_than_said_and_the_chest_goes_on(
    chest: SQLiteChest, locked: sqlite3.Connection
) -> None:
    began = time.monotonic()
    with pytest.raises(ChestUnavailable, match=r"locked for longer than 200 ms.*\?busy_timeout_ms="):
        chest.write([make_record()])
    assert time.monotonic() - began < 2
    locked.execute("ROLLBACK")
    chest.write([make_record()])
    assert len(chest.read()) == 1


def test_a_lock_does_not_keep_from_reading_and_checking(chest: SQLiteChest, locked: sqlite3.Connection) -> None:
    assert chest.read() == []
    chest.check()


def test_a_new_file_that_is_locked_is_unavailable_and_then_made(chest: SQLiteChest, path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        with pytest.raises(ChestUnavailable, match="locked"):
            chest.open()
    chest.write([make_record()])
    assert len(chest.read()) == 1


def test_a_full_disk_loses_nothing_that_was_stored_and_room_lets_it_go_on(small_disk: Path) -> None:
    with SQLiteChest(f"sqlite:///{small_disk}/chest.sqlite3") as chest:
        stored = 0
        with pytest.raises(ChestUnavailable, match="make room"):  # noqa: PT012 - until it is full, the writes succeed
            while stored < 100_000:
                chest.write([make_record(path="/" + "x" * 1000) for _ in range(20)])
                stored += 20
        assert stored > 0
        with pytest.raises(ChestUnavailable):
            chest.write([make_record(path="/" + "x" * 100_000) for _ in range(20)])
        assert len(chest.read(limit=100_000)) == stored
        subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
        chest.write([make_record()])
        assert len(chest.read(limit=100_000)) == stored + 1


def test_a_read_only_file_system_is_unavailable_and_can_still_be_read(small_disk: Path) -> None:
    with SQLiteChest(f"sqlite:///{small_disk}/chest.sqlite3") as chest:
        chest.write([make_record()])
        chest.close()
        subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
        for call in (chest.check, lambda: chest.write([make_record()])):
            with pytest.raises(ChestUnavailable, match="read-only"):
                call()
        assert len(chest.read()) == 1
        absent = SQLiteChest(f"sqlite:///{small_disk}/absent.sqlite3")
        for call in (absent.check, absent.open):
            with pytest.raises(ChestUnavailable, match="permission"):
                call()


def test_a_file_that_was_deleted_is_noticed_at_the_next_write(chest: SQLiteChest, path: Path) -> None:
    chest.write([make_record(request_id="before")])
    assert len(chest.read()) == 1
    path.unlink()
    with pytest.raises(ChestUnavailable, match="no such file"):
        chest.read()
    chest.write([make_record(request_id="after")])
    assert [stored.record.request_id for stored in chest.read()] == ["after"]


def test_a_file_that_was_replaced_is_noticed_and_the_new_one_keeps_its_log(
    chest: SQLiteChest, url: str, path: Path
) -> None:
    chest.write([make_record(request_id="before")])
    for file in path.parent.iterdir():
        file.unlink()
    with SQLiteChest(url) as other:
        other.write([make_record(request_id="other")])
        chest.write([make_record(request_id="after")])
        chest.close()
        assert [stored.record.request_id for stored in other.read()] == ["other", "after"]


def test_a_directory_that_was_deleted_is_made_again(tmp_path: Path) -> None:
    with SQLiteChest(f"sqlite:///{tmp_path}/own/chest.sqlite3") as chest:
        chest.write([make_record()])
        shutil.rmtree(tmp_path / "own")
        chest.write([make_record()])
        assert len(chest.read()) == 1


def test_a_file_that_is_not_a_database_is_unavailable_and_left_as_it_is(chest: SQLiteChest, path: Path) -> None:
    path.write_bytes(b"something else, of more than one hundred bytes" * 100)
    before = path.read_bytes()
    for call in (chest.open, chest.check, chest.read, lambda: chest.write([make_record()])):
        with pytest.raises(ChestUnavailable, match="is not a SQLite database: move it away"):
            call()
    assert path.read_bytes() == before
    path.unlink()
    chest.write([make_record()])


def test_a_damaged_file_is_unavailable_with_the_way_to_save_it(chest: SQLiteChest, path: Path) -> None:
    chest.write([make_record(path="/" + "x" * 5000) for _ in range(50)])
    chest.close()
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(ChestUnavailable, match=r"damaged.*\.recover"):
        chest.write([make_record()])


def test_a_directory_in_the_place_of_the_file_is_unavailable(chest: SQLiteChest, path: Path) -> None:
    path.mkdir()
    for call in (chest.open, chest.check, chest.read):
        with pytest.raises(ChestUnavailable, match=r"not a regular file|cannot be opened"):
            call()


def test_a_file_in_the_place_of_the_directory_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    chest = SQLiteChest(f"sqlite:///{tmp_path}/file/chest.sqlite3")
    for call in (chest.open, chest.check, chest.read):
        with pytest.raises(ChestUnavailable):
            call()


def test_checking_leaves_no_trace_if_nothing_is_there(chest: SQLiteChest, path: Path) -> None:
    chest.check()
    assert list(path.parent.iterdir()) == []


def test_checking_leaves_no_trace_beside_a_closed_database(chest: SQLiteChest, path: Path) -> None:
    chest.write([make_record()])
    chest.close()
    before = path.stat()
    chest.check()
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert (path.stat().st_mtime_ns, path.stat().st_size) == (before.st_mtime_ns, before.st_size)


def test_the_log_grows_no_further_than_some_checkpoints(chest: SQLiteChest, path: Path) -> None:
    for _ in range(40):
        chest.write([make_record(path="/" + "x" * 1000) for _ in range(1000)])
    assert path.with_name(path.name + "-wal").stat().st_size < 32 * 1024 * 1024


@pytest.mark.slow  # it writes a hundred megabytes
def test_the_log_grows_while_a_question_reads_and_is_cut_back_once_it_ended(chest: SQLiteChest, path: Path) -> None:
    log, limit = path.with_name(path.name + "-wal"), 64 * 1024 * 1024

    def write(batches: int) -> None:
        for _ in range(batches):
            chest.write([make_record(path="/" + "x" * 50_000) for _ in range(100)])

    chest.write([make_record()])
    with closing(sqlite3.connect(path, isolation_level=None)) as question:
        question.execute("BEGIN")
        assert question.execute("SELECT count(*) FROM chest_records").fetchone() == (1,)
        write(16)
        assert log.stat().st_size > limit + 8 * 1024 * 1024
        assert question.execute("SELECT count(*) FROM chest_records").fetchone() == (1,)
    write(2)
    assert log.stat().st_size <= limit
    assert len(chest.read(limit=10_000)) == 1801


def test_a_file_system_over_a_network_is_warned_of_once(
    chest: SQLiteChest, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("chest.chests.sql.sqlite.database.doubtful_file_system", lambda path: "nfs4")
    with caplog.at_level(logging.WARNING, "chest.chests.sqlite"):
        chest.open()
        chest.close()
        chest.open()
    (warning,) = caplog.records
    assert "nfs4" in warning.getMessage()
    assert "local disk" in warning.getMessage()


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite://chest.sqlite3",
        "sqlite:///file:chest.sqlite3?uri=true",
    ],
)
def test_what_is_not_a_path_is_refused(url: str) -> None:
    with pytest.raises(SettingsError):
        SQLiteChest(url)


@pytest.fixture
def as_another_user() -> Iterator[Callable[[Callable[[Path], object]], None]]:
    """Runs a function, with a directory that everybody may enter, in a process of a user who is not root."""
    if not hasattr(os, "geteuid"):
        pytest.skip("users without numbers")
    with tempfile.TemporaryDirectory() as directory:

        def run(act: Callable[[Path], object]) -> None:
            def in_other_life() -> None:
                if os.geteuid() == 0:
                    os.setuid(65_534)
                act(Path(directory))

            in_child(in_other_life)

        if os.geteuid() == 0:
            os.chown(directory, 65_534, -1)
        yield run


def _cannot_be_written(database: Path, why: str) -> None:
    chest = SQLiteChest(f"sqlite:///{database}")
    for call in (chest.check, lambda: chest.write([make_record()])):
        with pytest.raises(ChestUnavailable, match=why):
            call()


def _written(directory: Path, *, is_closed: bool = True) -> Path:
    chest = SQLiteChest(f"sqlite:///{directory}/chest.sqlite3")
    chest.write([make_record()])
    if is_closed:
        chest.close()
    return directory / "chest.sqlite3"


def _read_only_file(directory: Path) -> None:
    database = _written(directory)
    database.chmod(0o444)
    _cannot_be_written(database, "write permission for the file")


def _read_only_directory(directory: Path) -> None:
    database = _written(directory)
    directory.chmod(0o500)
    try:
        _cannot_be_written(database, "write permission")
    finally:
        directory.chmod(0o700)


def _read_only_log(directory: Path) -> None:
    chest = SQLiteChest(f"sqlite:///{directory}/chest.sqlite3")
    chest.write([make_record()])
    (directory / "chest.sqlite3-wal").chmod(0o444)
    with pytest.raises(ChestUnavailable, match="write permission"):
        SQLiteChest(f"sqlite:///{directory}/chest.sqlite3").check()
    chest.close()


@pytest.mark.parametrize("act", [_read_only_file, _read_only_directory, _read_only_log])
def test_a_check_says_what_a_write_would_say(
    as_another_user: Callable[[Callable[[Path], object]], None], act: Callable[[Path], object]
) -> None:
    as_another_user(act)


def test_a_check_says_that_the_disk_is_full(small_disk: Path) -> None:
    database = _written(small_disk)
    with open(small_disk / "filler", "wb", buffering=0) as filler, contextlib.suppress(OSError):
        while filler.write(bytes(4096)):
            pass
    _cannot_be_written(database, "the disk is full")
    with pytest.raises(ChestUnavailable, match="the disk is full"):
        SQLiteChest(f"sqlite:///{small_disk}/absent.sqlite3").check()


def test_a_process_without_descriptors_says_so(chest: SQLiteChest) -> None:
    def without_descriptors() -> None:
        most = max(map(int, os.listdir("/proc/self/fd"))) + 2  # at least one more, however many this process holds
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        kept = []
        with contextlib.suppress(OSError):
            while True:
                kept.append(os.open(os.devnull, os.O_RDONLY))
        os.close(kept.pop())
        with pytest.raises(ChestUnavailable, match=r"ulimit -n"):
            chest.open()

    in_child(without_descriptors)


@pytest.mark.parametrize(
    "rule", ["RAISE(ABORT, 'no')", "RAISE(FAIL, 'no')", "RAISE(ROLLBACK, 'no')", "abs(-9223372036854775807 - 1)"]
)
def test_a_row_that_a_rule_of_the_users_own_refuses_is_named_whatever_the_rule_raises(
    chest: SQLiteChest, execute: Execute, rule: str
) -> None:
    chest.open()
    execute(f"CREATE TRIGGER mine BEFORE INSERT ON chest_records WHEN new.path = '/bad' BEGIN SELECT {rule}; END")
    good, bad = [make_record() for _ in range(20)], make_record(path="/bad")
    with pytest.raises(RecordRejected) as refusal:
        chest.write([*good[:10], bad, *good[10:]])
    assert refusal.value.ids == (bad.id,)
    assert chest.read() == []
    with pytest.raises(RecordRejected):
        chest.write([bad])
    chest.write(good)
    assert [stored.record for stored in chest.read()] == good


@pytest.mark.parametrize("rule", ["RAISE(ABORT, 'no')", "abs(-9223372036854775807 - 1)"])
def test_a_rule_that_refuses_every_row_is_not_a_record_s_fault(chest: SQLiteChest, execute: Execute, rule: str) -> None:
    chest.open()
    execute(f"CREATE TRIGGER mine BEFORE INSERT ON chest_records BEGIN SELECT {rule}; END")
    with pytest.raises(ChestUnavailable, match=r"integer overflow|none of its records alone"):
        chest.write([make_record(), make_record()])


def test_what_reads_keeps_few_of_the_statements_that_name_thousands_of_records(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from chest.chests.sql.sqlite.chest import SQLiteChest

def megabytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4 / 1024

with SQLiteChest(sys.argv[1]) as chest, closing(chest._connect_to_read()) as connection:
    for round_number in range(100):
        places = ", ".join(str(round_number * 1_000_000 + place) for place in range(5000))
        connection.execute(f"SELECT seq FROM chest_records WHERE seq IN ({places})").fetchall()
        if round_number == 20:
            begin = megabytes()
    print(megabytes() - begin)
"""
    command = [sys.executable, "-c", "from contextlib import closing\n" + code, f"sqlite:///{tmp_path}/chest.sqlite3"]
    with SQLiteChest(command[-1]) as chest:
        chest.write([make_record()])
    asked = subprocess.run(command, capture_output=True, text=True, check=True, timeout=240)
    assert float(asked.stdout) < 15  # 45 if it keeps as many as Python does
