"""``chest drain``: workers without a thread, and a process beside them that delivers; killed, doubled, and stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from chest.chests.contract import ReadableChest
from chest.chests.registry import open_chest, sqlite_url
from tests.kill.load import Ledger, Load, children_of, kill_workers
from tests.processes import clean_environment, run_python, running_python
from tests.recording_server import recording_server
from tests.servers import HOST, Server, gunicorn, uwsgi, uwsgi_without_threads
from tests.servers.database import DatabaseServer
from tests.servers.fault_proxy import Fault, fault_proxy
from tests.support import wait_until

APP = "tests.kill.app:app"


@contextlib.contextmanager
def sidecar(ledger: Ledger, *options: str, **environ: str) -> Iterator[subprocess.Popen[str]]:
    """A process that drains, for the block; killed at the end of it if it is still there."""
    command = [
        sys.executable,
        "-m",
        "chest",
        "drain",
        str(ledger.rings),
        *(options or ("--to", sqlite_url(ledger.store))),
    ]
    with subprocess.Popen(command, env=clean_environment(**environ), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("Draining")
            yield process
        finally:
            process.kill()


def end(process: subprocess.Popen[str]) -> str:
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said
    return said


def external(ledger: Ledger, **more: str) -> dict[str, str]:
    return dict(ledger.environ(CHEST_DELIVERY="external", CHEST_RING_BYTES=str(1 << 20), **more))


_OFFERING = """
    import os, sys, threading, time
    from pathlib import Path
    from chest import Recorder
    from tests.kill.offering import numbered

    recorder = Recorder(
        ["memory:not-here"], directory=Path(sys.argv[1]), service="shop", ring_bytes=1 << 20, delivery="external"
    )
    recorder.prepare()

    def offer(process, count):
        for number in range(count):
            record = numbered(recorder.request_side.record_ids, process, number)
            while not recorder.offer(record):
                time.sleep(0.001)
"""


def test_a_process_without_a_thread_is_delivered_by_another_many_times_the_room_of_its_ring(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    code = f"""{_OFFERING}
    assert threading.active_count() == 1
    threads = [threading.Thread(target=offer, args=(process, 10_000)) for process in range(4)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    print(bool(recorder.flush(60)), recorder.stats()["delivery_is_running"], bool(recorder.close()))
    """
    ledger.rings.mkdir(mode=0o700)
    with sidecar(ledger) as process:
        assert run_python(code, ledger.rings, seconds=100).split() == ["True", "False", "True"]
        said = end(process)
    ledger.recover()  # what a busy machine's store did not keep up with is in the spool
    stored = ledger.stored()
    assert len(stored) == 40_000
    assert set(stored.values()) == {1}
    assert "Delivered 40,000 records" in said
    assert ledger.rings_left() == []


def test_two_sidecars_one_of_them_killed_share_the_work_and_double_nothing(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.rings.mkdir(mode=0o700)
    code = f"""{_OFFERING}
    offer(int(sys.argv[2]), 6000)
    print("offered", flush=True)
    sys.stdin.read()
    """
    with contextlib.ExitStack() as stack:
        first, second = (stack.enter_context(sidecar(ledger)) for _ in range(2))
        owners = [stack.enter_context(running_python(code, ledger.rings, number)) for number in range(4)]
        wait_until(lambda: ledger.store.exists() and len(ledger.stored()) > 2000)
        first.kill()
        for owner in owners:
            assert owner.stdout is not None
            assert owner.stdout.readline() == "offered\n"
        wait_until(lambda: len(ledger.stored()) == 24_000)
        for owner in owners:
            owner.kill()
        wait_until(lambda: not ledger.rings_left())
        end(second)
    assert set(ledger.stored().values()) == {1}


@pytest.mark.parametrize("worker_class", ["sync", "gthread", "gevent"])
def test_gunicorn_s_workers_killed_at_random_with_a_sidecar_that_is_killed_too(
    tmp_path: Path, worker_class: str
) -> None:
    ledger = Ledger(tmp_path)
    ledger.rings.mkdir(mode=0o700)
    options = "--workers=2", "--threads=2", "--graceful-timeout=1"
    with (
        gunicorn(APP, tmp_path / "server", *options, worker_class=worker_class, environ=external(ledger)) as server,
        Load(server.port) as load,
    ):
        with sidecar(ledger):
            load.wait_for(100)
            kill_workers(server.process.pid, 0.7)
        with sidecar(ledger) as second:
            load.wait_for(100)
            kill_workers(server.process.pid, 0.7)
            load.wait_for(50)
            before = len(load.answered)
            load.wait_for(20)
            wait_until(lambda: before <= len(ledger.stored()))  # it is alive, and keeps up
            end(second)
    with sidecar(ledger, "--to", sqlite_url(ledger.store), "--once") as last:
        assert last.wait(60) == 0
    ledger.require(load)
    assert ledger.rings_left() == []


@pytest.mark.parametrize("serve", [uwsgi, uwsgi_without_threads])
def test_uwsgi_s_workers_without_an_exporter_are_delivered_by_a_sidecar(
    tmp_path: Path, serve: Callable[..., AbstractContextManager[Server]]
) -> None:
    ledger = Ledger(tmp_path)
    ledger.rings.mkdir(mode=0o700)
    with (
        sidecar(ledger) as process,
        serve(APP, tmp_path / "server", "--processes=2", environ=external(ledger)) as server,
    ):
        with Load(server.port) as load:
            load.wait_for(200)
            os.kill(children_of(server.process.pid)[-1], signal.SIGKILL)
            load.wait_for(200)
        server.stop()
        wait_until(lambda: not ledger.rings_left())
        end(process)
    ledger.require(load)
    assert "runs threads only" not in server.log()


def test_a_store_that_takes_one_write_a_second_fills_the_disk_of_the_sidecar_and_not_the_rings(
    postgresql: DatabaseServer, tmp_path: Path
) -> None:
    ledger = Ledger(tmp_path)
    ledger.rings.mkdir(mode=0o700)
    code = f"""{_OFFERING}
    for number in range(16_000):  # three times what the ring holds: 160 writes, and so 160 seconds of the store
        while recorder.stats()["ring"]["pending_bytes"] > 1 << 19:
            time.sleep(0.001)
        recorder.offer(numbered(recorder.request_side.record_ids, 0, number))
    print(recorder.stats().get("dropped"))
    """
    database = postgresql.new_database()
    with fault_proxy(postgresql.port) as proxy:
        store = postgresql.url(database, port=proxy.port)
        with open_chest(postgresql.url(database)) as chest:
            chest.open()
            with sidecar(ledger, "--to", store, CHEST_BATCH_RECORDS="100") as process:
                proxy.set(Fault.SLOW, b"COMMIT")
                assert run_python(code, ledger.rings).strip() == "None"
                proxy.heal()
                assert isinstance(chest, ReadableChest)
                wait_until(lambda: len(chest.read(limit=100_000)) >= 16_000, 60)
                end(process)
            stored = Counter(stored.record.request_id for stored in chest.read(limit=100_000))
    assert (len(stored), set(stored.values())) == (16_000, {1})


@pytest.mark.alone
def test_a_sidecar_ends_in_its_time_whatever_the_store_does_and_leaves_the_rest_to_the_next(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.rings.mkdir(mode=0o700)
    run_python(f"{_OFFERING}\n    offer(0, 100)\n    os._exit(0)", ledger.rings)
    with recording_server() as server, fault_proxy(server.port) as proxy:
        proxy.set(Fault.BLACKHOLE)
        with sidecar(ledger, "--to", f"http://{HOST}:{proxy.port}/records", CHEST_SHUTDOWN_SECONDS="1") as process:
            wait_until(lambda: proxy.connections)  # it is inside the store, which answers nothing for ten seconds
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)
            assert time.monotonic() - began < 8  # the rest for the interpreter's own end on a busy machine
            assert process.returncode == 1, "something was left"
    with sidecar(ledger, "--to", sqlite_url(ledger.store), "--once") as last:
        assert last.wait(60) == 0
    assert len(ledger.stored()) == 100


def test_rings_of_workers_with_a_thread_of_their_own_are_left_to_them(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    code = """
        import sys
        from pathlib import Path
        from chest import Recorder
        from tests.kill.offering import numbered
        recorder = Recorder(["memory:"], directory=Path(sys.argv[1]), service="shop", ring_bytes=1 << 20, flush_seconds=60)
        recorder.prepare()
        recorder.offer(numbered(recorder.request_side.record_ids, 0, 0))
        print("ready", flush=True)
        sys.stdin.read()
    """
    with running_python(code, ledger.rings) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "ready\n"
        with sidecar(ledger, "--to", sqlite_url(ledger.store), "--once") as once:
            assert once.wait(60) == 0
        assert len(ledger.rings_left()) == 1


@pytest.mark.alone
def test_a_worker_ends_at_once_and_waits_for_no_sidecar(tmp_path: Path) -> None:
    code = f"""{_OFFERING}
    offer(0, 100)
    begin = time.monotonic()
    print(bool(recorder.flush(0.1)), bool(recorder.close()), time.monotonic() - begin < 2.5)  # half of shutdown_seconds
    """
    assert run_python(code, tmp_path).split() == ["False", "False", "True"]
    ledger = Ledger(tmp_path)
    ledger.rings = tmp_path
    with sidecar(ledger, "--to", sqlite_url(ledger.store), "--once") as once:
        assert once.wait(60) == 0
    assert len(ledger.stored()) == 100


def test_the_chests_may_come_from_an_application(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    run_python(f"{_OFFERING}\n    offer(0, 100); os._exit(0)", ledger.rings)
    (tmp_path / "shop.py").write_text(
        f"from chest import ChestMiddleware\napp = ChestMiddleware(print, chests=[{sqlite_url(ledger.store)!r}])\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "chest", "drain", str(ledger.rings), "--app", "shop:app", "--once"],
        cwd=tmp_path, env=clean_environment(), capture_output=True, text=True, timeout=300, check=True,
    )  # fmt: skip
    assert "Delivered 100 records, 100 of them of dead processes" in done.stdout
    assert len(ledger.stored()) == 100


@pytest.mark.parametrize("place", ["environment", "application"])
def test_the_exports_of_workers_without_a_thread_run_in_it(tmp_path: Path, place: str) -> None:
    ledger = Ledger(tmp_path)
    ledger.rings.mkdir(mode=0o700)
    copy = tmp_path / "copy.sqlite3"
    entry = f'{{"to": "{sqlite_url(copy)}", "every": 0.3}}'
    (tmp_path / "shop.py").write_text(
        "from chest import ChestMiddleware\n"
        f"app = ChestMiddleware(print, chests=[{sqlite_url(ledger.store)!r}], directory={str(ledger.rings)!r},"
        f" delivery='external', scheduled_transfers=[{entry}])\n"
    )
    options = ["--app", "shop:app"] if place == "application" else ["--to", sqlite_url(ledger.store)]
    exports = {"CHEST_SCHEDULED_TRANSFERS": f"[{entry}]"} if place == "environment" else {}
    with subprocess.Popen(
        [sys.executable, "-m", "chest", "drain", str(ledger.rings), *options],
        cwd=tmp_path, env={**clean_environment(), **exports}, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            run_python(f"{_OFFERING}\n    offer(0, 100); os._exit(0)", ledger.rings)
            wait_until(lambda: copy.exists() and _count(copy) == 100)
            end(process)
        finally:
            process.kill()


def _count(store: Path) -> int:
    with contextlib.closing(sqlite3.connect(store)) as connection:
        try:
            return int(connection.execute("SELECT count(*) FROM chest_records").fetchone()[0])
        except sqlite3.OperationalError:  # not made yet
            return 0


def test_no_url_and_no_password_is_in_a_ring_file(tmp_path: Path) -> None:
    code = _OFFERING.replace('"memory:not-here"', '"http://bob:hunter2@127.0.0.1:1/?token=hunter3"')
    run_python(f"{code}\n    offer(0, 10); os._exit(0)", tmp_path)
    [ring] = tmp_path.glob("*.ring")
    content = ring.read_bytes()
    assert b"hunter" not in content
    assert b"127.0.0.1" not in content
