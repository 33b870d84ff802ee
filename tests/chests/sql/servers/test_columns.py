"""Columns that Chest knows and a table on a server lacks, because another release made it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from chest.chests.query import Query
from chest.chests.sql.chest import SQLChest
from chest.chests.sql.columns import STORED_COLUMNS
from chest.chests.sql.url import SQLTarget
from tests.fixtures.left import RELEASES, records_of, same_fields
from tests.servers.database import DatabaseServer
from tests.support import make_record

Execute = Callable[[str], list[tuple[Any, ...]]]
UrlOfUser = Callable[..., str]

everywhere = pytest.mark.parametrize("server", ["postgresql", "mariadb", "mysql57"], indirect=True)
on_mysql = pytest.mark.parametrize("server", ["mariadb", "mysql57"], indirect=True)
_RIGHTS = ("SELECT, INSERT, UPDATE ON chest_records",)
_SEQUENCE = "USAGE ON SEQUENCE chest_records_seq_seq"


def rights_to_write(server: DatabaseServer) -> tuple[str, ...]:
    return (*_RIGHTS, _SEQUENCE) if server.scheme == "postgresql" else _RIGHTS


def make_table_without(chest: SQLChest, execute: Execute, *columns: str) -> None:
    """With a record, that was written before."""
    chest.write([make_record(route="/before")])
    chest.close()
    for column in columns:
        execute(f"ALTER TABLE chest_records DROP COLUMN {column}")


@everywhere
@pytest.mark.parametrize("release", RELEASES, ids=[path.name for path in RELEASES])
def test_a_table_that_another_release_made_is_read_and_written_on(
    server: DatabaseServer, chest: SQLChest, execute: Execute, release: Path
) -> None:
    for statement in (release / f"{server.scheme}.sql").read_text().split(";\n\n"):
        if statement and "JSON_TABLE" not in statement:  # which MySQL 5.7 has not
            execute(statement.replace("%", "%%"))
    assert same_fields([stored.record for stored in chest.read()], records_of(release))
    new = make_record()
    chest.write([new])
    assert same_fields([stored.record for stored in chest.read()], [*records_of(release), new._asdict()])


@everywhere
def test_a_column_that_may_be_null_is_added_and_written(chest: SQLChest, execute: Execute) -> None:
    make_table_without(chest, execute, "route", "status", "error")
    records = [make_record(route="/after", status=503, error="LookupError"), make_record(route=None, status=None)]
    chest.write(records[:1])
    chest.write_new(records)
    before, *found = [stored.record for stored in chest.read()]
    assert (before.route, before.status, before.error, found) == (None, None, None, records)
    assert [stored.record for stored in chest.read(Query(route="/after"))] == records[:1]


@everywhere
def test_a_table_that_lacks_columns_is_read_with_their_defaults(chest: SQLChest, execute: Execute) -> None:
    make_table_without(chest, execute, "route", "status")
    (stored,) = chest.read()
    assert (stored.record.route, stored.record.status, stored.record.host) == (None, None, "test")
    assert chest.read(Query(route="/before")) == []
    assert chest.read(Query(statuses=range(200, 300))) == []
    (encoded,) = chest.read_encoded()
    assert (encoded.record.route, encoded.record.host) == (None, "test")
    retention = chest.retention()
    assert retention.used_bytes() > 0
    retention.close()


@everywhere
def test_a_user_who_may_not_add_a_column_writes_without_it_and_is_told_once(
    server: DatabaseServer,
    chest: SQLChest,
    execute: Execute,
    url_of_user: UrlOfUser,
    caplog: pytest.LogCaptureFixture,
) -> None:
    make_table_without(chest, execute, "status")
    records = [make_record(status=503) for _ in range(3)]
    with SQLChest(url_of_user(*rights_to_write(server))) as limited, caplog.at_level(logging.INFO, "chest"):
        for number in range(3):
            limited.write(records[: number + 1])  # all but one come again
            limited.close()  # the next write looks again
        limited.write_new(records)
        assert [each.record for each in limited.read()][1:] == [record._replace(status=None) for record in records]
        limited.check()
        (notice,) = limited.notices()
    (message,) = caplog.messages
    assert "the table chest_records has no column status, and adding it was refused" in message
    statement = message.partition("Run as the owner of the table: ")[2]
    assert notice.endswith(statement)
    execute(statement)
    chest.write([make_record(status=418)])
    assert [stored.record.status for stored in chest.read()][-1] == 418
    chest.check()
    assert chest.notices() == ()


@everywhere
def test_a_user_whose_rights_leave_out_a_new_column_writes_without_it_and_is_told_once(
    server: DatabaseServer,
    chest: SQLChest,
    execute: Execute,
    url_of_user: UrlOfUser,
    caplog: pytest.LogCaptureFixture,
) -> None:
    chest.open()
    quote = '"' if server.scheme == "postgresql" else "`"
    granted = ", ".join(f"{quote}{name}{quote}" for name in STORED_COLUMNS if name not in ("status", "error"))
    rights = [f"INSERT ({granted}) ON chest_records", "SELECT ON chest_records", "UPDATE ON chest_records"]
    if server.scheme == "postgresql":
        rights.append(_SEQUENCE)
    records = [make_record(status=503, route="/new") for _ in range(3)]
    with SQLChest(url_of_user(*rights)) as limited, caplog.at_level(logging.INFO, "chest"):
        for number in range(3):
            limited.write(records[: number + 1])  # all but one come again
            limited.close()  # the next write asks again
        limited.write_new(records)
        limited.check()
        (notice,) = limited.notices()
    assert [stored.record for stored in chest.read()] == [record._replace(status=None) for record in records]
    (message,) = caplog.messages
    assert message == f"chest: {notice}"
    assert "the user may not write the column status, error of the table chest_records" in message
    assert message.endswith("Grant the user INSERT on the column, or on the whole table.")


@on_mysql
def test_changing_the_table_leaves_the_sessions_timeout_for_locks_as_it_was(
    url: str, chest: SQLChest, execute: Execute
) -> None:
    make_table_without(chest, execute, "status")
    chest.open()
    with chest.writing.use() as connection:
        timeout_seconds = connection.exec_driver_sql("SELECT @@SESSION.lock_wait_timeout").scalar()
    assert timeout_seconds == SQLTarget.of(url).timeout_seconds


@everywhere
def test_the_note_of_a_killed_request_gives_way_though_the_table_lacks_columns(
    server: DatabaseServer, chest: SQLChest, execute: Execute, url_of_user: UrlOfUser
) -> None:
    make_table_without(chest, execute, "status", "route")
    rights = [right.replace("UPDATE", "UPDATE, DELETE") for right in rights_to_write(server)]
    record = make_record()
    with SQLChest(url_of_user(*rights)) as limited:
        limited.write([record._replace(outcome="killed", variables={})])
        limited.write([record])
        assert [stored.record for stored in limited.read()][1:] == [record._replace(status=None, route=None)]


@everywhere
def test_several_processes_that_start_at_once_add_it_once(url: str, chest: SQLChest, execute: Execute) -> None:
    make_table_without(chest, execute, "status")
    others = [SQLChest(url) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda other: other.write([make_record(status=201)]), others))
    for other in others:
        other.close()
    assert [stored.record.status for stored in chest.read()] == [None, 201, 201, 201, 201]
