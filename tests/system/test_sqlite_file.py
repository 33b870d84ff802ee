"""A SQLite file that is moved away, removed or replaced while it is used: its log goes with it, or is kept."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from chest.chests.sql.sqlite.chest import SQLiteChest
from chest.delivery.spool.file import SpoolFile
from chest.system.sqlite_file import make_file
from chest.testing.records import make_record

TakeAway = Callable[[Path, Path], object]

_WRITER = """
import sys
from chest.chests.sql.sqlite.chest import SQLiteChest
from chest.testing.records import make_record

chest = SQLiteChest(sys.argv[1])
for line in sys.stdin:
    chest.write([make_record() for _ in range(int(line))])
    print("written", flush=True)
chest.close()
"""
_SHELL = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
print(connection.execute("SELECT count(*) FROM chest_records").fetchone()[0], flush=True)
sys.stdin.readline()
connection.close()
"""
_HALF_A_TRANSACTION = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.executescript("PRAGMA cache_size = 1; CREATE TABLE mine (a); INSERT INTO mine VALUES (zeroblob(100000)); BEGIN")
connection.execute("UPDATE mine SET a = zeroblob(200000)")
connection.execute("INSERT INTO mine VALUES (zeroblob(100000))")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "chest.sqlite3"


@pytest.fixture
def chest(database: Path) -> Iterator[SQLiteChest]:
    with SQLiteChest(f"sqlite:///{database}") as chest:
        yield chest


def write(chest: SQLiteChest, count: int) -> None:
    chest.write([make_record() for _ in range(count)])


def rows(database: Path) -> int:
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        count: int = connection.execute("SELECT count(*) FROM chest_records").fetchone()[0]
    return count


def names_in(directory: Path) -> set[str]:
    return {file.name for file in directory.iterdir() if not file.name.endswith(("-wal", "-shm"))}


def kept_in(directory: Path) -> list[str]:
    return sorted(
        re.sub(r"orphaned-.*?Z", "orphaned", file.name) for file in directory.iterdir() if ".orphaned-" in file.name
    )


def follow_advice(said: str, moved: Path) -> None:
    """What the warning says to do for a database that was moved."""
    (moves,) = re.findall(r"mv .*?(?=\. If you removed)", said)
    subprocess.run(moves.replace(" NEW", f" {shlex.quote(str(moved))}"), shell=True, check=True)


def copy_and_remove(database: Path, moved: Path) -> None:
    """What ``mv`` does from one file system to another."""
    shutil.copy(database, moved)
    os.unlink(database)


def killed_after_writing(database: Path, count: int) -> None:
    """A worker that was killed leaves its log."""
    with _worker(database) as worker:
        _tell(worker, count)
        worker.send_signal(signal.SIGKILL)
        worker.wait(60)
    assert Path(f"{database}-wal").stat().st_size


def _worker(database: Path, code: str = _WRITER) -> subprocess.Popen[str]:
    argument = f"sqlite:///{database}" if code == _WRITER else str(database)
    return subprocess.Popen(
        [sys.executable, "-c", code, argument], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def _tell(worker: subprocess.Popen[str], count: int) -> None:
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write(f"{count}\n")
    worker.stdin.flush()
    assert worker.stdout.readline() == "written\n"


def test_a_database_that_is_moved_away_under_a_writer_takes_along_all_its_rows(
    chest: SQLiteChest, database: Path
) -> None:
    write(chest, 300)
    database.rename(database.with_name("old.sqlite3"))
    write(chest, 20)
    assert (rows(database.with_name("old.sqlite3")), rows(database)) == (300, 20)
    assert names_in(database.parent) == {"chest.sqlite3", "old.sqlite3"}


def test_a_database_that_is_moved_away_before_the_last_writer_ends_takes_along_all_its_rows(
    chest: SQLiteChest, database: Path
) -> None:
    write(chest, 300)
    database.rename(database.with_name("old.sqlite3"))
    chest.close()
    assert rows(database.with_name("old.sqlite3")) == 300


def test_a_log_whose_writers_were_killed_is_kept_and_can_follow_its_database(
    chest: SQLiteChest, database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    killed_after_writing(database, 300)
    moved = database.with_name("old file.sqlite3")
    database.rename(moved)
    write(chest, 20)
    assert kept_in(database.parent) == ["chest.sqlite3.orphaned-shm", "chest.sqlite3.orphaned-wal"]
    (said,) = caplog.messages
    follow_advice(said, moved)
    assert (rows(moved), rows(database)) == (300, 20)


@pytest.mark.parametrize("take_away", [copy_and_remove, lambda database, _: database.unlink()])
def test_a_log_whose_database_has_no_name_any_more_is_kept(
    chest: SQLiteChest, database: Path, take_away: TakeAway, caplog: pytest.LogCaptureFixture
) -> None:
    write(chest, 300)
    copy = database.with_name("copy.sqlite3")
    take_away(database, copy)
    write(chest, 20)
    assert rows(database) == 20
    assert kept_in(database.parent) == ["chest.sqlite3.orphaned-shm", "chest.sqlite3.orphaned-wal"]
    if copy.exists():
        follow_advice(caplog.messages[0], copy)
        assert rows(copy) == 300


def test_an_empty_file_in_the_place_of_the_database_does_not_cost_its_log(
    chest: SQLiteChest, database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    killed_after_writing(database, 300)
    moved = database.with_name("old.sqlite3")
    database.rename(moved)
    database.touch()
    write(chest, 20)
    follow_advice(caplog.messages[0], moved)
    assert (rows(moved), rows(database)) == (300, 20)


def test_what_a_link_leads_to_is_treated_like_the_file_itself(database: Path) -> None:
    real, link = database.parent / "real" / "chest.sqlite3", database
    real.parent.mkdir()
    link.symlink_to(real)
    with SQLiteChest(f"sqlite:///{link}") as chest:
        chest.check()
        write(chest, 300)
        real.rename(real.with_name("old.sqlite3"))
        write(chest, 20)
        chest.check()
        assert (rows(real.with_name("old.sqlite3")), rows(real)) == (300, 20)
        assert link.is_symlink()
        link.unlink()
        link.symlink_to(real.with_name("next.sqlite3"))
        write(chest, 5)
    assert (rows(real), rows(real.with_name("next.sqlite3"))) == (20, 5)


def test_an_empty_log_is_not_kept(chest: SQLiteChest, database: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(chest, 300)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.unlink()
    write(chest, 20)
    assert (rows(database), kept_in(database.parent), caplog.messages) == (20, [], [])


@pytest.mark.parametrize("idle_code", [_WRITER, _SHELL], ids=["a worker", "a shell"])
@pytest.mark.parametrize(
    "take_away",
    [lambda database, _: database.unlink(), lambda database, moved: database.rename(moved)],
    ids=["rm", "mv"],
)
def test_no_idle_process_that_has_the_old_file_open_keeps_others_from_writing(
    chest: SQLiteChest, database: Path, take_away: TakeAway, idle_code: str
) -> None:
    write(chest, 300)
    with _worker(database, idle_code) as idle:
        assert idle.stdin is not None
        assert idle.stdout is not None
        if idle_code == _WRITER:
            _tell(idle, 10)
        else:
            assert idle.stdout.readline() == "300\n"
        take_away(database, database.with_name("old.sqlite3"))
        write(chest, 20)
        write(chest, 20)
        if idle_code == _WRITER:
            _tell(idle, 10)
        idle.stdin.close()
        assert idle.wait(60) == 0
    write(chest, 20)
    assert rows(database) == (70 if idle_code == _WRITER else 60)


def test_a_backup_that_is_put_in_the_place_of_the_database_does_not_get_its_log(
    chest: SQLiteChest, database: Path
) -> None:
    write(chest, 100)
    backup = database.with_name("backup.sqlite3")
    with closing(sqlite3.connect(database)) as connection, closing(sqlite3.connect(backup)) as target:
        connection.backup(target)
    with _worker(database) as idle:
        _tell(idle, 10)
        write(chest, 3000)
        backup.replace(database)
        write(chest, 20)
        _tell(idle, 10)
        write(chest, 20)
        assert len(chest.read(limit=10_000)) == 150
        assert idle.stdin is not None
        idle.stdin.close()
        assert idle.wait(60) == 0
    chest.close()
    assert rows(database) == 150
    assert kept_in(database.parent) == ["chest.sqlite3.orphaned-shm", "chest.sqlite3.orphaned-wal"]


def test_the_journal_of_a_transaction_that_was_cut_off_is_kept_for_its_database(
    chest: SQLiteChest, database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    subprocess.run([sys.executable, "-c", _HALF_A_TRANSACTION, str(database)], check=False)
    moved = database.with_name("old.sqlite3")
    database.rename(moved)
    write(chest, 20)
    assert kept_in(database.parent) == ["chest.sqlite3.orphaned-journal"]
    follow_advice(caplog.messages[0], moved)
    with closing(sqlite3.connect(moved)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("SELECT count(*), sum(length(a)) FROM mine").fetchall() == [(1, 100_000)]


def test_a_spool_that_is_moved_away_takes_along_all_its_records(tmp_path: Path) -> None:
    path, moved = tmp_path / "one.spool", tmp_path / "two.spool"
    first, second = SpoolFile(path, "chest"), SpoolFile(moved)
    first.add([make_record() for _ in range(300)], 1 << 30)
    path.rename(moved)
    first.add([make_record()], 1 << 30)
    assert (first.size().records, second.size().records) == (1, 300)
    first.close()
    second.close()


def test_a_spool_that_is_removed_under_an_idle_worker_is_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "one.spool"
    idle, busy = SpoolFile(path), SpoolFile(path)
    idle.add([make_record()], 1 << 30)
    busy.add([make_record()], 1 << 30)
    path.unlink()
    for count in (1, 2):
        busy.add([make_record()], 1 << 30)
        assert busy.size().records == count
    idle.add([make_record()], 1 << 30)
    assert busy.size().records == 3
    idle.close()
    busy.close()


def test_a_file_is_made_if_there_are_no_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    make_file(tmp_path / "new")
    assert [file.name for file in tmp_path.iterdir()] == ["new"]
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o600


def test_a_file_is_made_once_and_private(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        make_file(tmp_path / "new")
    finally:
        os.umask(before)
    (tmp_path / "new").write_text("something")
    make_file(tmp_path / "new")
    assert (tmp_path / "new").read_text() == "something"
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["new"]
