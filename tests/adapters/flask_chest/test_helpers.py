"""What programs of Flask-Chest call beside its decorator: its modules, its functions, and what its chests say of themselves."""

from __future__ import annotations

import json
import logging
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, g
from flask_chest import FlaskChest, FlaskChestCustomWriter, FlaskChestInfluxDB, FlaskChestSQLite, flask_chest
from flask_chest.chests.base import DEFAULT_SCHEMA
from flask_chest.chests.custom import FlaskChestCustomWriter as OfCustom
from flask_chest.chests.influxDB import FlaskChestInfluxDB as OfInfluxDB
from flask_chest.chests.influxDB import create_influxdb_datapoint
from flask_chest.chests.sqlite import FlaskChestSQLite as OfSQLite
from flask_chest.decorator import recorders_of, set_custom_request_id, write_tracked_variables
from flask_chest.sqlite_utils import create_sqlite_table, sqlite_write

from tests.recording_server import Reply, recording_server
from tests.support import wait_until


def rows(path: Path, table: str = "flask_chest") -> list[Any]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(f"SELECT request_id, name, value FROM {table}").fetchall()
    finally:
        connection.close()


def test_the_modules_of_flask_chest_are_there_by_their_names() -> None:
    assert (OfCustom, OfInfluxDB, OfSQLite) == (FlaskChestCustomWriter, FlaskChestInfluxDB, FlaskChestSQLite)


def test_a_table_is_made_at_once_if_it_is_registered(tmp_path: Path) -> None:
    path = tmp_path / "db.sqlite3"
    chest = FlaskChestSQLite(db_uri=str(path))
    chest.register_table()
    assert rows(path) == []
    chest.register_table("other")
    chest.write([("user_id", "1", "r1")])
    assert rows(path, "other") == [("r1", "user_id", "1")]
    assert rows(path) == []
    assert json.loads(str(chest)) == chest.to_dict() == {"db_uri": str(path)}


def test_the_functions_for_sqlite_say_whether_it_is_done(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "db.sqlite3"
    assert create_sqlite_table(str(path), DEFAULT_SCHEMA) is True
    assert sqlite_write(str(path), DEFAULT_SCHEMA, "user_id", "1", "r1") is True
    assert rows(path) == [("r1", "user_id", "1")]
    assert sqlite_write(str(tmp_path), DEFAULT_SCHEMA, "user_id", "1", "r1") is False
    assert "failed" in caplog.text


def test_what_a_chest_says_of_itself_is_json_without_secrets() -> None:
    influx = FlaskChestInfluxDB(token="s3cret", custom_tags={"app": "shop"})
    writer = FlaskChestCustomWriter(
        url="http://user:s3cret@host/in", headers={"X-Api-Key": "s3cret"}, payload_generator=str, name="w"
    )
    for chest, kind in ((influx, "influxdb"), (writer, "custom_writer")):
        assert json.loads(str(chest))["type"] == kind
        assert "s3cret" not in f"{chest!s} {chest!r}"
    assert influx.to_dict()["custom_tags"] == {"app": "shop"}
    assert writer.to_dict()["headers"] == ["X-Api-Key"]


def test_a_data_point_is_as_flask_chest_makes_it() -> None:
    point = create_influxdb_datapoint("user_id", "1", "r1", {"app": "shop"})
    assert point["measurement"] == "user_id"
    assert point["tags"] == {"request_id": "r1", "app": "shop"}
    assert point["fields"] == {"value": "1"}


class Failing(FlaskChest):
    def write(self, context_tuple_list: Any) -> None:
        raise OSError("down")


def test_variables_can_be_written_by_hand_in_a_request(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, app = tmp_path / "db.sqlite3", Flask(__name__)
    chest = FlaskChestSQLite(db_uri=str(path))
    caplog.set_level(logging.DEBUG)
    with app.test_request_context("/", method="POST"):
        set_custom_request_id(lambda: "x" * 300)
        assert g.custom_request_id == "x" * 255
        g.user_id = "1"
        write_tracked_variables([chest], {"post": ["user_id", "not_set"], "GET": ["user_id"]}, True)
        write_tracked_variables([Failing(logger=logging.getLogger("mine"))], {"POST": ["user_id"]}, False)
        with pytest.raises(OSError, match="down"):
            write_tracked_variables([Failing()], {"POST": ["user_id"]}, True)
        set_custom_request_id(None)
        assert len(g.custom_request_id) == 36
    assert rows(path) == [("x" * 255, "user_id", "1")]
    assert [record.message for record in caplog.records if record.name == "mine"] == ["Failing: down"]


@pytest.mark.parametrize("kind", ["influxdb", "sqlite"])
def test_a_chest_tells_its_logger_what_a_recorder_writes_to_it(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logger = logging.getLogger("shop.flask_chest")
    caplog.set_level(logging.DEBUG, logger.name)
    with recording_server() as server:
        server.replies = [Reply(status=503)] if kind == "influxdb" else []
        chest: FlaskChest = (
            FlaskChestInfluxDB(host="127.0.0.1", port=server.port, logger=logger)
            if kind == "influxdb"
            else FlaskChestSQLite(db_uri=str(tmp_path / "db.sqlite3"), logger=logger)
        )
        app = Flask(__name__)
        app.config["CHEST_DIRECTORY"] = tmp_path

        @app.get("/")
        @flask_chest(chests=[chest], tracked_vars=["user_id"], raise_exceptions=False)
        def index() -> str:
            g.user_id = "s3cret-value"
            return "ok"

        app.test_client().get("/")
        (recorder,) = recorders_of(app)
        try:
            wait_until(lambda: any("wrote 1 variables" in record.message for record in caplog.records))
        finally:
            recorder.close()
    told = [record.getMessage() for record in caplog.records if record.name == logger.name]
    assert any("1 records were not written" in message for message in told) == (kind == "influxdb")
    assert "s3cret-value" not in "".join(told)
