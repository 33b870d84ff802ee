"""A table of PostgreSQL that is partitioned by ``id``: the contract, ``chest partition``, and what retention drops."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import event
from sqlalchemy.engine import Engine

from chest.chests.sql.chest import SQLChest
from chest.chests.sql.dialect import database_of
from chest.chests.sql.url import SQLTarget
from chest.cli.main import commands
from chest.errors import ChestUnavailable, SchemaMismatch
from chest.query import parse
from chest.record.record import Record
from chest.record.record_id import first_id
from chest.transfer import Retention
from tests.chests.encoded_contract import EncodedContract
from tests.documents import block_of, chest_commands
from tests.servers.database import DatabaseServer
from tests.servers.postgresql import partitioned
from tests.support import make_record

Execute = Callable[[str], list[tuple[Any, ...]]]
DAY_NS = 86_400 * 10**9

pytestmark = pytest.mark.parametrize("server", ["postgresql"], indirect=True)


class TestContract(EncodedContract):
    # What takes processes is no other on such a table.
    test_two_processes_may_write_at_once = None
    test_what_is_said_to_be_written_is_there_also_where_a_file_may_not_grow = None

    @pytest.fixture
    def chest(self, chest_url: str) -> Iterator[SQLChest]:
        with SQLChest(chest_url) as chest:
            yield chest

    @pytest.fixture
    def chest_url(self, server: DatabaseServer) -> str:
        return partitioned(server.new_url("table=select&index=request_id"))


def _aged(*days: float, **fields: Any) -> list[Record]:
    """Records of so many days ago, at the middle of the day."""
    noon_ns = time.time_ns() // DAY_NS * DAY_NS + DAY_NS // 2
    return [make_record(path=str(day), time_ns=noon_ns - int(day * DAY_NS), **fields) for day in days]


def _paths(chest: SQLChest) -> list[str]:
    return [stored.record.path for stored in chest.read(limit=100_000)]


def _places(execute: Execute) -> dict[str, str]:
    """In which partition the record of each path is: how many days ago, or default."""
    today = datetime.now(UTC).date()
    names = {f"chest_records_{today - timedelta(days=day):%Y%m%d}": str(day) for day in range(-9, 9)}
    found = execute("SELECT path, tableoid::regclass::text FROM chest_records")
    return {path: names.get(table, table.removeprefix("chest_records_")) for path, table in found}


def _run(*arguments: str) -> Result:
    result = CliRunner().invoke(commands, arguments, prog_name="chest")
    assert result.exit_code == 0, result.output
    return result


# -- where records go -----------------------------------------------------------------------------------------------------


def test_each_day_has_its_records_and_none_is_without_a_place(url: str, execute: Execute) -> None:
    with SQLChest(partitioned(url, (-1, 0))) as chest:
        records = _aged(0, 1, 5, -2)
        chest.write(records[:2])
        chest.write_new(records[2:])
        assert _places(execute) == {"0": "0", "1": "1", "5": "default", "-2": "default"}
        for _ in range(2):
            partitioned(url, range(-5, 3))
            assert _places(execute) == {"0": "0", "1": "1", "5": "5", "-2": "-2"}
        chest.write(records)
        assert [stored.record for stored in chest.read()] == records


def test_without_a_default_partition_a_record_waits_until_there_is_one(url: str, execute: Execute) -> None:
    with SQLChest(partitioned(url, (0,))) as chest:
        chest.open()
        execute("DROP TABLE chest_records_default")
        records = _aged(0, 3)
        for write in (chest.write, chest.write_new):
            with pytest.raises(ChestUnavailable, match="no partition takes a record: run chest partition --apply"):
                write(records)
        chest.check()
        assert any("has no default partition" in notice for notice in chest.notices())
        partitioned(url, (0,))
        chest.write(records)
        assert [stored.record for stored in chest.read()] == records


def test_questions_go_over_all_partitions(url: str) -> None:
    with SQLChest(partitioned(url, (-2, -1, 0))) as chest:
        records = [record for _ in range(8) for record in _aged(2, 0, 9, 1)]
        chest.write(records)
        assert [stored.record for stored in chest.read(limit=7)] == records[:7]
        read, after = [], None
        while page := chest.read(after=after, limit=3):
            read += [stored.record for stored in page]
            after = page[-1].cursor
        assert read == records
        assert after == chest.newest()
        query = parse("path=1,9")
        expected = [record for record in records if query.matches(record)]
        assert [stored.record for stored in chest.read(query)] == expected
        assert sum(cell.records for cell in chest.cube(query).cells) == 16
        assert sorted(chest.sample(query).records) == sorted(expected)
        assert [stored.record for stored in chest.latest(query).records] == expected[::-1]
        assert chest.remove(chest.read(query)) == 16
        assert set(_paths(chest)) == {"0", "2"}


def test_a_user_who_may_not_read_ids_tells_a_record_that_comes_again(url: str, url_of_user: Callable[..., str]) -> None:
    with SQLChest(partitioned(url)) as chest:
        chest.write(records := _aged(0, 0, 1))
        rights = "INSERT ON chest_records", "USAGE ON SEQUENCE chest_records_seq_seq"
        with SQLChest(url_of_user(*rights)) as limited:
            limited.write([*records, new := make_record()])
        assert [stored.record for stored in chest.read()] == [*records, new]


# -- chest partition ------------------------------------------------------------------------------------------------------


def test_the_command_shows_and_runs_the_same_sql_and_then_nothing_is_missing(
    server: DatabaseServer, url: str, execute: Execute
) -> None:
    shown = _run("partition", url, "--days", "3")
    assert "Not run" in shown.stderr
    assert "(request_id)" not in shown.stdout
    assert "(request_id)" in _run("partition", f"{url}?index=request_id").stdout
    assert shown.stdout.startswith("BEGIN;\nCREATE TABLE")
    assert shown.stdout.endswith("COMMIT;\n")
    assert execute("SELECT to_regclass('chest_records')::text") == [(None,)]
    made = _run("partition", url, "--days", "3", "--apply")
    assert made.stdout == shown.stdout
    again = _run("partition", url, "--days", "3", "--apply")
    assert (again.stdout, "Nothing is missing" in again.stderr) == ("", True)
    more = _run("partition", url, "--days", "4", "--since", "2d").stdout
    assert more.count("CREATE TABLE") == 3
    assert more.count("PARTITION OF") == 3
    for transaction in more.removeprefix("BEGIN;\n").removesuffix(";\nCOMMIT;\n").split(";\nCOMMIT;\nBEGIN;\n"):
        for statement in transaction.split(";\n"):
            execute(statement)
    assert _run("partition", url, "--days", "4", "--since", "2d").stdout == ""


def test_a_table_that_is_there_is_not_divided(url: str, chest: SQLChest, execute: Execute) -> None:
    chest.write([make_record()])
    result = CliRunner().invoke(commands, ["partition", url, "--apply"], prog_name="chest")
    assert (result.exit_code, "is not partitioned" in result.stderr) == (1, True)
    execute("CREATE TABLE by_path (id text, path text) PARTITION BY LIST (path)")
    with SQLChest(f"{url}?table=by_path") as other, pytest.raises(SchemaMismatch, match=r"by LIST \(path\)"):
        other.partitions().make([])
    result = CliRunner().invoke(commands, ["partition", "sqlite:///chest.sqlite3"], prog_name="chest")
    assert (result.exit_code, "has no partitions to make" in result.stderr) == (2, True)


def test_days_that_the_operator_made_otherwise_are_left(url: str, execute: Execute) -> None:
    partitioned(url, ())
    execute("DROP TABLE chest_records_default")
    execute("CREATE TABLE all_of_it PARTITION OF chest_records FOR VALUES FROM (MINVALUE) TO (MAXVALUE)")
    with SQLChest(url) as chest:
        assert chest.partitions().missing([datetime.now(UTC).date()]) == [
            ['CREATE TABLE "chest_records_default" PARTITION OF "chest_records" DEFAULT']
        ]


def test_a_reader_is_not_waited_for_long_and_nothing_is_half_made(url: str, chest: SQLChest) -> None:
    partitioned(url, (0,))
    today = datetime.now(UTC).date()
    with chest.reading.use() as connection:
        connection.exec_driver_sql("SELECT count(*) FROM chest_records")
        with SQLChest(url) as other, pytest.raises(ChestUnavailable, match="lock timeout"):
            other.partitions().make([today + timedelta(days=1), today + timedelta(days=2)])
    assert len(chest.partitions().missing([today + timedelta(days=1), today + timedelta(days=2)])) == 2


def test_each_day_is_a_transaction_of_its_own(url: str, execute: Execute) -> None:
    today = datetime.now(UTC).date()
    days = [today + timedelta(days=day) for day in (1, 2, 3)]
    with SQLChest(partitioned(url, (0,))) as chest:
        execute(f"CREATE TABLE chest_records_{days[1]:%Y%m%d} ()")
        with pytest.raises(ChestUnavailable, match="already exists"):
            chest.partitions().make(days)
        left = chest.partitions().missing(days)
        assert [f"_{day:%Y%m%d}" in str(each) for day, each in zip(days[1:], left, strict=True)] == [True, True]
        execute(f"DROP TABLE chest_records_{days[1]:%Y%m%d}")
        assert len(chest.partitions().make(days)) == 2
        assert not chest.partitions().missing(days)


def test_check_tells_that_the_default_partition_is_large(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with SQLChest(partitioned(url, range(8))) as chest:
        chest.write(_aged(0, 4))
        chest.check()
        assert chest.notices() == ()
        monkeypatch.setattr("chest.chests.sql.postgresql.partitions.LARGEST_BYTES_CHANGED", 0)
        chest.check()
        (notice,) = chest.notices()
        assert "chest partition --since 30d --apply" in notice


def test_check_tells_when_the_last_partition_ends_soon(url: str) -> None:
    with SQLChest(partitioned(url, range(3))) as chest:
        chest.check()
        (notice,) = chest.notices()
        end = datetime.now(UTC).date() + timedelta(days=3)
        assert f"ends at {end} 00:00 UTC; later records are kept in the default partition" in notice
        assert "chest partition --apply" in _run("check", url).stderr
        partitioned(url, range(8))
        chest.check()
        assert chest.notices() == ()


# -- retention ------------------------------------------------------------------------------------------------------------


def test_retention_drops_whole_days_and_removes_rows_that_no_day_has(
    url: str, url_of_user: Callable[..., str], execute: Execute
) -> None:
    with SQLChest(partitioned(url, range(-6, 2))) as chest:
        chest.write(_aged(*[5] * 40, *[4] * 40, 3, 7, 0, 2.9, 1))
        hours_since_noon = (time.time_ns() % DAY_NS - DAY_NS // 2) / (DAY_NS / 24)
        age = timedelta(days=3, hours=hours_since_noon - 1)  # noon three days ago is an hour older
        result = Retention(chest, max_age=age, chunk_records=10).run()
        assert (result.removed, result.is_complete) == (81, True)
        assert sorted(_paths(chest)) == ["0", "1", "2.9", "3"], "3 goes with the rest of its day"
        with SQLChest(url_of_user("SELECT, DELETE ON chest_records")) as limited:
            assert Retention(limited, max_age=age).run().removed == 1, "no day is dropped for who does not own it"
        assert sorted(_paths(chest)) == ["0", "1", "2.9"]
    left = execute("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'chest_records'::regclass")
    assert len(left) == 6, "today, tomorrow, the last three days, and the default partition"


def test_a_partition_stays_as_long_as_a_request_in_it_is_young_enough(url: str, execute: Execute) -> None:
    with SQLChest(partitioned(url, range(-6, 2))) as chest:
        (old,) = _aged(5)
        chest.write([*_aged(5, 5), make_record(id=old.id, path="young"), *_aged(4, 0)])
        assert Retention(chest, max_age=timedelta(days=3)).run().removed == 3
        assert _paths(chest) == ["young", "0"]
        assert _places(execute) == {"young": "5", "0": "0"}


def test_retention_by_number_drops_days_that_go_whole_and_never_today(url: str, execute: Execute) -> None:
    with SQLChest(partitioned(url, range(-6, 2))) as chest:
        chest.write(_aged(5, 5, 5, 4, 4, 4, 0, 0))
        assert Retention(chest, max_rows=4, chunk_records=10).run().removed == 4
        assert _paths(chest) == ["4", "4", "0", "0"]
        assert Retention(chest, max_rows=0).run().removed == 4
        chest.write(_aged(0, 3))
        assert _places(execute) == {"0": "0", "3": "3"}


def test_who_does_not_own_the_partitions_removes_rows(
    url: str, url_of_user: Callable[..., str], execute: Execute
) -> None:
    with SQLChest(partitioned(url, range(-6, 2))) as chest:
        chest.write(_aged(5, 5, 0))
        with SQLChest(url_of_user("SELECT, DELETE ON chest_records")) as limited:
            assert Retention(limited, max_age=timedelta(days=3)).run().removed == 2
        assert _paths(chest) == ["0"]
    left = execute("SELECT 1 FROM pg_inherits WHERE inhparent = 'chest_records'::regclass")
    assert len(left) == 9


def test_rows_of_a_partition_that_is_longer_than_a_day_are_removed(url: str, execute: Execute) -> None:
    partitioned(url, ())
    execute("CREATE TABLE all_of_it PARTITION OF chest_records FOR VALUES FROM (MINVALUE) TO (MAXVALUE)")
    month = f"FROM ('{first_id(time.time_ns() - 300 * DAY_NS)}') TO ('{first_id(time.time_ns() + DAY_NS)}')"
    with SQLChest(url) as chest:
        for _ in range(2):
            chest.write(_aged(5, 0))
            assert Retention(chest, max_age=timedelta(days=3)).run().removed == 1
            execute(f"DROP TABLE all_of_it; CREATE TABLE all_of_it PARTITION OF chest_records FOR VALUES {month}")


def test_a_day_of_very_many_records_is_dropped_without_counting_them(
    url: str, execute: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chest.chests.sql.postgresql.retention.LARGEST_BYTES_CHANGED", 0)
    with SQLChest(partitioned(url, (-5, 0))) as chest:
        chest.write(_aged(*[5] * 40, 0))
        execute("ANALYZE chest_records")
        seen: list[str] = []
        with _statements(seen):
            assert Retention(chest, max_age=timedelta(days=3)).run().removed == 40
    assert any("max(time_ns)" in statement for statement in seen)
    assert not any("count(" in statement for statement in seen)


@contextmanager
def _statements(seen: list[str]) -> Iterator[None]:
    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        seen.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def test_what_a_day_takes_longer_for_than_an_answer_may_take_is_waited_for(url: str, execute: Execute) -> None:
    with SQLChest(partitioned(f"{url}?timeout_seconds=1", range(-6, 2))) as chest:
        chest.write(_aged(5, 0))
        (table,) = execute("SELECT tableoid::regclass::text FROM chest_records ORDER BY time_ns LIMIT 1")[0]
        with closing(chest.retention()) as retention, database_of(SQLTarget.of(url)).connect_to_write() as other:
            other.exec_driver_sql(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            release = threading.Timer(2.5, other.rollback)
            release.start()
            try:
                assert retention.remove_at_once(float("inf"), time.time_ns() - 3 * DAY_NS) == 1
            finally:
                release.join()


def test_rows_of_a_day_that_a_reader_keeps_from_being_dropped_are_removed(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It waits a second for a reader, and goes on by rows."""
    with SQLChest(partitioned(url, range(-6, 2))) as chest:
        chest.write(_aged(5, 0))
        with chest.reading.use() as connection:
            connection.exec_driver_sql("SELECT count(*) FROM chest_records")
            assert Retention(chest, max_age=timedelta(days=3)).run().removed == 1
        assert _paths(chest) == ["0"]
    (said,) = [record.getMessage() for record in caplog.records if "cannot be dropped" in record.getMessage()]
    assert "lock timeout" in said


# -- a sequence that is behind after a restore ----------------------------------------------------------------------------


def test_of_two_records_with_one_number_only_the_one_that_is_meant_goes(url: str, execute: Execute) -> None:
    """In the default partition, whose rows are removed one by one."""
    with SQLChest(partitioned(url, (0,))) as chest:
        for old, new in ((8, 9), (7, 0)):
            chest.write(_aged(old))
            execute("SELECT setval('chest_records_seq_seq', (SELECT max(seq) FROM chest_records), false)")
            chest.write(_aged(new))
        assert execute("SELECT count(DISTINCT seq), count(*) FROM chest_records") == [(2, 4)]
        assert chest.remove([stored for stored in chest.read() if stored.record.path == "8"]) == 1
        assert sorted(_paths(chest)) == ["0", "7", "9"]
        assert Retention(chest, max_age=timedelta(days=3)).run().removed == 2
        assert _paths(chest) == ["0"]


def test_a_writer_refuses_a_sequence_that_is_behind_and_says_what_mends_it(
    url: str, url_of_user: Callable[..., str], execute: Execute
) -> None:
    with SQLChest(partitioned(url, (0,))) as chest:
        chest.write(_aged(0, 0, 0))
        execute("SELECT setval('chest_records_seq_seq', 1, false)")
        rights = "INSERT ON chest_records", "USAGE ON SEQUENCE chest_records_seq_seq"
        with SQLChest(url_of_user(*rights)) as limited:
            limited.write(_aged(0))  # it cannot know
        chest.close()
        for does in (chest.open, chest.check, lambda: chest.write(_aged(0))):
            with pytest.raises(ChestUnavailable, match="is behind its records") as refusal:
                does()
        assert len(chest.read()) == 4
        execute(str(refusal.value).rpartition("Move it on: ")[2])
        chest.write(_aged(0))
        chest.check()
        assert chest.newest() == 4


# -- an index on request_id, and moving a table that is there ------------------------------------------------------------


def test_a_large_table_gets_no_index_on_request_id_by_itself_and_the_steps_are_logged(
    url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("chest.chests.sql.index.LARGEST_BYTES_CHANGED", 100)
    with SQLChest(partitioned(url)) as chest:
        chest.write(_aged(0))
    with SQLChest(f"{url}?index=request_id") as chest:
        chest.write(_aged(0))
    assert 'CREATE INDEX "chest_records_request_id" ON ONLY "chest_records" (request_id); then for each' in caplog.text


def test_a_plain_table_becomes_a_partitioned_one_as_the_document_says(url: str, execute: Execute) -> None:
    """Also what is stored between two steps arrives, once."""
    copied, renamed, completed = (
        block_of("docs/postgresql.md", begin) for begin in ("$ chest partition '", "BEGIN;", "$ chest transfer ")
    )
    here = {r"^postgresql://[^?]*": url}
    with SQLChest(url) as chest:
        chest.write(records := _aged(2, 1, 1, 0))
        for line in chest_commands(copied, here):
            _run(*line)
        chest.write(more := _aged(0, 1))
        execute(renamed.text)
        chest.write([new := make_record()])
        for line in chest_commands(completed, here):
            _run(*line)
        assert sorted(stored.record for stored in chest.read()) == sorted([*records, *more, new])
        assert execute("SELECT count(DISTINCT tableoid), count(*) FROM chest_records") == [(3, 7)]
        assert execute("SELECT count(DISTINCT id) FROM chest_variables") == [(7,)]
        _run("partition", url, "--days", "20", "--apply")
