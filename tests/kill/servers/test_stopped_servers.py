"""What becomes of the last records at a SIGTERM: for each server as ``docs/deployment.md`` says in its table."""

from __future__ import annotations

import http.client
import re
import signal
import sqlite3
import sys
import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Final

import pytest

from chest.native import IS_NATIVE
from tests import servers
from tests.kill.load import Ledger
from tests.processes import ROOT, catches_sigterm
from tests.servers import HOST, Server
from tests.servers.process import running
from tests.support import wait_until

APP: Final = "tests.kill.servers.stopped_app:app"
HOOK: Final = "--config=python:chest.gunicorn"
DELIVERED: Final = "delivered"
NEXT_START: Final = "at the next start"
ENDED_BY_THE_SIGNAL: Final = {"waitress", "cheroot", "`flask run`", "uvicorn with a2wsgi", "gevent.pywsgi", "wsgiref"}

_Start = Callable[[Path, Mapping[str, str]], AbstractContextManager[Server]]


def _python(name: str, *needed: str) -> Callable[[Callable[[int], list[str]]], _Start]:
    """A server that is started as a module of Python."""

    def of(command: Callable[[int], list[str]]) -> _Start:
        def start(path: Path, environ: Mapping[str, str]) -> AbstractContextManager[Server]:
            for module in needed:
                servers.needs(module)
            return running(name, lambda port: [sys.executable, *command(port)], path, environ)

        return start

    return of


_WSGIREF: Final = """
import sys
from wsgiref.simple_server import make_server
from tests.kill.servers.stopped_app import app
make_server("127.0.0.1", int(sys.argv[1]), app).serve_forever()
"""
_PYWSGI: Final = """
import sys
from gevent.pywsgi import WSGIServer
from tests.kill.servers.stopped_app import app
WSGIServer(("127.0.0.1", int(sys.argv[1])), app, log=None).serve_forever()
"""

STARTERS: Final[dict[str, _Start]] = {
    "gunicorn, sync": lambda path, environ: servers.gunicorn(APP, path, HOOK, environ=environ),
    "gunicorn, gthread": lambda path, environ: servers.gunicorn(
        APP, path, HOOK, "--threads=4", worker_class="gthread", environ=environ
    ),
    "gunicorn, gevent": lambda path, environ: servers.gunicorn(APP, path, HOOK, worker_class="gevent", environ=environ),
    "uWSGI": lambda path, environ: servers.uwsgi(APP, path, f"--stats={HOST}:{environ['STATS_PORT']}", environ=environ),
    "Granian": lambda path, environ: servers.granian(APP, path, environ=environ),
    "waitress": lambda path, environ: servers.waitress(APP, path, environ=environ),
    "cheroot": _python("cheroot", "cheroot")(lambda port: ["-m", "cheroot", f"--bind={HOST}:{port}", APP]),
    "`flask run`": _python("flask run", "flask")(
        lambda port: ["-m", "flask", "--app=tests.kill.servers.stopped_app:flask_app", "run", f"--port={port}"]
    ),
    "uvicorn with a2wsgi": _python("uvicorn", "uvicorn", "a2wsgi")(
        lambda port: ["-m", "uvicorn", f"--port={port}", "tests.kill.servers.stopped_app:asgi"]
    ),
    "gevent.pywsgi": _python("pywsgi", "gevent")(lambda port: ["-c", _PYWSGI, str(port)]),
    "wsgiref": _python("wsgiref")(lambda port: ["-c", _WSGIREF, str(port)]),
}


def documented() -> dict[str, tuple[str, str]]:
    """Of each server, what the table says of this build of Chest: as it is, and with the lines."""
    text = (ROOT / "docs/deployment.md").read_text()
    place = rf"({DELIVERED}|{NEXT_START})"
    rows = re.findall(rf"^\| ([^|]+) \| {place} \| {place} \| {place} \|$", text, re.M)
    return {name: (compiled if IS_NATIVE else pure, helped) for name, compiled, pure, helped in rows}


def _cases() -> list[tuple[str, bool]]:
    """Each server as it is, and with the lines where they change anything."""
    table = documented()
    return [(name, helped) for name in STARTERS for helped in (False, True) if not helped or len(set(table[name])) > 1]


def test_the_table_has_every_server() -> None:
    assert set(STARTERS) == set(documented())


@pytest.mark.parametrize(
    ("name", "helped"), _cases(), ids=lambda value: value if isinstance(value, str) else "lines" * value
)
def test_the_last_record_before_a_sigterm_goes_where_the_table_says(tmp_path: Path, name: str, helped: bool) -> None:
    ledger, last = Ledger(tmp_path), str(uuid.uuid4())
    # Long enough that the thread has not delivered by itself.
    stats_port = servers.free_port()
    environ = ledger.environ(
        CHEST_FLUSH_SECONDS="30",
        CHEST_SHUTDOWN_SECONDS="8",
        STATS_PORT=str(stats_port),
        **({"EXIT_AT_SIGTERM": "1"} if helped else {}),
    )
    with STARTERS[name](tmp_path / "server", environ) as server:
        _ask(server, str(uuid.uuid4()))
        _ask(server, last)
        if name == "uWSGI":  # it calls no exit hook in a worker that it stops while a request is just answered
            wait_until(lambda: servers.is_idle(stats_port))
        wait_until(
            lambda: helped or name not in ENDED_BY_THE_SIGNAL or not IS_NATIVE or catches_sigterm(server.process.pid)
        )
        status = server.stop()
    if name in ENDED_BY_THE_SIGNAL and not helped:
        assert status == -signal.SIGTERM
    delivered = 0
    with suppress(sqlite3.OperationalError):  # it does not exist yet
        delivered = ledger.stored()[last]
    assert (DELIVERED if delivered else NEXT_START) == documented()[name][helped]
    assert not delivered or ledger.rings_left() == []
    ledger.recover()
    assert ledger.stored()[last] == 1
    assert ledger.rings_left() == []


def _ask(server: Server, request_id: str) -> None:
    connection = http.client.HTTPConnection(HOST, server.port, timeout=60)
    connection.request("GET", "/", headers={"X-Request-ID": request_id, "Connection": "close"})
    assert connection.getresponse().read().isdigit()
    connection.close()
