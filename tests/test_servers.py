"""The servers of the tests themselves: they start, keep their data over a restart, and end with the run that started them."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pymongo
import pytest
from sqlalchemy.engine import make_url

from tests.processes import running_python
from tests.servers.clickhouse import ClickHouse
from tests.servers.database import DatabaseServer
from tests.servers.fault_proxy import Fault, FaultProxy, fault_proxy
from tests.servers.nats import Nats
from tests.servers.process import HOST, Server, accepts, make_data
from tests.support import wait_until

_STARTED: str = """
    import sys, time
    from tests.servers.victoria_metrics import victoria_metrics
    with victoria_metrics() as server:
        print(server.process.pid, server.port, server.directory, flush=True)
        time.sleep(600)
"""


@pytest.mark.parametrize(
    "name", ["mongodb", "victoria_metrics", "influxdb", "mongodb_replica_set", "clickhouse", "kafka", "nats"]
)
def test_a_server_answers(name: str, request: pytest.FixtureRequest) -> None:
    server: Server | ClickHouse | Nats = request.getfixturevalue(name)
    assert accepts(server.port)


@pytest.mark.parametrize("name", ["postgresql", "mariadb", "mysql57"])
def test_a_database_server_gives_empty_databases_one_after_the_other(name: str, request: pytest.FixtureRequest) -> None:
    server: DatabaseServer = request.getfixturevalue(name)
    first, second = make_url(server.new_url()), make_url(server.new_url())
    assert first.database != second.database
    assert (first.host, first.port) == (HOST, server.port)


def test_the_first_files_of_a_server_are_made_once_by_its_program_and_then_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    made = []
    for name, text in (("first", "a"), ("second", "a"), ("another", "b")):
        directory = tmp_path / name
        directory.mkdir()
        code = f"mkdir -m 700 $1/data; date +%N > $1/data/{text}"
        make_data(lambda place, code=code: ["/bin/sh", "-c", code, "sh", str(place)], directory)  # type: ignore[misc]
        made.append({file.name: file.read_text() for file in (directory / "data").iterdir()})
        assert (directory / "data").stat().st_mode & 0o777 == 0o700
    first, second, another = made
    assert first == second
    assert list(another) == ["b"]


def test_a_replica_set_takes_transactions(mongodb_replica_set: Server) -> None:
    with (
        pymongo.MongoClient(HOST, mongodb_replica_set.port, replicaSet="rs0") as client,
        client.start_session() as session,
        session.start_transaction(),
    ):
        client["test_servers"]["things"].insert_one({"a": 1}, session=session)


def test_a_server_that_is_stopped_and_started_again_has_its_port_and_data(postgresql: DatabaseServer) -> None:
    url = make_url(postgresql.new_url())
    address = {"host": HOST, "port": url.port, "user": url.username, "password": url.password, "dbname": url.database}
    with psycopg.connect(**address) as connection:
        connection.execute("CREATE TABLE things AS SELECT 7 AS a")
    postgresql.server.stop()
    assert not accepts(postgresql.port)
    postgresql.server.start()
    with psycopg.connect(**address) as connection:
        assert connection.execute("SELECT a FROM things").fetchall() == [(7,)]


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM])
def test_a_server_ends_with_a_run_that_is_killed(sign: signal.Signals, victoria_metrics: Server) -> None:
    with running_python(_STARTED) as run:
        assert run.stdout is not None
        pid_text, port_text, directory = run.stdout.readline().split()
        pid, port = int(pid_text), int(port_text)
        assert accepts(port)
        run.send_signal(sign)
        run.wait(10)
        wait_until(lambda: not accepts(port))
        with suppress(ProcessLookupError):
            os.kill(pid, 0)
            wait_until(lambda: not os.path.exists(f"/proc/{pid}/exe"))
        shutil.rmtree(directory)  # a run that is killed leaves its files


@contextmanager
def _echo_server() -> Iterator[tuple[int, list[bytes]]]:
    """Answers every piece it reads with the piece, and keeps it."""
    got: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while piece := connection.recv(1024):
                got.append(piece)
                connection.sendall(piece)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server((HOST, 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1], got
        listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def echo() -> Iterator[tuple[FaultProxy, list[bytes]]]:
    """A proxy, and what reached the server behind it."""
    with _echo_server() as (port, got), fault_proxy(port) as proxy:
        yield proxy, got


def _connect(proxy: FaultProxy) -> socket.socket:
    return socket.create_connection((HOST, proxy.port), timeout=5)


def _ask(client: socket.socket, text: bytes) -> bytes:
    client.sendall(text)
    return client.recv(1024)


def test_a_proxy_passes_everything_on(echo: tuple[FaultProxy, list[bytes]]) -> None:
    with _connect(echo[0]) as client:
        assert _ask(client, b"one") == b"one"
        assert _ask(client, b"two") == b"two"


@pytest.mark.parametrize("fault", [Fault.REFUSE, Fault.RESET])
def test_a_refusing_proxy_resets_new_connections(fault: Fault, echo: tuple[FaultProxy, list[bytes]]) -> None:
    echo[0].set(fault)
    with pytest.raises(ConnectionError), _connect(echo[0]) as client:
        _ask(client, b"one")
    assert echo[1] == []
    echo[0].heal()
    with _connect(echo[0]) as client:
        assert _ask(client, b"one") == b"one"


def test_a_cut_comes_before_the_marker_reaches_the_server(echo: tuple[FaultProxy, list[bytes]]) -> None:
    proxy, got = echo
    proxy.set(Fault.CUT_BEFORE, b"commit")
    with _connect(proxy) as client:
        assert _ask(client, b"insert") == b"insert"
        with pytest.raises(ConnectionError):
            _ask(client, b"COMMIT")
    with _connect(proxy) as client:
        assert _ask(client, b"COMMIT again") == b"COMMIT again"
    assert (got, proxy.cuts) == ([b"insert", b"COMMIT again"], 1)


def test_a_lost_reply_is_lost_after_the_marker_reached_the_server(echo: tuple[FaultProxy, list[bytes]]) -> None:
    proxy, got = echo
    proxy.set(Fault.REPLY_LOST, b"commit")
    with _connect(proxy) as client:
        assert _ask(client, b"insert") == b"insert"
        with pytest.raises(ConnectionError):
            _ask(client, b"COMMIT")
    assert (got, proxy.cuts) == ([b"insert", b"COMMIT"], 1)


def test_a_black_hole_takes_and_never_answers(echo: tuple[FaultProxy, list[bytes]]) -> None:
    proxy, _ = echo
    proxy.set(Fault.BLACKHOLE)
    with _connect(proxy) as client:
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            _ask(client, b"one")
        proxy.heal()
        client.settimeout(5)
        assert client.recv(1024) == b"one"
