"""A server as a process of its own on a free loopback port: started, waited for, stopped, and started again.

Every server has a directory with its log and data, runs in the foreground in a session of its own, and is stopped within a
bound together with what it started. Where the test run itself is killed, the kernel ends the server with it. The log is
shown where a server does not start, and where the block fails. A server that is not installed skips the test, and fails it
on CI, where everything is to be there.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import pytest

from tests.processes import ROOT, clean_environment

HOST: Final = "127.0.0.1"
START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 10.0
KIND_VARIABLE: Final = "KIND_OF_TEST"
"""The environment variable in which tests/plugins/kinds.py tells the kind of the test that runs."""
_LOG_CHARACTERS: Final = 6000


class Server:
    """A server that answers on ``port`` after :meth:`start`, with the same port and data when it is started again.

    :param name: for messages.
    :param command: what runs it in the foreground.
    :param port: where it will answer.
    :param directory: its own, for the log and whatever it writes.
    :param environ: more environment variables for it.
    :param user: the user to run as where this process is root; None for the user of this process.
    :param is_ready: whether it answers; by default, whether the port takes connections.
    :param stop_signal: what asks it to end.
    :param end_signal: what ends it for good, when its data is no longer needed; None for ``stop_signal``.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        port: int,
        directory: Path,
        *,
        environ: Mapping[str, str] | None = None,
        user: str | None = None,
        is_ready: Callable[[int], bool] | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        end_signal: signal.Signals | None = None,
    ) -> None:
        if os.environ.get(KIND_VARIABLE) == "unit":
            pytest.fail(f"a unit test starts {name}: mark it with pytest.mark.server")
        self.name = name
        self.port = port
        self.directory = directory
        self._command = command
        self._environ = environ or {}
        self._user = user
        self._is_ready = is_ready or accepts
        self._stop_signal = stop_signal
        self.end_signal = end_signal or stop_signal
        self.process = self._spawn()
        self._wait_until_ready()

    @property
    def log_path(self) -> Path:
        """What the server and its applications say, on either stream."""
        return self.directory / "server.log"

    def log(self) -> str:
        """The log so far."""
        return self.log_path.read_text(errors="replace")

    def start(self) -> None:
        """Start it again after :meth:`stop`, and wait until it answers; a server that runs goes on."""
        if self.process.poll() is not None:
            self.process = self._spawn()
            self._wait_until_ready()

    def stop(self, sign: signal.Signals | None = None) -> int:
        """Ask the server to end, and make it end when it does not; its exit code. A second call does nothing more.

        :param sign: the signal that asks, in place of its usual one.
        """
        if self.process.poll() is None:
            self.process.send_signal(sign or self._stop_signal)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # workers that outlived it are in its session
        return self.process.wait()

    def _spawn(self) -> subprocess.Popen[bytes]:
        environ = clean_environment(PYTHONUNBUFFERED="1", **self._environ)
        with self.log_path.open("ab") as log:
            return subprocess.Popen(
                [*_dies_with_parent(), *self._command], cwd=self.directory, env=environ, stdin=subprocess.DEVNULL,
                stdout=log, stderr=subprocess.STDOUT, start_new_session=True, **as_user(self._user),
            )  # fmt: skip

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._is_ready(self.port):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop(signal.SIGKILL)
                pytest.fail(f"{self.name} did not start. Its log:\n{self.log()[-_LOG_CHARACTERS:]}", pytrace=False)
            time.sleep(0.01)


@contextmanager
def running(
    name: str,
    command: Callable[[int], Sequence[str]],
    directory: Path,
    environ: Mapping[str, str] | None = None,
    **more: Any,
) -> Iterator[Server]:
    """A :class:`Server` for the block, on a port of its own.

    :param command: what runs it, given the port.
    :param more: as ``Server`` takes it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with _reserved_port() as port:
        server = Server(name, command(port), port, directory, environ=environ, **more)
        try:
            yield server
        except BaseException:
            print(f"--- log of {name} ---\n{server.log()[-_LOG_CHARACTERS:]}", file=sys.stderr)
            raise
        finally:
            server.stop(server.end_signal)


@contextmanager
def private_directory(user: str | None = None) -> Iterator[Path]:
    """An empty directory that this user owns where this process is root; pytest's own lets no other user in."""
    directory = Path(tempfile.mkdtemp(prefix="chest-server-", dir="/tmp"))
    try:
        if user is not None and os.geteuid() == 0:
            account = pwd.getpwnam(user)
            os.chown(directory, account.pw_uid, account.pw_gid)
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def certificate_for(certificate: Path, directory: Path, user: str) -> tuple[Path, Path]:
    """Copies of a certificate and its key in the server's directory, the key for its user alone."""
    public, key = directory / "server.crt", directory / "server.key"
    for source, copy in ((certificate, public), (certificate.with_suffix(".key"), key)):
        copy.write_bytes(source.read_bytes())
        copy.chmod(0o600)
        if os.geteuid() == 0:
            shutil.chown(copy, user)
    return public, key


def run_once(command: Sequence[str], directory: Path, user: str | None = None) -> None:
    """Run a program to its end, such as the one that makes a server's first files; fail with what it said."""
    done = subprocess.run(
        command, cwd=directory, env=clean_environment(HOME=str(directory)), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, check=False, **as_user(user),
    )  # fmt: skip
    if done.returncode != 0:
        pytest.fail(f"{command[0]} failed:\n{done.stdout[-_LOG_CHARACTERS:]}", pytrace=False)


def make_data(command: Callable[[Path], Sequence[str]], directory: Path, user: str | None = None) -> None:
    """Make a server's first files, ``directory / "data"``: by its program once in this environment, then by a copy of what it made.

    The program takes a second of CPU or more, and each process of a test run has servers of its own.

    :param command: the program, given the directory in which it makes ``data``.
    """
    with private_directory(user) as place:
        program, *arguments = (each.replace(str(place), "") for each in command(place))
        made_by = repr((os.stat(program).st_mtime_ns, program, arguments, user, os.geteuid()))
        kept = Path(sys.prefix) / "servers" / sha256(made_by.encode()).hexdigest()[:16]
        kept.parent.mkdir(exist_ok=True)
        with (kept.parent / "lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not kept.exists():
                run_once(command(place), place, user)
                unfinished = kept.with_suffix(".new")
                shutil.rmtree(unfinished, ignore_errors=True)
                run_once(["cp", "-a", str(place / "data"), str(unfinished)], place)
                unfinished.rename(kept)
    run_once(["cp", "-a", str(kept), str(directory / "data")], directory)


def as_user(user: str | None) -> dict[str, Any]:
    """What ``Popen`` takes to run as this user: servers of databases refuse root. Only root can be another user."""
    if user is None or os.geteuid() != 0:
        return {}
    account = pwd.getpwnam(user)
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _dies_with_parent() -> list[str]:
    """The command before the server's own by which the kernel kills it when this process is gone, however that came."""
    program = shutil.which("setpriv")
    return [program, "--pdeathsig", "KILL"] if program and sys.platform == "linux" else []


def needs(module: str, wanted: str = "") -> None:
    """Skip the test, or fail it on CI, where a package is not installed.

    :param module: what it is imported as.
    :param wanted: what pip installs it by, if that is not its name.
    """
    if importlib.util.find_spec(module) is None:
        is_missing(module, f"pip install {wanted or module}")


def pinned(package: str) -> str:
    """How ``pyproject.toml`` names the release of a server that comes as a package from the index.

    :param package: its name there.
    """
    servers = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]["servers"]
    (wanted,) = (each.partition(";")[0] for each in servers if each.startswith(f"{package}=="))
    return str(wanted)


def needs_program(name: str, package: str, *directories: str) -> str:
    """The path of a program, in these directories or on the PATH; skips the test, or fails it on CI, if there is none."""
    path = shutil.which(name, path=os.pathsep.join([*directories, os.environ.get("PATH", ""), "/usr/sbin"]))
    if path is None:
        is_missing(name, f"apt-get install {package} (make servers does)")
    return str(path)


def is_missing(name: str, cure: str) -> None:
    """Skip the test, or fail it on CI, and say what to install."""
    reason = f"{name} is not installed: {cure}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@contextmanager
def _reserved_port() -> Iterator[int]:
    """A loopback port that no other process is given for the block, also while the server is between its end and its next start.

    Every server here sets ``SO_REUSEADDR``, and so may bind a port that a socket has that does not listen.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((HOST, 0))
        yield holder.getsockname()[1]


def free_port() -> int:
    """A loopback port that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def accepts(port: int) -> bool:
    """Whether something takes connections on this loopback port."""
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True
