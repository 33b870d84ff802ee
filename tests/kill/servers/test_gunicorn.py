"""gunicorn's workers, killed and recycled and reloaded under load: what a client saw answered is in the store, once."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import flask
import pytest

from chest.chests.registry import sqlite_url
from tests.kill.load import Ledger, Load, children_of, kill_workers
from tests.processes import ROOT, clean_environment, run_python
from tests.servers import HOST, Server, gunicorn
from tests.support import wait_until

SECONDS = float(os.environ.get("KILL_SECONDS", "1.5"))
"""How long each server is wounded; more with ``KILL_SECONDS``."""
WORKER_CLASSES = {"sync": (), "gthread": ("--threads=4",), "gevent": ("--graceful-timeout=1",)}
"""With their options. A gevent worker that is told to end while requests come waits for the whole of ``graceful_timeout``."""
_PRELOAD = ("--preload",)
# Each class is killed and is stopped, and once of these with the application imported in the master.
KILLED = [("sync", _PRELOAD), ("gthread", ()), ("gevent", _PRELOAD)]
STOPPED = [("sync", ()), ("gthread", _PRELOAD), ("gevent", ())]
_GRACEFUL_SECONDS = 25
"""Nearly gunicorn's own 30."""
APP = "tests.kill.app:app"


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path)


def connection_to(server: Server) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(HOST, server.port, timeout=60)


@pytest.mark.parametrize(("worker_class", "preload"), KILLED)
def test_every_answered_request_is_stored_once_although_workers_are_killed_at_random(
    tmp_path: Path, ledger: Ledger, worker_class: str, preload: tuple[str, ...]
) -> None:
    # A worker that is just being started when the server is told to end does not hear of it (gunicorn's own race).
    options = "--workers=3", "--graceful-timeout=1", *WORKER_CLASSES[worker_class], *preload
    with (
        gunicorn(APP, tmp_path / "server", *options, worker_class=worker_class, environ=ledger.environ()) as server,
        Load(server.port) as load,
    ):
        load.wait_for(50)
        killed = kill_workers(server.process.pid, SECONDS)
        load.wait_for(50)
    ledger.recover()
    ledger.require(load)
    assert ledger.rings_left() == []
    assert killed >= 3
    print(f"{killed} kills, {len(load.answered)} answered, {load.failed} not")


@pytest.mark.parametrize(("worker_class", "preload"), STOPPED)
def test_a_server_that_is_stopped_under_load_loses_and_doubles_nothing(
    tmp_path: Path, ledger: Ledger, worker_class: str, preload: tuple[str, ...]
) -> None:
    options = "--workers=3", "--config=python:chest.gunicorn", *WORKER_CLASSES[worker_class], *preload
    with gunicorn(APP, tmp_path / "server", *options, worker_class=worker_class, environ=ledger.environ()) as server:
        with Load(server.port) as load:
            load.wait_for(200)
            enough = len(load.answered) + 50
            server.process.send_signal(signal.SIGTERM)
            wait_until(lambda: load.failed or len(load.answered) >= enough)
        told = time.monotonic()
        assert server.process.wait(90) == 0
    # Killed by the master at the end of its graceful_timeout: a worker of gevent, which waited for as long, and one that was told
    # to end before it had set its handlers.
    if worker_class == "gevent" or time.monotonic() - told > _GRACEFUL_SECONDS:
        ledger.recover()
    ledger.require(load)
    assert ledger.rings_left() == []


@pytest.mark.parametrize("worker_class", WORKER_CLASSES)
def test_workers_that_are_recycled_under_load_lose_and_double_nothing(
    tmp_path: Path, ledger: Ledger, worker_class: str
) -> None:
    options = "--workers=3", "--max-requests=60", "--max-requests-jitter=30", *WORKER_CLASSES[worker_class]
    with (
        gunicorn(APP, tmp_path / "server", *options, worker_class=worker_class, environ=ledger.environ()) as server,
        Load(server.port) as load,
    ):
        wait_until(lambda: len(load.workers) >= 7)
    ledger.recover()
    ledger.require(load)
    assert ledger.rings_left() == []


@pytest.mark.parametrize("worker_class", WORKER_CLASSES)
def test_a_reload_under_load_loses_and_doubles_nothing(tmp_path: Path, ledger: Ledger, worker_class: str) -> None:
    options = "--workers=2", *WORKER_CLASSES[worker_class]
    with (
        gunicorn(APP, tmp_path / "server", *options, worker_class=worker_class, environ=ledger.environ()) as server,
        Load(server.port) as load,
    ):
        load.wait_for(50)
        for _ in range(2):
            before = set(children_of(server.process.pid))
            server.process.send_signal(signal.SIGHUP)
            wait_until(lambda before=before: not before & set(children_of(server.process.pid)))  # type: ignore[misc]
            load.wait_for(50)
    ledger.recover()
    ledger.require(load)
    assert ledger.rings_left() == []


def test_a_threaded_worker_ended_with_a_request_longer_than_graceful_timeout_has_delivered_the_others(
    tmp_path: Path, ledger: Ledger
) -> None:
    # gunicorn's master kills at the end of the same second for which the worker waits: nothing is to be left for then.
    options = "--threads=8", "--graceful-timeout=1"
    environ = ledger.environ()
    with gunicorn(APP, tmp_path / "server", *options, worker_class="gthread", environ=environ) as server:
        load = Load(server.port)
        slow = threading.Thread(target=load.ask, args=(connection_to(server), "/slow?5"))
        slow.start()
        with load:
            load.wait_for(100)
        server.stop(signal.SIGTERM)
        slow.join()
    stored = ledger.stored()
    assert not [request_id for request_id in load.answered if stored[request_id] != 1]
    ledger.recover()
    ledger.require(load)
    assert ledger.rings_left() == []


@pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["", "preload"])
def test_workers_that_become_another_user_keep_durable_rings_of_that_user(
    for_everyone: Path, monkeypatch: pytest.MonkeyPatch, preload: tuple[str, ...]
) -> None:
    python, packages = python_of_nobody()
    monkeypatch.setattr(sys, "executable", python)
    ledger = Ledger(for_everyone / "state" / "chest" / "shop")
    ledger.rings = ledger.store.parent
    environ = {
        "CHEST_SERVICE": "shop", "CHEST_URLS": sqlite_url(ledger.store), "XDG_STATE_HOME": str(for_everyone / "state"),
        "PYTHONPATH": f"{ROOT}:{packages}", "HOME": "/root",
    }  # fmt: skip
    options = "--workers=2", "--threads=2", "--user=nobody", "--group=nogroup", *preload
    with gunicorn(APP, for_everyone / "server", *options, worker_class="gthread", environ=environ) as server:
        with Load(server.port) as load:
            load.wait_for(50)
            assert len(ledger.rings_left()) >= 1
            assert kill_workers(server.process.pid, 1)
            load.wait_for(50)
        owners = {path.owner() for path in (for_everyone / "state").rglob("*")}
    run_python(_RECOVER, ledger.rings, sqlite_url(ledger.store), PYTHONPATH=environ["PYTHONPATH"])
    ledger.require(load)
    assert owners == {"nobody"}
    assert ledger.rings_left() == []


_RECOVER = """
    import os, sys
    from pathlib import Path
    os.setuid(65534)
    from chest.chests.registry import open_chest
    from chest.recorder.directory_recovery import recover_directory
    recover_directory(Path(sys.argv[1]), [open_chest(sys.argv[2])])
"""


@pytest.fixture
def for_everyone() -> Iterator[Path]:
    """A directory in which any user may make files, outside of pytest's own, which is private."""
    path = Path(tempfile.mkdtemp(prefix="chest-", dir="/tmp"))
    path.chmod(0o755)
    (path / "state").mkdir()
    (path / "state").chmod(0o1777)
    yield path
    shutil.rmtree(path)


def python_of_nobody() -> tuple[str, str]:
    """An interpreter of this version that the user nobody can execute, and where the packages of this one are."""
    if os.geteuid():
        pytest.skip("only root can start a server that becomes another user")
    packages = str(Path(flask.__file__).parent.parent)
    for python in (os.path.realpath(sys.executable), "/usr/bin/python3"):
        try:
            code = "import sys, chest, gunicorn; print(sys.version_info[:2])"
            done = subprocess.run(
                [python, "-c", code], env=clean_environment(PYTHONPATH=f"{ROOT}:{packages}"), user="nobody",
                capture_output=True, text=True, check=False, cwd="/",
            )  # fmt: skip
        except OSError:
            continue
        if done.stdout.strip() == str(sys.version_info[:2]):
            return python, packages
    pytest.skip("no interpreter of this version can be executed, or no package read, by the user nobody")
