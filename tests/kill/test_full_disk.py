"""A disk without room for a ring: found out when the ring is opened, said once, and no request notices."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from wsgiref.util import setup_testing_defaults

import pytest

from chest import ChestMiddleware, Recorder
from chest.chests.memory import MemoryChest
from chest.chests.registry import open_chest, sqlite_url
from chest.directory_recovery import recover_directory
from tests.processes import run_python
from tests.support import make_record, wait_until

MIB = 1 << 20


@contextlib.contextmanager
def mounted(size: str) -> Iterator[Path]:
    """A file system of its own, so large."""
    path = Path(tempfile.mkdtemp(prefix="chest-full-", dir="/tmp"))
    try:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", path],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        mounted = subprocess.CompletedProcess([], 1, "", str(error))
    if mounted.returncode:
        path.rmdir()
        reason = f"no file system can be mounted, which takes root: {mounted.stderr.strip()}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)
        path.rmdir()


@pytest.fixture
def small_disk() -> Iterator[Path]:
    with mounted("4m") as path:
        yield path


def test_a_disk_without_room_for_the_ring_leaves_it_in_memory_and_the_request_unharmed(
    small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def answer(environ: object, start_response: object) -> list[bytes]:
        start_response("200 OK", [])  # type: ignore[operator]
        return [b"well"]

    chest = MemoryChest()
    app = ChestMiddleware(answer, chests=[chest], directory=small_disk / "rings", service="shop", ring_bytes=16 * MIB)
    environ: dict[str, object] = {}
    setup_testing_defaults(environ)
    with caplog.at_level(logging.WARNING, "chest"):
        for _ in range(20):
            assert app(environ.copy(), lambda *_: print) == [b"well"]
        assert app.recorder.flush()
    assert len(chest.records) == 20
    stats = app.recorder.stats()
    assert stats["ring_in_memory"] == 1
    assert not stats["ring"]["is_durable"]
    assert "the disk is full" in stats["last_error"]
    assert [record.getMessage() for record in caplog.records] == [stats["last_error"]]
    assert list((small_disk / "rings").iterdir()) == []
    assert app.recorder.close()


def test_a_disk_that_fills_up_later_takes_nothing_from_a_ring_that_is_open(small_disk: Path) -> None:
    """Its space was reserved: no SIGBUS, and no record lost."""
    code = """
        import os, sys
        from pathlib import Path
        from chest import Recorder
        from chest.chests.memory import MemoryChest
        from tests.kill.offering import numbered

        disk = Path(sys.argv[1])
        recorder = Recorder(["memory:"], directory=disk / "rings", service="shop", ring_bytes=2 << 20, flush_seconds=60.0)
        recorder.prepare()
        with (disk / "filling").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass
        taken = 0
        while recorder.offer(numbered(recorder.record_ids, 0, taken)):
            taken += 1
            if recorder.stats()["ring"]["pending_bytes"] > (1 << 19):
                break
        print(taken, flush=True)
        os._exit(0)
    """
    taken = int(run_python(code, small_disk))
    assert taken > 1000
    (small_disk / "filling").unlink()
    chest = MemoryChest()
    assert recover_directory(small_disk / "rings", [chest]).records == taken


def test_a_store_on_a_full_disk_is_tried_again_until_there_is_room(small_disk: Path, tmp_path: Path) -> None:
    recorder = Recorder(
        [sqlite_url(small_disk / "store.sqlite3")], directory=tmp_path / "rings", service="shop", ring_bytes=MIB
    )
    recorder.prepare()
    recorder.offer(make_record(recorder.record_ids))
    assert recorder.flush()
    filling = small_disk / "filling"
    with contextlib.suppress(OSError), filling.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    text = "x" * 3000
    for _ in range(200):
        assert recorder.offer(make_record(recorder.record_ids, variables={"text": text}))
    assert not recorder.flush(0.5)
    assert "disk is full" in recorder.stats()["last_error"]
    filling.unlink()
    assert recorder.flush(20)
    assert recorder.close()
    chest = open_chest(sqlite_url(small_disk / "store.sqlite3"))
    assert len(chest.read(limit=1000)) == 201  # type: ignore[attr-defined]
    chest.close()


def test_a_ring_that_is_full_drops_the_newest_and_counts_them(tmp_path: Path) -> None:
    """While the only store is down, for longer than the ring has room."""
    chest = MemoryChest()
    held = chest.write

    def unavailable(records: object) -> None:
        raise OSError("down")

    chest.write = unavailable  # type: ignore[method-assign]
    recorder = Recorder([chest], directory=tmp_path, service="shop", ring_bytes=MIB)
    recorder.prepare()
    taken, dropped = [], 0
    while dropped < 100:
        record = make_record(recorder.record_ids)
        if recorder.offer(record):
            taken.append(record.id)
        else:
            dropped += 1
    assert recorder.stats()["dropped"] == {"ring_full": 100}
    chest.write = held  # type: ignore[method-assign]
    wait_until(lambda: len(chest.records) == len(taken), 20)
    assert sorted(record.id for record in chest.records) == sorted(taken)
    assert recorder.offer(make_record(recorder.record_ids))
    assert recorder.close()


def test_a_spool_leaves_enough_of_the_disk_free_to_be_emptied_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("chest.delivery.lane.SPOOL_AFTER_SECONDS", 0.2)
    monkeypatch.setattr("chest.delivery.exporter.ADOPT_EVERY_SECONDS", 0.2)
    monkeypatch.setattr("chest.delivery.backoff.LONGEST_WAIT_SECONDS", 0.3)
    monkeypatch.setattr("chest.delivery.spool.TRY_AGAIN_SECONDS", 0.3)
    with mounted("16m") as disk:
        chest = MemoryChest()
        held, taken = chest.write, set[str]()

        def unavailable(records: object) -> None:
            raise OSError("down")

        chest.write = unavailable  # type: ignore[method-assign]
        recorder = Recorder([chest], directory=disk / "rings", service="shop", ring_bytes=MIB, flush_seconds=0.02)
        recorder.prepare()

        def fill() -> bool:
            for _ in range(50):
                record = make_record(recorder.record_ids, variables={"text": "x" * 2000})
                if recorder.offer(record):
                    taken.add(record.id)
            return recorder.stats().get("spool_failed", 0) > 0

        wait_until(fill, 60)
        assert "left free" in caplog.text
        assert "takes records again" not in caplog.text
        chest.write = held  # type: ignore[method-assign]
        wait_until(lambda: len(chest.records) >= len(taken), 60)
        assert {record.id for record in chest.records} == taken
        wait_until(lambda: recorder.stats()["spool"]["memory"]["records"] == 0)
        assert recorder.close()
