"""Once a tick, not once a worker: real servers with four processes each, whose leaders are killed."""

from __future__ import annotations

import http.client
import os
import signal
import threading
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest

from chest.chests.contract import ReadableChest, StoredRecord
from chest.chests.registry import open_chest
from tests.processes import ROOT
from tests.servers.database import DatabaseServer
from tests.servers.process import HOST, Server
from tests.servers.wsgi import gunicorn, uwsgi
from tests.support import wait_until

APP = "tests.transfer.exporting_app"
TICKS = 10
_CATCH_UP_SECONDS = 60.0

Serve = Callable[[Path, dict[str, str]], AbstractContextManager[Server]]


def _gunicorn(*options: str) -> Serve:
    return lambda directory, environ: gunicorn(f"{APP}:app", directory, "--workers=4", *options, environ=environ)


def _uwsgi(directory: Path, environ: dict[str, str]) -> AbstractContextManager[Server]:
    return uwsgi(f"{APP}:app", directory, "--processes=4", f"--pythonpath={ROOT}", environ=environ)


SERVERS: dict[str, Serve] = {
    "gunicorn": _gunicorn(),
    "gunicorn-preload": _gunicorn("--preload"),
    "gunicorn-gthread": _gunicorn("--worker-class=gthread", "--threads=2"),
    "gunicorn-gevent": _gunicorn("--worker-class=gevent"),
    "uwsgi": _uwsgi,
}


class Traffic:
    """Asks one server after the other, some fifty times a second, until the block ends."""

    def __init__(self, *servers: Server) -> None:
        self._servers = servers
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self.pids: set[bytes] = set()

    def __enter__(self) -> Traffic:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._is_over.wait(0.02):
            for server in self._servers:
                connection = http.client.HTTPConnection(HOST, server.port, timeout=10)
                try:
                    connection.request("GET", "/")
                    self.pids.add(connection.getresponse().read())
                except (OSError, http.client.HTTPException):
                    pass  # its worker was killed
                finally:
                    connection.close()


class Notes:
    """Who sent what."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def lines(self) -> list[tuple[int, str]]:
        if not self.path.exists():
            return []
        pairs = [line.split() for line in self.path.read_text().splitlines()]
        return [(int(pid), record_id) for pid, record_id in pairs]

    def kill_leader(self) -> None:
        """Kill the process that sends next, while it does."""
        before = len(self.lines())
        wait_until(lambda: len(self.lines()) > before)
        os.kill(self.lines()[-1][0], signal.SIGKILL)


@pytest.fixture
def notes(tmp_path: Path) -> Notes:
    return Notes(tmp_path / "notes.txt")


def _environ(directory: Path, source: str, target: str, notes: Notes) -> dict[str, str]:
    return {
        "CHEST_DIRECTORY": str(directory),
        "CHEST_URLS": source,
        "TARGET": target,
        "NOTES": str(notes.path),
        "PYTHONPATH": str(ROOT),
    }


def _two_hosts(directory: Path, source: str, target: str, notes: Notes) -> list[AbstractContextManager[Server]]:
    """Servers that share nothing but the databases."""
    serve = SERVERS["gunicorn"]
    hosts = [directory / "one", directory / "two"]
    return [serve(host, _environ(host / "rings", source, target, notes)) for host in hosts]


def _all(url: str) -> list[StoredRecord]:
    chest = open_chest(url)
    assert isinstance(chest, ReadableChest)
    with chest:
        try:
            return chest.read(limit=1_000_000)
        except Exception:
            return []


def _ids(url: str) -> list[str]:
    return sorted(stored.record.id for stored in _all(url))


@pytest.mark.parametrize("kind", SERVERS)
def test_every_record_arrives_once_although_the_leader_is_killed_twice(tmp_path: Path, notes: Notes, kind: str) -> None:
    source, target = f"sqlite:///{tmp_path / 'chest.sqlite3'}", f"sqlite:///{tmp_path / 'target.sqlite3'}"
    with SERVERS[kind](tmp_path / "server", _environ(tmp_path / "rings", source, target, notes)) as server:
        with Traffic(server) as traffic:
            _run_ticks(notes, kills=2)
        wait_until(lambda: _ids(source) == _ids(target), _CATCH_UP_SECONDS)
    assert len(_ids(target)) > 100
    assert len(traffic.pids) >= 4
    sent = Counter(record_id for _, record_id in notes.lines())
    assert sum(sent.values()) - len(sent) <= 200, "more was sent twice than the two batches in hand"


@pytest.fixture(params=["postgresql", "mongodb"])
def shared(request: pytest.FixtureRequest) -> str:
    """The URL of a database that hosts share."""
    server = request.getfixturevalue(request.param)
    if isinstance(server, DatabaseServer):
        return server.new_url()
    return f"mongodb://{HOST}:{server.port}/chest_{uuid.uuid4().hex[:12]}"


def test_a_target_that_knows_no_id_gets_every_record_once_from_two_hosts_on_one_database(
    tmp_path: Path, notes: Notes, shared: str
) -> None:
    source, target = shared, f"ndjson:{tmp_path / 'target.ndjson'}"
    with ExitStack() as stack:
        servers = [stack.enter_context(host) for host in _two_hosts(tmp_path, source, target, notes)]
        with Traffic(*servers) as traffic:
            _run_ticks(notes, kills=0)
        wait_until(lambda: _ids(source) == sorted(set(_ids(target))), _CATCH_UP_SECONDS)
    assert len(traffic.pids) >= 5
    assert max(Counter(_ids(target)).values()) == 1
    assert len(notes.lines()) == len(_ids(target))


def test_a_host_that_dies_leaves_its_ticks_to_the_other(
    tmp_path: Path, notes: Notes, postgresql: DatabaseServer
) -> None:
    source, target = postgresql.new_url(), f"sqlite:///{tmp_path / 'target.sqlite3'}"
    with ExitStack() as stack:
        servers = [stack.enter_context(host) for host in _two_hosts(tmp_path, source, target, notes)]
        with Traffic(*servers):
            _run_ticks(notes, kills=2)
        wait_until(lambda: _ids(source) == _ids(target), _CATCH_UP_SECONDS)
    assert len(_ids(target)) > 100


def _run_ticks(notes: Notes, kills: int) -> None:
    """Wait for ten ticks at which something was sent, and kill the leader at so many of them."""
    sent: list[int] = []
    while len(sent) < TICKS:
        if kills:
            notes.kill_leader()
            kills -= 1
        before = len(notes.lines())
        wait_until(lambda before=before: len(notes.lines()) > before, 60)  # type: ignore[misc]
        sent.append(len(notes.lines()))
        _wait_for_quiet(notes)


def _wait_for_quiet(notes: Notes) -> None:
    """Until the run in hand has ended: nothing was sent for a fifth of a tick."""
    quiet = threading.Event()
    before = -1
    while before != len(notes.lines()):
        before = len(notes.lines())
        quiet.wait(0.2)
