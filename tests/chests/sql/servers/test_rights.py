"""The SQL chest on servers, for users that may do little: which rights suffice, and that a missing one is told before a write."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from chest.chests.sql.chest import SQLChest
from chest.errors import ChestUnavailable, LoginRefused, RecordRejected, SchemaMismatch
from chest.testing.records import make_record
from tests.servers.database import DatabaseServer

Execute = Callable[[str], list[tuple[Any, ...]]]
UrlOfUser = Callable[..., str]

everywhere = pytest.mark.parametrize("server", ["postgresql", "mariadb", "mysql57"], indirect=True)
on_mysql = pytest.mark.parametrize("server", ["mariadb", "mysql57"], indirect=True)
on_postgresql = pytest.mark.parametrize("server", ["postgresql"], indirect=True)

_SEQUENCE = "USAGE ON SEQUENCE chest_records_seq_seq"


def _refuses_to_be_written(url: str, kind: type[ChestUnavailable], told: str) -> None:
    """At the start, at each write and by the check, and always with the same kind."""
    with SQLChest(url) as chest:
        for act in (chest.check, chest.open, lambda: chest.write([make_record()]), chest.check):
            with pytest.raises(kind, match=told):
                act()


def _is_written(url: str) -> None:
    """Also records that come again, alone and among others."""
    records = [make_record() for _ in range(20)]
    with SQLChest(url) as chest:
        chest.check()
        chest.open()
        chest.write(records[:10])
        chest.write([*records[:5], *records[10:]])
        chest.write(records)
        chest.write(records[:1])
        chest.check()


@on_postgresql
@pytest.mark.parametrize(
    ("rights", "told"),
    [
        (("SELECT ON chest_records", _SEQUENCE), "permission denied for table chest_records"),
        (("INSERT ON chest_records",), "USAGE on the sequence"),
        (("INSERT (id, path) ON chest_records", _SEQUENCE), "permission denied for table chest_records"),
        ((), "USAGE on the sequence"),
    ],
)
def test_a_user_who_may_not_write_in_postgresql_is_told_so(
    chest: SQLChest, url_of_user: UrlOfUser, rights: tuple[str, ...], told: str
) -> None:
    chest.open()
    _refuses_to_be_written(url_of_user(*rights), LoginRefused, told)


@on_mysql
@pytest.mark.parametrize("rights", [("SELECT ON chest_records",), ("SELECT, INSERT ON chest_records",)])
def test_a_user_who_may_not_write_in_mysql_is_told_so(
    chest: SQLChest, url_of_user: UrlOfUser, rights: tuple[str, ...]
) -> None:
    chest.open()
    _refuses_to_be_written(url_of_user(*rights), LoginRefused, "denied to user")


@everywhere
def test_a_user_who_may_make_no_table_is_told_so(server: DatabaseServer, url: str, url_of_user: UrlOfUser) -> None:
    database = make_url(url).database
    right = f"CONNECT ON DATABASE {database}" if server.scheme == "postgresql" else f"SELECT ON {database}.*"
    told = (
        "CREATE on a schema|permission denied for schema" if server.scheme == "postgresql" else "CREATE command denied"
    )
    _refuses_to_be_written(url_of_user(right), LoginRefused, told)


@everywhere
def test_the_rights_that_the_documentation_names_suffice(
    server: DatabaseServer, chest: SQLChest, url_of_user: UrlOfUser
) -> None:
    chest.open()
    if server.scheme == "postgresql":
        rights = ["INSERT ON chest_records", _SEQUENCE]
    else:
        rights = ["SELECT, INSERT, UPDATE ON chest_records"]
    _is_written(url_of_user(*rights))
    assert len(chest.read()) == 20


@pytest.mark.parametrize(
    ("server", "rights"),
    [
        ("postgresql", ["INSERT ON chest_records", _SEQUENCE]),
        ("postgresql", ["SELECT, INSERT ON chest_records", _SEQUENCE]),
        ("mariadb", ["SELECT, INSERT, UPDATE ON chest_records"]),
        ("mysql57", ["SELECT, INSERT, UPDATE ON chest_records"]),
    ],
    indirect=["server"],
)
def test_without_the_right_to_delete_the_note_of_a_killed_request_stays_and_the_others_are_stored(
    chest: SQLChest, url_of_user: UrlOfUser, rights: list[str]
) -> None:
    first, second = make_record(), make_record()
    note = first._replace(outcome="killed")
    chest.write([note])
    with SQLChest(url_of_user(*rights)) as limited:
        limited.write([second, first])
        limited.write([first])
        limited.write_new([first, second])
    assert [stored.record for stored in chest.read()] == [note, second]


@everywhere
def test_a_trigger_of_the_users_that_forbids_to_delete_keeps_the_note_of_a_killed_request(
    server: DatabaseServer, chest: SQLChest, execute: Execute
) -> None:
    first, second = make_record(), make_record()
    note = first._replace(outcome="killed")
    chest.write([note])
    if server.scheme == "postgresql":
        execute(
            "CREATE FUNCTION forbid() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;"
            "CREATE TRIGGER forbid BEFORE DELETE ON chest_records FOR EACH ROW EXECUTE FUNCTION forbid()"
        )
    else:
        execute("CREATE TRIGGER forbid BEFORE DELETE ON chest_records FOR EACH ROW SIGNAL SQLSTATE '45000'")
    chest.write([second, first])
    assert [stored.record for stored in chest.read()] == [note, second]


@everywhere
def test_a_user_who_may_make_the_table_needs_nothing_else(
    server: DatabaseServer, url: str, url_of_user: UrlOfUser
) -> None:
    database = make_url(url).database
    if server.scheme == "postgresql":
        rights = ["CREATE ON SCHEMA public"]
    else:
        rights = [f"CREATE, INDEX, SELECT, INSERT, UPDATE ON {database}.*"]
    _is_written(url_of_user(*rights))


@on_postgresql
def test_without_the_right_to_read_another_key_of_the_users_still_refuses(
    chest: SQLChest, url_of_user: UrlOfUser, execute: Execute
) -> None:
    chest.open()
    execute("CREATE UNIQUE INDEX own ON chest_records (request_id)")
    with SQLChest(url_of_user("INSERT ON chest_records", _SEQUENCE)) as limited:
        first = make_record(request_id="one")
        limited.write([first])
        limited.write([first, make_record(request_id="two")])
        bad = make_record(request_id="two")
        with pytest.raises(RecordRejected) as refusal:
            limited.write([make_record(request_id="three"), bad])
        assert refusal.value.ids == (bad.id,)


@everywhere
def test_a_server_that_is_read_only_is_told_before_a_write(
    server: DatabaseServer, chest: SQLChest, url: str, url_of_user: UrlOfUser, execute: Execute
) -> None:
    chest.open()
    if server.scheme == "postgresql":
        limited = url_of_user("ALL ON chest_records", _SEQUENCE)
        execute(f"ALTER ROLE {make_url(limited).username} SET default_transaction_read_only = on")
        _refuses_to_be_written(limited, ChestUnavailable, "read-only")
        return
    limited = url_of_user(f"ALL ON {make_url(url).database}.*")
    for setting in ("read_only", "tx_read_only"):
        with _turned_on(execute, setting):
            _refuses_to_be_written(limited, ChestUnavailable, "read-only")


@contextmanager
def _turned_on(execute: Execute, setting: str) -> Iterator[None]:
    execute(f"SET GLOBAL {setting} = 1")
    try:
        yield
    finally:
        execute(f"SET GLOBAL {setting} = 0")


@everywhere
def test_who_may_only_read_reads(
    server: DatabaseServer, chest: SQLChest, url_of_user: UrlOfUser, execute: Execute
) -> None:
    record = make_record()
    chest.write([record])
    execute("ALTER TABLE chest_records ADD COLUMN mine VARCHAR(20) DEFAULT 'x' NOT NULL")
    execute("ALTER TABLE chest_records ALTER COLUMN mine DROP DEFAULT")
    with SQLChest(url_of_user("SELECT ON chest_records")) as reader:
        assert [stored.record for stored in reader.read()] == [record]


# -- columns of the user's own -------------------------------------------------------------------------------------


@on_postgresql
@pytest.mark.parametrize(
    "column",
    [
        "own bigint GENERATED ALWAYS AS IDENTITY",
        "own bigint GENERATED BY DEFAULT AS IDENTITY",
        "own bigint NOT NULL GENERATED ALWAYS AS (time_ns / 1000) STORED",
        "own text NOT NULL DEFAULT current_user",
        "own serial",
    ],
)
def test_a_column_of_the_users_that_fills_itself_is_left_alone(chest: SQLChest, execute: Execute, column: str) -> None:
    chest.open()
    chest.close()
    execute(f"ALTER TABLE chest_records ADD COLUMN {column}")
    chest.check()
    chest.write([make_record(), make_record()])
    assert execute("SELECT count(own) FROM chest_records") == [(2,)]


@everywhere
def test_a_column_that_a_trigger_of_the_users_fills_is_left_alone(
    server: DatabaseServer, chest: SQLChest, execute: Execute
) -> None:
    chest.open()
    chest.close()
    execute("ALTER TABLE chest_records ADD COLUMN own VARCHAR(20) NOT NULL")
    for act in (chest.check, chest.open, lambda: chest.write([make_record()])):
        with pytest.raises(SchemaMismatch, match="column own is not Chest's and is NOT NULL without a default"):
            act()
    if server.scheme == "postgresql":
        execute(
            "CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.own = 'x'; RETURN NEW; END $$;"
            "CREATE TRIGGER fill BEFORE INSERT ON chest_records FOR EACH ROW EXECUTE FUNCTION fill()"
        )
    else:
        execute("CREATE TRIGGER fill BEFORE INSERT ON chest_records FOR EACH ROW SET NEW.own = 'x'")
    chest.check()
    assert execute("SELECT count(*) FROM chest_records") == [(0,)]
    chest.write([make_record(), make_record()])
    assert execute("SELECT own FROM chest_records") == [("x",), ("x",)]
