"""Spools that were begun under another spelling of the same store are emptied; those of other stores are named."""

from __future__ import annotations

import hashlib
import logging
import re
from contextlib import closing
from pathlib import Path

import pytest

from chest import Recorder
from chest.chests.memory import MemoryChest
from chest.delivery.spool.file import SpoolFile
from chest.delivery.spool.place import spool_path
from chest.delivery.spool.search import SpoolSearch
from chest.delivery.workers import workers_for
from chest.record.counters import Counters
from tests.processes import run_python
from tests.recording_server import Reply, recording_server
from tests.support import make_record, wait_until


def left_by_an_earlier_release(directory: Path, label: str, count: int = 3) -> Path:
    """A spool as it was named after the label, with so many records."""
    words = re.sub(r"[^A-Za-z0-9]+", "-", label).strip("-")[:40]
    path = directory / f"{words}-{hashlib.sha256(label.encode()).hexdigest()[:12]}.spool"
    with closing(SpoolFile(path, label)) as file:
        file.add([make_record() for _ in range(count)], 1 << 20)
    return path


def waiting_in(path: Path) -> int:
    with closing(SpoolFile(path)) as file:
        return file.size().records


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chest.delivery.spool_policy.SPOOL_AFTER_SECONDS", 0.1)
    monkeypatch.setattr("chest.delivery.own_ring.ADOPT_EVERY_SECONDS", 0.2)
    monkeypatch.setattr("chest.delivery.backoff.LONGEST_WAIT_SECONDS", 0.3)


def test_what_was_spooled_arrives_after_the_url_of_the_same_store_was_changed(tmp_path: Path) -> None:
    code = """
        import os, sys
        import chest.delivery.spool_policy
        from chest import Recorder
        from tests.support import make_record, wait_until

        chest.delivery.spool_policy.SPOOL_AFTER_SECONDS = 0.1
        recorder = Recorder([sys.argv[1]], directory=sys.argv[2], service="shop", flush_seconds=0.02)
        recorder.prepare()
        for _ in range(50):
            recorder.offer(make_record(recorder.request_side.record_ids))
        wait_until(lambda: sum(recorder.stats().get("spooled", {}).values()) == 50, 60)
        os._exit(0)
    """
    with recording_server(reply=lambda _: Reply(503) if is_down else None) as server:
        is_down = True
        run_python(code, f"http://127.0.0.1:{server.port}/in", tmp_path)
        is_down = False
        changed = f"http://key@127.0.0.1:{server.port}/in?gzip=1&timeout_seconds=30"
        recorder = Recorder([changed], directory=tmp_path, service="shop")
        recorder.prepare()
        wait_until(lambda: sum(recorder.stats().get("unspooled", {}).values()) == 50, 60)
        assert recorder.close(60)


def test_a_spool_that_an_earlier_release_named_is_emptied(tmp_path: Path) -> None:
    path = left_by_an_earlier_release(tmp_path, "sqlite:////old/../store.sqlite3")
    chest = MemoryChest()
    chest.name = "sqlite:////store.sqlite3?busy_timeout_ms=5"
    recorder = Recorder([chest], directory=tmp_path, service="shop")
    recorder.prepare()
    wait_until(lambda: len(chest.records) == 3, 60)
    wait_until(lambda: waiting_in(path) == 0, 60)
    assert recorder.close(60)
    assert spool_path(tmp_path, chest.name) != path


def test_records_for_a_store_that_is_none_of_the_chests_are_named_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    left_by_an_earlier_release(tmp_path, "postgresql://user:***@old-host/shop", 7)
    left_by_an_earlier_release(tmp_path, "memory:empty", 0)
    recorder = Recorder([MemoryChest()], directory=tmp_path, service="shop")
    with caplog.at_level(logging.WARNING, "chest.delivery"):
        recorder.prepare()
        wait_until(lambda: caplog.records, 60)
        assert recorder.close(60)
    (said,) = [record.getMessage() for record in caplog.records]
    assert "7 for postgresql://user:***@old-host/shop" in said
    assert "empty" not in said
    assert f"chest recover {tmp_path} --spooled-for" in said


def test_what_another_recorder_is_delivering_is_not_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = left_by_an_earlier_release(tmp_path, "memory:other")
    counters = Counters()
    others = workers_for([MemoryChest("memory:other-for-search")], counters, tmp_path, 1 << 20)[0]
    assert others.spool is not None
    theirs = others.spool.beside(path, "memory:other")
    assert theirs.begin()
    with closing(others):
        SpoolSearch(workers_for([MemoryChest()], counters, tmp_path, 1 << 20), counters).look()
    theirs.close()
    assert not caplog.records


def test_files_that_are_no_spools_are_left_as_they_are_and_looked_at_some_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(45):
        (tmp_path / f"{number}.spool").write_bytes(b"" if number % 2 else b"no database" * 100)
    (tmp_path / "link.spool").symlink_to(tmp_path / "0.spool")
    looked_at: list[str] = []
    search = SpoolSearch(workers_for([MemoryChest()], Counters(), tmp_path, 1 << 20), Counters())
    look_into = search._look_into
    monkeypatch.setattr(search, "_look_into", lambda path: looked_at.append(path.name) or look_into(path))
    before = {path.name: path.lstat().st_mtime_ns for path in tmp_path.iterdir()}
    for most in (20, 40, 46, 46):
        search.look()
        assert len(looked_at) == most
    assert {path.name: path.lstat().st_mtime_ns for path in tmp_path.iterdir()} == before
