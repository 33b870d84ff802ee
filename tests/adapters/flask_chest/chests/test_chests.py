"""Flask-Chest's classes over Chest's chests."""

from __future__ import annotations

import logging
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask_chest.chests import (
    FlaskChest,
    FlaskChestCustomWriter,
    FlaskChestInfluxDB,
    FlaskChestMongoDB,
    FlaskChestMySQL,
    FlaskChestPostgreSQL,
    FlaskChestSQLite,
)
from flask_chest.chests.base import TriplesChest

from chest.chests.contract import Chest
from chest.errors import (
    ChestError,
    ChestUnavailable,
    MissingDependencyError,
    RecordRejected,
    SchemaMismatch,
    SettingsError,
)
from chest.settings.chest_urls import schemes
from chest.testing.records import make_record
from tests.recording_server import RecordingServer, Reply, recording_server, refused_port

TRIPLES = [("user_id", "123", "r-1"), ("total", 1.5, "r-1")]
SCHEMA = (
    "CREATE TABLE flask_chest (unique_id INTEGER PRIMARY KEY AUTOINCREMENT, request_id TEXT, name TEXT, value TEXT)"
)


@pytest.fixture(autouse=True)
def _in_a_directory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "INFLUXDB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server() -> Iterator[RecordingServer]:
    with recording_server() as server:
        server.reply = Reply(status=200)
        yield server


def rows(file: str = "db.sqlite3", table: str = "flask_chest") -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute(f"SELECT unique_id, request_id, name, value FROM {table} ORDER BY 1").fetchall()


# -- SQLite ------------------------------------------------------------------------------------------------------------


def test_a_variable_is_a_row_in_flask_chests_own_table() -> None:
    chest = FlaskChestSQLite()
    chest.write(TRIPLES)
    chest.check()
    chest.close()
    assert rows() == [(1, "r-1", "user_id", "123"), (2, "r-1", "total", "1.5")]
    with closing(sqlite3.connect("db.sqlite3")) as connection:
        columns = [row[1:3] + row[5:] for row in connection.execute("PRAGMA table_info(flask_chest)")]
    assert columns == [
        ("unique_id", "INTEGER", 1),
        ("request_id", "TEXT", 0),
        ("name", "TEXT", 0),
        ("value", "TEXT", 0),
    ]


def test_arguments_may_be_given_in_the_documented_order() -> None:
    app = Flask("shop")
    chest = FlaskChestSQLite(app, "metrics", "other.sqlite3")
    chest.write(TRIPLES)
    assert chest.app is app
    assert len(rows("other.sqlite3", "metrics")) == 2


def test_making_a_chest_makes_no_file() -> None:
    FlaskChestSQLite()
    assert os.listdir() == []


def test_a_table_that_flask_chest_made_goes_on_to_be_used() -> None:
    with closing(sqlite3.connect("db.sqlite3")) as connection, connection:
        connection.execute(SCHEMA)
        connection.execute("INSERT INTO flask_chest (request_id, name, value) VALUES ('old', 'user_id', '1')")
    FlaskChestSQLite().write(TRIPLES)
    assert [row[:2] for row in rows()] == [(1, "old"), (2, "r-1"), (3, "r-1")]


def test_values_of_any_type_become_text() -> None:
    values = {
        "none": (None, None),
        "true": (True, "1"),
        "int": (17, "17"),
        "float": (0.1 + 0.2, "0.30000000000000004"),
        "list": ([1, {"a": None}], '[1,{"a":null}]'),
        "moment": (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00Z"),
        "text": ("Ünï 😀\nline", "Ünï 😀\nline"),
    }
    FlaskChestSQLite().write([(name, value, "r") for name, (value, _) in values.items()])
    stored = {name: value for _, _, name, value in rows()}
    assert stored["moment"].startswith("2026-01-02T00:00:00")
    for name in values.keys() - {"moment"}:
        assert stored[name] == values[name][1], name


def test_a_batch_of_records_is_one_transaction_with_a_row_a_variable() -> None:
    chest = FlaskChestSQLite()
    records = [make_record(request_id=f"r-{place}", variables={"a": place, "b": "x"}) for place in range(300)]
    chest.chest.write(records)
    stored = rows()
    assert len(stored) == 600
    assert stored[-1] == (600, "r-299", "b", "x")


def test_two_tables_of_one_process_stay_two() -> None:
    one, two = FlaskChestSQLite(name="one"), FlaskChestSQLite(name="two")
    one.write([("a", "1", "r")])
    two.write([("a", "2", "r")])
    one.write([("a", "3", "r")])
    assert [row[3] for row in rows(table="one")] == ["1", "3"]
    assert [row[3] for row in rows(table="two")] == ["2"]


def test_a_table_of_something_else_is_refused() -> None:
    with closing(sqlite3.connect("db.sqlite3")) as connection, connection:
        connection.execute("CREATE TABLE flask_chest (id INTEGER PRIMARY KEY, name TEXT)")
    chest = FlaskChestSQLite()
    for act in (lambda: chest.write(TRIPLES), chest.chest.open, chest.chest.check):
        with pytest.raises(SchemaMismatch, match="request_id, value"):
            act()


def test_a_name_that_no_table_can_have_is_refused_at_start() -> None:
    with pytest.raises(SettingsError, match="letters, digits"):
        FlaskChestSQLite(name="x; DROP TABLE y")


def test_a_database_that_cannot_be_written_is_unavailable() -> None:
    with closing(sqlite3.connect("db.sqlite3", isolation_level=None)) as connection:
        FlaskChestSQLite().write(TRIPLES)
        connection.execute("BEGIN EXCLUSIVE")
        with pytest.raises(ChestUnavailable, match="locked"):
            FlaskChestSQLite().write(TRIPLES)
    assert len(rows()) == 2


def test_no_variables_make_no_row() -> None:
    FlaskChestSQLite().write([])
    assert os.listdir() == []


# -- InfluxDB ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["host", "url"])
def test_a_variable_is_a_point_with_the_request_as_a_tag(server: RecordingServer, how: str) -> None:
    names: dict[str, Any] = {"token": "t0ken", "org": "my org", "bucket": "my-bucket", "custom_tags": {"app": "shop"}}
    if how == "host":
        chest = FlaskChestInfluxDB(host="127.0.0.1", port=server.port, **names)
    else:
        chest = FlaskChestInfluxDB(url=f"{server.url}/", name="InfluxDB", **names)
    chest.write([*TRIPLES, ("none", None, "r-1"), ("when", datetime(2026, 1, 2, tzinfo=UTC), "r-1")])
    (post,) = server.received
    assert post.path == "/api/v2/write"
    assert dict(post.params) == {"org": "my org", "bucket": "my-bucket", "precision": "ns"}
    assert post.headers["authorization"] == "Token t0ken"
    lines = [line.rpartition(" ")[0] for line in post.content.decode().splitlines()]
    assert lines[:2] == ['user_id,app=shop,request_id=r-1 value="123"', "total,app=shop,request_id=r-1 value=1.5"]
    assert lines[2].startswith('when,app=shop,request_id=r-1 value="2026-01-02')
    assert len(lines) == 3


def test_arguments_of_the_influxdb_chest_may_be_given_in_the_documented_order() -> None:
    app, logger = Flask("shop"), logging.getLogger("mine")
    chest = FlaskChestInfluxDB(app, True, "influx.example", 443, "t", "o", "b", {"a": "b"}, logger)
    assert (chest.app, chest.logger) == (app, logger)
    assert chest.chest.name == "influxdb+https://influx.example:443/o/b?shape=variable"


def test_a_token_that_is_not_there_is_the_environments(
    server: RecordingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INFLUXDB_TOKEN", "from-env")
    FlaskChestInfluxDB(host="127.0.0.1", port=server.port, token=os.getenv("NO_SUCH_TOKEN")).write(TRIPLES)
    assert server.received[0].headers["authorization"] == "Token from-env"


def test_an_influxdb_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(ChestUnavailable):
        FlaskChestInfluxDB(host="127.0.0.1", port=refused_port()).write(TRIPLES)


def test_an_address_that_is_none_is_refused_at_start() -> None:
    with pytest.raises(SettingsError, match="http://host:8086"):
        FlaskChestInfluxDB(url="localhost:8086")


# -- a writer over HTTP ------------------------------------------------------------------------------------------------


def test_a_dict_of_the_payload_generator_is_sent_as_form_fields(server: RecordingServer) -> None:
    chest = FlaskChestCustomWriter(
        host="127.0.0.1", port=str(server.port), payload_generator=lambda triples: dict(enumerate(triples))
    )
    chest.write(TRIPLES)
    (post,) = server.received
    assert post.form == [("0", "user_id"), ("0", "123"), ("0", "r-1"), ("1", "total"), ("1", "1.5"), ("1", "r-1")]


def test_everything_that_was_documented_of_the_writer_reaches_the_request(server: RecordingServer) -> None:
    seen: list[Any] = []

    def payload_generator(context_tuple_list: Any) -> str:
        seen.append(context_tuple_list)
        return "text"

    logger = logging.getLogger("mine")
    chest = FlaskChestCustomWriter(
        None, False, "127.0.0.1", server.port, {"X-Api-Key": "k"}, payload_generator, True, [200, 418], logger,
        params={"a": "b"},
    )  # fmt: skip
    server.replies = [Reply(status=418)]
    chest.write(TRIPLES)
    (post,) = server.received
    assert (post.content, post.params, post.headers["x-api-key"]) == (b"text", [("a", "b")], "k")
    assert seen == [TRIPLES]
    server.reply = Reply(status=201)
    with pytest.raises(RecordRejected, match="201"):
        chest.write(TRIPLES)


def test_values_of_any_type_reach_the_payload_generator_in_the_request(server: RecordingServer) -> None:
    thing = object()
    seen: list[Any] = []
    chest = FlaskChestCustomWriter(url=server.url, payload_generator=lambda triples: seen.extend(triples) or "x")
    chest.write([("thing", thing, "r")])
    assert seen[0][1] is thing


def test_the_url_may_be_given_whole_and_through_a_proxy(server: RecordingServer) -> None:
    chest = FlaskChestCustomWriter(
        url="http://collector.invalid/in",
        name="collector",
        proxies={"http": server.url},
        payload_generator=lambda _: "x",
    )
    chest.write(TRIPLES)
    assert server.received[0].target == "http://collector.invalid/in"
    assert "collector" in repr(chest)


def test_a_writer_without_a_payload_generator_is_refused_at_start() -> None:
    with pytest.raises(SettingsError, match="payload_generator"):
        FlaskChestCustomWriter(url="http://127.0.0.1")


def test_a_payload_generator_that_raises_refuses_the_record(server: RecordingServer) -> None:
    def payload_generator(triples: Any) -> str:
        raise KeyError("plan")

    with pytest.raises(RecordRejected, match="KeyError"):
        FlaskChestCustomWriter(url=server.url, payload_generator=payload_generator).write(TRIPLES)
    assert server.received == []


def test_the_first_argument_is_the_application_and_another_says_so() -> None:
    with pytest.raises(SettingsError, match=r"name= and url="):
        FlaskChestCustomWriter("CustomWriter", payload_generator=lambda _: "x")  # type: ignore[arg-type]


def test_a_writer_that_verifies_nothing_warns_once_at_start_if_it_matters(
    caplog: pytest.LogCaptureFixture,
) -> None:
    FlaskChestCustomWriter(url="http://127.0.0.1/", payload_generator=lambda _: "x")
    FlaskChestCustomWriter(https=True, host="127.0.0.1", verify=True, payload_generator=lambda _: "x")
    assert caplog.records == []
    FlaskChestCustomWriter(
        https=True, host="127.0.0.1", payload_generator=lambda _: "x", logger=logging.getLogger("mine")
    )
    assert [record.name for record in caplog.records] == ["mine"]
    assert "verify=True" in caplog.text


def test_a_recorder_writes_a_request_at_a_time_and_each_with_a_key_of_its_own(server: RecordingServer) -> None:
    chest = FlaskChestCustomWriter(url=server.url, payload_generator=lambda triples: dict(enumerate(triples)))
    records = [make_record(request_id=f"r-{place}", variables={"a": place}) for place in range(3)]
    chest.chest.write(records)
    assert [post.form for post in server.posts] == [
        [("0", "a"), ("0", str(place)), ("0", f"r-{place}")] for place in range(3)
    ]
    assert [post.headers["idempotency-key"] for post in server.posts] == [record.id for record in records]


def test_what_was_written_of_a_batch_that_failed_is_not_written_again(server: RecordingServer) -> None:
    chest = FlaskChestCustomWriter(url=server.url, payload_generator=lambda triples: dict(enumerate(triples))).chest
    records = [make_record() for _ in range(4)]
    server.replies = [Reply(status=200), Reply(status=200), Reply(status=503)]
    with pytest.raises(ChestUnavailable):
        chest.write(records)
    chest.write(records)
    keys = [post.headers["idempotency-key"] for post in server.posts]
    assert keys == [records[place].id for place in (0, 1, 2, 2, 3)]


def test_a_refused_record_is_named_so_that_the_others_go_on(server: RecordingServer) -> None:
    chest = FlaskChestCustomWriter(url=server.url, payload_generator=lambda triples: dict(enumerate(triples))).chest
    records = [make_record() for _ in range(3)]
    server.replies = [Reply(status=200), Reply(status=400)]
    with pytest.raises(RecordRejected) as refusal:
        chest.write(records)
    assert refusal.value.ids == (records[1].id,)
    chest.write([records[0], records[2]])
    assert len(server.posts) == 3


def test_the_check_of_a_writer_asks_its_endpoint(server: RecordingServer) -> None:
    chest = FlaskChestCustomWriter(url=server.url, payload_generator=lambda _: "x")
    chest.chest.check()
    server.reply = Reply(status=401)
    with pytest.raises(ChestUnavailable):
        chest.chest.check()
    chest.chest.close()


# -- a chest of one's own ----------------------------------------------------------------------------------------------


class KeepingChest(FlaskChest):
    """As written for Flask-Chest: it does not call our ``__init__``."""

    def __init__(self, error: Exception | None = None) -> None:
        self.kept: list[Any] = []
        self.error = error

    def write(self, context_tuple_list: Any) -> None:
        if self.error is not None:
            raise self.error
        self.kept.append(context_tuple_list)


def test_a_subclass_that_calls_no_init_gets_its_triples_a_request_at_a_time() -> None:
    mine = KeepingChest()
    mine.chest.write([make_record(request_id="r-1", variables={"a": 1, "b": [2]}), make_record(request_id="r-2")])
    assert mine.kept[0] == [("a", 1, "r-1"), ("b", [2], "r-1")]
    assert len(mine.kept) == 2
    assert repr(mine) == "<KeepingChest>"


def test_a_subclass_without_a_write_says_what_is_missing() -> None:
    with pytest.raises(NotImplementedError, match="context_tuple_list"):
        FlaskChest().write([])


@pytest.mark.parametrize("error", [ValueError("bad"), TypeError("bad"), KeyError("bad"), RecordRejected("bad")])
def test_errors_of_a_value_refuse_the_record(error: Exception) -> None:
    record = make_record()
    with pytest.raises(RecordRejected) as refusal:
        KeepingChest(error).chest.write([record])
    assert refusal.value.ids == (record.id,)


@pytest.mark.parametrize("error", [OSError("gone"), RuntimeError("gone"), ConnectionError(), ChestUnavailable("gone")])
def test_any_other_error_means_that_the_store_is_not_there_now(error: Exception) -> None:
    with pytest.raises(type(error)) as raised:
        KeepingChest(error).chest.write([make_record()])
    assert not isinstance(raised.value, RecordRejected)


def test_a_subclass_of_ours_with_a_write_of_its_own_is_written_to_by_it() -> None:
    class Loud(FlaskChestSQLite):
        def write(self, context_tuple_list: Any) -> None:
            super().write([(name, str(value).upper(), request_id) for name, value, request_id in context_tuple_list])

    loud = Loud()
    assert isinstance(loud.chest, TriplesChest)
    loud.chest.write([make_record(variables={"plan": "premium"})])
    assert rows()[0][3] == "PREMIUM"


# -- all of them -------------------------------------------------------------------------------------------------------


SERVED = {
    "mysql": lambda: FlaskChestMySQL(db_uri="mysql://ada:hunter2@localhost/shop"),
    "postgresql": lambda: FlaskChestPostgreSQL(db_uri="postgresql://ada:hunter2@localhost/shop?sslmode=disable"),
    "mongodb": lambda: FlaskChestMongoDB(db_uri="mongodb://ada:hunter2@localhost/shop"),
}


@pytest.mark.parametrize("scheme", SERVED)
def test_a_class_for_a_database_connects_to_nothing_when_it_is_made_and_shows_no_password(scheme: str) -> None:
    if scheme not in schemes():
        with pytest.raises(SettingsError, match=f"No chest has the scheme {scheme}:"):
            SERVED[scheme]()
        return
    chest = SERVED[scheme]()
    assert "hunter2" not in repr(chest) + str(chest) + chest.chest.name
    assert isinstance(chest.chest, Chest)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: FlaskChestMySQL(), "FlaskChestMySQL needs db_uri=, such as mysql://user:password@host/database$"),
        (lambda: FlaskChestPostgreSQL(db_uri="mysql://host/db"), "such as postgresql://.*and not 'mysql://host/db'"),
        (lambda: FlaskChestMongoDB(db_uri="localhost"), "expected mongodb://"),
    ],
)
def test_an_address_of_another_database_is_refused_with_an_example(made: Callable[[], FlaskChest], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        made()


@pytest.mark.parametrize(
    ("module", "extra", "make"),
    [
        ("httpx", "http", lambda: FlaskChestCustomWriter(url="http://127.0.0.1", payload_generator=lambda _: "x")),
        ("influxdb_client", "influx", FlaskChestInfluxDB),
    ],
)
def test_a_missing_driver_is_said_with_the_line_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, module: str, extra: str, make: Callable[[], FlaskChest]
) -> None:
    ours = ("chest.chests.http.chest", "chest.chests.influxdb.chest", "influxdb_client")
    for name in [name for name in sys.modules if name.startswith(ours)]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependencyError, match=rf"pip install 'wsgi-chest\[{extra}\]'"):
        make()


def test_no_secret_is_shown_in_names_messages_or_logs(
    server: RecordingServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    logger = logging.getLogger("mine")
    server.reply = Reply(status=400, body=b'{"message": "hunter2 is no key"}')
    chests: list[FlaskChest] = [
        FlaskChestInfluxDB(host="127.0.0.1", port=server.port, token="hunter2", logger=logger),
        FlaskChestCustomWriter(
            url=f"http://user:hunter2@127.0.0.1:{server.port}/?token=hunter2",
            headers={"Authorization": "Bearer hunter2"},
            payload_generator=lambda _: "x",
            logger=logger,
        ),
    ]
    for chest in chests:
        with pytest.raises(ChestError) as error:
            chest.write(TRIPLES)
        assert "hunter2" not in f"{chest!r} {chest} {chest.label} {error.value} {caplog.text}"


def test_the_logger_that_is_given_is_the_one_that_is_used(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="mine")
    FlaskChestSQLite(logger=logging.getLogger("mine")).write([("user", "s3cret", "r")])
    FlaskChestSQLite(name="other").write(TRIPLES)
    said = [record for record in caplog.records if record.name == "mine"]
    assert [record.levelname for record in said] == ["DEBUG"]
    assert "1 variable" in said[0].getMessage()
    assert "s3cret" not in caplog.text
