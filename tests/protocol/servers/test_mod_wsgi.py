"""Apache with mod_wsgi, configured as ``docs/mod_wsgi.md`` says: each request leaves one record, and a stop or a kill loses none."""

from __future__ import annotations

import http.client
import os
import re
import signal
import sqlite3
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from tests.kill.load import children_of
from tests.processes import ROOT
from tests.servers import HOST, Server
from tests.servers.apache import apache, apache_directory
from tests.support import wait_until

_DOCUMENT: Final = (ROOT / "docs/mod_wsgi.md").read_text()
[_SCRIPT] = re.findall(r"^```python\n(.*?)^```$", _DOCUMENT, re.M | re.S)
_CONFIGURATIONS: Final = re.findall(r"^```apache\n(.*?)^```$", _DOCUMENT, re.M | re.S)
_ONE, _GROUPS, _INTERPRETERS = _CONFIGURATIONS
_SUB_INTERPRETER: Final = _ONE.replace(" application-group=%{GLOBAL}", "")


@pytest.fixture
def place() -> Iterator[Path]:
    """In the place of ``/srv/shop``."""
    with apache_directory() as directory:
        script = _SCRIPT.replace("/srv/shop", str(directory)).replace(
            'b"Welcome!"', 'b"%d" % __import__("os").getpid()'
        )
        (directory / "shop.wsgi").write_text(script)
        (directory / "desk.wsgi").write_text(script)
        yield directory


def configured(configuration: str, place: Path) -> str:
    """The lines of the document, with this directory, and the packages that lie in it in the place of an environment."""
    told = configuration.replace("python-home=/srv/shop/venv", "python-path=/srv/shop/packages")
    assert told != configuration
    return told.replace("/srv/shop", str(place))


def ask(server: Server, *paths: str) -> dict[str, int]:
    """Make a request for each path; which process answered, by request id."""
    answered = {}
    for path in paths:
        request_id = str(uuid.uuid4())
        with closing(http.client.HTTPConnection(HOST, server.port, timeout=60)) as connection:
            connection.request("GET", path, headers={"X-Request-ID": request_id, "Connection": "close"})
            response = connection.getresponse()
            body = response.read()
        assert response.status == 200, server.log()[-2000:]
        answered[request_id] = int(body)
    return answered


def stored(place: Path) -> Counter[tuple[str, str]]:
    """Request ids and outcomes."""
    try:
        with closing(sqlite3.connect(place / "records/chest.sqlite3")) as connection:
            return Counter(connection.execute("SELECT request_id, outcome FROM chest_records").fetchall())
    except sqlite3.OperationalError:  # not made yet
        return Counter()


def rings(place: Path) -> list[str]:
    """The ring files that are there."""
    return [path.name for path in (place / "rings").glob("*.ring")]


def each_once(answered: dict[str, int]) -> Counter[tuple[str, str]]:
    return Counter((request_id, "ok") for request_id in answered)


@pytest.mark.parametrize(("configuration", "paths"), [(_ONE, "/"), (_GROUPS, "/ /desk")], ids=["one", "process groups"])
def test_each_request_leaves_one_record_and_a_stop_delivers_all(place: Path, configuration: str, paths: str) -> None:
    with apache(place, configured(configuration, place)) as server:
        answered = ask(server, *(paths.split() * 10))
        server.stop()
    assert stored(place) == each_once(answered)
    assert rings(place) == []


@pytest.mark.parametrize(
    ("configuration", "paths"),
    [(_SUB_INTERPRETER, "/"), (_INTERPRETERS, "/ /desk")],
    ids=["one", "several in one process"],
)
def test_sub_interpreters_leave_one_record_of_each_request_and_the_next_start_delivers_what_a_stop_did_not(
    place: Path, configuration: str, paths: str
) -> None:
    """mod_wsgi 4.9 calls nothing in them when it ends."""
    with apache(place, configured(configuration, place)) as server:
        answered = ask(server, *(paths.split() * 10))
        server.stop()
        left = rings(place)
        server.start()
        answered |= ask(server, *paths.split())
        wait_until(lambda: stored(place) == each_once(answered), 60)
        wait_until(lambda: not set(left) & set(rings(place)), 60)


def test_what_a_killed_daemon_process_left_is_delivered_by_another(place: Path) -> None:
    with apache(place, configured(_ONE, place).replace("threads=4", "threads=1")) as server:
        answered = ask(server, *["/"] * 20)
        answered |= ask(server, "/")
        for pid in {*answered.values()} & {*children_of(server.process.pid)}:
            os.kill(pid, signal.SIGKILL)
        answered |= ask(server, *["/"] * 4)
        wait_until(lambda: stored(place) == each_once(answered), 60)
