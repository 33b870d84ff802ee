"""Recovering what the dead left into a real store: by two processes at once, and from damaged files."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chest.chests.memory import MemoryChest
from chest.chests.registry import sqlite_url
from chest.recorder.directory_recovery import recover_directory
from tests.processes import clean_environment, command_of
from tests.ring.test_recovery import leave_ring
from tests.support import examples

_RECOVER = """
    import sys
    from pathlib import Path
    from chest.chests.registry import open_chest
    from chest.recorder.directory_recovery import recover_directory
    chest = open_chest(sys.argv[2])
    chest.open()
    print("ready", flush=True)
    sys.stdin.readline()
    recovered = recover_directory(Path(sys.argv[1]), [chest])
    print(recovered.rings, recovered.records)
    chest.close()
"""


def start_recovery(directory: Path, store: Path) -> subprocess.Popen[str]:
    """A process that has the store open, and recovers when it is told to."""
    process = subprocess.Popen(
        command_of(_RECOVER, directory, sqlite_url(store)), env=clean_environment(), text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def stored_ids(store: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(store)) as connection:
        return [row[0] for row in connection.execute("SELECT id FROM chest_records")]


def test_two_processes_recovering_one_directory_into_one_store_store_every_record_once(tmp_path: Path) -> None:
    rings, store = tmp_path / "rings", tmp_path / "store.sqlite3"
    rings.mkdir(mode=0o700)
    expected = {record.id for number in range(16) for record in leave_ring(rings, 500, name=f"main.{number}.aa")}
    processes = [start_recovery(rings, store) for _ in range(2)]
    for process in processes:
        go(process)
    outcomes = []
    for process in processes:
        said, complained = process.communicate(timeout=60)
        assert process.returncode == 0, complained
        outcomes.append([int(word) for word in said.split()])
    ids = stored_ids(store)
    assert len(ids) == len(set(ids))
    assert set(ids) == expected
    assert sum(rings for rings, _ in outcomes) == 16
    assert sum(records for _, records in outcomes) == len(expected)
    assert list(rings.iterdir()) == []


def test_a_recovery_killed_at_any_moment_is_finished_by_the_next_one(tmp_path: Path) -> None:
    rings, store = tmp_path / "rings", tmp_path / "store.sqlite3"
    rings.mkdir(mode=0o700)
    expected = {record.id for number in range(8) for record in leave_ring(rings, 2000, name=f"main.{number}.aa")}
    for _ in range(6):
        process = start_recovery(rings, store)
        go(process)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(random.uniform(0.01, 0.1))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    process = start_recovery(rings, store)
    go(process)
    assert process.communicate(timeout=60)[1] == ""
    ids = stored_ids(store)
    assert len(ids) == len(set(ids))
    assert set(ids) == expected
    assert not list(rings.glob("*.ring"))


@settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_and_truncated_rings_are_recovered_as_far_as_they_are_whole(
    tmp_path: Path, data: st.DataObject
) -> None:
    """Never an exception, never a record that was not offered, and the sound ring beside them comes whole."""
    for left in tmp_path.iterdir():
        left.unlink()
    sound = {record.id for record in leave_ring(tmp_path, 20, name="main.2.bb")}
    offered = {record.id: record for record in leave_ring(tmp_path, 40, name="main.1.aa")}
    path = tmp_path / "main.1.aa.ring"
    content = bytearray(path.read_bytes())
    used = content.index(b"[", 4096)
    for _ in range(data.draw(st.integers(0, 6))):
        at = data.draw(st.one_of(st.integers(0, 4095), st.integers(used, used + 10_000)))
        noise = data.draw(st.binary(min_size=1, max_size=32))
        content[at : at + len(noise)] = noise
    path.write_bytes(content)
    if data.draw(st.booleans()):
        os.truncate(path, data.draw(st.integers(0, len(content))))
    chest = MemoryChest()
    recover_directory(tmp_path, [chest])
    found = {record.id: record for record in chest.records}
    assert sound <= set(found)
    assert set(found) - sound <= set(offered)


@pytest.mark.parametrize("left", ["main.1.aa.ring", "main.1.aa.lock"])
def test_a_ring_without_its_lock_and_a_lock_without_its_ring_do_no_harm(tmp_path: Path, left: str) -> None:
    leave_ring(tmp_path)
    for path in tmp_path.iterdir():
        if path.name != left:
            path.unlink()
    other = leave_ring(tmp_path, name="main.2.bb")
    chest = MemoryChest()
    recover_directory(tmp_path, [chest])
    assert chest.records == other
