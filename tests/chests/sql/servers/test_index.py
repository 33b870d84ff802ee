"""The index on request_id that ``?index=`` asks for, on a table that exists: it never stops delivery."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import inspect
from sqlalchemy.engine import make_url

from chest.chests.sql.chest import SQLChest
from chest.chests.sql.dialect import database_of
from chest.chests.sql.url import SQLTarget
from chest.testing.records import make_record
from tests.servers.database import DatabaseServer

Execute = Callable[[str], list[tuple[Any, ...]]]
UrlOfUser = Callable[..., str]

everywhere = pytest.mark.parametrize("server", ["postgresql", "mariadb", "mysql57"], indirect=True)


def _indexed(chest: SQLChest) -> list[str]:
    with chest.writing.use() as connection:
        indexes = inspect(connection).get_indexes("chest_records")
    return [str(index["name"]) for index in indexes if index["column_names"] == ["request_id"]]


def _statement(caplog: pytest.LogCaptureFixture) -> str:
    """The statement of the one message."""
    (message,) = [record.getMessage() for record in caplog.records if record.name == "chest.chests.sql"]
    return message.partition("Run once: ")[2]


@everywhere
def test_on_a_large_table_the_statement_to_run_is_logged_once_and_records_are_stored(
    url: str, execute: Execute, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with SQLChest(url) as chest:
        chest.write([make_record() for _ in range(10)])
    monkeypatch.setattr("chest.chests.sql.index.LARGEST_BYTES_CHANGED", 100)
    with SQLChest(f"{url}?index=request_id") as chest:
        for _ in range(3):
            chest.write([make_record()])
            chest.close()
        chest.check()
        assert _indexed(chest) == []
        statement = _statement(caplog)
        assert "the table is large" in caplog.text
        _run_alone(url, statement)
        assert _indexed(chest) == ["chest_records_request_id"]
    caplog.clear()
    with SQLChest(f"{url}?index=request_id") as chest:
        chest.write([make_record()])
        assert caplog.records == []
        assert len(chest.read()) == 14


def _run_alone(url: str, statement: str) -> None:
    """As an operator does, in no transaction."""
    with database_of(SQLTarget.of(url)).connect_to_write() as connection:
        driver: Any = connection.connection.driver_connection
        connection.rollback()
        if "CONCURRENTLY" in statement:
            driver.autocommit = True
        driver.cursor().execute(statement)


@everywhere
def test_a_server_that_takes_too_long_for_the_index_stops_no_delivery(
    server: DatabaseServer, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A reader keeps the table from being altered, for longer than the chest waits."""
    with SQLChest(url) as reader:
        reader.write([make_record()])
        with reader.reading.use() as connection:
            connection.exec_driver_sql("SELECT count(*) FROM chest_records")
            if server.scheme == "postgresql":
                connection.exec_driver_sql("LOCK TABLE chest_records IN ROW EXCLUSIVE MODE")
            with SQLChest(f"{url}?index=request_id&timeout_seconds=1") as chest:
                chest.write([make_record()])
                assert "chest_records_request_id" in _statement(caplog)
                chest.close()
                chest.write([make_record()])
        assert len(reader.read()) == 3


@everywhere
def test_a_user_who_may_not_make_the_index_stores_records(
    server: DatabaseServer, chest: SQLChest, url_of_user: UrlOfUser, caplog: pytest.LogCaptureFixture
) -> None:
    chest.open()
    rights = ["INSERT ON chest_records", "USAGE ON SEQUENCE chest_records_seq_seq"]
    limited = url_of_user(*(rights if server.scheme == "postgresql" else ["SELECT, INSERT, UPDATE ON chest_records"]))
    url = make_url(limited).update_query_dict({"index": "request_id"}).render_as_string(hide_password=False)
    with caplog.at_level(logging.WARNING), SQLChest(url) as other:
        other.write([make_record()])
        other.write([make_record()])
    assert "chest_records_request_id" in _statement(caplog)
    assert len(chest.read()) == 2


@everywhere
def test_an_index_of_the_users_own_is_enough(
    chest: SQLChest, url: str, execute: Execute, caplog: pytest.LogCaptureFixture
) -> None:
    chest.open()
    execute("CREATE INDEX mine ON chest_records (request_id)")
    with SQLChest(f"{url}?index=request_id") as other:
        other.write([make_record()])
        assert _indexed(other) == ["mine"]
    assert caplog.records == []
