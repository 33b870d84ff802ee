"""``chest status``: what waits, for which store, for how long, why, and what to do."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import Result

from chest.chests.contract import ReadableChest
from chest.chests.memory import MemoryChest
from chest.chests.registry import open_chest, sqlite_url
from chest.delivery.spool.dead_letters import DeadLetters
from chest.delivery.spool.file import SpoolFile
from chest.delivery.spool.place import spool_path
from chest.recorder.recorder import Recorder
from tests.delivery.test_outages import FickleChest, offer
from tests.ring.test_recovery import leave_ring
from tests.support import make_record, wait_until

Run = Callable[..., Result]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="rings are in memory there")

LABEL = "postgresql://user:***@old-host/shop"


def spooled(directory: Path, count: int = 5, why: str = "", age_seconds: int = 7300) -> Path:
    path = spool_path(directory, LABEL)
    with closing(SpoolFile(path, LABEL)) as file:
        begun = time.time_ns() - age_seconds * 10**9
        file.add([make_record(time_ns=begun) for _ in range(count)], 1 << 20, why)
    return path


def test_an_empty_directory_needs_no_care(run: Run, tmp_path: Path) -> None:
    done = run("status", str(tmp_path))
    assert done.exit_code == 0
    assert done.stdout == f"{tmp_path}\n  Ring files of living processes: 0, with 0 records that wait\n"


def test_what_is_on_disk_is_told_with_store_age_reason_and_what_to_do(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHEST_URLS", "postgresql://shop:hunter2@old-host:5432/shop")
    spooled(tmp_path, 5, "connection refused")
    done = run("status", str(tmp_path))
    assert done.exit_code == 1
    assert "On disk for postgresql://user:***@old-host/shop: 5 records, 0.0 MiB, the oldest 2 h old" in done.stdout
    assert "It said: connection refused" in done.stdout
    assert "delivers them when it takes records again" in done.stdout
    assert "The oldest record that waits here is 2 h old" in done.stdout
    assert "hunter2" not in done.output


def test_a_single_drain_delivers_what_is_on_disk_or_ends_with_1(run: Run, tmp_path: Path) -> None:
    directory, store = tmp_path / "rings", sqlite_url(tmp_path / "there" / "store.sqlite3")
    directory.mkdir(mode=0o700)
    with closing(SpoolFile(spool_path(directory, store), store)) as file:
        file.add([make_record() for _ in range(5)], 1 << 20, "no such directory")
    (tmp_path / "there").touch()  # no directory
    failed = run("drain", "--once", "--to", store, str(directory))
    assert failed.exit_code == 1
    assert "there/store.sqlite3" in failed.stderr
    (tmp_path / "there").unlink()
    (tmp_path / "there").mkdir()
    done = run("drain", "--once", "--to", store, str(directory))
    assert (done.exit_code, done.stderr) == (0, "")
    assert "Delivered 5 records, 5 of them of dead processes" in done.stdout
    with open_chest(store) as chest:
        assert isinstance(chest, ReadableChest)
        assert len(chest.read()) == 5


def test_a_single_drain_that_finds_a_damaged_file_on_disk_says_so_and_ends_with_1(run: Run, tmp_path: Path) -> None:
    store = sqlite_url(tmp_path / "store.sqlite3")
    spool_path(tmp_path, store).write_bytes(b"no database" * 1000)
    done = run("drain", "--once", "--to", store, str(tmp_path))
    assert done.exit_code == 1
    assert spool_path(tmp_path, store).name in done.stderr


def test_what_waits_for_none_of_the_stores_is_told_with_the_command_that_delivers_it(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHEST_URLS", "postgresql://shop@new-host/shop")
    path = spooled(tmp_path)
    done = run("status", str(tmp_path))
    assert "This store is not in CHEST_URLS" in done.stdout
    assert f"chest recover {tmp_path} --spooled-for {path.name}" in done.stdout
    monkeypatch.setenv("CHEST_URLS", "memory:status")
    recovered = run("recover", str(tmp_path), "--spooled-for", path.name)
    assert (recovered.exit_code, recovered.stdout) == (0, "Records recovered: 5, from ring files: 0\n")
    MemoryChest("memory:status").clear()


@pytest.mark.own_locks
def test_rings_of_the_living_and_of_the_dead_are_told_apart(run: Run, tmp_path: Path) -> None:
    leave_ring(tmp_path, count=7)
    recorder = Recorder([MemoryChest()], directory=tmp_path, service="other", flush_seconds=60.0)
    offer(recorder, 3)
    done = run("status", str(tmp_path))
    assert recorder.close(60)
    assert done.exit_code == 1
    assert "living processes: 1, with 3 records" in done.stdout
    assert "dead processes: 1, with 7 records" in done.stdout
    assert f"chest recover {tmp_path}" in done.stdout


def test_dead_letters_and_damaged_files_are_told(run: Run, tmp_path: Path) -> None:
    path = spooled(tmp_path, 0)
    with closing(SpoolFile(path, LABEL)) as file:
        DeadLetters(file).add([make_record(), make_record()], "too long", 1 << 20)
    leave_ring(tmp_path)
    os.truncate(tmp_path / "main.1.aa.ring", 200_000)
    (tmp_path / "x.spool").write_bytes(b"no database" * 1000)
    (tmp_path / "main.2.bb.ring.damaged").touch()
    before = {each.name: each.read_bytes() for each in tmp_path.iterdir()}
    done = run("status", str(tmp_path))
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    assert "Refused for good by postgresql://user:***@old-host/shop: 2 records; chest dead list" in done.stdout
    assert "main.1.aa.ring cannot be read whole: shorter than its header says" in done.stdout
    assert "x.spool cannot be read" in done.stdout
    assert "Set aside, as it could not be read whole: main.2.bb.ring.damaged" in done.stdout


def test_json_has_it_all(run: Run, tmp_path: Path) -> None:
    spooled(tmp_path, 5, "down")
    (line,) = run("status", "--json", str(tmp_path)).stdout.splitlines()
    told = json.loads(line)
    assert told["directory"] == str(tmp_path)
    assert [(each["chest"], each["records"], each["why"]) for each in told["spools"]] == [(LABEL, 5, "down")]


def test_the_reason_is_what_the_store_said_last(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chest.delivery.spool_policy.SPOOL_AFTER_SECONDS", 0.1)
    fickle = FickleChest()
    fickle.is_down = True
    recorder = Recorder([fickle], directory=tmp_path, service="shop", flush_seconds=0.02)
    offer(recorder, 4)
    wait_until(lambda: sum(recorder.stats().get("spooled", {}).values()) == 4, 60)
    done = run("status", str(tmp_path))
    recorder.close(0.5)
    assert "On disk for fickle:: 4 records" in done.stdout
    assert "It said: fickle: is down" in done.stdout


def test_without_a_directory_the_services_of_the_user_are_looked_at(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr("chest.system.directory.temporary_directory", lambda: tmp_path / "none")
    assert "there is no directory in" in run("status").stderr
    for name in ("cart", "shop"):
        (tmp_path / "chest" / name).mkdir(parents=True, mode=0o700)
        (tmp_path / "chest").chmod(0o700)
    shown = run("status").stdout
    assert [line for line in shown.splitlines() if line.startswith("/")] == [
        str(tmp_path / "chest" / "cart"),
        str(tmp_path / "chest" / "shop"),
    ]
    assert "cart" not in run("status", "--service", "shop").stdout


def test_a_drain_refuses_a_directory_that_is_not_there(run: Run, tmp_path: Path) -> None:
    done = run("drain", "--once", str(tmp_path / "typo"))
    assert done.exit_code == 2
    assert "no directory" in done.stderr
    assert not (tmp_path / "typo").exists()


@pytest.mark.parametrize("name", ["app", "wrapped", "twice", "create_app()", "recorder"])
def test_a_drain_finds_the_recorder_of_an_application_however_it_is_wrapped(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "wrapped_shop.py").write_text(
        "from flask import Flask\n"
        "from werkzeug.middleware.proxy_fix import ProxyFix\n"
        "from chest import ChestMiddleware\n"
        "app = Flask(__name__)\n"
        "app.wsgi_app = ChestMiddleware(app.wsgi_app, chests=['memory:wrapped-shop'])\n"
        "wrapped = ProxyFix(app.wsgi_app)\n"
        "twice = ProxyFix(ProxyFix(app))\n"
        "recorder = app.wsgi_app.recorder\n"
        "def create_app():\n"
        "    return app\n"
    )
    monkeypatch.chdir(tmp_path)
    done = run("drain", "--once", "--app", f"wrapped_shop:{name}", str(tmp_path))
    assert done.exit_code == 0, done.output
    assert "into memory:wrapped-shop" in done.stdout
