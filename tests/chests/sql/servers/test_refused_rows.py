"""The SQL chest on servers, if a rule of the user's refuses a row, or the store refuses them all."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

import psycopg
import pytest

from chest.chests.sql.chest import SQLChest
from chest.delivery.writer import ChestWriter, batch_write
from chest.errors import ChestUnavailable, LoginRefused, RecordRejected, SchemaMismatch
from chest.record.counters import Counters
from chest.record.record import Record
from chest.testing.records import make_record
from tests.servers.database import DatabaseServer

Execute = Callable[[str], list[tuple[Any, ...]]]
UrlOfUser = Callable[..., str]

everywhere = pytest.mark.parametrize("server", ["postgresql", "mariadb", "mysql57"], indirect=True)
on_mysql = pytest.mark.parametrize("server", ["mariadb", "mysql57"], indirect=True)
on_postgresql = pytest.mark.parametrize("server", ["postgresql"], indirect=True)

_FUNCTION = """CREATE FUNCTION rule() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN IF NEW.path = '/bad' THEN {action} END IF; RETURN NEW; END $$;"""
_BEFORE = "CREATE TRIGGER rule BEFORE INSERT ON chest_records FOR EACH ROW EXECUTE FUNCTION rule()"


def _add_postgresql_rule(execute: Execute, action: str, trigger: str = _BEFORE) -> None:
    execute(_FUNCTION.format(action=action) + trigger)


def _add_mysql_rule(execute: Execute, action: str) -> None:
    execute(
        "CREATE TRIGGER own_rule BEFORE INSERT ON chest_records FOR EACH ROW"
        f" BEGIN IF NEW.path = '/bad' THEN {action}; END IF; END"
    )


def _assert_only_the_bad_are_refused(chest: SQLChest, write: Callable[[list[Record]], object] | None = None) -> None:
    """One write of a mixed batch names them; then the others are stored."""
    good, bad = [make_record() for _ in range(40)], [make_record(path="/bad") for _ in range(2)]
    chest.write([make_record(path="/before")])
    with pytest.raises(RecordRejected) as refusal:
        (write or chest.write)([*good[:20], bad[0], *good[20:], bad[1]])
    assert set(refusal.value.ids) == {record.id for record in bad}
    assert "cannot be used" not in str(refusal.value)
    chest.write(good)
    assert {stored.record.path for stored in chest.read()} - {"/before"} == {good[0].path}


@on_postgresql
@pytest.mark.parametrize(
    "action",
    [
        "RAISE EXCEPTION 'no such plan';",
        "RAISE EXCEPTION 'no such plan' USING ERRCODE = 'CH001';",
        "RAISE EXCEPTION 'no such plan' USING ERRCODE = 'disk_full';",
        "RAISE EXCEPTION 'no such plan' USING ERRCODE = 'serialization_failure';",
        "ASSERT false, 'no such plan';",
        "PERFORM 1 / 0;",
        "INSERT INTO no_such_table VALUES (1);",
    ],
)
def test_a_row_that_a_trigger_refuses_costs_no_other_row_whatever_the_code(
    chest: SQLChest, execute: Execute, action: str
) -> None:
    chest.open()
    _add_postgresql_rule(execute, action)
    _assert_only_the_bad_are_refused(chest)


@on_postgresql
@pytest.mark.parametrize("is_copied", [False, True])
def test_a_row_that_is_refused_by_the_commit_costs_no_other_row(
    chest: SQLChest, execute: Execute, is_copied: bool
) -> None:
    chest.open()
    trigger = (
        "CREATE CONSTRAINT TRIGGER rule AFTER INSERT ON chest_records DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION rule()"
    )
    _add_postgresql_rule(execute, "RAISE EXCEPTION 'no such plan';", trigger)
    _assert_only_the_bad_are_refused(chest, chest.write_new if is_copied else chest.write)


@on_postgresql
def test_a_row_that_is_refused_by_a_deferred_foreign_key_costs_no_other_row(chest: SQLChest, execute: Execute) -> None:
    chest.open()
    execute("CREATE TABLE paths (path text PRIMARY KEY); INSERT INTO paths VALUES ('/items/1'), ('/before'), ('/')")
    execute("ALTER TABLE chest_records ADD FOREIGN KEY (path) REFERENCES paths (path) DEFERRABLE INITIALLY DEFERRED")
    _assert_only_the_bad_are_refused(chest)


@on_postgresql
def test_a_row_that_row_level_security_refuses_costs_no_other_row(
    url_of_user: UrlOfUser, chest: SQLChest, execute: Execute
) -> None:
    chest.open()
    limited = url_of_user("ALL ON chest_records", "USAGE ON SEQUENCE chest_records_seq_seq")
    execute("ALTER TABLE chest_records ENABLE ROW LEVEL SECURITY")
    execute("CREATE POLICY own ON chest_records USING (true) WITH CHECK (path <> '/bad')")
    with SQLChest(limited) as other:
        _assert_only_the_bad_are_refused(other)
        execute("DROP POLICY own ON chest_records; CREATE POLICY own ON chest_records USING (true) WITH CHECK (false)")
        with pytest.raises(LoginRefused, match="row-level security"):
            other.write([make_record(), make_record()])


@on_mysql
@pytest.mark.parametrize(
    "action",
    [
        "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no such plan'",
        "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no such plan', MYSQL_ERRNO = 1205",
        "SIGNAL SQLSTATE '40001' SET MESSAGE_TEXT = 'no such plan'",
        "INSERT INTO no_such_table VALUES (1)",
    ],
)
def test_a_row_that_a_trigger_signals_costs_no_other_row_whatever_the_code(
    chest: SQLChest, execute: Execute, action: str
) -> None:
    chest.open()
    _add_mysql_rule(execute, action)
    _assert_only_the_bad_are_refused(chest)


@everywhere
@pytest.mark.parametrize("is_first", [False, True])
def test_a_row_that_comes_alone_is_refused_if_the_store_takes_another(
    server: DatabaseServer, chest: SQLChest, execute: Execute, is_first: bool
) -> None:
    chest.open()
    if server.scheme == "postgresql":
        _add_postgresql_rule(execute, "RAISE EXCEPTION 'no such plan';")
    else:
        _add_mysql_rule(execute, "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no such plan'")
    if not is_first:
        chest.write([make_record()])
    writer = ChestWriter(chest, counters := Counters())
    assert writer.write(batch_write([make_record(path="/bad")]))
    assert counters.snapshot()["dropped"] == {"rejected": 1}
    assert "no such plan" in str(counters.snapshot()["last_error"])
    assert len(chest.read()) == (0 if is_first else 1)


@everywhere
def test_no_record_is_refused_by_a_store_that_refuses_them_all(
    server: DatabaseServer, chest: SQLChest, execute: Execute
) -> None:
    chest.write([make_record()])
    if server.scheme == "postgresql":
        _add_postgresql_rule(execute, "NULL; END IF; IF true THEN RAISE EXCEPTION 'closed';")
    else:
        _add_mysql_rule(execute, "SET @x = 1; END IF; IF TRUE THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'closed'")
    records = [make_record() for _ in range(100)]
    for _ in range(2):
        with pytest.raises(ChestUnavailable, match="closed"):
            chest.write(records)
    execute("DROP TRIGGER rule ON chest_records" if server.scheme == "postgresql" else "DROP TRIGGER own_rule")
    chest.write(records)
    assert len(chest.read()) == 101


@everywhere
def test_no_record_is_refused_for_a_column_of_the_users_that_nothing_fills(
    server: DatabaseServer, chest: SQLChest, execute: Execute
) -> None:
    chest.open()
    execute("ALTER TABLE chest_records ADD COLUMN mine VARCHAR(20) NOT NULL")
    records = [make_record() for _ in range(3)]
    with pytest.raises(SchemaMismatch, match="mine"):
        chest.write(records)
    execute("ALTER TABLE chest_records DROP COLUMN mine")
    chest.write(records)
    assert len(chest.read()) == 3


@on_postgresql
def test_no_record_is_refused_for_a_lock_that_only_its_row_waits_for(url: str, execute: Execute) -> None:
    with SQLChest(f"{url}?timeout_seconds=1") as chest:
        chest.open()
        execute("CREATE TABLE totals (n int); INSERT INTO totals VALUES (0)")
        _add_postgresql_rule(execute, "UPDATE totals SET n = n + 1;")
        records = [make_record(), make_record(path="/bad"), make_record()]
        with closing(psycopg.connect(url.partition("?")[0])) as other:
            other.execute("UPDATE totals SET n = 5")
            with pytest.raises(ChestUnavailable):
                chest.write(records)
        chest.write(records)
        assert len(chest.read()) == 3


@on_mysql
def test_no_record_is_refused_for_a_lock_that_only_its_row_waits_for_in_mysql(
    server: DatabaseServer, url: str, execute: Execute
) -> None:
    with SQLChest(f"{url}?timeout_seconds=2") as chest, SQLChest(url) as other:
        chest.open()
        execute("CREATE TABLE totals (n int) ENGINE=InnoDB")
        execute("INSERT INTO totals VALUES (0)")
        _add_mysql_rule(execute, "UPDATE totals SET n = n + 1")
        records = [make_record(), make_record(path="/bad"), make_record()]
        with other.writing.use() as connection:
            connection.exec_driver_sql("UPDATE totals SET n = 5")
            with pytest.raises(ChestUnavailable):
                chest.write(records)
        chest.write(records)
        assert len(chest.read()) == 3


@on_postgresql
def test_no_record_is_refused_for_a_sequence_that_is_behind_the_table(chest: SQLChest, execute: Execute) -> None:
    chest.write([make_record() for _ in range(300)])
    execute("SELECT setval('chest_records_seq_seq', 1)")
    records = [make_record() for _ in range(3)]
    with pytest.raises(ChestUnavailable, match="setval"):
        chest.write(records)
    execute("SELECT setval('chest_records_seq_seq', 300)")
    chest.write(records)
    assert len(chest.read()) == 303
