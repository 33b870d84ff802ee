"""The SQL chest on servers that do not answer in time: what is said of it, and by which logger."""

from __future__ import annotations

import gc
import logging

import pytest

from chest.chests.sql.chest import SQLChest
from chest.errors import ChestUnavailable
from chest.testing.records import make_record
from tests.servers.database import DatabaseServer
from tests.servers.fault_proxy import Fault, fault_proxy

everywhere = pytest.mark.parametrize("server", ["postgresql", "mariadb", "mysql57"], indirect=True)
on_postgresql = pytest.mark.parametrize("server", ["postgresql"], indirect=True)


@everywhere
def test_a_table_that_is_locked_puts_nothing_into_the_applications_log(
    server: DatabaseServer, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with SQLChest(url) as holder, SQLChest(f"{url}?timeout_seconds=0.4") as chest:
        holder.open()
        chest.write([make_record()])
        with caplog.at_level(logging.DEBUG), holder.writing.use() as connection:
            is_postgresql = server.scheme == "postgresql"
            lock = "LOCK TABLE chest_records" if is_postgresql else "LOCK TABLES chest_records WRITE"
            connection.exec_driver_sql(lock)
            for write in (chest.write, chest.write_new):
                with pytest.raises(ChestUnavailable):
                    write([make_record()])
            connection.exec_driver_sql("SELECT 1" if is_postgresql else "UNLOCK TABLES")
        gc.collect()
        assert [record.name for record in caplog.records if record.name.startswith(("sqlalchemy", "psycopg"))] == []
        chest.write([make_record()])


@on_postgresql
@pytest.mark.parametrize("is_copied", [False, True])
def test_a_server_that_falls_silent_is_told_as_such_and_by_no_other_logger(
    server: DatabaseServer, is_copied: bool, caplog: pytest.LogCaptureFixture
) -> None:
    database = server.new_database()
    with (
        fault_proxy(server.port) as proxy,
        SQLChest(server.url(database, port=proxy.port, query="timeout_seconds=0.5")) as chest,
    ):
        chest.open()
        proxy.set(Fault.BLACKHOLE)
        # After a COPY without an answer the records go the usual way, on a new connection.
        told = "connection timeout expired" if is_copied else r"\(no answer within 0\.5 s\)"
        with caplog.at_level(logging.DEBUG), pytest.raises(ChestUnavailable, match=told):
            (chest.write_new if is_copied else chest.write)([make_record()])
        chest.close()
        gc.collect()
        assert [record.name for record in caplog.records if record.name.startswith(("sqlalchemy", "psycopg"))] == []
