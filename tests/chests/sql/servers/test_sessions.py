"""The SQL chest on servers whose administrator gave a role, a database or a session settings of its own."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from pymysql.connections import Connection
from sqlalchemy import event
from sqlalchemy.engine import Engine, make_url

from chest.chests.sql.chest import SQLChest
from chest.chests.sql.dialect import database_of
from chest.chests.sql.url import SQLTarget
from chest.errors import ChestUnavailable
from chest.query import name_of, parse
from chest.testing.records import make_record
from tests.servers.database import DatabaseServer

Execute = Callable[[str], list[tuple[Any, ...]]]
UrlOfUser = Callable[..., str]

on_mysql = pytest.mark.parametrize("server", ["mariadb", "mysql57"], indirect=True)
on_postgresql = pytest.mark.parametrize("server", ["postgresql"], indirect=True)


@on_postgresql
@pytest.mark.parametrize(
    "setting",
    [
        "datestyle = 'German'",
        "datestyle = 'SQL, DMY'",
        "datestyle = 'Postgres, MDY'",
        "array_nulls = off",
        "quote_all_identifiers = on",
        "intervalstyle = 'sql_standard'",
        "timezone = 'Asia/Kathmandu'",
        "timezone = '<+03>-03'",
        "bytea_output = 'escape'",
        "standard_conforming_strings = off",
        "extra_float_digits = 0",
        "default_transaction_isolation = 'serializable'",
        "transform_null_equals = on",
    ],
)
def test_what_a_database_sets_for_its_sessions_changes_no_record(
    chest: SQLChest, execute: Execute, setting: str, caplog: pytest.LogCaptureFixture
) -> None:
    ((database,),) = execute("SELECT current_database()")
    execute(f"ALTER DATABASE {database} SET {setting}")
    records = [
        make_record(route=None, status=None, error=None),
        make_record(variables={"a": [None, "NULL", "\\"]}),
        make_record(path="NULL"),
    ]
    chest.write(records)
    chest.check()
    stored = chest.read()
    assert [each.record for each in stored] == records
    assert stored[0].stored_at.utcoffset() is not None
    coordination = chest.coordination()
    coordination.compare_and_set("n", "text", None)
    with coordination.lock("n") as is_ours:
        assert is_ours
    retention = chest.retention()
    assert retention is not None
    assert retention.remove_oldest(1) == 1
    assert caplog.records == []


@on_postgresql
def test_what_is_pinned_ends_with_the_transaction(chest: SQLChest, execute: Execute) -> None:
    ((database,),) = execute("SELECT current_database()")
    execute(f"ALTER DATABASE {database} SET datestyle = 'German, DMY'")
    with chest.writing.use() as connection:
        assert connection.exec_driver_sql("SHOW datestyle").scalar_one() == "ISO, DMY"
        connection.commit()
        driver: Any = connection.connection.driver_connection
        driver.autocommit = True
        assert driver.execute("SHOW datestyle").fetchone() == ("German, DMY",)
        driver.autocommit = False


@on_postgresql
def test_writers_with_another_search_path_take_turns_on_the_same_table(
    url: str, url_of_user: UrlOfUser, execute: Execute
) -> None:
    database = database_of(SQLTarget.of(url))
    with SQLChest(f"{url}?timeout_seconds=10") as chest:
        chest.open()
        other_url = url_of_user("ALL ON chest_records", "USAGE ON SEQUENCE chest_records_seq_seq")
        user = make_url(other_url).username
        execute(f"CREATE SCHEMA {user} AUTHORIZATION {user}")
        with SQLChest(f"{other_url}?timeout_seconds=0.5") as other:
            other.write([make_record()])
            with chest.writing.use() as connection, database.exclusive_write(connection, "chest_records"):
                with pytest.raises(ChestUnavailable):
                    other.write([make_record()])
                connection.commit()
            other.write([make_record()])
        assert len(chest.read()) == 2


@on_mysql
def test_a_lock_of_one_database_is_not_a_lock_of_another_on_the_same_server(server: DatabaseServer) -> None:
    with SQLChest(server.new_url()) as one, SQLChest(server.new_url()) as other:
        with one.coordination().lock("export") as is_ours, other.coordination().lock("export") as is_the_others:
            assert is_ours
            assert is_the_others
        with one.coordination().lock("export") as is_ours, one.coordination().lock("export") as is_another:
            assert is_ours
            assert not is_another


@on_mysql
def test_no_function_is_asked_for_that_mysql_9_lacks(
    server: DatabaseServer, chest: SQLChest, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements: list[str] = []
    query = Connection.query

    def listen(connection: Connection, sql: Any, *more: Any, **options: Any) -> Any:
        statements.append(sql.decode() if isinstance(sql, bytes | bytearray) else sql)
        return query(connection, sql, *more, **options)

    monkeypatch.setattr(Connection, "query", listen)
    chest.write([make_record()])
    chest.check()
    chest.read()
    asked = " ".join(statements).upper()
    assert "GET_LOCK" in asked
    assert [name for name in ("MD5(", "SHA1(", "SHA(", "PASSWORD(", "FOUND_ROWS") if name in asked] == []


@on_mysql
def test_no_statement_asks_the_server_for_a_hash(chest: SQLChest) -> None:
    """MySQL 9 has no ``MD5()`` and no ``SHA1()`` any more."""
    statements: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        statements.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        records = [make_record(), make_record(outcome="killed")]
        chest.check()
        chest.write(records)
        chest.write([records[1]._replace(outcome="ok")])
        chest.read(parse("plan=premium status=200"))
        chest.cube(by=[name_of("plan")])
        chest.sample(parse("plan=premium"))
        indexes, coordination, retention = chest.variable_indexes(), chest.coordination(), chest.retention()
        assert indexes is not None
        indexes.make(name_of("plan"))
        indexes.drop(name_of("plan"))
        coordination.compare_and_set("n", "text", None)
        with coordination.lock("n") as is_ours:
            assert is_ours
        retention.remove_oldest(1)
        for each in (indexes, coordination, retention):
            each.close()
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    locks = [statement for statement in statements if "GET_LOCK" in statement]
    assert len({re.sub(r"GET_LOCK\((%s|'chest:[0-9a-f]{32}'), \d+\)", "", lock) for lock in locks}) == 1, locks
    assert len(locks) >= 3
    assert not [statement for statement in statements if re.search(r"(?i)\b(md5|sha1?|password)\s*\(", statement)]
