"""The shop under gunicorn, as a process."""

from __future__ import annotations

import http.client
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from chest.cli.demo import serve
from chest.cli.demo.exchange import WORKER_HEADER, Client
from chest.cli.demo.serve import ShopServer
from chest.cli.demo.workspace import Workspace
from chest.errors import ChestError, SettingsError
from tests.support import wait_until

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="processes are counted in /proc")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "demo")


@pytest.fixture
def server(workspace: Workspace) -> Iterator[ShopServer]:
    with ShopServer(workspace) as server:
        server.wait_until_ready()
        yield server


def processes_of_group(group: int) -> list[int]:
    found = []
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and os.getpgid(int(name)) == group:
                found.append(int(name))
        except ProcessLookupError:
            pass
    return found


def is_running(pid: int) -> bool:
    """Killed processes stay as zombies until the process that inherited them reaps them."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def worker_pid(server: ShopServer) -> int:
    with Client(server.address, "ada").open("/export?rows=1") as response:
        pid = response.header(WORKER_HEADER)
        assert pid is not None
        assert response.read_all().is_answered
    return int(pid)


def test_it_serves_the_shop_from_a_process_group_of_its_own(server: ShopServer) -> None:
    assert Client(server.address, "ada").send("GET", "/").status == 200
    assert os.getpgid(worker_pid(server)) != os.getpgid(0)


def test_stopping_is_graceful_leaves_no_process_and_refuses_connections(server: ShopServer) -> None:
    group = os.getpgid(worker_pid(server))
    assert len(processes_of_group(group)) == 3
    assert server.stop()
    assert server.stop()
    assert processes_of_group(group) == []
    connection = http.client.HTTPConnection(*server.address, timeout=60)
    with pytest.raises(ConnectionRefusedError):
        connection.request("GET", "/health")


def test_a_server_that_does_not_stop_is_killed_with_its_workers(
    server: ShopServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "_STOP_SECONDS", 0.2)
    group = os.getpgid(worker_pid(server))
    os.kill(group, signal.SIGSTOP)  # a stopped master hears no SIGTERM
    assert not server.stop()
    # A killed process takes a moment to go.
    wait_until(lambda: not any(is_running(pid) for pid in processes_of_group(group)))


def test_a_killed_worker_is_replaced(server: ShopServer) -> None:
    killed = worker_pid(server)
    server.kill_worker(killed)
    assert Client(server.address, "ada").send("GET", "/").is_answered
    assert worker_pid(server) != killed


@pytest.mark.parametrize("pid", [1, os.getpid()], ids=["init", "itself"])
def test_a_process_that_is_not_ours_is_never_killed(server: ShopServer, pid: int) -> None:
    with pytest.raises(ChestError, match="no worker of the demonstration"):
        server.kill_worker(pid)


def test_the_port_is_the_one_asked_for(workspace: Workspace) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with ShopServer(workspace, port) as server:
        server.wait_until_ready()
        assert server.address == ("127.0.0.1", port)


def test_a_taken_port_is_refused_before_anything_is_started(workspace: Workspace) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(SettingsError, match=rf"port {port} of 127\.0\.0\.1 cannot be used: .*in use.*--port"):
            ShopServer(workspace, port)


def test_a_server_that_does_not_come_up_tells_its_last_words(
    workspace: Workspace,
) -> None:
    workspace.path.joinpath("gunicorn.py").write_text("raise SystemExit('no such luck')")
    with ShopServer(workspace) as server, pytest.raises(ChestError, match=r"(?s)ended before.*no such luck"):
        server.wait_until_ready()


def test_a_server_that_answers_nothing_is_given_up(server: ShopServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "_START_SECONDS", 0.5)
    group = os.getpgid(worker_pid(server))
    os.killpg(group, signal.SIGSTOP)
    try:
        with pytest.raises(ChestError, match=r"answered nothing.*(?s:.*)Booting worker"):
            server.wait_until_ready()
    finally:
        os.killpg(group, signal.SIGCONT)


def test_settings_of_the_users_own_shell_do_not_change_the_shop(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHEST_ENABLED", "false")
    monkeypatch.setenv("GUNICORN_CMD_ARGS", "--workers=5")
    with ShopServer(workspace) as server:
        server.wait_until_ready()
        group = os.getpgid(worker_pid(server))
        assert len(processes_of_group(group)) == 3
