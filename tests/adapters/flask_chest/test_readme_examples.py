"""Programs as Flask-Chest's documentation shows them, run as they stand: the same imports, classes, arguments and views.

Only the ports are others than 8086 and 3000: those of servers on loopback that keep what they are sent.
"""

from __future__ import annotations

import re
import sqlite3
import textwrap
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from flask_chest.decorator import recorders_of

from tests.recording_server import RecordingServer, Reply, recording_server

UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")

VIEW = """
tracked = {
    "GET": ["user_id", "session_id", "total_time"],
    "POST": ["user_id", "data"],
}


@app.route("/", methods=["GET", "POST"])
@flask_chest(DECORATOR)
def index():
    if request.method == "GET":
        g.start = time.time()
        g.user_id = "123"
        g.session_id = "abc"
        g.total_time = time.time() - g.start
    return "Hello, World!"
"""

HEAD = """
import logging
import os
import time
import uuid
from datetime import datetime
from typing import Any, Dict, List, Tuple

from flask import Flask, g, request

from flask_chest import FlaskChest, FlaskChestCustomWriter, FlaskChestInfluxDB, FlaskChestSQLite
from flask_chest.decorator import flask_chest

app = Flask("documented")
logger = logging.getLogger("documented")
logger.setLevel(logging.DEBUG)


def by_index(context_tuple_list: List[Tuple[str, Any, str]]) -> Dict[int, Tuple[str, Any, str]]:
    return {index: triple for index, triple in enumerate(context_tuple_list)}


def time_as_id():
    return datetime.now().strftime("%Y%m%d%H%M%S%f")
"""

BY_HOST_AND_PORT = """
chest_influxdb = FlaskChestInfluxDB(
    app=app,
    https=False,
    host="localhost",
    port=8086,
    token=os.getenv("INFLUXDB_TOKEN"),
    org="my-org",
    bucket="my-bucket",
    custom_tags={"app": "your-app-name"},
    logger=logger,
)
chest_writer = FlaskChestCustomWriter(
    app=app,
    https=False,
    host="localhost",
    port="3000",
    headers=None,
    payload_generator=by_index,
    verify=False,
    success_status_codes=[200],
    logger=logger,
)
"""

BY_URL = """
chest_influxdb = FlaskChestInfluxDB(
    name="InfluxDB",
    url="http://localhost:8086",
    token=os.getenv("INFLUXDB_TOKEN"),
    org="my-org",
    bucket="my-bucket",
    custom_tags={"app": "your-app-name"},
    logger=logger,
)
chest_writer = FlaskChestCustomWriter(
    name="CustomWriter",
    url="http://localhost:3000",
    headers=None,
    params=None,
    payload_generator=by_index,
    verify=False,
    success_status_codes=[200, 201],
    logger=logger,
)
"""


@pytest.fixture(autouse=True)
def _surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHEST_DIRECTORY", str(tmp_path / "rings"))
    monkeypatch.setenv("INFLUXDB_TOKEN", "my-token")
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def influx() -> Iterator[RecordingServer]:
    with recording_server() as server:
        yield server


@pytest.fixture
def endpoint() -> Iterator[RecordingServer]:
    with recording_server() as server:
        server.reply = Reply(status=200)
        yield server


class Program:
    """A documented program, run; its application is asked through Flask's own test client."""

    def __init__(self, text: str, *servers: RecordingServer) -> None:
        for port, server in zip(("8086", "3000"), servers, strict=False):
            text = text.replace(port, str(server.port))
        self.names: dict[str, Any] = {"__name__": "documented"}
        exec(compile(textwrap.dedent(text), "documented.py", "exec"), self.names)
        self.app = self.names["app"]
        self.app.testing = True

    def ask(self, path: str = "/", method: str = "GET") -> bytes:
        """The body of the answer; whatever waits behind is brought to the chests."""
        data: bytes = self.app.test_client().open(path, method=method).data
        for recorder in recorders_of(self.app):
            assert recorder.flush(60)
        return data

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        for recorder in recorders_of(self.app):
            recorder.close()


def points(server: RecordingServer) -> list[str]:
    """The lines that a server was sent, without their times."""
    return [line.rpartition(" ")[0] for post in server.posts for line in post.content.decode().splitlines()]


@pytest.mark.parametrize("chests", [BY_HOST_AND_PORT, BY_URL], ids=["host", "url"])
@pytest.mark.parametrize("raises", ["raise_exceptions=False", "raise_exceptions=True", ""])
def test_a_view_with_two_chests_an_id_of_its_own_and_variables_by_method(
    influx: RecordingServer, endpoint: RecordingServer, chests: str, raises: str
) -> None:
    decorator = (
        f"chests=[chest_influxdb, chest_writer], tracked_vars=tracked, request_id_generator=time_as_id, {raises}"
    )
    with Program(HEAD + chests + VIEW.replace("DECORATOR", decorator), influx, endpoint) as program:
        assert program.ask() == b"Hello, World!"
        form = endpoint.posts[0].form
        assert [form[place][1] for place in (0, 1, 3, 4, 6)] == ["user_id", "123", "session_id", "abc", "total_time"]
        (request_id,) = {value for key, value in form[2::3]}
        assert re.fullmatch(r"[0-9]{20}", request_id)
        tags = f"app=your-app-name,request_id={request_id}"
        assert points(influx)[:2] == [f'user_id,{tags} value="123"', f'session_id,{tags} value="abc"']
        assert re.fullmatch(rf"total_time,{tags} value=[0-9.e-]+", points(influx)[2])
        assert influx.posts[0].headers["authorization"] == "Token my-token"
        assert dict(influx.posts[0].params) == {"org": "my-org", "bucket": "my-bucket", "precision": "ns"}
        # The view sets nothing on POST, and what is not set is skipped.
        assert program.ask(method="POST") == b"Hello, World!"
        assert len(points(influx)) == 3
        assert [post.form for post in endpoint.posts[1:]] == [[]]


def test_indicators_to_two_targets(influx: RecordingServer, endpoint: RecordingServer) -> None:
    view = """
@app.route("/api-endpoint", methods=["GET", "POST"])
@flask_chest(
    chests=[chest_influxdb, chest_writer],
    tracked_vars={
        "GET": ["transaction"],
        "POST": ["transaction", "response_time"],
    },
)
def api():
    g.start = time.time()
    g.transaction = 1
    if request.method == "POST":
        g.response_time = time.time() - g.start
    return "Hello, World!"
"""
    with Program(HEAD + BY_URL + view, influx, endpoint) as program:
        program.ask("/api-endpoint")
        program.ask("/api-endpoint", "POST")
        assert [line.partition(",")[0] for line in points(influx)] == ["transaction", "transaction", "response_time"]
        assert points(influx)[0].endswith(" value=1.0")
        ids = [post.form[2][1] for post in endpoint.posts]
        assert len(set(ids)) == 2
        assert all(map(UUID4.fullmatch, ids))


@pytest.mark.parametrize("arguments", ['app=app, db_uri="db.sqlite3"', 'app, "flask_chest", "db.sqlite3"'])
def test_a_sqlite_file_for_an_application(arguments: str) -> None:
    text = HEAD + f"chest = FlaskChestSQLite({arguments})\n"
    text += VIEW.replace(
        "DECORATOR", "chests=[chest], tracked_vars=tracked, request_id_generator=lambda: str(uuid.uuid4())"
    )
    with Program(text) as program:
        program.ask()
    with closing(sqlite3.connect("db.sqlite3")) as connection:
        rows = connection.execute("SELECT unique_id, request_id, name, value FROM flask_chest").fetchall()
    assert [(row[0], *row[2:]) for row in rows[:2]] == [(1, "user_id", "123"), (2, "session_id", "abc")]
    assert (rows[2][2], float(rows[2][3]) >= 0) == ("total_time", True)
    assert len({row[1] for row in rows}) == 1


@pytest.mark.parametrize("raises", [True, False])
def test_a_class_by_the_documented_interface(raises: bool) -> None:
    text = (
        HEAD
        + """
class SampleFlaskChest(FlaskChest):
    def __init__(self, name: str, logger: object, **kwargs) -> None:
        self.name = name
        self.logger = logger
        self.id = f"SampleFlaskChest(name={name})"
        self.kept = []

    def __str__(self) -> str:
        return self.id

    def write(self, context_tuple_list: List[Tuple[str, str, str]]) -> None:
        self.logger.debug(f"{self.id}: {len(context_tuple_list)}")
        self.kept.extend(context_tuple_list)


chest = SampleFlaskChest("sample", logger)
"""
        + VIEW.replace("DECORATOR", f"[chest], None, time_as_id, {raises}")
    )
    with Program(text) as program:
        program.ask()
        names = {
            name for name, _, _ in program.names["chest"].kept
        }  # in the order of `g`, which in PyPy is not the view's
        assert names == {"start", "user_id", "session_id", "total_time"}


def test_a_decorator_that_names_no_chest_serves_its_view() -> None:
    with Program(HEAD + VIEW.replace("DECORATOR", "tracked_vars=tracked, request_id_generator=time_as_id")) as program:
        assert program.ask() == b"Hello, World!"
