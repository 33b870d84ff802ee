"""Forks: parent and child each deliver what they recorded, once, whatever was under way when the process forked."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import sqlite3
from collections import Counter
from pathlib import Path

import pytest

from chest.chests.registry import open_chest, sqlite_url
from chest.recorder.directory_recovery import recover_directory
from tests.kill.load import Ledger, Load, children_of
from tests.processes import run_python, running_python
from tests.servers import HOST, free_port, is_idle, uwsgi
from tests.support import wait_until

APP = "tests.kill.app:app"

_FORKING = """
    import os, sys, threading, time, warnings
    from pathlib import Path
    from chest import Recorder
    from chest.chests.registry import sqlite_url
    from tests.kill.offering import numbered

    warnings.simplefilter("ignore", DeprecationWarning)  # that a process with threads forks is what is tested here
    directory = Path(sys.argv[1])
    recorder = Recorder(
        [sqlite_url(directory / "store.sqlite3")],
        directory=directory / "rings", service="shop", flush_seconds=0.05, ring_bytes=4 << 20,
    )
    recorder.prepare()

    def offer(name, count):
        for number in range(count):
            record = numbered(recorder.request_side.record_ids, name, number)
            while not recorder.offer(record):
                time.sleep(0.001)
"""


def stored(directory: Path) -> Counter[tuple[str, int]]:
    """How often each numbered record is in the store, by who offered it."""
    chest = open_chest(sqlite_url(directory / "store.sqlite3"))
    assert recover_directory(directory / "rings", [chest]).left == 0
    chest.close()
    with contextlib.closing(sqlite3.connect(directory / "store.sqlite3")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rows = connection.execute("SELECT substr(path, 2), duration_ns FROM chest_records").fetchall()
    return Counter((str(name), int(number)) for name, number in rows)


def test_a_fork_while_threads_offer_leaves_every_record_of_parent_and_children_once(tmp_path: Path) -> None:
    code = f"""{_FORKING}
    threads = [threading.Thread(target=offer, args=(f"parent-{{n}}", 4000)) for n in range(4)]
    for thread in threads: thread.start()
    children = []
    for n in range(8):
        time.sleep(0.02)
        child = os.fork()
        if not child:
            try:
                offer(f"child-{{n}}", 500)
                recorder.close(2)  # forked in the middle of its parent's write, it leaves all to the next process
                os._exit(0)
            finally:
                os._exit(1)
        children.append(child)
    for thread in threads: thread.join()
    print([os.waitpid(child, 0)[1] for child in children])
    """
    assert run_python(code, tmp_path).strip() == str([0] * 8)
    expected = {(f"parent-{n}", number) for n in range(4) for number in range(4000)}
    expected |= {(f"child-{n}", number) for n in range(8) for number in range(500)}
    assert stored(tmp_path) == Counter(expected)


def test_children_of_children_that_end_without_a_word_lose_nothing(tmp_path: Path) -> None:
    code = f"""{_FORKING}
    offer("parent", 300)
    child = os.fork()
    if not child:
        offer("child", 300)
        if not os.fork():
            offer("grandchild", 300)
            os._exit(0)
        os.wait()
        os._exit(0)
    os.waitpid(child, 0)
    offer("parent-after", 300)
    """
    run_python(code, tmp_path)
    names = "parent", "child", "grandchild", "parent-after"
    assert stored(tmp_path) == Counter({(name, number) for name in names for number in range(300)})


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_pool_of_multiprocessing_loses_and_doubles_nothing(tmp_path: Path, method: str) -> None:
    (tmp_path / "pooled.py").write_text(
        """
import os, sys
from pathlib import Path
from chest import Recorder
from chest.chests.registry import sqlite_url
from tests.kill.offering import numbered

directory = Path(__file__).parent
recorder = Recorder([sqlite_url(directory / "store.sqlite3")], directory=directory / "rings", service="shop")

def work(task):
    recorder.prepare()
    for number in range(50):
        assert recorder.offer(numbered(recorder.request_side.record_ids, f"task-{task}", number))

if __name__ == "__main__":
    import multiprocessing
    with multiprocessing.get_context(sys.argv[1]).Pool(3) as pool:
        pool.map(work, range(12))
"""
    )
    run_python("import runpy, sys; sys.argv[:] = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')",
               tmp_path / "pooled.py", method)  # fmt: skip
    assert stored(tmp_path) == Counter({(f"task-{task}", number) for task in range(12) for number in range(50)})


_RECORDING = """
    import multiprocessing, os, socketserver, subprocess, sys, warnings, wsgiref.simple_server
    from pathlib import Path
    import chest.recorder.ending.hooks as hooks
    from chest import ChestMiddleware, Recorder
    from chest.chests.registry import sqlite_url

    directory = Path(sys.argv[1])
    rings = directory / "rings"
    recorder = Recorder([sqlite_url(directory / "store.sqlite3")], directory=rings, service="shop", shutdown_seconds=30)
    hooks.QUICK_EXIT_SECONDS = 30.0  # on a machine that has much to do

    def answer(environ, start_response):
        start_response("200 OK", [("Content-Length", "2")])
        return [b"hi"]

    app = ChestMiddleware(answer, recorder=recorder)

    def request():
        app({"REQUEST_METHOD": "GET", "PATH_INFO": "/"}, lambda *_: None)
"""


@pytest.mark.parametrize("parent_serves", [False, True])
def test_a_child_that_serves_no_request_makes_no_file_and_starts_no_thread(tmp_path: Path, parent_serves: bool) -> None:
    run_python(
        f"""{_RECORDING}
    warnings.simplefilter("ignore")
    if {parent_serves}:
        request()
        recorder.flush(60)
    made = sorted(rings.glob("*.ring"))
    threads = len(os.listdir("/proc/self/task"))
    for _ in range(2):
        child = os.fork()
        if not child:
            os._exit(len(os.listdir("/proc/self/task")) - 1)
        assert os.waitpid(child, 0)[1] == 0
        subprocess.run(["/bin/true"], preexec_fn=os.setsid)
        job = multiprocessing.get_context("fork").Process(target=len, args=("",))
        job.start()
        job.join()
    assert sorted(rings.glob("*.ring")) == made
    assert len(os.listdir("/proc/self/task")) == threads
    """,
        tmp_path,
    )


_ENDED_CHILDREN = {
    "os.fork": """
    if not (child := os.fork()):
        request()
        os._exit(0)
    os.waitpid(child, 0)
    """,
    "multiprocessing": """
    job = multiprocessing.get_context("fork").Process(target=request)
    job.start()
    job.join()
    """,
    "during-a-request": """
    def answer_in_child(environ, start_response):
        start_response("200 OK", [])
        if not (child := os.fork()):
            return [b"child"]
        os.waitpid(child, 0)
        os.kill(os.getpid(), 9)

    ChestMiddleware(answer_in_child, recorder=recorder)({}, lambda *_: None)
    os._exit(0)
    """,
}


@pytest.mark.parametrize("ended", _ENDED_CHILDREN)
def test_a_child_that_ends_by_os_exit_delivers_what_it_recorded(tmp_path: Path, ended: str) -> None:
    """Its parent records nothing, and so adopts nothing either."""
    with contextlib.suppress(AssertionError):  # of the parent that is killed
        run_python(f"{_RECORDING}\n    warnings.simplefilter('ignore')\n{_ENDED_CHILDREN[ended]}", tmp_path)
    assert stored_requests(tmp_path) == 1


def test_if_a_store_takes_long_to_open_one_child_at_a_time_that_ends_by_os_exit_waits_for_it(tmp_path: Path) -> None:
    """On a busy machine opening may take longer than a child that serves one request may stay."""
    code = f"""{_RECORDING}
    from chest.chests.contract import Chest
    from chest.system.threads import sleep

    class SlowToOpen(Chest):
        name = "slow"
        def open(self): sleep(1.5)
        def write(self, records): [(directory / (record.id + ".stored")).touch() for record in records]
        def check(self): ...
        def close(self): ...

    warnings.simplefilter("ignore")
    hooks.QUICK_EXIT_SECONDS = 0.1
    app = ChestMiddleware(answer, recorder=Recorder([SlowToOpen()], directory=rings, service="shop", shutdown_seconds=30))
    for children in (3, 1):
        for _ in range(children):
            if not os.fork():
                request()
                os._exit(0)
        for _ in range(children):
            os.wait()
    print(len(list(directory.glob("*.stored"))), flush=True)
    os._exit(0)
    """
    assert run_python(code, tmp_path) == "4\n"


def test_a_child_of_one_request_does_not_warn_of_what_waits(tmp_path: Path) -> None:
    """A server that forks one for each request would fill the log while its store is down."""
    code = f"""{_RECORDING}
    import logging
    warned = logging.FileHandler(directory / "warned.log")
    warned.setLevel(logging.WARNING)
    logging.getLogger("chest").addHandler(warned)
    (directory / "store.sqlite3").mkdir()  # a store that cannot be written
    for count in (1, 2):
        if not (child := os.fork()):
            for _ in range(count):
                request()
            os._exit(0)
        os.waitpid(child, 0)
    os._exit(0)
    """
    with contextlib.suppress(AssertionError):
        run_python(code, tmp_path)
    assert (tmp_path / "warned.log").read_text().count("records wait in") == 1


def test_a_server_that_forks_a_child_for_each_request_stores_them_while_it_runs(tmp_path: Path) -> None:
    code = f"""{_RECORDING}
    class Forking(socketserver.ForkingMixIn, wsgiref.simple_server.WSGIServer):
        pass

    class Silent(wsgiref.simple_server.WSGIRequestHandler):
        def log_message(self, *_):
            pass

    server = wsgiref.simple_server.make_server("127.0.0.1", 0, app, Forking, Silent)
    print(server.server_port, flush=True)
    server.serve_forever()
    """
    with running_python(code, tmp_path) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        for _ in range(5):
            with contextlib.closing(http.client.HTTPConnection(HOST, port, timeout=60)) as client:
                client.request("GET", "/")
                assert client.getresponse().read() == b"hi"
        wait_until(lambda: (tmp_path / "store.sqlite3").exists() and stored_requests(tmp_path) == 5, seconds=60)
        wait_until(lambda: list((tmp_path / "rings").glob("*.ring")) == [], seconds=60)


def stored_requests(directory: Path) -> int:
    with contextlib.closing(sqlite3.connect(directory / "store.sqlite3")) as connection:
        try:
            return int(connection.execute("SELECT count(*) FROM chest_records").fetchone()[0])
        except sqlite3.OperationalError:  # the table is being made
            return 0


def test_a_child_without_fork_hooks_leaves_its_parent_s_ring_alone(tmp_path: Path) -> None:
    """As uWSGI forks: by the C library, so that none of Python's hooks runs.

    What uWSGI would answer is played, as the recorder keeps its threads out of the process that is forked so: one that waits for
    the interpreter's lock at that moment leaves a lock that no child ever gets.
    """
    preparation = "recorder.prepare()\n"
    in_uwsgis_master = f"""import types
    uwsgi = sys.modules["uwsgi"] = types.ModuleType("uwsgi")
    uwsgi.number = 0
    uwsgi.worker_id = lambda: uwsgi.number
    uwsgi.mule_id = lambda: 0
    uwsgi.i_am_the_spooler = lambda: False
    {preparation}"""
    code = f"""{_FORKING.replace(preparation, in_uwsgis_master)}
    import ctypes
    offer("parent", 600)
    assert threading.active_count() == 1
    child = ctypes.PyDLL(None).fork()
    if not child:
        uwsgi.number = 1
        assert not recorder.request_side.fork_guard[0]
        offer("child", 300)        # early: in memory
        recorder.prepare()
        assert recorder.request_side.fork_guard[0]
        offer("child-after", 300)
        os._exit(0 if recorder.close(20) else 1)
    assert os.waitpid(child, 0)[1] == 0
    offer("parent-after", 300)
    """
    run_python(code, tmp_path)
    counts = {"parent": 600, "child": 300, "child-after": 300, "parent-after": 300}
    assert stored(tmp_path) == Counter({(name, number) for name, count in counts.items() for number in range(count)})


@pytest.mark.parametrize("used_in_master", [False, True], ids=["", "used-in-master"])
def test_uwsgi_forking_without_hooks_stores_every_answered_request_once(tmp_path: Path, used_in_master: bool) -> None:
    ledger = Ledger(tmp_path)
    environ = ledger.environ(**({"ASK_AT_IMPORT": "yes"} if used_in_master else {}))
    options = "--processes=3", "--threads=2", f"--stats={HOST}:{(stats_port := free_port())}"
    with uwsgi(APP, tmp_path / "server", *options, environ=environ) as server:
        with Load(server.port) as load:
            wait_until(lambda: len(load.workers) == 3)
            load.wait_for(300)
        wait_until(lambda: is_idle(stats_port))
        server.stop()
    ledger.require(load)
    # The master runs no exit handler: what it recorded before it forked is the next start's to deliver.
    assert ledger.recover().records == used_in_master
    ledger.require(load, more=used_in_master)
    assert ledger.rings_left() == []


def test_uwsgi_s_workers_killed_at_random_lose_no_answered_request(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    with uwsgi(APP, tmp_path / "server", "--processes=3", environ=ledger.environ()) as server:
        with Load(server.port) as load:
            load.wait_for(50)
            for _ in range(8):
                worker = children_of(server.process.pid)[-1]
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGKILL)
                load.wait_for(30)
        server.stop()
    ledger.recover()
    ledger.require(load)
    assert ledger.rings_left() == []
