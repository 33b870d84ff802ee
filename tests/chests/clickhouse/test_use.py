"""What stands on a ClickHouse chest, who may use it, and its retention."""

from __future__ import annotations

import contextlib
import math
import os
import ssl
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from chest.chests.clickhouse.asking import ClickHousePieces
from chest.chests.clickhouse.chest import ClickHouseChest
from chest.chests.clickhouse.server import ClickHouseServer
from chest.chests.clickhouse.url import ClickHouseTarget
from chest.chests.contract import ReadableChest
from chest.chests.registry import open_chest
from chest.cli.main import commands
from chest.dashboard import ChestPage
from chest.errors import ChestUnavailable, LoginRefused, TLSRefused
from chest.query import parse
from chest.record.record import Record
from chest.transfer import Retention, Transfer
from tests.chests.clickhouse.conftest import rows
from tests.dashboard.conftest import ask
from tests.recording_server import Received, Reply, recording_server
from tests.servers.clickhouse import ClickHouse
from tests.servers.process import free_port
from tests.support import make_record

# -- users, hosts, encryption ---------------------------------------------------------------------------------------------


def test_a_user_who_may_not_write_is_told_what_to_grant(clickhouse: ClickHouse) -> None:
    name = clickhouse.new_database()
    with ClickHouseChest(clickhouse.url(name, user="reader")) as chest:
        with pytest.raises(LoginRefused, match=r"GRANT CREATE TABLE ON `shop_\d+`.`chest_records` TO reader"):
            chest.check()
        with pytest.raises(LoginRefused, match="GRANT"):
            chest.write([make_record()])
        with ClickHouseChest(clickhouse.url(name)) as other:
            other.write([make_record()])
        with pytest.raises(LoginRefused, match="GRANT INSERT ON"):
            chest.check()
        assert len(chest.read()) == 1


def test_what_reads_cannot_write(chest: ClickHouseChest) -> None:
    chest.write([make_record()])
    with closing(ClickHouseServer(chest.target)) as server, pytest.raises(ChestUnavailable, match=r"(?i)readonly"):
        list(server.rows(f"DELETE FROM {chest.target.quoted_table} WHERE 1"))


def test_reading_makes_nothing(chest: ClickHouseChest, clickhouse: ClickHouse) -> None:
    for act in (chest.read, chest.newest, chest.cube, chest.check):
        with contextlib.suppress(ChestUnavailable):
            act()
    assert clickhouse.run(f"SHOW TABLES FROM {chest.target.database}") == ""


def test_the_next_host_is_asked_if_one_does_not_answer(clickhouse: ClickHouse) -> None:
    name = clickhouse.new_database()
    url = clickhouse.url(name).replace("@127.0.0.1", f"@127.0.0.1:{free_port()},127.0.0.1")
    with ClickHouseChest(url) as chest:
        chest.check()
        chest.write([record := make_record()])
        assert rows(chest) == [record.id]


def test_over_tls_with_a_certificate_of_one_s_own(certificate: Path, clickhouse: ClickHouse) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def handed_on(request: Received) -> Reply:
        asked = httpx.request(
            request.method, f"http://127.0.0.1:{clickhouse.port}{request.target}", content=request.body,
            headers={name: request.headers[name] for name in ("authorization", "content-encoding") if name in request.headers},
            trust_env=False,
        )  # fmt: skip
        return Reply(asked.status_code, {}, asked.content)

    name = clickhouse.new_database()
    with recording_server(context, handed_on) as server:
        url = clickhouse.url(name, port=server.port).replace("clickhouse:", "clickhouse+https:")
        with ClickHouseChest(f"{url}?ca_file={certificate}.crt") as chest:
            chest.write([record := make_record()])
            assert rows(chest) == [record.id]
        with ClickHouseChest(url) as chest, pytest.raises(TLSRefused):
            chest.check()


# -- what stands on it ----------------------------------------------------------------------------------------------------


def test_records_are_transferred_into_it_and_out_of_it(url: str, tmp_path: Path) -> None:
    records = [make_record(variables={"number": number, "dotted.name": None}) for number in range(300)]
    with open_chest(f"sqlite:///{tmp_path}/source.sqlite3") as source:
        source.write(records)
    back = f"sqlite:///{tmp_path}/back.sqlite3"
    with Transfer(f"sqlite:///{tmp_path}/source.sqlite3", url, batch_records=70) as transfer:
        assert transfer.run().written == 300
        assert transfer.run().written == 0
    with Transfer(url, back, directory=tmp_path, batch_records=70) as transfer:
        assert transfer.run().written == 300
    with open_chest(back) as chest:
        assert isinstance(chest, ReadableChest)
        assert [stored.record for stored in chest.read(limit=1000)] == records


def test_the_commands_and_the_page_ask_it(url: str) -> None:
    with ClickHouseChest(url) as chest:
        chest.write(
            [make_record(variables={"user_id": str(user), "plan": "pro" if user % 2 else "free"}) for user in range(20)]
        )
    for command, says in (
        (["find", url, "user_id=3"], "user_id=3"),
        (["top", url, "--by", "plan"], "pro"),
        (["compare", url, "plan=pro", "--all"], "user_id"),
        (["check", url], "ok"),
    ):
        result = CliRunner().invoke(commands, command, prog_name="chest", env={"NO_COLOR": "1"})
        assert result.exit_code == (command[0] == "compare"), (command, result.output)
        assert says in result.output, command
    page = ChestPage(url, allow="everybody", seconds=30)
    for question in (
        "top",
        "heatmap",
        "over-time",
        "values",
        "names",
        "compare?selection=duration>=0",
        "new",
        "records",
        "health",
    ):
        answer = ask(page, f"/api/{question}")
        assert answer.status == 200, (question, answer.body)
    assert ask(page, "/api/top?by=plan").json["everything"]["requests"] == 20
    page.close()


def test_questions_over_records_that_were_stored_far_apart_look_at_no_nanosecond_between_them(
    chest: ClickHouseChest, clickhouse: ClickHouse
) -> None:
    """Places are moments: two hours are more of them than could be looked at one by one."""
    records = [make_record(variables={'a"b': place % 2, "plan": "pro"}) for place in range(30)]
    for start in range(0, 30, 10):
        chest.write(records[start : start + 10])
    table, names = (
        chest.target.quoted_table,
        "seq, id, request_id, time, duration_ns, method, path, outcome, variables",
    )
    later = f"SELECT seq + 7200000000000, replaceOne(id, '1', 'a'), {names[9:]}"
    clickhouse.run(f"INSERT INTO {table} ({names}) {later} FROM {table}")
    for text in ("plan=pro", "'a\"b=1'"):
        query = parse(text.strip("'"))
        expected = [stored.record for stored in chest.read() if query.matches(stored.record)]
        assert len(expected) in (30, 60)
        assert sum(cell.records for cell in chest.cube(query, seconds=60).cells) == len(expected)
        assert [each.record for each in chest.latest(query, limit=100, seconds=60).records] == expected[::-1]
        following = chest.following(query, limit=100, seconds=60)
        assert [each.record for each in following.records] == expected
        assert following.after == chest.newest()
        assert sorted(chest.sample(query, seconds=60).records) == sorted(expected)


def test_a_budget_ends_a_question(chest: ClickHouseChest) -> None:
    chest.write([make_record() for _ in range(20)])
    found = chest.following(parse('a"b=1'), seconds=0)
    assert (found.records, found.basis.is_exact, found.after) == ([], False, None)


# -- retention ------------------------------------------------------------------------------------------------------------


def _aged(*days: float) -> list[Record]:
    """Records of so many days ago, at the middle of the day."""
    day_ns = 86_400 * 10**9
    noon_ns = time.time_ns() // day_ns * day_ns + day_ns // 2
    return [make_record(path=str(day), time_ns=noon_ns - int(day * day_ns)) for day in days]


def _paths(chest: ClickHouseChest) -> list[str]:
    return [stored.record.path for stored in chest.read(limit=100_000)]


def _statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that change the table, from now on."""
    seen: list[str] = []
    run = ClickHouseServer.run

    def note(server: ClickHouseServer, statement: str, **rest: Any) -> str:
        seen.extend([statement] if statement.startswith(("ALTER", "DELETE")) else [])
        return run(server, statement, **rest)

    monkeypatch.setattr(ClickHouseServer, "run", note)
    return seen


def test_retention_drops_whole_days_and_deletes_the_rest_at_once(
    chest: ClickHouseChest, monkeypatch: pytest.MonkeyPatch
) -> None:
    chest.write(_aged(*[5] * 600, *[4] * 40, *[3.1] * 20, 2.9, 1, 0))
    seen = _statements(monkeypatch)
    noon_ns = _aged(3)[0].time_ns
    age = timedelta(microseconds=(time.time_ns() - noon_ns) // 1000)
    result = Retention(chest, max_age=age, chunk_records=10).run()
    assert (result.removed, result.is_complete) == (660, True)
    assert _paths(chest) == ["2.9", "1", "0"]
    assert [statement.partition(" ")[0] for statement in seen] == ["ALTER", "ALTER", "DELETE"]


def test_retention_by_number_removes_those_stored_first_and_drops_never_today(
    chest: ClickHouseChest, monkeypatch: pytest.MonkeyPatch
) -> None:
    chest.write(_aged(*[5] * 3, *[4] * 3))
    chest.write(_aged(0, 0))
    seen = _statements(monkeypatch)
    assert Retention(chest, max_rows=4).run().removed == 4
    assert _paths(chest) == ["4", "4", "0", "0"]
    assert [statement.partition(" ")[0] for statement in seen] == ["ALTER", "DELETE"]
    assert Retention(chest, max_rows=0).run().removed == 4
    assert [statement.partition(" ")[0] for statement in seen[2:]] == ["ALTER", "DELETE"]


@pytest.mark.parametrize("may_set", [True, False])
def test_a_day_that_is_larger_than_the_server_drops_goes_all_the_same(
    chest: ClickHouseChest, monkeypatch: pytest.MonkeyPatch, may_set: bool
) -> None:
    chest.write(_aged(5, 5, 4, 0))
    seen = _statements(monkeypatch)
    run, limit = ClickHouseServer.run, "max_partition_size_to_drop"

    def with_a_limit(server: ClickHouseServer, statement: str, **rest: Any) -> str:
        if "DROP PARTITION" in statement and (limit not in statement or not may_set):
            statement = f"{statement.partition(' SETTINGS')[0]} SETTINGS {limit} = 1"
        return run(server, statement, **rest)

    monkeypatch.setattr(ClickHouseServer, "run", with_a_limit)
    assert Retention(chest, max_age=timedelta(days=3)).run().removed == 3
    assert _paths(chest) == ["0"]
    assert [statement.partition(" ")[0] for statement in seen] == ["ALTER"] * 4 + ["DELETE"] * (not may_set)


def test_a_day_of_another_time_zone_is_dropped_only_when_all_of_it_is_old(
    chest: ClickHouseChest, clickhouse: ClickHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    _made_anew(chest, clickhouse, "DateTime64(9, 'UTC')", "DateTime64(9, 'Etc/GMT+5')")
    noon, at_four, hour_ns = *_aged(5, 4 + 8 / 24), 3600 * 10**9
    assert at_four.time_ns - noon.time_ns == 16 * hour_ns
    seen = _statements(monkeypatch)
    with closing(chest.retention()) as retention:
        chest.write([noon, at_four])
        assert retention.remove_at_once(math.inf, noon.time_ns + 15 * hour_ns) == 1
        assert [stored.record for stored in chest.read()] == [at_four]
        assert retention.remove_at_once(math.inf, noon.time_ns + 17 * hour_ns) == 1
    assert [statement.partition(" ")[0] for statement in seen] == ["DELETE", "ALTER"]
    assert not chest.read()


def _made_anew(chest: ClickHouseChest, clickhouse: ClickHouse, old: str, new: str) -> None:
    """The table as it would be with this change of its definition."""
    chest.open()
    table = chest.target.quoted_table
    made = clickhouse.run(f"SHOW CREATE TABLE {table} FORMAT TSVRaw")
    assert old in made
    clickhouse.run(f"DROP TABLE {table}")
    clickhouse.run(made.replace(old, new))


def test_of_a_table_that_is_not_divided_by_day_rows_are_deleted(
    chest: ClickHouseChest, clickhouse: ClickHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    _made_anew(chest, clickhouse, "PARTITION BY toDate(time)\n", "")
    chest.write(_aged(5, 5, 0))
    seen = _statements(monkeypatch)
    assert Retention(chest, max_age=timedelta(days=3)).run().removed == 2
    assert _paths(chest) == ["0"]
    assert [statement.partition(" ")[0] for statement in seen] == ["DELETE"]


def test_a_store_is_kept_within_its_bytes_also_before_deleted_rows_are_merged(chest: ClickHouseChest) -> None:
    chest.write([make_record(path=str(place), variables={"text": os.urandom(1500).hex()}) for place in range(2000)])
    retention = chest.retention()
    assert retention.used_bytes() > 3 * 2**20
    assert 300 < Retention(chest, max_bytes=2 * 2**20).run().removed < 1600
    assert retention.used_bytes() <= 2 * 2**20
    assert retention.newest_ns() == chest.read(limit=5000)[-1].record.time_ns


def test_records_are_drawn_evenly_without_sorting_and_none_twice(
    chest: ClickHouseChest, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for start in range(0, 20_000, 5000):
        chest.write([make_record(duration_ns=start + place) for place in range(5000)])
    first, last = chest.read(limit=1)[0].cursor, chest.newest()
    statements: list[str] = []
    rows = ClickHouseServer.rows
    monkeypatch.setattr(ClickHouseServer, "rows", lambda self, text: statements.append(text) or rows(self, text))
    target = ClickHouseTarget.of(url)
    with closing(ClickHouseServer(target)) as server:
        pieces = ClickHousePieces(server, target.quoted_table)
        draws = [[record.duration_ns for record in pieces.drawn(first, last, 1000)] for _ in range(3)]
        assert sorted(record.duration_ns for record in pieces.drawn(first, last, 30_000)) == list(range(20_000))
    assert not [text for text in statements if "ORDER BY" in text or " IN (" in text]
    assert all(len(set(draw)) == len(draw) == 1000 for draw in draws)
    assert len(set(draws[0]) & set(draws[1])) < 200, "each time others"
    for draw in draws:
        assert all(150 < sum(start <= each < start + 5000 for each in draw) < 350 for start in range(0, 20_000, 5000))
