"""The ClickHouse chest on ClickHouse's engine."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest

from chest import Recorder
from chest.chests.batches import BatchWrite
from chest.chests.clickhouse.chest import ClickHouseChest
from chest.errors import ChestUnavailable, RecordRejected, SchemaMismatch
from chest.record.record import Record
from chest.testing.readable_contract import ReadableChestContract
from tests.chests.clickhouse.conftest import rows
from tests.chests.server_contract import Place, ServerChestContract
from tests.documents import block_of
from tests.fixtures.left import having, records_of, same_fields
from tests.servers.clickhouse import PASSWORDS, USER, ClickHouse
from tests.servers.fault_proxy import Fault, FaultProxy, fault_proxy
from tests.support import lose_patience_soon, make_record, wait_until


class TestContract(ReadableChestContract):
    @pytest.fixture
    def chest(self, url: str) -> Iterator[ClickHouseChest]:
        with ClickHouseChest(url) as chest:
            yield chest

    @pytest.fixture
    def chest_url(self, url: str) -> str:
        return url


class TestServer(ServerChestContract):
    write_marker = commit_marker = b"INSERT"
    tls_query = "tls"

    @pytest.fixture
    def chest(self, place: Place, proxy: FaultProxy) -> Iterator[ClickHouseChest]:
        """Each write begins on a new connection: one that was kept may be lost at any time, and is tried again at once."""
        with ClickHouseChest(place.url(port=proxy.port, query="timeout_seconds=20")) as chest:
            write = chest.write

            def write_on_a_new_connection(records: Sequence[Record]) -> None:
                chest.open()
                chest.close()
                write(records)

            chest.write = write_on_a_new_connection  # type: ignore[method-assign]
            yield chest
        place.server.start()

    @pytest.fixture
    def place(self, clickhouse: ClickHouse) -> Place:
        name = clickhouse.new_database()

        def url(**parts: Any) -> str:
            if parts.get("query") == "tls":
                return clickhouse.url(name).replace("clickhouse://", "clickhouse+https://")
            return clickhouse.url(parts.pop("database", name), **parts)

        return Place(clickhouse.server, url, PASSWORDS[USER])


@pytest.mark.parametrize("release", having("clickhouse.sql"), ids=lambda path: path.name)
def test_a_table_that_another_release_made_is_read_and_its_batch_is_not_stored_again(
    chest: ClickHouseChest, clickhouse: ClickHouse, release: Path
) -> None:
    for statement in (release / "clickhouse.sql").read_text().split(";\n\n"):
        if statement:
            clickhouse.run(statement.replace("`default`.`chest_records`", chest.target.quoted_table))
    records = [stored.record for stored in chest.read()]
    assert same_fields(records, records_of(release))
    new = make_record()
    chest.write([new])
    chest.write(records)
    assert same_fields([stored.record for stored in chest.read()], [*records_of(release), new._asdict()])


# -- the same batch, again -----------------------------------------------------------------------------------------------


def test_a_batch_that_comes_again_is_stored_once_and_another_one_is_not_taken_for_it(chest: ClickHouseChest) -> None:
    records = [make_record() for _ in range(50)]
    for _ in range(3):
        chest.write(records)
    assert rows(chest) == [record.id for record in records]
    chest.write(records[:10])
    assert len(rows(chest)) == 60, "it promises no more: see its docstring"


def test_a_batch_of_two_days_that_comes_again_is_stored_once(chest: ClickHouseChest) -> None:
    day_ns = 86_400 * 10**9
    records = [make_record(time_ns=time * day_ns) for time in (20_000, 20_001, 20_000)]
    chest.write(records)
    chest.write(records)
    assert sorted(rows(chest)) == sorted(record.id for record in records)


def test_an_answer_that_is_lost_on_a_kept_connection_costs_nothing(clickhouse: ClickHouse) -> None:
    name = clickhouse.new_database()
    with fault_proxy(clickhouse.port) as proxy, ClickHouseChest(clickhouse.url(name, port=proxy.port)) as chest:
        chest.open()
        proxy.set(Fault.REPLY_LOST, b"INSERT")
        records = [make_record() for _ in range(20)]
        chest.write(records)
        assert proxy.cuts == 1
        assert rows(chest) == [record.id for record in records]


def test_answers_that_are_lost_for_long_lose_and_double_no_record(
    clickhouse: ClickHouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batches wait on disk meanwhile, and the process that delivers them is another one."""
    lose_patience_soon(monkeypatch)
    # A request whose connection breaks is not sent again at once, on another one.
    monkeypatch.setattr("chest.chests.http_client._MOST_KEPT", 0)
    name = clickhouse.new_database()
    ids = []
    with fault_proxy(clickhouse.port) as proxy:
        url = clickhouse.url(name, port=proxy.port, query="timeout_seconds=5")
        options = {"directory": tmp_path, "flush_seconds": 0.05, "service": "shop", "batch_records": 300}
        recorder = Recorder([url], **options)
        recorder.prepare()
        for number in range(3):
            if number == 1:
                wait_until(lambda: sum(recorder.stats().get("written", {}).values()) == 500, 60)
                proxy.set(Fault.REPLY_LOST, b"INSERT")
            records = [make_record(recorder.request_side.record_ids) for _ in range(500)]
            assert all(map(recorder.offer, records))
            ids += [record.id for record in records]
            if number == 1:
                wait_until(lambda: proxy.cuts == 1, 60)
                proxy.set(Fault.REFUSE)
                wait_until(lambda: bool(recorder.stats().get("spooled")), 60)
        recorder.close(1)
        proxy.heal()
        with closing(Recorder([url], **options)) as second:
            second.prepare()
            with ClickHouseChest(clickhouse.url(name)) as chest:
                wait_until(lambda: len(set(rows(chest))) == len(ids), 60)
                wait_until(lambda: sum(second.stats().get("unspooled", {}).values()) == 1000, 60)
                assert sorted(rows(chest)) == sorted(ids)


# -- the table -----------------------------------------------------------------------------------------------------------


def test_the_table_has_a_readable_time_and_the_variables_as_json(
    chest: ClickHouseChest, clickhouse: ClickHouse
) -> None:
    chest.write([make_record(time_ns=1_767_268_800_123_456_789, variables={"plan": "pro", "cart": {"items": 3}})])
    table = chest.target.quoted_table
    said = clickhouse.run(f"SELECT time, variables_json.plan, variables_json.cart.items FROM {table}")
    assert said == "2026-01-01 12:00:00.123456789\tpro\t3\n"


def test_the_question_of_the_page_is_answered(chest: ClickHouseChest, clickhouse: ClickHouse) -> None:
    variables = {"plan": "pro"}
    chest.write(
        [make_record(time_ns=time.time_ns(), route="/cart", duration_ns=2_000_000, variables=variables), make_record()]
    )
    question = block_of("docs/clickhouse.md", "SELECT route").text
    assert clickhouse.run(question.replace("chest_records", chest.target.quoted_table)) == "/cart\t2\t1\n"


def test_a_server_without_the_type_json_gets_a_table_without_it(
    chest: ClickHouseChest, clickhouse: ClickHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chest.chests.clickhouse.table._JSON_SINCE", (99, 0))
    chest.write([record := make_record()])
    assert "variables_json" not in clickhouse.run(f"SHOW CREATE TABLE {chest.target.quoted_table}")
    assert [stored.record for stored in chest.read()] == [record]


def test_a_table_that_chest_does_not_write_is_refused(chest: ClickHouseChest, clickhouse: ClickHouse) -> None:
    clickhouse.run(f"CREATE TABLE {chest.target.quoted_table} (id String) ENGINE = MergeTree ORDER BY id")
    for act in (chest.open, chest.check, lambda: chest.write([make_record()])):
        with pytest.raises(SchemaMismatch, match="no column seq"):
            act()


def test_a_table_that_is_gone_is_made_again(chest: ClickHouseChest, clickhouse: ClickHouse) -> None:
    chest.write([make_record()])
    clickhouse.run(f"RENAME TABLE {chest.target.quoted_table} TO `{chest.target.database}`.kept")
    with pytest.raises(ChestUnavailable):
        chest.write([record := make_record()])
    chest.write([record])
    assert rows(chest) == [record.id]


def test_a_table_that_forgets_batches_too_soon_is_told_at_the_start(
    url: str, clickhouse: ClickHouse, caplog: pytest.LogCaptureFixture
) -> None:
    with ClickHouseChest(url) as chest:
        chest.open()
        assert not chest.notices()
        clickhouse.run(
            f"ALTER TABLE {chest.target.quoted_table} MODIFY SETTING non_replicated_deduplication_window = 5"
        )
    assert not caplog.records
    with ClickHouseChest(url) as chest:
        chest.check()
        (notice,) = chest.notices()
        assert "remembers a batch for 5 entries, two or three an insert, only" in notice
        assert not caplog.records
        chest.open()
    assert [record.getMessage() for record in caplog.records] == [f"chest: {chest.name}: {notice}"]
    clickhouse.run(notice[notice.index("ALTER TABLE") :])
    with ClickHouseChest(url) as chest:
        chest.open()
        assert not chest.notices()


def test_a_batch_is_remembered_for_a_quarter_as_many_inserts_as_the_window_has_entries(
    chest: ClickHouseChest, clickhouse: ClickHouse
) -> None:
    chest.open()
    table = chest.target.quoted_table
    assert "non_replicated_deduplication_window = 100000" in clickhouse.run(f"SHOW CREATE TABLE {table}")
    clickhouse.run(f"ALTER TABLE {table} MODIFY SETTING non_replicated_deduplication_window = 80")
    chest.write(records := [make_record() for _ in range(5)])
    for _ in range(20):
        chest.write([make_record()])
    chest.write(records)
    assert len(rows(chest)) == 25


def test_records_may_have_a_time_to_live(url: str, clickhouse: ClickHouse) -> None:
    for days in (30, 7):
        with ClickHouseChest(f"{url}?ttl_days={days}") as chest:
            chest.write([make_record()])
        assert f"toIntervalDay({days})" in clickhouse.run(f"SHOW CREATE TABLE {chest.target.quoted_table}")


def test_a_record_that_the_table_refuses_does_not_keep_the_others_out(
    chest: ClickHouseChest, clickhouse: ClickHouse
) -> None:
    chest.open()
    clickhouse.run(f"ALTER TABLE {chest.target.quoted_table} ADD CONSTRAINT short CHECK length(path) < 10")
    records = [make_record(path="/" + "x" * 20 if place == 5 else "/") for place in range(12)]
    results = list(BatchWrite(records, attrgetter("id")).results(chest.write))
    refused = [record for result in results if result.refusal for record in result.records]
    assert refused == [records[5]]
    assert sorted(rows(chest)) == sorted(record.id for record in records if record is not records[5])


def test_a_table_that_refuses_every_record_costs_none(chest: ClickHouseChest, clickhouse: ClickHouse) -> None:
    """The rule is at fault, and may be corrected."""
    chest.open()
    table = chest.target.quoted_table
    clickhouse.run(f"ALTER TABLE {table} ADD CONSTRAINT long CHECK length(path) > 1000")
    batch = BatchWrite(records := [make_record() for _ in range(40)], attrgetter("id"))
    with pytest.raises(ChestUnavailable, match="the fault is the table's"):
        list(batch.results(chest.write))
    clickhouse.run(f"ALTER TABLE {table} DROP CONSTRAINT long")
    assert [result.refusal for result in batch.results(chest.write)] == [None]
    assert rows(chest) == [record.id for record in records]


def test_a_view_that_fails_costs_no_record(chest: ClickHouseChest, clickhouse: ClickHouse) -> None:
    chest.open()
    table, view = chest.target.quoted_table, f"{chest.target.database}.view"
    clickhouse.run(
        f"CREATE MATERIALIZED VIEW {view} ENGINE = MergeTree ORDER BY n AS SELECT toInt64(path) AS n FROM {table}"
    )
    with pytest.raises(ChestUnavailable, match="Cannot parse string"):
        chest.write([record := make_record()])
    clickhouse.run(f"DROP TABLE {view}")
    chest.write([record])
    assert rows(chest) == [record.id]


def test_a_batch_over_more_days_than_the_server_takes_by_itself_is_stored_once(chest: ClickHouseChest) -> None:
    records = [make_record(time_ns=(20_000 + day) * 86_400 * 10**9) for day in range(150)]
    for _ in range(2):
        chest.write(records)
    assert sorted(rows(chest)) == sorted(record.id for record in records)


def test_a_number_beyond_64_bits_is_refused_by_its_id(chest: ClickHouseChest) -> None:
    records = [make_record(), make_record(duration_ns=2**63)]
    with pytest.raises(RecordRejected) as refusal:
        chest.write(records)
    assert refusal.value.ids == (records[1].id,)


# -- reading ---------------------------------------------------------------------------------------------------------------


def test_records_of_one_nanosecond_are_all_read_and_removed_one_by_one(
    chest: ClickHouseChest, clickhouse: ClickHouse
) -> None:
    chest.write([make_record(), make_record()])
    table, names = chest.target.quoted_table, "seq, request_id, time, duration_ns, method, path, outcome, variables"
    clickhouse.run(f"INSERT INTO {table} (id, {names}) SELECT reverse(id), {names} FROM {table}")
    everything = chest.read()
    assert len({stored.cursor for stored in everything}) == 2
    page = chest.read(limit=1)
    assert [*page, *chest.read(after=page[-1].cursor)] == everything
    assert len(everything) == 4
    found = chest.following(limit=1)
    assert [*found.records, *chest.following(after=found.after).records] == everything
    assert chest.remove(everything[:1]) == 1
    assert chest.read() == everything[1:]
