"""Lives and ends of processes that the other files do not cover: what was answered is stored, once, and what comes after arrives.

Each event in the table of ``docs/how-it-works.md`` names a test that shows it; this file checks that.
"""

from __future__ import annotations

import ast
import contextlib
import os
import re
import signal
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from chest.chests.registry import open_chest, sqlite_url
from tests.kill.load import Ledger, Load, children_of
from tests.kill.servers.test_gunicorn import WORKER_CLASSES, connection_to
from tests.processes import ROOT, run_python
from tests.servers import HOST, Server, free_port, gunicorn, is_idle, uwsgi, uwsgi_without_threads, waitress
from tests.support import wait_until

APP = "tests.kill.app:app"


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path)


def require_conserved(ledger: Ledger, load: Load, more: int = 0) -> None:
    wait_until(lambda: ledger.recover().left == 0)  # a worker that was killed may take a moment to be gone
    ledger.require(load, more)
    assert ledger.rings_left() == []


def require_alive(ledger: Ledger, load: Load) -> None:
    """What is asked after the fault is answered, and arrives by itself."""
    load.wait_for(40)
    answered = list(load.answered)
    wait_until(lambda: set(answered) <= set(ledger.stored()))


@contextlib.contextmanager
def slow_request(server: Server, load: Load, seconds: float) -> Iterator[None]:
    """A request that takes so long is under way during the block."""
    thread = threading.Thread(target=load.ask, args=(connection_to(server), f"/slow?{seconds}"))
    thread.start()
    yield
    thread.join()


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGQUIT], ids=["SIGINT", "SIGQUIT"])
@pytest.mark.parametrize("worker_class", WORKER_CLASSES)
def test_a_quick_stop_of_gunicorn_under_load_loses_and_doubles_nothing(
    tmp_path: Path, ledger: Ledger, worker_class: str, sign: signal.Signals
) -> None:
    options = "--workers=2", *WORKER_CLASSES[worker_class]
    with gunicorn(APP, tmp_path / "server", *options, worker_class=worker_class, environ=ledger.environ()) as server:
        with Load(server.port) as load:
            load.wait_for(100)
            server.process.send_signal(sign)
            wait_until(lambda: load.failed)
        server.process.wait(60)
    require_conserved(ledger, load)


@pytest.mark.parametrize("worker_class", WORKER_CLASSES)
def test_a_master_of_gunicorn_that_is_killed_with_its_workers_going_on_loses_nothing(
    tmp_path: Path, ledger: Ledger, worker_class: str
) -> None:
    # Workers that are alone end by themselves as soon as no request comes, each class by its own rules.
    options = "--workers=2", "--graceful-timeout=1", *WORKER_CLASSES[worker_class]
    with gunicorn(APP, tmp_path / "server", *options, worker_class=worker_class, environ=ledger.environ()) as server:
        with Load(server.port) as load:
            load.wait_for(50)
            enough = len(load.answered) + 50
            os.kill(server.process.pid, signal.SIGKILL)
            wait_until(lambda: load.failed or len(load.answered) >= enough)
        server.stop()
    require_conserved(ledger, load)


def test_a_worker_of_gunicorn_that_times_out_loses_nothing_of_the_others_and_another_goes_on(
    tmp_path: Path, ledger: Ledger
) -> None:
    options = "--workers=2", "--timeout=1"
    with gunicorn(APP, tmp_path / "server", *options, environ=ledger.environ()) as server, Load(server.port, 2) as load:
        load.wait_for(50)
        with slow_request(server, load, 30):
            wait_until(lambda: "WORKER TIMEOUT" in server.log())
        require_alive(ledger, load)
    require_conserved(ledger, load)
    assert load.failed >= 1


@pytest.mark.parametrize("worker_class", ["sync", "gevent"])
def test_a_worker_of_gunicorn_that_times_out_without_a_word_leaves_a_record_of_its_request(
    tmp_path: Path, ledger: Ledger, worker_class: str
) -> None:
    """Blocked in C code, so that no signal handler runs, nor any thread: it is killed a second later."""
    options = "--workers=2", "--timeout=1", "--graceful-timeout=1"
    with (
        gunicorn(APP, tmp_path / "server", *options, worker_class=worker_class, environ=ledger.environ()) as server,
        Load(server.port, 2) as load,
    ):
        load.wait_for(50)
        thread = threading.Thread(target=load.ask, args=(connection_to(server), "/stuck"))
        thread.start()
        wait_until(lambda: "WORKER TIMEOUT" in server.log())
        thread.join()
        require_alive(ledger, load)
    require_conserved(ledger, load)
    assert "/stuck" in killed_requests(ledger)


def test_an_application_that_gunicorn_s_master_has_imported_and_asked_is_recorded_in_each_process(
    tmp_path: Path, ledger: Ledger
) -> None:
    environ = ledger.environ(ASK_AT_IMPORT="yes")
    with gunicorn(APP, tmp_path / "server", "--workers=3", "--preload", environ=environ) as server:
        with Load(server.port) as load:
            require_alive(ledger, load)
        server.stop()
    require_conserved(ledger, load, more=1)


@pytest.mark.parametrize(
    "options",
    [("--lazy-apps",), ("--threads=4",), ("--lazy-apps", "--threads=4")],
    ids=lambda options: " ".join(options),
)
def test_uwsgi_stopped_and_reloaded_under_load_loses_and_doubles_nothing(
    tmp_path: Path, ledger: Ledger, options: tuple[str, ...]
) -> None:
    with uwsgi(APP, tmp_path / "server", "--processes=2", *options, environ=ledger.environ()) as server:
        with Load(server.port) as load:
            wait_until(lambda: len(load.workers) == 2)  # a worker that is just starting would not hear of the reload
            before = set(children_of(server.process.pid))
            server.process.send_signal(signal.SIGHUP)
            wait_until(lambda: load.workers.keys() - before)
            require_alive(ledger, load)
        server.stop()
    require_conserved(ledger, load)


THREADS_ARE_OFF = "uWSGI 2.0.26 runs threads only while it serves a request"


@pytest.mark.parametrize("options", [(), ("--lazy-apps",)], ids=["prefork", "lazy-apps"])
def test_uwsgi_in_which_no_thread_runs_between_requests_loses_nothing_and_says_what_to_do(
    tmp_path: Path, ledger: Ledger, options: tuple[str, ...]
) -> None:
    server_directory = tmp_path / "server"
    with (
        uwsgi_without_threads(APP, server_directory, "--processes=2", *options, environ=ledger.environ()) as server,
        Load(server.port) as load,
    ):
        wait_until(lambda: len(load.workers) == 2)
        load.wait_for(200)
        os.kill(next(iter(load.workers)), signal.SIGKILL)
        load.wait_for(200)
        before = set(load.workers)
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: load.workers.keys() - before)
        load.wait_for(50)
    assert THREADS_ARE_OFF in server.log()
    assert "--enable-threads" in server.log()
    require_conserved(ledger, load)


@pytest.mark.parametrize("options", [(), ("--lazy-apps",)], ids=["prefork", "lazy-apps"])
def test_uwsgi_in_which_no_thread_runs_delivers_what_is_left_when_it_is_stopped(
    tmp_path: Path, ledger: Ledger, options: tuple[str, ...]
) -> None:
    options += (f"--stats={HOST}:{(stats_port := free_port())}",)
    with uwsgi_without_threads(APP, tmp_path / "server", *options, environ=ledger.environ()) as server:
        with Load(server.port, 1) as load:
            load.wait_for(200)
        wait_until(lambda: is_idle(stats_port))
        server.stop()
    ledger.require(load)
    assert ledger.rings_left() == []


@pytest.mark.parametrize("option", ["--enable-threads", "--threads=2"])
def test_a_uwsgi_that_was_asked_for_threads_delivers_as_any_other_and_is_told_nothing(
    tmp_path: Path, ledger: Ledger, option: str
) -> None:
    with uwsgi_without_threads(APP, tmp_path / "server", option, environ=ledger.environ()) as server:
        with Load(server.port) as load:
            load.wait_for(100)
        with open_chest(sqlite_url(ledger.store)) as chest:
            chest.open()  # whose table may not be there yet
        wait_until(lambda: set(load.answered) <= set(ledger.stored()))  # without further requests
        server.stop()
    require_conserved(ledger, load)
    assert THREADS_ARE_OFF not in server.log()


def killed_requests(ledger: Ledger) -> list[str]:
    """The paths of the requests that were being served when their process was killed."""
    with contextlib.closing(sqlite3.connect(ledger.store)) as connection:
        return [row[0] for row in connection.execute("SELECT path FROM chest_records WHERE outcome = 'killed'")]


def busy_workers(server: Server, load: Load) -> set[int]:
    """The workers that answer no request while the others answer many."""
    load.workers.clear()
    load.wait_for(300)
    return set(children_of(server.process.pid)) - set(load.workers)


def test_a_worker_of_gunicorn_killed_in_a_request_leaves_a_record_of_it(tmp_path: Path, ledger: Ledger) -> None:
    options = "--workers=2"
    with gunicorn(APP, tmp_path / "server", options, environ=ledger.environ()) as server, Load(server.port, 2) as load:
        wait_until(lambda: len(load.workers) == 2)
        with slow_request(server, load, 60):
            busy: set[int] = set()
            wait_until(lambda: busy.update(busy_workers(server, load)) or busy)
            os.kill(busy.pop(), signal.SIGKILL)
        require_alive(ledger, load)
    require_conserved(ledger, load)
    assert "/slow" in killed_requests(ledger)


def test_a_worker_of_uwsgi_that_harakiri_kills_loses_nothing_and_leaves_a_record_of_the_request(
    tmp_path: Path, ledger: Ledger
) -> None:
    options = "--processes=2", "--harakiri=1"
    with uwsgi(APP, tmp_path / "server", *options, environ=ledger.environ()) as server, Load(server.port, 2) as load:
        load.wait_for(50)
        with slow_request(server, load, 30):
            wait_until(lambda: "HARAKIRI" in server.log())
        require_alive(ledger, load)
        server.stop()
    require_conserved(ledger, load)
    assert "/slow" in killed_requests(ledger)


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=lambda sign: sign.name)
def test_waitress_ended_under_load_loses_and_doubles_nothing(
    tmp_path: Path, ledger: Ledger, sign: signal.Signals
) -> None:
    with waitress(APP, tmp_path / "server", environ=ledger.environ()) as server:
        with Load(server.port) as load:
            load.wait_for(100)
            server.process.send_signal(sign)
            wait_until(lambda: load.failed)
        server.process.wait(60)
    require_conserved(ledger, load)


_APP = """
    import os, sys, warnings
    from pathlib import Path
    from chest import ChestMiddleware
    from chest.chests.registry import sqlite_url

    warnings.simplefilter("ignore", DeprecationWarning)
    directory = Path(sys.argv[1])
    asked = []

    def ask(name):
        body = app({"PATH_INFO": "/" + name, "REQUEST_METHOD": "GET", "HTTP_X_REQUEST_ID": name}, lambda *_: print)
        list(body)
        getattr(body, "close", lambda: None)()

    def answer(environ, start_response):
        start_response("200 OK", [])
        ACT(environ)
        return [b"done"]

    app = ChestMiddleware(
        answer, chests=[sqlite_url(directory / "store.sqlite3")], directory=directory / "rings", service="shop",
        ring_bytes=1 << 20,
    )
"""


def test_an_application_that_forks_in_a_request_records_it_once_and_its_child_s_own_requests(
    tmp_path: Path, ledger: Ledger
) -> None:
    code = f"""{_APP}
    def ACT(environ):
        if environ["PATH_INFO"].startswith("/forks"):
            child = os.fork()
            if not child:
                try:
                    ask("child-of-" + environ["PATH_INFO"][1:])
                finally:
                    os._exit(0)
            os.waitpid(child, 0)
    for number in range(5):
        ask(f"forks-{{number}}")
        ask(f"plain-{{number}}")
    """
    run_python(code, tmp_path)
    ledger.recover()
    names = [name for n in range(5) for name in (f"forks-{n}", f"plain-{n}", f"child-of-forks-{n}")]
    assert sorted(ledger.stored().elements()) == sorted(names)


@pytest.mark.parametrize("end", ["os._exit(0)", "pass", "recorder.close()"], ids=["killed", "exit", "close"])
def test_a_child_that_leaves_the_request_by_its_end_like_its_parent_has_a_record_of_its_own(
    tmp_path: Path, ledger: Ledger, end: str
) -> None:
    """Both end one request, under one id: whichever came second would not be stored. With children of children, too."""
    code = f"""{_APP}
    def ACT(environ):
        environ["chest.context"]["generation"] = 0
        for generation in (1, 2):
            child = os.fork()
            if child:
                os.waitpid(child, 0)
                break
            environ["chest.context"]["generation"] = generation
    recorder = app.recorder
    ask("all")
    ask(f"alone-{{os.getpid()}}")
    {end}
    """
    run_python(code, tmp_path)
    recovered = ledger.recover()
    assert (recovered.damaged, ledger.rings_left()) == (0, [])
    with contextlib.closing(sqlite3.connect(ledger.store)) as connection:
        found = connection.execute(
            "SELECT variables ->> 'generation', substr(id, 17, 8) FROM chest_records WHERE path = '/all'"
        ).fetchall()
    assert sorted(generation for generation, _ in found) == [0, 1, 2]
    assert len({process for _, process in found}) == 3
    assert ledger.stored()["all"] == 3
    assert len(ledger.stored()) == 1 + 3


def test_a_child_that_ends_by_sys_exit_in_a_request_takes_nothing_from_the_record_of_its_parent(
    tmp_path: Path, ledger: Ledger
) -> None:
    code = f"""{_APP}
    def ACT(environ):
        child = os.fork()
        if not child:
            sys.exit(0)
        os.waitpid(child, 0)
    ask("one")
    """
    run_python(code, tmp_path)
    ledger.recover()
    with contextlib.closing(sqlite3.connect(ledger.store)) as connection:
        found = connection.execute("SELECT status, outcome FROM chest_records ORDER BY outcome").fetchall()
    assert found == [(200, "ok"), (200, "shutdown")]


@pytest.mark.parametrize(
    "end", ["os._exit(0)", "ctypes.string_at(0)", "os.abort()"], ids=["_exit", "segfault", "abort"]
)
def test_a_request_that_ends_its_process_without_a_word_loses_nothing_that_was_answered_before(
    tmp_path: Path, ledger: Ledger, end: str
) -> None:
    code = f"""{_APP}
    import ctypes, resource
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    def ACT(environ):
        if environ["PATH_INFO"] == "/last":
            {end}
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        os._exit(0)
    for number in range(50):
        ask(f"before-{{number}}")
    ask("last")
    """
    run_python(code, tmp_path)
    ledger.recover()
    stored = ledger.stored()
    assert set(stored) - {"last"} == {f"before-{number}" for number in range(50)}
    assert set(stored.values()) == {1}


# -- the table in the documentation ------------------------------------------------------------------------------------


def table_of_events() -> list[tuple[str, str, str]]:
    text = (ROOT / "docs" / "how-it-works.md").read_text()
    [table] = re.findall(r"\n\| event \| what survives \| shown by \|\n\|[-|]+\|\n((?:\|.*\n)+)", text)
    return [tuple(cell.strip() for cell in row.strip("|").split("|")) for row in table.splitlines()]  # type: ignore[misc]


def test_every_event_of_the_table_names_a_test_that_shows_it() -> None:
    tests = {
        f"{path.relative_to(ROOT)}::{node.name}"
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }
    rows = table_of_events()
    assert len(rows) >= 20
    for event, _, shown_by in rows:
        named = re.findall(r"`([^`]+)`", shown_by)
        assert named, event
        for name in named:
            assert any(test.endswith(f"/{name}") for test in tests), f"{event}: there is no test {name}"
