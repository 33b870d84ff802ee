"""SIGKILL in the middle of offers: what was offered is delivered once, and nothing is torn."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from chest.chests.registry import open_chest, sqlite_url
from chest.recorder.directory_recovery import recover_directory
from tests.kill.nursery import Offers, kill_in_the_middle_of_offers, recovered, require_each_once
from tests.kill.offering import Tally, text_of
from tests.support import examples

KILLS = int(os.environ.get("KILLS", examples(200)))
"""How many processes are killed in each test of the bare ring, and a third of it in each with an exporter."""
KILLS_AT_A_TIME = 25
"""Between two recoveries: each killed process leaves a ring of 1 MiB, and a tmpfs may be small."""


@pytest.fixture(params=["disk", "tmpfs"])
def directory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A directory for rings, on a disk and in memory."""
    if request.param == "disk":
        yield tmp_path
        return
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("there is no /dev/shm")
    path = Path(tempfile.mkdtemp(prefix="chest-kill-", dir="/dev/shm"))
    try:
        yield path
    finally:
        shutil.rmtree(path)


def test_what_was_offered_before_a_kill_is_in_the_ring_once_and_no_record_is_torn(directory: Path) -> None:
    for _ in range(0, KILLS, KILLS_AT_A_TIME):
        kill_in_the_middle_of_offers(directory, KILLS_AT_A_TIME, 0.008)
        require_each_once(Tally(directory), KILLS_AT_A_TIME, recovered(directory))
        (directory / "tally").unlink()
        assert list(directory.iterdir()) == []


def test_what_was_offered_before_a_kill_is_in_the_store_once_although_exporters_were_killed_with_it(
    directory: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store.sqlite3"
    processes = max(KILLS // 3, 3)
    kill_in_the_middle_of_offers(directory, processes, 0.12, store)
    chest = open_chest(sqlite_url(store))
    recover_directory(directory, [chest])
    chest.close()
    with contextlib.closing(sqlite3.connect(store)) as connection:
        stored = [json.loads(row[0]) for row in connection.execute("SELECT variables FROM chest_records")]
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert all(variables["text"] == text_of(variables["number"]) for variables in stored)
    found = Offers((variables["process"], variables["number"]) for variables in stored)
    require_each_once(Tally(directory), processes, found)
    assert not list(directory.glob("*.ring"))
