"""A disk without room for a ring: found out when the ring is opened, said once, and no request notices."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from base64 import b85encode
from collections.abc import Iterator
from pathlib import Path
from wsgiref.util import setup_testing_defaults

import pytest

from chest import ChestMiddleware, Recorder
from chest.chests.contract import ReadableChest
from chest.chests.memory import MemoryChest
from chest.chests.registry import open_chest, sqlite_url
from chest.recorder.directory_recovery import recover_directory
from tests.processes import clean_environment, run_python
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
        assert app.recorder.flush(60)
    assert len(chest.records) == 20
    stats = app.recorder.stats()
    assert stats["ring_in_memory"] == 1
    assert not stats["ring"]["is_durable"]
    assert "the disk is full" in stats["last_error"]
    assert [record.getMessage() for record in caplog.records] == [f"chest: {stats['last_error']}"]
    assert list((small_disk / "rings").iterdir()) == []
    assert app.recorder.close(60)


def test_a_disk_that_fills_up_later_takes_nothing_from_a_ring_that_is_open(small_disk: Path) -> None:
    """Its space was reserved: no SIGBUS, and no record lost."""
    code = """
        import os, sys
        from pathlib import Path
        from chest import Recorder
        from chest.chests.memory import MemoryChest
        from tests.kill.offering import numbered

        disk = Path(sys.argv[1])
        recorder = Recorder(["memory:"], directory=disk / "rings", service="shop", ring_bytes=2 << 20, flush_seconds=60.0, batch_records=10_000)  # none is delivered
        recorder.prepare()
        with (disk / "filling").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass
        taken = 0
        while recorder.offer(numbered(recorder.request_side.record_ids, 0, taken)):
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
    recorder.offer(make_record(recorder.request_side.record_ids))
    assert recorder.flush(60)
    filling = small_disk / "filling"
    with contextlib.suppress(OSError), filling.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    text = "x" * 3000
    for _ in range(200):
        assert recorder.offer(make_record(recorder.request_side.record_ids, variables={"text": text}))
    assert not recorder.flush(0.5)
    assert "disk is full" in recorder.stats()["last_error"]
    filling.unlink()
    wait_until(lambda: recorder.flush(20), 60)  # by now they may be spooled, and the store is tried again after a pause
    assert recorder.close(60)
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
        record = make_record(recorder.request_side.record_ids)
        if recorder.offer(record):
            taken.append(record.id)
        else:
            dropped += 1
    assert recorder.stats()["dropped"] == {"ring_full": 100}
    chest.write = held  # type: ignore[method-assign]
    wait_until(lambda: len(chest.records) == len(taken))
    assert sorted(record.id for record in chest.records) == sorted(taken)
    assert recorder.offer(make_record(recorder.request_side.record_ids))
    assert recorder.close(60)


def test_a_spool_leaves_enough_of_the_disk_free_to_be_emptied_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("chest.delivery.spool_policy.SPOOL_AFTER_SECONDS", 0.2)
    monkeypatch.setattr("chest.delivery.own_ring.ADOPT_EVERY_SECONDS", 0.2)
    monkeypatch.setattr("chest.delivery.backoff.LONGEST_WAIT_SECONDS", 0.3)
    monkeypatch.setattr("chest.delivery.spool.spool.TRY_AGAIN_SECONDS", 0.3)
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
                record = make_record(recorder.request_side.record_ids, variables={"text": "x" * 2000})
                if recorder.offer(record):
                    taken.add(record.id)
            return recorder.stats().get("spool_failed", 0) > 0

        wait_until(fill, 60)
        assert "which the spool needs to be emptied" in caplog.text
        assert "takes records again" not in caplog.text
        chest.write = held  # type: ignore[method-assign]
        wait_until(lambda: len(chest.records) >= len(taken), 60)
        assert {record.id for record in chest.records} == taken
        wait_until(lambda: recorder.stats()["spool"]["memory"]["records"] == 0)
        assert recorder.close(60)


@pytest.mark.parametrize("name", ["out.ndjson", "out.ndjson.gz"])
def test_a_target_that_fills_its_disk_ends_a_move_and_costs_the_source_nothing_that_it_has_not(
    tmp_path: Path, name: str
) -> None:
    records = [make_record(variables={"text": b85encode(os.urandom(300)).decode()}) for _ in range(4000)]
    with mounted("1m") as disk, open_chest(sqlite_url(tmp_path / "source.sqlite3")) as source:
        assert isinstance(source, ReadableChest)
        source.write(records)
        command = [sys.executable, "-m", "chest", "transfer", tmp_path / "source.sqlite3", f"ndjson:{disk / name}"]
        moved = subprocess.run(
            [*command, "--move", "--batch", "200"],
            env=clean_environment(HOME=str(tmp_path)),
            capture_output=True,
            text=True,
        )
        with open_chest(f"ndjson:{disk / name}") as target:
            assert isinstance(target, ReadableChest)
            there = {stored.record.id for stored in target.read(limit=10_000)}
        left = {stored.record.id for stored in source.read(limit=10_000)}
    assert moved.returncode == 1
    assert "No space left on device" in moved.stderr
    assert there
    assert left
    assert there | left == {record.id for record in records}


def test_a_command_whose_output_finds_no_room_says_so_in_a_line(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "chest", "settings"]
        done = subprocess.run(command, env=clean_environment(), stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr == "chest: [Errno 28] No space left on device\n"


def test_a_drain_whose_output_finds_no_room_goes_on_delivering(tmp_path: Path) -> None:
    store = tmp_path / "store.sqlite3"
    code = """
        import os, sys
        from chest import Recorder
        from tests.kill.offering import numbered

        recorder = Recorder([sys.argv[1]], directory=sys.argv[2], service="shop", delivery="external", ring_bytes=1 << 20)
        recorder.prepare()
        recorder.offer(numbered(recorder.request_side.record_ids, 0, 0))
        os._exit(0)
    """
    run_python(code, sqlite_url(store), tmp_path / "rings")
    command = [sys.executable, "-m", "chest", "drain", tmp_path / "rings", "--to", sqlite_url(store), "--once"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, env=clean_environment(), stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    with open_chest(sqlite_url(store)) as chest:
        assert isinstance(chest, ReadableChest)
        assert len(chest.read()) == 1


@pytest.fixture
def small_btrfs() -> Iterator[Path]:
    """A file system that writes each block anew, so that a page may have no room although its file was given it."""
    if shutil.which("mkfs.btrfs") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("mkfs.btrfs is not installed: make servers", pytrace=False)
        pytest.skip("mkfs.btrfs is not installed")
    with tempfile.TemporaryDirectory(prefix="chest-btrfs-", dir="/tmp") as place:
        image, path = Path(place, "image"), Path(place, "mounted")
        path.mkdir()
        with image.open("wb") as file:
            file.truncate(120 * MIB)
        subprocess.run(["mkfs.btrfs", "-q", image], check=True, capture_output=True)
        mounting = subprocess.run(["mount", "-o", "loop", image, path], capture_output=True, text=True, check=False)
        if mounting.returncode:
            pytest.skip(f"no btrfs can be mounted, which takes root and a loop device: {mounting.stderr.strip()}")
        try:
            yield path
        finally:
            subprocess.run(["umount", "-l", path], check=True)


def test_a_btrfs_that_becomes_full_under_a_ring_costs_no_record_and_the_ring_comes_back_to_a_file(
    small_btrfs: Path,
) -> None:
    code = """
        import os, sys
        from pathlib import Path
        import chest.delivery.own_ring, chest.recorder.ring_keeper
        chest.delivery.own_ring.ADOPT_EVERY_SECONDS = 0.1
        chest.recorder.ring_keeper._FIRST_WAIT_SECONDS = chest.recorder.ring_keeper._LONGEST_WAIT_SECONDS = 0.2
        from chest import Recorder
        from chest.chests.memory import MemoryChest
        from chest.native import IS_NATIVE
        from tests.support import make_record, wait_until

        disk = Path(sys.argv[1])
        recorder = Recorder([MemoryChest()], directory=disk / "rings", flush_seconds=0.1)
        recorder.prepare()
        assert recorder.stats()["ring"]["is_durable"] == IS_NATIVE

        def offer(count):
            for _ in range(count):
                assert recorder.offer(make_record(recorder.request_side.record_ids))
            os.sync()  # the next write of a page takes another block

        offer(2000)
        for size in (1 << 16, 1 << 12):
            try:
                with open(disk / f"filler-{size}", "wb", buffering=0) as filler:
                    while True:
                        filler.write(os.urandom(size))
            except OSError as error:
                assert error.errno == 28, error
        os.sync()
        for _ in range(10):
            offer(500)
        assert recorder.flush(60)
        assert len(recorder.chests[0].records) == 7000
        if IS_NATIVE:
            wait_until(lambda: recorder.stats().get("ring_file_lost"), 60)
        for filler in disk.glob("filler-*"):
            filler.unlink()
        if IS_NATIVE:
            wait_until(lambda: recorder.stats()["ring"]["is_durable"], 60)
        assert recorder.close(60)
    """
    run_python(code, small_btrfs, seconds=240)
