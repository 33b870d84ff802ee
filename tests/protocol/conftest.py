"""The servers that the same applications are served by, each started once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

import pytest

from tests import servers
from tests.protocol.wire import APP, Wire
from tests.servers import Server

_STARTERS: Final[dict[str, Callable[[Path], AbstractContextManager[Server]]]] = {
    "gunicorn-sync": lambda path: servers.gunicorn(APP, path, environ=Wire.environ(path)),
    "gunicorn-gthread": lambda path: servers.gunicorn(
        APP, path, "--threads=4", worker_class="gthread", environ=Wire.environ(path)
    ),
    "gunicorn-gevent": lambda path: servers.gunicorn(APP, path, worker_class="gevent", environ=Wire.environ(path)),
    "uwsgi": lambda path: servers.uwsgi(APP, path, environ=Wire.environ(path)),
    "waitress": lambda path: servers.waitress(APP, path, environ=Wire.environ(path)),
    "wsgiref": lambda path: servers.wsgiref(APP, path, environ=Wire.environ(path)),
    "werkzeug": lambda path: servers.werkzeug(APP, path, environ=Wire.environ(path)),
}

_MORE_STARTERS: Final[dict[str, Callable[[Path], AbstractContextManager[Server]]]] = {
    "granian": lambda path: servers.granian(APP, path, environ=Wire.environ(path)),
    "cheroot": lambda path: servers.cheroot(APP, path, environ=Wire.environ(path)),
    "pywsgi": lambda path: servers.pywsgi(APP, path, environ=Wire.environ(path)),
}
"""Only for the tests that name them."""

EVERY_SERVER: Final = [*_STARTERS, *_MORE_STARTERS]


@pytest.fixture(scope="session", params=list(_STARTERS))
def wire(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    """A client of each server in turn; at the end no request may have left two records."""
    with (_STARTERS | _MORE_STARTERS)[request.param](tmp_path_factory.mktemp(request.param)) as server:
        wire = Wire(server)
        yield wire
        server.stop()
        wire.recover()
        counted = Counter(record.request_id for record in wire.all_records())
        assert [request_id for request_id, count in counted.items() if count > 1] == []
