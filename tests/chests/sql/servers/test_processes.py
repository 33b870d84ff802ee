"""The SQL chest on servers, in processes that fork, over TLS, and without a driver."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from chest.chests.sql.chest import SQLChest
from chest.errors import MissingDependencyError, TLSRefused
from chest.testing.contract import in_child
from chest.testing.records import make_record
from tests.processes import fork_without_hooks
from tests.servers.database import DatabaseServer
from tests.servers.mariadb import mariadb as running_mariadb
from tests.servers.postgresql import postgresql as running_postgresql

everywhere = pytest.mark.parametrize("server", ["postgresql", "mariadb", "mysql57"], indirect=True)


# -- forks ---------------------------------------------------------------------------------------------------------


@everywhere
def test_a_child_of_a_fork_without_hooks_leaves_the_session_to_its_parent(server: DatabaseServer, url: str) -> None:
    with SQLChest(url) as chest:
        chest.write([make_record(request_id="before")])
        session = _session(chest, server)
        pid = fork_without_hooks()
        if pid == 0:
            status = 1
            try:
                chest.write([make_record(request_id="child")])
                chest.close()
                status = 0
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert _session(chest, server) == session
        chest.write([make_record(request_id="after")])
        assert {stored.record.request_id for stored in chest.read()} == {"before", "child", "after"}


@everywhere
def test_a_child_may_begin_while_its_parent_is_writing(server: DatabaseServer, url: str) -> None:
    with SQLChest(url) as chest:
        chest.open()
        holds, may_end = threading.Event(), threading.Event()

        def use_for_long() -> None:
            with chest.writing.use() as connection:
                connection.exec_driver_sql("SELECT 1")
                holds.set()
                may_end.wait(60)
                connection.exec_driver_sql("SELECT 1")

        user = threading.Thread(target=use_for_long)
        user.start()
        holds.wait(60)
        in_child(lambda: chest.write([make_record(request_id="child")]))
        may_end.set()
        user.join(30)
        chest.write([make_record(request_id="parent")])
        assert {stored.record.request_id for stored in chest.read()} == {"child", "parent"}


def _session(chest: SQLChest, server: DatabaseServer) -> int:
    """The server's number of the session in which the chest writes."""
    function = "pg_backend_pid()" if server.scheme == "postgresql" else "CONNECTION_ID()"
    with chest.writing.use() as connection:
        return int(connection.exec_driver_sql(f"SELECT {function}").scalar_one())


# -- TLS -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1; its key stands beside it as ``.key``."""
    path = tmp_path_factory.mktemp("tls") / "server.crt"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
            "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(path.with_suffix(".key")), "-out", str(path),
        ],
        check=True, capture_output=True, timeout=300,
    )  # fmt: skip
    return path


@pytest.fixture(scope="module", params=["postgresql", "mariadb"])
def tls_server(request: pytest.FixtureRequest, certificate: Path) -> Iterator[DatabaseServer]:
    """A server that speaks TLS."""
    start: Callable[..., ExitStack] = {"postgresql": running_postgresql, "mariadb": running_mariadb}[request.param]
    with start(certificate=certificate) as server:
        yield server


def test_a_certificate_that_is_vouched_for_is_taken_and_another_is_refused(
    tls_server: DatabaseServer, certificate: Path, tmp_path: Path
) -> None:
    if tls_server.scheme == "postgresql":
        any_, full, other = (
            "sslmode=require",
            "sslmode=verify-full&sslrootcert={}",
            "sslmode=verify-full&sslrootcert={}",
        )
        encrypted = "SELECT ssl::int FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    else:
        any_, full, other = "ssl_mode=REQUIRED", "ssl_mode=VERIFY_IDENTITY&ssl_ca={}", "ssl-ca={}"
        encrypted = (
            "SELECT VARIABLE_VALUE <> '' FROM information_schema.SESSION_STATUS WHERE VARIABLE_NAME = 'Ssl_cipher'"
        )
    database = tls_server.new_database()
    for query in (any_, full.format(certificate)):
        with SQLChest(tls_server.url(database, query=query)) as chest:
            chest.write([make_record()])
            with chest.writing.use() as connection:
                assert connection.exec_driver_sql(encrypted).scalar_one() == 1
    stranger = tmp_path / "stranger.crt"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=stranger",
            "-keyout", str(tmp_path / "stranger.key"), "-out", str(stranger),
        ],
        check=True, capture_output=True, timeout=300,
    )  # fmt: skip
    for file in (stranger, tmp_path / "is-not-there.crt"):
        with SQLChest(tls_server.url(database, query=other.format(file))) as chest, pytest.raises(TLSRefused):
            chest.open()


def test_a_url_of_a_driver_that_is_not_installed_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "chest.chests.sql.postgresql.dialect", None)
    with pytest.raises(MissingDependencyError, match=r"wsgi-chest\[sql\]"):
        SQLChest("postgresql://user@host/db")
