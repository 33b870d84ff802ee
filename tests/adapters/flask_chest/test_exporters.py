"""``FlaskChestExporter…`` and ``FlaskRecorder.scheduled``: Flask-Chest's exporters by their names, each row once."""

from __future__ import annotations

import re
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
from tests.recording_server import Reply, recording_server
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
    exporter = FlaskChestExporter(table, 60, target=kept)
    ended.append(exporter)
    assert exporter.export().written == 2
    assert kept.triples == [("user_id", "123", "r1"), ("plan", None, "r1")]
    table.write([("user_id", "456", "r2")])
    exporter.export()
    assert kept.triples[2:] == [("user_id", "456", "r2")]


def test_it_begins_when_it_is_made(table: FlaskChestSQLite, ended: list[FlaskChestExporter]) -> None:
    kept = Kept()
    ended.append(FlaskChestExporter(table, 0.2 / 60, target=kept))
    wait_until(lambda: len(kept.triples) == 2)
    table.write([("user_id", "456", "r2")])
    wait_until(lambda: len(kept.triples) == 3)


@pytest.mark.parametrize(("options", "count"), [({}, 0), ({"remove_after": False}, 2)])
def test_a_row_that_was_sent_is_deleted_unless_it_is_to_be_kept(
    table: FlaskChestSQLite, ended: list[FlaskChestExporter], options: dict[str, bool], count: int
) -> None:
    exporter = FlaskChestExporter(table, 60, target="memory:moved", **options)
    ended.append(exporter)
    assert exporter.export().written == 2
    assert exporter.export().written == 0
    assert len(rows_of(table)) == count
    MemoryChest("memory:moved").clear()


def rows_of(table: FlaskChestSQLite) -> list[Any]:
    with variables_source(table.url) as source:
        return source.read()  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({}, rb'sample,request_id=r1,unique_id=1 name="user_id",value="123" \d+'),
        ({"shape": "variable"}, rb'user_id,request_id=r1 value="123" \d+'),
    ],
)
def test_to_influxdb_in_either_of_flask_chest_s_shapes(
    table: FlaskChestSQLite, ended: list[FlaskChestExporter], options: dict[str, str], line: bytes
) -> None:
    with recording_server() as server:
        exporter = FlaskChestExporterInfluxDB(
            table, False, "127.0.0.1", server.port, "token", "org", "bucket", interval_minutes=60, **options
        )
        ended.append(exporter)
        exporter.export_data()
        assert exporter.export().written == 0
        (request,) = [request for request in server.received if "/write" in request.path]
    assert re.fullmatch(line, request.content.splitlines()[0])
    assert rows_of(table) == []


def test_while_influxdb_is_down_rows_stay_and_export_data_raises_nothing(
    table: FlaskChestSQLite, ended: list[FlaskChestExporter], caplog: pytest.LogCaptureFixture
) -> None:
    with recording_server() as server:
        server.reply = Reply(status=503)
        exporter = FlaskChestExporterInfluxDB(table, host="127.0.0.1", port=server.port, interval_minutes=60)
        ended.append(exporter)
        assert exporter.export_data() is None
        assert "the rows stay" in caplog.text
        assert len(rows_of(table)) == 2
        server.reply = Reply()
        assert exporter.export_data().written == 2
    assert rows_of(table) == []


def test_a_subclass_of_flask_chest_s_kind_is_called_at_its_ticks(
    table: FlaskChestSQLite, ended: list[FlaskChestExporter]
) -> None:
    class Own(FlaskChestExporter):
        calls = 0

        def __init__(self, chest: FlaskChest) -> None:
            super().__init__(chest, interval_minutes=0.2 / 60)
            self.start_export_task()

        def export_data(self) -> None:
            self.calls += 1

    own = Own(table)
    ended.append(own)
    wait_until(lambda: own.calls > 1)
    with pytest.raises(NotImplementedError):
        FlaskChestExporter(table).export_data()


def test_the_modules_of_flask_chest_are_there_by_their_names() -> None:
    from flask_chest.exporter.influxDB import FlaskChestExporterInfluxDB as influx
    from flask_chest.exporter.mysql import FlaskChestExporterMySQL as mysql

    assert (influx, mysql) == (FlaskChestExporterInfluxDB, FlaskChestExporterMySQL)


def test_to_mysql_from_postgresql(
    postgresql: DatabaseServer, mariadb: DatabaseServer, ended: list[FlaskChestExporter]
) -> None:
    table = FlaskChestPostgreSQL(db_uri=postgresql.new_url())
    table.write([("user_id", "123", "r1")])
    uri = mariadb.new_url()
    exporter = FlaskChestExporterMySQL(table, db_uri=uri, table_name="exported", interval_minutes=60)
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
        exporter = FlaskChestExporter(table, 1, target="sqlite:///" + sys.argv[2])
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
        FlaskChestExporter(Kept(), target="memory:")


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
        wait_until(lambda: later.records)
        assert set(running.stats()["scheduled_transfers"]) == {"before", "after"}
    finally:
        running.close()


def test_the_config_says_exports(tmp_path: Path) -> None:
    target = MemoryChest()
    app = Flask(__name__)
    app.config["CHEST_SCHEDULED_TRANSFERS"] = [{"to": target, "every": 0.2}]
    FlaskRecorder(app, chests=[f"sqlite:///{tmp_path / 'chest.sqlite3'}"], directory=tmp_path)
    app.test_client().get("/none")
    try:
        wait_until(lambda: len(target.records) == 1)
    finally:
        app.extensions["chest"].recorder.close()


def test_what_is_invalid_is_refused_where_it_is_said() -> None:
    recorder = FlaskRecorder(chests=["memory:x"])
    with pytest.raises(SettingsError, match="timetable"):
        recorder.scheduled("memory:y")
