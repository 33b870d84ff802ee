"""``FlaskChestExporter…`` and ``FlaskRecorder.scheduled``: Flask-Chest's exporters by their names, each row once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask_chest import (
    FlaskChest,
    FlaskChestExporter,
    FlaskChestExporterInfluxDB,
    FlaskChestExporterMySQL,
    FlaskChestPostgreSQL,
    FlaskChestSQLite,
    FlaskRecorder,
)

from chest import SettingsError
from chest.chests.memory import MemoryChest
from chest.chests.registry import variables_source
from tests.processes import run_python
from tests.recording_server import recording_server
from tests.servers.database import DatabaseServer
from tests.support import wait_until


class Kept(FlaskChest):
    """A store of the user's."""

    def __init__(self) -> None:
        super().__init__()
        self.triples: list[Any] = []

    def write(self, context_tuple_list: Any) -> None:
        self.triples += context_tuple_list


@pytest.fixture
def table(tmp_path: Path) -> FlaskChestSQLite:
    table = FlaskChestSQLite(db_uri=str(tmp_path / "db.sqlite3"))
    table.write([("user_id", "123", "r1"), ("plan", None, "r1")])
    return table


@pytest.fixture
def ended() -> Iterator[list[FlaskChestExporter]]:
    """Exporters that are ended after the test."""
    exporters: list[FlaskChestExporter] = []
    yield exporters
    for exporter in exporters:
        exporter.shutdown()


def test_each_row_goes_once_in_order(table: FlaskChestSQLite, ended: list[FlaskChestExporter]) -> None:
    kept = Kept()
    exporter = FlaskChestExporter(table, kept, interval_minutes=60)
    ended.append(exporter)
    assert exporter.export().written == 2
    assert kept.triples == [("user_id", "123", "r1"), ("plan", None, "r1")]
    table.write([("user_id", "456", "r2")])
    exporter.export()
    assert kept.triples[2:] == [("user_id", "456", "r2")]


def test_it_begins_when_it_is_made(table: FlaskChestSQLite, ended: list[FlaskChestExporter]) -> None:
    kept = Kept()
    ended.append(FlaskChestExporter(table, kept, interval_minutes=0.2 / 60))
    wait_until(lambda: len(kept.triples) == 2)
    table.write([("user_id", "456", "r2")])
    wait_until(lambda: len(kept.triples) == 3)


def test_moving_empties_the_table(table: FlaskChestSQLite, ended: list[FlaskChestExporter]) -> None:
    exporter = FlaskChestExporter(table, "memory:moved", interval_minutes=60, remove_after=True)
    ended.append(exporter)
    exporter.export()
    with variables_source(table.url) as source:
        assert source.newest() is None  # type: ignore[attr-defined]
    MemoryChest("memory:moved").clear()


def test_to_influxdb_a_point_a_variable(table: FlaskChestSQLite, ended: list[FlaskChestExporter]) -> None:
    with recording_server() as server:
        exporter = FlaskChestExporterInfluxDB(
            table, False, "127.0.0.1", server.port, "token", "org", "bucket", interval_minutes=60
        )
        ended.append(exporter)
        exporter.export()
        assert exporter.export().written == 0
        (request,) = [request for request in server.received if "/write" in request.path]
    assert b'user_id,request_id=r1 value="123"' in request.content


def test_to_mysql_from_postgresql(
    postgresql: DatabaseServer, mariadb: DatabaseServer, ended: list[FlaskChestExporter]
) -> None:
    table = FlaskChestPostgreSQL(db_uri=postgresql.new_url())
    table.write([("user_id", "123", "r1")])
    uri = mariadb.new_url()
    exporter = FlaskChestExporterMySQL(table, uri, "exported", interval_minutes=60)
    ended.append(exporter)
    assert exporter.export().written == 1
    with variables_source(f"{uri}?table=exported") as source:
        (stored,) = source.read()  # type: ignore[attr-defined]
    assert (stored.record.variables, stored.record.request_id) == ({"user_id": "123"}, "r1")


def test_in_a_forked_worker_it_begins_too(table: FlaskChestSQLite, tmp_path: Path) -> None:
    code = """
        import os, sys, time
        from flask_chest import FlaskChestExporter, FlaskChestSQLite
        table = FlaskChestSQLite(db_uri=sys.argv[1])
        exporter = FlaskChestExporter(table, "sqlite:///" + sys.argv[2], 1)
        if os.fork() == 0:
            print(exporter.exporter.stats()["is_started"], exporter.exporter.next_run_time is not None, flush=True)
            os._exit(0)
        os.wait()
    """
    source = str(tmp_path / "db.sqlite3")
    adapters = str(Path(__file__).resolve().parents[3] / "adapters")
    root = str(Path(__file__).resolve().parents[3])
    told = run_python(code, source, tmp_path / "out.sqlite3", PYTHONPATH=f"{root}:{adapters}")
    assert told == "True True\n"


def test_what_cannot_be_read_is_refused() -> None:
    with pytest.raises(SettingsError, match="reads from a FlaskChestSQLite"):
        FlaskChestExporter(Kept(), "memory:")


def test_the_extension_exports_what_it_records(tmp_path: Path) -> None:
    target = MemoryChest()
    recorder = FlaskRecorder(chests=[f"sqlite:///{tmp_path / 'chest.sqlite3'}"], directory=tmp_path)
    recorder.scheduled(target, every=0.2, name="before")
    app = Flask(__name__)
    recorder.init_app(app)
    app.test_client().get("/none")
    running = app.extensions["chest"].recorder
    try:
        wait_until(lambda: len(target.records) == 1)
        later = MemoryChest()
        recorder.scheduled(later, every=0.2, name="after")
        wait_until(lambda: later.records, 15)
        assert set(running.stats()["exports"]) == {"before", "after"}
    finally:
        running.close()


def test_the_config_says_exports(tmp_path: Path) -> None:
    target = MemoryChest()
    app = Flask(__name__)
    app.config["CHEST_EXPORTS"] = [{"to": target, "every": 0.2}]
    FlaskRecorder(app, chests=[f"sqlite:///{tmp_path / 'chest.sqlite3'}"], directory=tmp_path)
    app.test_client().get("/none")
    try:
        wait_until(lambda: len(target.records) == 1)
    finally:
        app.extensions["chest"].recorder.close()


def test_what_cannot_be_meant_is_refused_where_it_is_said() -> None:
    recorder = FlaskRecorder(chests=["memory:x"])
    with pytest.raises(SettingsError, match="timetable"):
        recorder.scheduled("memory:y")
