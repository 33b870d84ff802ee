"""``ShopServer``: the shop under gunicorn, as a process that this one starts and stops, and one of whose workers it kills."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Final

import chest
from chest.cli.demo.workspace import Workspace
from chest.errors import ChestError, SettingsError

HOST: Final = "127.0.0.1"
_START_SECONDS: Final = 60.0
"""On a busy machine two workers may take half a minute to import what they serve."""
_STOP_SECONDS: Final = 5.0
"""Longer than gunicorn's own ``graceful_timeout``: gunicorn ends its workers before anyone ends gunicorn."""
_LOG_LINES: Final = 12


class ShopServer:
    """gunicorn with the shop; a context manager that leaves no process behind, however its block ends.

    The listening socket is made here and handed to gunicorn: whether the port is free is then known at once, without a
    moment in which another program could take it.

    :param workspace: the directory of the store, the rings and the log.
    :param port: TCP port on the loopback interface; 0 takes a free one.
    :raises SettingsError: the port cannot be had.
    """

    def __init__(self, workspace: Workspace, port: int = 0) -> None:
        self._workspace = workspace
        try:
            self._socket = socket.create_server((HOST, port))
        except OSError as error:
            raise SettingsError(
                f"port {port} of {HOST} cannot be used: {error.strerror or error}. "
                "Name another with --port, or none for a free one."
            ) from error
        self.address: tuple[str, int] = (HOST, self._socket.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> ShopServer:
        try:
            self._process = self._start()
        finally:
            self._socket.close()  # gunicorn's now: with gunicorn gone, a connection is refused and does not hang
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def wait_until_ready(self) -> None:
        """Return as soon as a request is answered.

        :raises ChestError: gunicorn ended, or nothing was answered in time; with the last lines of its log.
        """
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self._is_answering():
                return
            if self._has_ended(within_seconds=0.05):
                raise ChestError(f"gunicorn ended before it served anything. Its last words:\n{self.last_log_lines()}")
        raise ChestError(
            f"gunicorn answered nothing for {_START_SECONDS:.0f} seconds. Its last words:\n{self.last_log_lines()}"
        )

    def kill_worker(self, pid: int) -> None:
        """SIGKILL, which no process can catch.

        :param pid: a worker of this server.
        :raises ChestError: it is not, or not any more.
        """
        with contextlib.suppress(ProcessLookupError):
            if self._process is not None and pid != self._process.pid and os.getpgid(pid) == self._process.pid:
                os.kill(pid, signal.SIGKILL)
                return
        raise ChestError(f"process {pid} is no worker of the demonstration's gunicorn any more, so it was left alone.")

    def stop(self) -> bool:
        """End gunicorn and its workers: gracefully within some seconds, else by force. Can be called again.

        :return: whether it ended gracefully.
        """
        process, self._process = self._process, None
        if process is None:
            return True
        try:
            process.terminate()
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        finally:
            is_graceful = process.poll() == 0
            if not is_graceful:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        return is_graceful

    def last_log_lines(self) -> str:
        """The end of gunicorn's log, indented."""
        lines = self._workspace.log_path.read_text(errors="replace").splitlines()[-_LOG_LINES:]
        return "\n".join(f"  {line}" for line in lines) or "  (nothing)"

    def _start(self) -> subprocess.Popen[bytes]:
        workspace, descriptor = self._workspace, self._socket.fileno()
        application = f"chest.cli.demo.shop:make_app({workspace.store_url!r}, {str(workspace.ring_directory)!r})"
        command = [sys.executable, "-m", "gunicorn", "-c", "python:chest.cli.demo.gunicorn_conf"]
        with workspace.log_path.open("ab") as log:
            return subprocess.Popen(
                [*command, "--bind", f"fd://{descriptor}", application],
                cwd=workspace.path,
                env=_environment(),
                pass_fds=[descriptor],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C comes to the demonstration, which then ends gunicorn in good order
            )

    def _has_ended(self, within_seconds: float) -> bool:
        if self._process is None:
            return True
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(within_seconds)
            return True
        return False

    def _is_answering(self) -> bool:
        connection = http.client.HTTPConnection(*self.address, timeout=0.5)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def _environment() -> dict[str, str]:
    """This process's environment without what would change the shop or gunicorn, and with this very ``chest``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CHEST_", "FLASK_", "GUNICORN_"))}
    root = str(Path(chest.__file__).absolute().parent.parent)
    kept["PYTHONPATH"] = os.pathsep.join(filter(None, [root, kept.get("PYTHONPATH")]))
    return kept
