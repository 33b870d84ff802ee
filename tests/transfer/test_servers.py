"""Transfers and retention on real database servers: what commits late, what comes again, what is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine, insert
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.pool import NullPool

from chest.chests.memory import MemoryChest
from chest.chests.sql.chest import SQLChest
from chest.chests.sql.dialect import database_of
from chest.chests.sql.schema import record_table
from chest.chests.sql.sqlite.chest import SQLiteChest
from chest.chests.sql.url import SQLTarget
from chest.record.record import Record
from chest.transfer import Retention, Transfer
from tests.servers.database import DatabaseServer
from tests.support import make_record
from tests.transfer.conftest import LogChest

SERVERS = ["postgresql", "mariadb"]


@pytest.fixture(params=SERVERS)
def url(request: pytest.FixtureRequest) -> str:
    server: DatabaseServer = request.getfixturevalue(request.param)
    return server.new_url()


@pytest.fixture
def chest(url: str) -> Iterator[SQLChest]:
    with SQLChest(url) as chest:
        yield chest


@pytest.fixture
def theirs(url: str, chest: SQLChest) -> Iterator[Connection]:
    """A transaction of another program, which takes no turns with Chest."""
    chest.open()
    address = make_url(url)
    driver = "postgresql+psycopg" if address.get_backend_name() == "postgresql" else "mysql+pymysql"
    with create_engine(address.set(drivername=driver), poolclass=NullPool).connect() as connection:
        yield connection


def _insert(connection: Connection, url: str, record: Record) -> None:
    table = record_table("chest_records", database_of(SQLTarget.of(url)), has_request_id_index=False)
    connection.execute(insert(table).values(**record._asdict(), stored_at=datetime.now(UTC)))


def test_what_another_program_commits_late_is_found_and_nothing_is_sent_twice(
    url: str, chest: SQLChest, theirs: Connection, log: LogChest
) -> None:
    _insert(theirs, url, make_record(path="late"))
    chest.write([make_record(path="early")])
    Transfer(chest, log).run()
    assert log.paths == ["early"]
    theirs.commit()
    Transfer(chest, log).run()
    Transfer(chest, log).run()
    assert log.paths == ["early", "late"]


def test_what_comes_again_is_there_once_and_what_is_refused_is_told(chest: SQLChest, tmp_path: Path) -> None:
    source, rejected = MemoryChest(), list[str]()
    source.write([make_record(path=str(place)) for place in range(10)])
    chest.write([source.records[3]])
    source.write([make_record(path="bad\0")] if chest.name.startswith("postgresql") else [])
    transfer = Transfer(source, chest, directory=tmp_path, reject=lambda record, _: rejected.append(record.path))
    transfer.run()
    assert sorted(stored.record.path for stored in chest.read()) == [str(place) for place in range(10)]
    assert rejected == (["bad\0"] if chest.name.startswith("postgresql") else [])
    transfer.begin_anew()
    transfer.run()
    assert len(chest.read()) == 10


def test_a_batch_that_is_copied_begins_what_is_to_be_done_beside(chest: SQLChest) -> None:
    begun: list[int] = []
    records = [make_record() for _ in range(3)]
    chest.write_new(records, lambda: begun.append(1))
    assert begun == [1]
    chest.write_new([*records, make_record()], lambda: begun.append(1))
    chest.write_new([], lambda: begun.append(1))
    assert len(begun) >= 2
    assert len(chest.read()) == 4


def test_what_is_not_json_in_the_source_is_refused_and_marked_and_the_others_arrive(
    chest: SQLChest, source: SQLChest, execute: Callable[[str], None]
) -> None:
    source.write([make_record(path=str(place), variables={"place": place}) for place in range(10)])
    execute("UPDATE chest_records SET variables = '{' WHERE path = '3'")
    rejected: list[Record] = []
    Transfer(source, chest, reject=lambda record, _: rejected.append(record)).run()
    found = {stored.record.path: stored.record.variables for stored in chest.read()}
    assert found == {str(place): {"place": place} for place in range(10) if place != 3}
    assert [(type(record), record.path, record.variables) for record in rejected] == [(Record, "3", {})]
    assert rejected[0].attributes["chest.sanitized"] == {"variables": "not_decodable"}


def test_retention_keeps_the_bounds(chest: SQLChest) -> None:
    now = datetime.now(UTC).timestamp()
    ages = [40, 1, 2, 30, 3]
    chest.write([make_record(path=str(age), time_ns=int((now - age * 86_400) * 1e9)) for age in ages])
    assert Retention(chest, max_age=timedelta(days=20), chunk_records=1).run().removed == 2
    assert Retention(chest, max_rows=2).run().removed == 1
    assert [stored.record.path for stored in chest.read()] == ["2", "3"]
    chest.write([make_record(variables={"text": "x" * 4000}) for _ in range(1000)])
    result = Retention(chest, max_bytes=2**20).run()
    assert 600 < result.removed < 900
    assert result.reclaimed_bytes == 0


def test_what_took_the_place_of_a_note_that_was_sent_is_sent_too_and_takes_its_place(
    chest: SQLChest, tmp_path: Path
) -> None:
    records = [make_record(path=str(place)) for place in range(3)]
    chest.write([record._replace(outcome="killed") for record in records])
    with SQLiteChest(f"sqlite:///{tmp_path / 'target.sqlite3'}") as target:
        transfer = Transfer(chest, target)
        assert transfer.run().written == 3
        chest.write(records[:2])
        assert transfer.run().written == 2
        assert [stored.record.outcome for stored in target.read()] == ["killed", "ok", "ok"]


def test_a_record_that_is_transferred_takes_the_place_of_the_note_in_the_target(
    chest: SQLChest, tmp_path: Path
) -> None:
    records = [make_record(path=str(place)) for place in range(10)]
    notes = [record._replace(outcome="killed") for record in records]
    chest.write([*records[8:], *notes[:3]])
    with SQLiteChest(f"sqlite:///{tmp_path / 'source.sqlite3'}") as source:
        source.write([*records[:8], *notes[8:]])
        Transfer(source, chest).run()
    assert sorted(stored.record for stored in chest.read()) == records
