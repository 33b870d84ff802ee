"""Real WSGI servers, each a process on a free loopback port, for as long as a ``with`` block lasts."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from tests.processes import ROOT
from tests.servers.process import HOST, Server, is_missing, needs, running

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

_FORKING: Final = """
import signal, sys
from importlib import import_module
from socketserver import ForkingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

class Handler(WSGIRequestHandler):
    def log_message(self, *_):
        pass

class Server(ForkingMixIn, WSGIServer):
    pass

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
module, name = sys.argv[1].split(":")
app = getattr(import_module(module), name)
server = Server(("127.0.0.1", int(sys.argv[2])), Handler)
server.set_app(app)
server.serve_forever()
"""

_CHEROOT: Final = """
import signal, sys
from importlib import import_module
from cheroot.wsgi import Server

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
module, name = sys.argv[1].split(":")
server = Server(("127.0.0.1", int(sys.argv[2])), getattr(import_module(module), name), numthreads=4)
try:
    server.start()
finally:
    server.stop()
"""

_PYWSGI: Final = """
from gevent import monkey
monkey.patch_all()
import sys
from importlib import import_module
import gevent.signal
from gevent.pywsgi import WSGIServer

module, name = sys.argv[1].split(":")
server = WSGIServer(("127.0.0.1", int(sys.argv[2])), getattr(import_module(module), name), log=None)
gevent.signal_handler(15, server.stop)
server.serve_forever()
"""


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

    return running(f"gunicorn {worker_class}", command, directory, environ)


def uwsgi(
    app: str, directory: Path, *options: str, environ: Mapping[str, str] | None = None
) -> AbstractContextManager[Server]:
    """uWSGI with a master and one worker process, as :func:`gunicorn` otherwise. Python's threads run in it, as in all since 2.0.27."""
    program = shutil.which("uwsgi", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    if program is None:
        is_missing("uwsgi", "pip install uwsgi (it needs a C compiler)")
    return running("uwsgi", lambda port: [str(program), *_uwsgi_options(app, port), *options], directory, environ)


def uwsgi_without_threads(
    app: str, directory: Path, *options: str, environ: Mapping[str, str] | None = None
) -> AbstractContextManager[Server]:
    """The last uWSGI in which Python's threads do not run unless an option asks for them, as :func:`uwsgi` otherwise.

    No option of a later one turns them off. ``make`` puts it beside the other packages, which have a ``uwsgi`` of their own.
    """
    home = Path(sys.prefix) / "uwsgi-2.0.26"
    program = home / "bin" / "uwsgi"
    if not program.is_file():
        is_missing("uWSGI 2.0.26", f"pip install --no-deps --target {home} pyuwsgi==2.0.26 (make does)")
    # Reloaded, it starts the interpreter behind the environment's, which knows nothing of the environment.
    path = os.pathsep.join([str(ROOT), str(home), sysconfig.get_path("purelib")])
    return running(
        "uwsgi 2.0.26",
        lambda port: [sys.executable, str(program), *_uwsgi_options(app, port), *options],
        directory,
        {"PYTHONPATH": path, **(environ or {})},
    )


def _uwsgi_options(app: str, port: int) -> list[str]:
    # The interpreter that was compiled in finds the environment of this one by --virtualenv.
    return [
        f"--http-socket={HOST}:{port}", "--master", "--die-on-term", "--need-app", "--processes=1",
        f"--virtualenv={sys.prefix}", f"--module={app}",
    ]  # fmt: skip


def is_idle(stats_port: int) -> bool:
    """Whether no worker of the uWSGI that was started with ``--stats=127.0.0.1:PORT`` is in a request.

    It is for some time after the client has its answer, and uWSGI calls no exit hook in a worker that it stops meanwhile.
    """
    with socket.create_connection((HOST, stats_port), timeout=10) as connection, connection.makefile("rb") as answer:
        return all(worker["status"] == "idle" for worker in json.load(answer)["workers"])


def waitress(
    app: str, directory: Path, *options: str, environ: Mapping[str, str] | None = None
) -> AbstractContextManager[Server]:
    """waitress with four threads, as :func:`gunicorn` otherwise."""
    needs("waitress")
    return running(
        "waitress",
        lambda port: [sys.executable, "-m", "waitress", f"--listen={HOST}:{port}", "--threads=4", *options, app],
        directory,
        environ,
    )


def wsgiref(app: str, directory: Path, environ: Mapping[str, str] | None = None) -> AbstractContextManager[Server]:
    """The standard library's server: one thread, HTTP/1.0; as :func:`gunicorn` otherwise."""
    return running("wsgiref", lambda port: [sys.executable, "-c", _WSGIREF, app, str(port)], directory, environ)


def werkzeug(app: str, directory: Path, environ: Mapping[str, str] | None = None) -> AbstractContextManager[Server]:
    """Werkzeug's development server, which is ``flask run``'s; as :func:`gunicorn` otherwise."""
    needs("werkzeug")
    return running("werkzeug", lambda port: [sys.executable, "-c", _WERKZEUG, app, str(port)], directory, environ)


def forking(app: str, directory: Path, environ: Mapping[str, str] | None = None) -> AbstractContextManager[Server]:
    """The standard library's server with a process for each request, which ends by ``os._exit``; as :func:`gunicorn` otherwise."""
    return running(
        "fork per request", lambda port: [sys.executable, "-c", _FORKING, app, str(port)], directory, environ
    )


def granian(
    app: str, directory: Path, *options: str, environ: Mapping[str, str] | None = None
) -> AbstractContextManager[Server]:
    """Granian with one worker of four threads, as :func:`gunicorn` otherwise."""
    needs("granian")
    fixed = ["--interface=wsgi", f"--host={HOST}", "--blocking-threads=4", "--respawn-failed-workers"]
    # A worker that was just started may not be started again sooner.
    return running(
        "Granian",
        lambda port: [
            sys.executable, "-m", "granian", *fixed, "--respawn-interval=0.1", "--workers-kill-timeout=5", f"--port={port}",
            *options, app,
        ],
        directory,
        environ,
    )  # fmt: skip


def cheroot(app: str, directory: Path, environ: Mapping[str, str] | None = None) -> AbstractContextManager[Server]:
    """cheroot, which is CherryPy's server, with four threads; as :func:`gunicorn` otherwise."""
    needs("cheroot")
    return running("cheroot", lambda port: [sys.executable, "-c", _CHEROOT, app, str(port)], directory, environ)


def pywsgi(app: str, directory: Path, environ: Mapping[str, str] | None = None) -> AbstractContextManager[Server]:
    """gevent's own server, as :func:`gunicorn` otherwise."""
    needs("gevent")
    return running("gevent.pywsgi", lambda port: [sys.executable, "-c", _PYWSGI, app, str(port)], directory, environ)
