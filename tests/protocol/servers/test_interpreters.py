"""Several interpreters in one process, as uWSGI and mod_wsgi have for several applications."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.request import urlopen

from tests.servers import HOST, uwsgi
from tests.support import wait_until

_APP = """
from chest import ChestMiddleware

def hello(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]

app = application = ChestMiddleware(hello)
"""


def _paths_in(store: Path) -> list[str]:
    if not store.exists():
        return []
    with closing(sqlite3.connect(store)) as connection:
        if not connection.execute("SELECT * FROM sqlite_master WHERE name = 'chest_records'").fetchall():
            return []
        return [path for (path,) in connection.execute("SELECT path FROM chest_records ORDER BY path")]


def test_two_applications_with_an_interpreter_each_record_into_the_default_store(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").write_text(_APP)
    environ = {"CHEST_DIRECTORY": str(tmp_path / "rings"), "CHEST_FLUSH_SECONDS": "0.1"}
    mounted = ["--manage-script-name", f"--mount=/two={tmp_path}/two.py", f"--python-path={tmp_path}"]
    with uwsgi("one:app", tmp_path / "server", *mounted, environ=environ) as server:
        for path in ("/x", "/two/y"):
            with urlopen(f"http://{HOST}:{server.port}{path}", timeout=60) as answer:
                assert answer.read() == b"hello"
        wait_until(lambda: _paths_in(tmp_path / "rings" / "chest.sqlite3") == ["/two/y", "/x"], 60)
