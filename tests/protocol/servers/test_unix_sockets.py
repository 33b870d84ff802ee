"""Servers on a unix socket: their peer has no address, and is believed only if that is said."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.processes import ROOT
from tests.support import wait_until


def test_a_server_on_a_unix_socket_is_a_peer_without_an_address(tmp_path: Path) -> None:
    """All at once, which saves two starts. Their names are short: a socket's path has at most 107 bytes."""
    (tmp_path / "told.py").write_text(_TOLD)
    environ = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    with tempfile.TemporaryDirectory(prefix="chest-") as short, contextlib.ExitStack() as running:
        for server, arguments in _ON_A_UNIX_SOCKET.items():
            command = [part.format(place=f"{short}/{server}") for part in arguments]
            program = (
                [str(Path(sys.executable).parent / "uwsgi")] if server == "uwsgi" else [sys.executable, "-m", server]
            )
            process = running.enter_context(
                subprocess.Popen(
                    [*program, *command],
                    cwd=tmp_path,
                    env=environ,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
            )
            running.callback(os.killpg, process.pid, signal.SIGKILL)  # no orderly end is needed
        answers = {server: _asked(f"{short}/{server}") for server in _ON_A_UNIX_SOCKET}
    assert answers == dict.fromkeys(_ON_A_UNIX_SOCKET, b"unix: 203.0.113.5, by default: None")


_TOLD = """
from chest import client_address

def app(environ, start_response):
    start_response("200 OK", [])
    return [f"unix: {client_address(environ, 'unix')}, by default: {client_address(environ)}".encode()]
"""
_ON_A_UNIX_SOCKET = {
    "gunicorn": ("--bind", "unix:{place}", "told:app"),
    "waitress": ("--unix-socket={place}", "--no-clear-untrusted-proxy-headers", "told:app"),
    "uwsgi": ("--http-socket", "{place}", "--master", "--enable-threads", "--die-on-term", "--module", "told:app"),
}


def _asked(place: str) -> bytes:
    """The body of the answer, once the server answers."""
    found: list[bytes] = []

    def is_answered() -> bool:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(place)
            connection.sendall(b"GET / HTTP/1.0\r\nHost: x\r\nX-Forwarded-For: 1.2.3.4, 203.0.113.5\r\n\r\n")
            answer = b"".join(iter(lambda: connection.recv(4096), b""))
            found.append(answer.partition(b"\r\n\r\n")[2])
        return bool(found and found[-1])

    wait_until(is_answered)
    return found[-1]
