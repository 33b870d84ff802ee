"""The SQL chest on servers: what is stored, what is refused and how it is said, and who may write beside it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import inspect
from sqlalchemy.engine import make_url

from chest.chests.contract import Query
from chest.chests.sql.chest import SQLChest
from chest.chests.sql.dialect import database_of
from chest.chests.sql.url import SQLTarget
from chest.errors import ChestUnavailable, RecordRejected, SchemaMismatch
from chest.system.threads import is_readable
from chest.testing.records import make_record
from tests.servers.database import DatabaseServer
from tests.servers.process import free_port
from tests.support import wait_until

Execute = Callable[[str], list[tuple[Any, ...]]]


everywhere = pytest.mark.parametrize("server", ["postgresql", "mariadb", "mysql57"], indirect=True)
on_mysql = pytest.mark.parametrize("server", ["mariadb", "mysql57"], indirect=True)
on_postgresql = pytest.mark.parametrize("server", ["postgresql"], indirect=True)


@everywhere
@pytest.mark.parametrize(
    "change",
    [
        {"time_ns": 2**63},
        {"status": "nope"},
        {"path": "lone \ud800 surrogate"},
        {"path": "byte \udcff of a path"},
        {"request_id": None},
        {"variables": {"a": object()}},
        {"attributes": {"a": "\udfff"}},
        {"variables": {"a": 2**70}},
    ],
)
def test_a_record_that_cannot_be_held_is_named_and_nothing_of_its_batch_is_stored(
    chest: SQLChest, change: dict[str, Any]
) -> None:
    good = [make_record() for _ in range(3)]
    bad = make_record(**change)
    with pytest.raises(RecordRejected) as refusal:
        chest.write([good[0], bad, *good[1:]])
    assert refusal.value.ids == (bad.id,)
    assert chest.read() == []
    chest.write(good)
    assert [stored.record for stored in chest.read()] == good


@on_postgresql
@pytest.mark.parametrize(
    "change", [{"path": "a\0b"}, {"route": "a\0b"}, {"variables": {"a": "\0"}}, {"variables": {"\0": 1}}]
)
def test_a_nul_is_refused_if_the_database_has_no_place_for_it(chest: SQLChest, change: dict[str, Any]) -> None:
    bad = make_record(**change)
    with pytest.raises(RecordRejected) as refusal:
        chest.write([make_record(), bad])
    assert refusal.value.ids == (bad.id,)
    assert chest.read(Query(route="a\0b")) == []


@on_mysql
def test_what_is_too_long_is_refused_also_by_a_server_that_would_cut_it(
    server: DatabaseServer, chest: SQLChest, execute: Execute
) -> None:
    ((mode,),) = execute("SELECT @@GLOBAL.sql_mode")
    execute("SET GLOBAL sql_mode = ''")
    try:
        bad = make_record(request_id="x" * 256)
        with pytest.raises(RecordRejected, match="Data too long for column 'request_id'") as refusal:
            chest.write([make_record(), bad])
        assert refusal.value.ids == (bad.id,)
    finally:
        execute(f"SET GLOBAL sql_mode = '{mode}'")


@on_mysql
def test_a_batch_is_sent_in_packets_that_the_server_takes_and_a_record_that_fits_none_is_refused(
    chest: SQLChest, execute: Execute
) -> None:
    ((size,),) = execute("SELECT @@GLOBAL.max_allowed_packet")
    execute(f"SET GLOBAL max_allowed_packet = {256 * 1024}")
    try:
        records = [make_record(variables={"text": f"{number}" + "'" * 10_000}) for number in range(100)]
        chest.write(records)
        assert [stored.record for stored in chest.read()] == records
        bad = make_record(path="'" * 140_000)
        with pytest.raises(RecordRejected, match="max_allowed_packet is 262144") as refusal:
            chest.write([make_record(), bad])
        assert refusal.value.ids == (bad.id,)
    finally:
        execute(f"SET GLOBAL max_allowed_packet = {size}")


@everywhere
def test_only_a_record_that_comes_again_is_passed_over_and_no_other_rule_is(chest: SQLChest, execute: Execute) -> None:
    first = make_record(request_id="one")
    chest.write([first])
    execute("CREATE UNIQUE INDEX own ON chest_records (request_id)")
    chest.write([first, make_record(request_id="two")])
    bad = make_record(request_id="two")
    with pytest.raises(RecordRejected) as refusal:
        chest.write([make_record(request_id="three"), bad])
    assert refusal.value.ids == (bad.id,)
    assert [stored.record.request_id for stored in chest.read()] == ["one", "two"]


@pytest.mark.parametrize("server", ["postgresql", "mariadb"], indirect=True)  # MySQL 5.7 reads a CHECK and forgets it
def test_an_error_shows_neither_values_nor_secrets(chest: SQLChest, execute: Execute) -> None:
    chest.open()
    execute("ALTER TABLE chest_records ADD CONSTRAINT status_is_known CHECK (status < 600)")
    with pytest.raises(RecordRejected, match="status_is_known") as refusal:
        chest.write([make_record(status=700, variables={"password": "hunter2"})])
    shown: list[str] = []
    error: BaseException | None = refusal.value
    while error is not None:
        shown += [str(error), repr(error)]
        error = error.__cause__
    assert "hunter2" not in "".join(shown)


@everywhere
def test_a_writer_waits_for_its_turn_and_not_for_longer_than_said(server: DatabaseServer, url: str) -> None:
    # Rows have their numbers before they can be seen: beside an open transaction another would show higher ones first.
    database = database_of(SQLTarget.of(url))
    with SQLChest(url) as first, SQLChest(f"{url}?timeout_seconds=1") as second:
        first.open()
        second.open()
        with first.writing.use() as connection, database.exclusive_write(connection, "chest_records"):
            with pytest.raises(ChestUnavailable):
                second.write([make_record()])
            connection.commit()
        second.write([make_record()])


@everywhere
def test_who_follows_sees_every_record_whoever_writes_at_once(server: DatabaseServer, url: str) -> None:
    written: list[str] = []

    def write(name: str) -> None:
        with SQLChest(url) as chest:
            for batch in range(15):
                records = [make_record(request_id=f"{name}-{batch}-{place}") for place in range(30)]
                chest.write(records)
                written.extend(record.request_id for record in records)

    with SQLChest(url) as reader:
        reader.check()
        SQLChest(url).open()
        seen: list[str] = []
        writers = [threading.Thread(target=write, args=(name,)) for name in ("a", "b", "c")]
        for writer in writers:
            writer.start()
        cursor, is_over = None, False
        while not is_over:
            are_done = not any(writer.is_alive() for writer in writers)
            page = reader.read(after=cursor, limit=50)
            seen += [stored.record.request_id for stored in page]
            cursor = page[-1].cursor if page else cursor
            is_over = are_done and not page
    assert sorted(seen) == sorted(written)
    assert len(seen) == 3 * 15 * 30


@everywhere
def test_a_session_that_the_server_ended_is_begun_anew_unnoticed(
    server: DatabaseServer, chest: SQLChest, execute: Execute
) -> None:
    chest.write([make_record()])
    with chest.writing.use() as connection:
        is_postgresql = server.scheme == "postgresql"
        pid = connection.exec_driver_sql(
            f"SELECT {'pg_backend_pid()' if is_postgresql else 'CONNECTION_ID()'}"
        ).scalar()
        driver: Any = connection.connection.driver_connection
        descriptor = driver.fileno() if is_postgresql else driver._sock.fileno()
    execute(f"SELECT pg_terminate_backend({pid})" if is_postgresql else f"KILL {pid}")
    wait_until(lambda: is_readable(descriptor))
    chest.write([make_record()])
    assert len(chest.read()) == 2


@everywhere
def test_a_table_that_does_not_fit_is_refused_with_what_differs(chest: SQLChest, execute: Execute) -> None:
    chest.open()
    chest.close()
    execute("ALTER TABLE chest_records DROP COLUMN host")
    for act in (chest.open, chest.check, chest.read, lambda: chest.write([make_record()])):
        with pytest.raises(SchemaMismatch, match="column host is missing"):
            act()


@everywhere
def test_columns_of_ones_own_are_left_alone(chest: SQLChest, execute: Execute) -> None:
    chest.open()
    chest.close()
    execute("ALTER TABLE chest_records ADD COLUMN note VARCHAR(20) DEFAULT 'mine'")
    record = make_record()
    chest.write([record])
    chest.check()
    assert [stored.record for stored in chest.read()] == [record]
    assert execute("SELECT note FROM chest_records") == [("mine",)]


@everywhere
def test_checking_and_reading_make_nothing(chest: SQLChest, execute: Execute) -> None:
    chest.check()
    with pytest.raises(ChestUnavailable, match="no table chest_records"):
        chest.read()
    here = "current_schema()" if chest.name.startswith("postgresql") else "DATABASE()"
    assert execute(f"SELECT table_name FROM information_schema.tables WHERE table_schema = {here}") == []


@everywhere
def test_a_table_has_an_index_on_time_and_one_on_request_id_when_asked_for(url: str, execute: Execute) -> None:
    with SQLChest(url) as chest, chest.writing.use() as connection:
        assert _indexed(inspect(connection)) == {"time_ns", "id"}
    with SQLChest(f"{url}?index=request_id") as chest, chest.writing.use() as connection:
        assert _indexed(inspect(connection)) == {"time_ns", "id", "request_id"}


def _indexed(inspector: Any) -> set[str]:
    return {column for index in inspector.get_indexes("chest_records") for column in index["column_names"]}


@on_postgresql
def test_the_time_of_the_request_stands_beside_its_nanoseconds_and_variables_in_a_view(
    chest: SQLChest, execute: Execute
) -> None:
    chest.write(
        [make_record(request_id="r", time_ns=1_700_000_000_123_456_789, variables={"user": "7", "b": True, "x": None})]
    )
    moment = "2023-11-14 22:13:20.123457+00"
    assert execute("SELECT (recorded_at AT TIME ZONE 'UTC')::text || '+00' FROM chest_records") == [(moment,)]
    assert execute("SELECT request_id, name, value, (recorded_at AT TIME ZONE 'UTC')::text || '+00' FROM chest_variables ORDER BY name") == [
        ("r", "b", "true", moment),
        ("r", "user", "7", moment),
        ("r", "x", None, moment),
    ]  # fmt: skip


@pytest.mark.parametrize("server", ["mariadb", "mysql57"], indirect=True)
def test_the_time_of_the_request_stands_beside_its_nanoseconds(chest: SQLChest, execute: Execute) -> None:
    chest.write([make_record(time_ns=1_700_000_000_123_456_789)])
    assert execute("SELECT CAST(recorded_at AS CHAR) FROM chest_records") == [("2023-11-14 22:13:20.123456",)]


OLDER_VIEWS = {
    "postgresql": "SELECT r.request_id, v.key, v.value, to_timestamp(r.time_ns / 1e9::float8)"
    " FROM chest_records AS r, jsonb_each_text(r.variables) AS v",
    "mariadb": "SELECT r.request_id, 'a', '1', TIMESTAMPADD(MICROSECOND, r.time_ns DIV 1000, '1970-01-01 00:00:00')"
    " FROM chest_records AS r",
}
"""As it was made before it had ``id``, or near that."""


@pytest.mark.parametrize("server", ["postgresql", "mariadb"], indirect=True)
def test_the_view_tells_requests_apart_and_is_made_anew_if_an_earlier_release_made_it(
    server: DatabaseServer, url: str, chest: SQLChest, execute: Execute, request: pytest.FixtureRequest
) -> None:
    records = [make_record(request_id="a client's", variables={"user": number}) for number in (7, 8)]
    chest.write(records)
    joined = "SELECT r.id, v.value FROM chest_records AS r JOIN chest_variables AS v USING (id) ORDER BY r.seq"
    assert execute(joined) == [(records[0].id, "7"), (records[1].id, "8")]
    chest.close()
    execute("DROP VIEW chest_variables")
    kind = "postgresql" if url.startswith("postgresql") else "mariadb"
    execute(f"CREATE VIEW chest_variables (request_id, name, value, recorded_at) AS {OLDER_VIEWS[kind]}")
    with SQLChest(url) as other:
        other.write([make_record(variables={})])
    assert execute(joined) == [(records[0].id, "7"), (records[1].id, "8")]


@pytest.mark.parametrize("server", ["mariadb"], indirect=True)
def test_variables_stand_in_a_view_if_the_server_can(chest: SQLChest, execute: Execute) -> None:
    chest.write(
        [
            make_record(
                request_id="r", time_ns=1_700_000_000_123_456_789, variables={'u"\\': "null", "b": True, "x": None}
            )
        ]
    )
    assert execute("SELECT request_id, name, value, CAST(recorded_at AS CHAR) FROM chest_variables ORDER BY name") == [
        ("r", "b", "true", "2023-11-14 22:13:20.123456"),
        ("r", 'u"\\', "null", "2023-11-14 22:13:20.123456"),
        ("r", "x", None, "2023-11-14 22:13:20.123456"),
    ]


@everywhere
def test_a_query_compares_texts_letter_by_letter_and_space_by_space(chest: SQLChest) -> None:
    chest.write([make_record(service=name) for name in ("shop", "Shop", "shop ", "shöp")])
    assert [stored.record.service for stored in chest.read(Query(service="shop"))] == ["shop"]


@everywhere
def test_processes_that_open_at_once_make_one_table(server: DatabaseServer, url: str) -> None:
    errors: list[BaseException] = []

    def begin() -> None:
        try:
            with SQLChest(url) as chest:
                ready.wait(60)
                chest.write([make_record()])
        except BaseException as error:
            errors.append(error)

    ready = threading.Barrier(4)
    threads = [threading.Thread(target=begin) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with SQLChest(url) as chest:
        assert len(chest.read()) == 4


def test_every_server_is_named_in_the_url_as_people_write_it(
    postgresql: DatabaseServer, mariadb: DatabaseServer
) -> None:
    for server, schemes in (
        (postgresql, ("postgres", "postgresql", "postgresql+psycopg")),
        (mariadb, ("mysql", "mariadb", "mysql+pymysql")),
    ):
        url = server.new_url()
        for number, scheme in enumerate(schemes, start=1):
            with SQLChest(make_url(url).set(drivername=scheme).render_as_string(hide_password=False)) as chest:
                chest.write([make_record()])
                assert len(chest.read()) == number


def test_postgresql_may_be_named_by_several_hosts_of_which_one_answers(postgresql: DatabaseServer) -> None:
    url = make_url(postgresql.new_url())
    ports = f"{free_port()},{url.port}"
    several = url.set(host=None, port=None).update_query_dict(
        {"host": "127.0.0.1,127.0.0.1", "port": ports, "target_session_attrs": "read-write"}
    )
    with SQLChest(several.render_as_string(hide_password=False)) as chest:
        chest.write([make_record()])
        assert len(chest.read()) == 1
