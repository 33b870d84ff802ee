"""``chest recover``: what dead processes left is delivered."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from chest.chests.memory import MemoryChest
from chest.chests.registry import sqlite_url
from chest.delivery.spool.place import spool_path
from chest.delivery.spool.spool import Spool
from chest.record.counters import Counters
from chest.record.record import Record
from chest.recorder.recorder import Recorder

Run = Callable[..., Result]
MakeRecord = Callable[..., Record]

DIES_WITH_THREE_RECORDS = """
import os, signal, sys
from wsgiref.util import setup_testing_defaults
from chest import ChestMiddleware

def shop(environ, start_response):
    environ["chest.context"]["number"] = int(environ["HTTP_X_REQUEST_ID"][-1])
    start_response("200 OK", [])
    return [b""]

app = ChestMiddleware(shop, chests=["sqlite:////proc/no-such/chest.sqlite3"], directory=sys.argv[1], service="shop")
for number in range(3):
    environ = {"HTTP_X_REQUEST_ID": f"request-{number}"}
    setup_testing_defaults(environ)
    app(environ, lambda *_: None)
os.kill(os.getpid(), signal.SIGKILL)
"""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="rings are in memory there")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """What a process left that was killed before it could deliver."""
    path = tmp_path / "rings"
    dead = subprocess.run([sys.executable, "-c", DIES_WITH_THREE_RECORDS, str(path)])
    assert dead.returncode == -9
    return path


def rings(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.ring"))


def test_records_of_a_killed_process_are_delivered_to_the_chest_in_the_directory(run: Run, directory: Path) -> None:
    assert len(rings(directory)) == 1
    result = run("recover", str(directory))
    assert (result.exit_code, result.stdout) == (0, "Records recovered: 3, from ring files: 1\n")
    assert rings(directory) == []
    found = run("find", f"sqlite:///{directory}/chest.sqlite3", "--json").stdout.splitlines()
    assert [json.loads(line)["variables"]["number"] for line in found] == [0, 1, 2]


def test_they_are_delivered_to_each_chest_that_is_named(run: Run, directory: Path, shelf: MemoryChest) -> None:
    other = MemoryChest(shelf.name + "-other")
    assert run("recover", str(directory), "--to", shelf.name, "--to", other.name).exit_code == 0
    assert [record.request_id for record in shelf.records] == ["request-0", "request-1", "request-2"]
    assert other.records == shelf.records
    other.clear()


def test_they_are_delivered_to_the_environment_s_chests_where_none_is_named(
    run: Run, directory: Path, shelf: MemoryChest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHEST_URLS", shelf.name)
    assert run("recover", str(directory)).exit_code == 0
    assert len(shelf.records) == 3
    assert list(directory.glob("*.sqlite3")) == []


def test_a_second_call_finds_nothing_more(run: Run, directory: Path) -> None:
    run("recover", str(directory))
    assert run("recover", str(directory)).stdout == "Records recovered: 0, from ring files: 0\n"


def test_a_chest_that_takes_nothing_leaves_the_records_where_they_are(run: Run, directory: Path) -> None:
    result = run("recover", str(directory), "--to", "sqlite:////proc/no-such/chest.sqlite3")
    assert result.exit_code == 1
    assert result.stderr.startswith("chest: ")
    assert len(rings(directory)) == 1
    assert run("recover", str(directory)).stdout.startswith("Records recovered: 3")


def test_the_ring_of_a_living_process_is_left_to_it(run: Run, tmp_path: Path, shelf: MemoryChest) -> None:
    with Recorder(chests=["memory:living"], directory=tmp_path, service="shop") as recorder:
        recorder.prepare()
        assert len(rings(tmp_path)) == 1
        result = run("recover", str(tmp_path), "--to", shelf.name)
        assert result.stdout == "Records recovered: 0, from ring files: 0; 1 ring files left to living processes\n"
        assert len(rings(tmp_path)) == 1


def test_a_directory_that_is_not_there_is_refused(run: Run, tmp_path: Path) -> None:
    result = run("recover", str(tmp_path / "no-such"))
    assert result.exit_code == 2
    assert "does not exist" in result.stderr


def test_what_is_spooled_for_a_store_that_moved_goes_to_its_new_place(
    run: Run, tmp_path: Path, shelf: MemoryChest, record: MakeRecord
) -> None:
    records = [record(), record()]
    for host in ("old-host", "other-host"):
        chest = f"postgresql://shop:***@{host}/shop"
        spool = Spool(spool_path(tmp_path, chest), chest, 1 << 20, Counters())
        assert spool.add(records if host == "old-host" else [record()])
        spool.close()
    told = run("recover", str(tmp_path), "--to", shelf.name)
    assert "other chests than these: 2; see --spooled-for" in told.stderr
    assert shelf.records == []
    moved = run("recover", str(tmp_path), "--to", shelf.name, "--spooled-for", "old-host")
    assert (moved.exit_code, moved.stdout) == (0, "Records recovered: 2, from ring files: 0\n")
    assert shelf.records == records
    assert "other chests than these: 1" in moved.stderr
    again = run("recover", str(tmp_path), "--to", shelf.name, "--spooled-for", "old-host")
    assert again.stdout == "Records recovered: 0, from ring files: 0\n"


def test_what_cannot_be_read_is_said_with_the_place_of_the_file_and_the_exit_code_is_1(
    run: Run, directory: Path
) -> None:
    (ring,) = directory.glob("*.ring")
    os.truncate(ring, ring.stat().st_size - 4096)
    done = run("recover", "--to", sqlite_url(directory / "store.sqlite3"), str(directory))
    assert done.exit_code == 1
    assert "from ring files: 1" in done.stdout
    assert "shorter than its header says" in done.stderr
    assert f"Set aside, as it could not be read whole: {ring}.damaged" in done.stderr


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="takes root")
def test_in_a_directory_of_another_user_root_writes_through_no_name_that_may_be_a_link(
    run: Run, directory: Path, tmp_path: Path
) -> None:
    roots = tmp_path / "roots.sqlite3"
    roots.touch(0o600)
    (directory / "chest.sqlite3").symlink_to(roots)
    spool = Spool(spool_path(directory, sqlite_url(tmp_path / "store.sqlite3")), "theirs", 1 << 20, Counters())
    (directory / spool.path.name).symlink_to(roots)
    for each in (directory, *directory.iterdir()):
        os.chown(each, 65534, 65534, follow_symlinks=False)
    refused = run("recover", str(directory))
    assert refused.exit_code == 1
    assert "belongs to user 65534" in refused.stderr
    assert len(rings(directory)) == 1
    told = run("recover", "--to", sqlite_url(tmp_path / "store.sqlite3"), str(directory))
    assert "Records recovered: 3, from ring files: 1" in told.stdout
    assert "not a regular file of this user" in told.stderr
    assert run("dead", "list", "--directory", str(directory)).exit_code == 1
    assert roots.read_bytes() == b""
    assert [path.owner() for path in tmp_path.glob("store.sqlite3")] == ["root"]
