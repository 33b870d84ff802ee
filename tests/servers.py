"""Real WSGI servers, each a process on a free loopback port, for as long as a ``with`` block lasts.

Every server starts in ``directory`` with a log there, is waited for by connecting, and is stopped within a bound; what it
started is stopped with it. The log is shown where a server does not start, and where the block fails. A server that is not
installed skips the test, and fails it on CI, where everything is to be there.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Final

import pytest

from tests.processes import clean_environment

HOST: Final = "127.0.0.1"
START_SECONDS: Final = 20.0
STOP_SECONDS: Final = 10.0
_LOG_CHARACTERS: Final = 6000

_WSGIREF: Final = """
import signal, sys
from importlib import import_module
from wsgiref.simple_server import make_server

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
module, name = sys.argv[1].split(":")
make_server("127.0.0.1", int(sys.argv[2]), getattr(import_module(module), name)).serve_forever()
"""

_WERKZEUG: Final = """
import signal, sys
from importlib import import_module
from werkzeug.serving import run_simple

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
module, name = sys.argv[1].split(":")
run_simple("127.0.0.1", int(sys.argv[2]), getattr(import_module(module), name), threaded=True)
"""


class Server:
    """A server that answers on ``port``."""

    def __init__(self, name: str, port: int, process: subprocess.Popen[bytes], directory: Path) -> None:
        self.name = name
        self.port = port
        self.process = process
        self.directory = directory

    @property
    def log_path(self) -> Path:
        """What the server and its applications say, on either stream."""
        return self.directory / "server.log"

    def log(self) -> str:
        """The log so far."""
        return self.log_path.read_text(errors="replace")

    def stop(self, sign: signal.Signals = signal.SIGTERM) -> int:
        """Ask the server to end, and make it end when it does not; its exit code. A second call does nothing more.

        :param sign: the signal that asks.
        """
        if self.process.poll() is None:
            self.process.send_signal(sign)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # workers that outlived it are in its session
        return self.process.wait()


def gunicorn(
    app: str,
    directory: Path,
    *options: str,
    worker_class: str = "sync",
    environ: Mapping[str, str] | None = None,
    under: Sequence[str] = (),
) -> AbstractContextManager[Server]:
    """gunicorn with one worker.

    :param app: ``module:name``, importable from the root of the repository.
    :param directory: an empty one, for the log and whatever the application writes.
    :param options: more of gunicorn's command line; the last one of a kind counts.
    :param worker_class: ``sync``, ``gthread`` or ``gevent``.
    :param environ: more environment variables for the server.
    :param under: a command that runs the server, such as a tracer's.
    """
    needs("gunicorn")
    if worker_class == "gevent":
        needs("gevent")

    def command(port: int) -> list[str]:
        # A control socket would be put into the user's home; /dev/shm keeps a busy disk from looking like a dead worker.
        fixed = ["--no-control-socket", f"--bind={HOST}:{port}", f"--worker-class={worker_class}", "--workers=1"]
        heartbeat = ["--worker-tmp-dir=/dev/shm"] if Path("/dev/shm").is_dir() else []
        return [*under, sys.executable, "-m", "gunicorn", *fixed, *heartbeat, *options, app]

    return _running(f"gunicorn {worker_class}", command, directory, environ)


def uwsgi(
    app: str, directory: Path, *options: str, environ: Mapping[str, str] | None = None
) -> AbstractContextManager[Server]:
    """uWSGI with a master, one worker process and threads, as :func:`gunicorn` otherwise."""
    program = shutil.which("uwsgi", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    if program is None:
        _is_missing("uwsgi", "pip install uwsgi (it needs a C compiler)")

    def command(port: int) -> list[str]:
        # The interpreter that was compiled in finds the environment of this one by --virtualenv.
        fixed = [
            f"--http-socket={HOST}:{port}", "--master", "--die-on-term", "--need-app", "--processes=1",
            "--enable-threads", f"--virtualenv={sys.prefix}", f"--module={app}",
        ]  # fmt: skip
        return [str(program), *fixed, *options]

    return _running("uwsgi", command, directory, environ)


def waitress(
    app: str, directory: Path, *options: str, environ: Mapping[str, str] | None = None
) -> AbstractContextManager[Server]:
    """waitress with four threads, as :func:`gunicorn` otherwise."""
    needs("waitress")
    return _running(
        "waitress",
        lambda port: [sys.executable, "-m", "waitress", f"--listen={HOST}:{port}", "--threads=4", *options, app],
        directory,
        environ,
    )


def wsgiref(app: str, directory: Path, environ: Mapping[str, str] | None = None) -> AbstractContextManager[Server]:
    """The standard library's server: one thread, HTTP/1.0; as :func:`gunicorn` otherwise."""
    return _running("wsgiref", lambda port: [sys.executable, "-c", _WSGIREF, app, str(port)], directory, environ)


def werkzeug(app: str, directory: Path, environ: Mapping[str, str] | None = None) -> AbstractContextManager[Server]:
    """Werkzeug's development server, which is ``flask run``'s; as :func:`gunicorn` otherwise."""
    needs("werkzeug")
    return _running("werkzeug", lambda port: [sys.executable, "-c", _WERKZEUG, app, str(port)], directory, environ)


def needs(module: str) -> None:
    """Skip the test, or fail it on CI, where a package is not installed."""
    if importlib.util.find_spec(module) is None:
        _is_missing(module, f"pip install {module}")


def needs_program(name: str, package: str) -> str:
    """The path of a program; skips the test, or fails it on CI, where there is none."""
    path = shutil.which(name)
    if path is None:
        _is_missing(name, f"apt-get install {package}")
    return str(path)


def _is_missing(name: str, cure: str) -> None:
    reason = f"{name} is not installed: {cure}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@contextmanager
def _running(
    name: str, command: Callable[[int], Sequence[str]], directory: Path, environ: Mapping[str, str] | None
) -> Iterator[Server]:
    server = _started(name, command, directory, environ or {})
    try:
        yield server
    except BaseException:
        print(f"--- log of {name} ---\n{server.log()[-_LOG_CHARACTERS:]}", file=sys.stderr)
        raise
    finally:
        server.stop()


def _started(name: str, command: Callable[[int], Sequence[str]], directory: Path, environ: Mapping[str, str]) -> Server:
    directory.mkdir(parents=True, exist_ok=True)
    port = free_port()
    with (directory / "server.log").open("ab") as log:
        process = subprocess.Popen(
            command(port), cwd=directory, env=clean_environment(PYTHONUNBUFFERED="1", **environ), stdin=subprocess.DEVNULL,
            stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    server = Server(name, port, process, directory)
    deadline = time.monotonic() + START_SECONDS
    while not _accepts(port):
        if process.poll() is not None or time.monotonic() > deadline:
            server.stop()
            pytest.fail(f"{name} did not start. Its log:\n{server.log()[-_LOG_CHARACTERS:]}", pytrace=False)
        time.sleep(0.01)
    return server


def free_port() -> int:
    """A loopback port that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _accepts(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True
