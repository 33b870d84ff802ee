"""Socket.IO and flask-sock under real servers: what a connection leaves, and what is left of it by a deploy."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final
from urllib.request import urlopen

import pytest
from websocket import WebSocket, create_connection

from chest.chests.query import Query
from chest.chests.registry import sqlite_url
from chest.chests.sql.chest import SQLChest
from chest.errors import ChestUnavailable
from chest.record.record import Record
from chest.recorder.directory_recovery import recover_directory
from tests import servers
from tests.servers import HOST, Server
from tests.support import wait_until

APP: Final = "tests.adapters.flask_chest.websocket_app:app"
_GEVENT_WORKER: Final = "geventwebsocket.gunicorn.workers.GeventWebSocketWorker"
SECONDS: Final = 60.0


def _environ(directory: Path, mode: str) -> dict[str, str]:
    return {
        "CHEST_URLS": sqlite_url(directory / "chest.sqlite3"),
        "CHEST_DIRECTORY": str(directory / "rings"),
        "CHEST_FLUSH_SECONDS": "0.02",
        "EVENTS_URL": sqlite_url(directory / "events.sqlite3"),
        "SOCKETIO_MODE": mode,
    }


_STARTERS: Final[dict[str, Callable[[Path], AbstractContextManager[Server]]]] = {
    "gevent-websocket": lambda path: servers.gunicorn(
        APP, path, f"--worker-class={_GEVENT_WORKER}", "--graceful-timeout=1", worker_class="gevent", environ=_environ(path, "gevent")
    ),
    "gthread": lambda path: servers.gunicorn(
        APP, path, "--threads=20", "--graceful-timeout=1", worker_class="gthread", environ=_environ(path, "threading")
    ),
    "werkzeug": lambda path: servers.werkzeug(APP, path, environ=_environ(path, "threading")),
}  # fmt: skip


@pytest.fixture(params=list(_STARTERS))
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    with _STARTERS[request.param](tmp_path) as server:
        yield server


def _records(server: Server, store: str = "chest") -> list[Record]:
    try:
        return [stored.record for stored in SQLChest(sqlite_url(server.directory / f"{store}.sqlite3")).read(Query())]
    except ChestUnavailable:
        return []  # not made yet


class Client:
    """As a browser: Engine.IO's fourth protocol, over a websocket from the beginning, or after a poll."""

    def __init__(self, server: Server, *, is_polling_first: bool) -> None:
        place = f"{HOST}:{server.port}/socket.io/?EIO=4"
        sid = ""
        if is_polling_first:
            with urlopen(f"http://{place}&transport=polling", timeout=SECONDS) as opened:
                sid = "&sid=" + json.loads(opened.read()[1:])["sid"]
        self.websocket: WebSocket = create_connection(f"ws://{place}&transport=websocket{sid}", timeout=SECONDS)
        if is_polling_first:
            self.websocket.send("2probe")
            self._expect("3probe")
            self.websocket.send("5")
        else:
            self._expect("0{")
        self.websocket.send("40")
        self._expect("40")

    def _expect(self, beginning: str) -> None:
        while not str(self.websocket.recv()).startswith(beginning):
            pass  # a ping

    def call(self, event: str, data: dict[str, str]) -> None:
        """Send an event and wait until it was handled."""
        self.websocket.send("420" + json.dumps([event, data]))
        self._expect("430")


@pytest.mark.parametrize("is_polling_first", [True, False])
def test_a_websocket_is_upgraded_and_its_events_leave_their_records(server: Server, is_polling_first: bool) -> None:
    client = Client(server, is_polling_first=is_polling_first)
    client.call("join", {"room": "r1"})
    client.call("join_later", {"room": "r2"})
    client.websocket.close()
    wait_until(lambda: "upgraded" in [record.outcome for record in _records(server)], SECONDS)
    wait_until(lambda: len([record for record in _records(server) if record.method == "EVENT"]) == 2, SECONDS)
    of_events = [record for record in _records(server) if record.method == "EVENT"]
    assert [(each.route, each.variables, each.outcome) for each in of_events] == [
        ("join", {"room": "r1"}, "ok"),
        ("join_later", {"room": "r2"}, "ok"),
    ]
    requests = [record for record in _records(server) if record.method != "EVENT"]
    # The handshake is the first request of the connection.
    assert {each.request_id for each in of_events} == {min(requests, key=lambda record: record.time_ns).request_id}
    outcomes = [(record.status, record.outcome) for record in requests]
    assert set(outcomes) <= {(200, "ok"), (None, "upgraded")}
    assert outcomes.count((None, "upgraded")) == 1
    wait_until(lambda: len(_records(server, "events")) == 2, SECONDS)
    events = _records(server, "events")
    assert [(event.variables, event.outcome, event.error) for event in events] == [
        ({"room": "r1"}, "ok", None),
        ({"room": "r2"}, "ok", None),
    ]


@pytest.mark.parametrize("server", ["gthread", "werkzeug"], indirect=True)
def test_a_websocket_of_flask_sock_is_upgraded(server: Server) -> None:
    connection = create_connection(f"ws://{HOST}:{server.port}/echo", timeout=SECONDS)
    connection.send("hello")
    assert connection.recv() == "hello"
    connection.close()
    wait_until(lambda: _records(server), SECONDS)
    [record] = _records(server)
    assert (record.route, record.status, record.outcome, record.error) == ("/echo", None, "upgraded", None)


@pytest.mark.parametrize("server", ["gevent-websocket", "gthread"], indirect=True)
def test_a_deploy_leaves_no_websocket_as_killed(server: Server) -> None:
    clients = [Client(server, is_polling_first=True) for _ in range(3)]
    clients[0].call("join", {"room": "r1"})
    server.stop()
    for client in clients:
        client.websocket.close()
    recover_directory(server.directory / "rings", [SQLChest(sqlite_url(server.directory / "chest.sqlite3"))])
    assert _records(server), "the polls before the websockets"
    assert {record.outcome for record in _records(server) if record.method != "EVENT"} <= {"ok", "upgraded"}
