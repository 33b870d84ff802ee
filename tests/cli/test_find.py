"""``chest find``: the question the product exists for."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from chest.chests.asking.cube import Cube
from chest.chests.asking.pieces import BudgetOver
from chest.chests.asking.reading import Reading
from chest.chests.asking.sql.pieces import SQLPieces
from chest.chests.contract import Query, ReadableChest, StoredRecord
from chest.chests.memory import MemoryChest
from chest.chests.registry import open_chest
from chest.record.record import Record
from chest.request.client.user import UserIds

Run = Callable[..., Result]
MakeRecord = Callable[..., Record]


@pytest.fixture
def url(shelf: MemoryChest, record: MakeRecord) -> str:
    """A chest of six requests, request-1 to request-6."""
    shelf.write(
        [
            record(variables={"user_id": "123", "plan": "premium"}),
            record(variables={"user_id": 123, "plan": "free"}, status=404, route=None),
            record(variables={"user_id": "7", "plan": "premium"}, status=503, outcome="error", error="KeyError"),
            record(variables={"user_id": "123", "plan": "premium", "cart": {"total": 9.5}}, duration_ns=250_000_000),
            record(service="till", variables={"user_id": "123"}),
            record(status=None, outcome="client_disconnect"),
        ]
    )
    return shelf.name


def found(result: Result) -> list[str]:
    return [json.loads(line)["request_id"] for line in result.stdout.splitlines()]


@pytest.mark.parametrize(
    ("conditions", "ids"),
    [
        (["user_id=123", "plan=premium"], ["request-1", "request-4"]),
        (["user_id=123"], ["request-1", "request-2", "request-4", "request-5"]),
        (["cart.total=9.5"], ["request-4"]),
        (["--status", "5xx"], ["request-3"]),
        (["--status", "404"], ["request-2"]),
        (["--status", "400-599"], ["request-2", "request-3"]),
        (["--outcome", "client_disconnect"], ["request-6"]),
        (["--slower-than", "200ms"], ["request-4"]),
        (["--route", "/cart/<id>", "plan=premium", "--outcome", "ok"], ["request-1", "request-4"]),
        (["--since", "2026-01-01T12:00:05"], ["request-5", "request-6"]),
        (["--until", "2026-01-01T12:00:02"], ["request-1"]),
        (["--service", "till"], ["request-5"]),
    ],
)
def test_every_condition_narrows_what_is_found(run: Run, url: str, conditions: list[str], ids: list[str]) -> None:
    result = run("find", url, *conditions, "--json")
    assert (result.exit_code, found(result)) == (0, ids)


def test_without_conditions_all_is_found(run: Run, url: str) -> None:
    assert len(found(run("find", url, "--json"))) == 6


def test_it_says_how_many_it_looked_through_on_standard_error(run: Run, url: str) -> None:
    assert run("find", url, "plan=premium").stderr == "3 found; looked through 6 records\n"


def test_what_time_and_service_rule_out_is_not_looked_through(run: Run, url: str) -> None:
    result = run("find", url, "plan=premium", "--service", "shop", "--since", "2026-01-01T12:00:04")
    assert result.stderr == "1 found; looked through 2 records\n"


def test_with_none_found_the_exit_code_is_1(run: Run, url: str) -> None:
    result = run("find", url, "plan=gold")
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "0 found; looked through 6 records\n")


def test_beyond_the_limit_the_last_ones_are_shown_the_newest_at_the_bottom(run: Run, url: str) -> None:
    result = run("find", url, "plan=premium", "--limit", "2", "--json")
    assert found(result) == ["request-3", "request-4"]
    assert result.stderr == "3 found, the last 2 shown; looked through 6 records\n"


def test_what_is_found_stands_in_the_order_of_time_in_whatever_order_it_was_stored(
    run: Run, shelf: MemoryChest, record: MakeRecord
) -> None:
    first, second, third = (record() for _ in range(3))
    shelf.write([third, first])
    shelf.write([second])
    assert found(run("find", shelf.name, "--json")) == ["request-1", "request-2", "request-3"]
    assert found(run("find", shelf.name, "--json", "--limit", "2")) == ["request-2", "request-3"]


def test_without_json_each_record_is_one_line(run: Run, url: str) -> None:
    lines = run("find", url, "plan=premium").stdout.splitlines()
    assert len(lines) == 3
    assert lines[1].startswith("2026-01-01 12:00:03.000  503 error")
    assert "user_id=7 plan=premium" in lines[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["premium"], "'premium' is neither name=value nor the URL of a chest, and no file has this name"),
        (["--status", "6xx"], "'6xx': expected 404, 5xx or 500-599"),
        (["--since", "yesterday"], "'yesterday': expected 15m, 2h or 3d"),
        (["--slower-than", "200"], "'200': expected a number and ms, s"),
    ],
)
def test_a_condition_that_is_invalid_is_refused(run: Run, url: str, arguments: list[str], message: str) -> None:
    result = run("find", url, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_the_environment_s_chest_is_searched_where_none_is_given(
    run: Run, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHEST_URLS", url)
    assert found(run("find", "cart.total=9.5", "--json")) == ["request-4"]


def test_a_sqlite_file_is_searched_over_many_pages(run: Run, tmp_path: Path, record: MakeRecord) -> None:
    path = tmp_path / "chest.sqlite3"
    with open_chest(f"sqlite:///{path}") as chest:
        chest.write([record(variables={"user_id": number % 500}) for number in range(2500)])
    result = run("find", str(path), "user_id=123", "--json")
    assert found(result) == [f"request-{number}" for number in (124, 624, 1124, 1624, 2124)]
    assert result.stderr == "5 found; looked through 2,500 records\n"


def test_if_nothing_is_found_the_field_that_was_perhaps_meant_is_named(run: Run, url: str) -> None:
    assert run("find", url, "staus>=500").stderr.endswith("; staus is taken as a variable: did you mean status?\n")
    assert "did you mean" not in run("find", url, "plan=nobody").stderr
    assert "did you mean" not in run("find", url, "plan=premium").stderr


def test_of_very_many_the_last_are_found_without_reading_all(
    run: Run, tmp_path: Path, record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, day_ns = tmp_path / "chest.sqlite3", 86_400 * 10**9
    made = [record(time_ns=(number * 7919) % 2500 * day_ns // 50 + 10**18, status=200) for number in range(2500)]
    last = [each.request_id for each in sorted(made, key=lambda each: each.time_ns)[-30:]]
    with open_chest(f"sqlite:///{path}") as chest:
        chest.write(made)
    monkeypatch.setattr("chest.cli.find._MOST_READ", 100)
    read, records = list[StoredRecord](), Reading.records

    def counted(*arguments: Any) -> Iterator[StoredRecord]:
        for stored in records(*arguments):
            read.append(stored)
            yield stored

    monkeypatch.setattr(Reading, "records", counted)
    for words in ([], ["status=200"], ["since=2001-09-20"]):
        read.clear()
        result = run("find", str(path), *words, "--json", "--limit", "30")
        assert found(result) == last
        assert len(read) < 100
    count = sum(each.time_ns >= 1_000_944_000 * 10**9 for each in made)
    assert result.stderr == f"{count:,} found, the last 30 shown; looked through {count:,} records\n"


def test_of_very_many_that_the_store_cannot_count_within_the_budget_those_stored_last_are_shown(
    run: Run, tmp_path: Path, record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [record(time_ns=number * 10**9) for number in range(250)]
    with open_chest(f"sqlite:///{tmp_path}/chest.sqlite3") as chest:
        chest.write(made)
    monkeypatch.setattr("chest.cli.find._MOST_READ", 100)
    cube, budgets = ReadableChest.cube, list[float | None]()

    def estimated(chest: ReadableChest, *arguments: Any, seconds: float | None = None, **options: Any) -> Cube:
        budgets.append(seconds)
        counted = cube(chest, *arguments, **options)
        return replace(counted, cells=counted.cells[:1], basis=counted.basis._replace(is_exact=False))

    monkeypatch.setattr(ReadableChest, "cube", estimated)
    result = run("find", f"{tmp_path}/chest.sqlite3", "--json", "--limit", "3")
    assert found(result) == [each.request_id for each in made[-3:]]
    assert result.stderr == (
        "at least 100 found, the last 3 shown; the budget of 10 s ended after the last 250 of 250 records: --since makes them fewer,"
        " --seconds gives it longer\n"
    )
    assert budgets
    assert None not in budgets


def test_if_the_budget_ends_what_was_stored_last_is_shown_and_said_to_be_a_part(
    run: Run, tmp_path: Path, record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"{tmp_path}/chest.sqlite3"
    with open_chest(f"sqlite:///{path}") as chest:
        chest.write([record(variables={"user_id": number % 10}) for number in range(3000)])
    places = SQLPieces.places

    def slow(pieces: SQLPieces, query: Query, first: int, last: int, *others: Any) -> list[int]:
        if first < 600:
            raise BudgetOver
        return places(pieces, query, first, last, *others)

    monkeypatch.setattr(SQLPieces, "places", slow)
    monkeypatch.setattr("chest.cli.find._MOST_READ", 600)
    result = run("find", path, "user_id=9", "--seconds", "300", "--json")
    assert result.exit_code == 0
    assert found(result)[-1] == "request-3000"
    assert len(found(result)) == 100
    assert result.stderr.startswith("at least 240 found, the last 100 shown; ")
    assert (
        "; the budget of 300 s ended after the last 2,400 of 3,000 records: --since makes them fewer" in result.stderr
    )


def test_a_chest_that_cannot_count_is_read_until_the_budget_ends(
    run: Run, shelf: MemoryChest, record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.write([record() for _ in range(2500)])
    read, moments = MemoryChest.read, list[float]()
    monkeypatch.setattr("chest.chests.asking.reading.time.monotonic", lambda: 100.0 * len(moments))

    def slow(chest: MemoryChest, *arguments: Any, **options: Any) -> list[StoredRecord]:
        moments.append(100.0)
        return read(chest, *arguments, **options)

    monkeypatch.setattr(MemoryChest, "read", slow)
    result = run("find", shelf.name, "--limit", "2", "--seconds", "50", "--json")
    assert found(result) == ["request-999", "request-1000"]
    assert result.stderr.startswith(
        "at least 1,000 found, the last 2 shown; the budget of 50 s ended after the first 1,000 records: "
    )
    moments.clear()
    assert run("find", shelf.name, "--seconds", "86400").stderr.startswith("2,500 found")


def test_csv_has_a_row_a_record_and_values_as_json(run: Run, url: str) -> None:
    rows = list(csv.DictReader(io.StringIO(run("find", url, "plan=premium", "--csv").stdout)))
    assert [row["request_id"] for row in rows] == ["request-1", "request-3", "request-4"]
    assert json.loads(rows[2]["variables"]) == {"user_id": "123", "plan": "premium", "cart": {"total": 9.5}}
    around = run("find", url, "--before", "request-4", "--csv").stdout
    assert [row["request_id"] for row in csv.DictReader(io.StringIO(around))][-1] == "request-4"
    assert run("find", url, "plan=none", "--csv").stdout == ""


def test_what_belongs_to_the_requests_is_asked_of_the_store_by_their_ids(
    run: Run, tmp_path: Path, record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"{tmp_path}/chest.sqlite3"
    with open_chest(f"sqlite:///{path}") as chest:
        chest.write(
            [record(request_id=f"order-{number % 1000}", status=200 + number // 1000) for number in range(2000)]
        )
    read, records = list[StoredRecord](), Reading.records

    def counted(*arguments: Any) -> Iterator[StoredRecord]:
        for stored in records(*arguments):
            read.append(stored)
            yield stored

    monkeypatch.setattr(Reading, "records", counted)
    assert found(run("find", path, "status=200", "request_id=order-7", "--joined", "--json")) == ["order-7"] * 2
    assert len(read) == 2


def test_a_mistyped_file_is_an_error_and_is_not_made(run: Run, tmp_path: Path) -> None:
    result = run("find", f"sqlite:///{tmp_path}/chset.sqlite3", "user_id=123")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("chest: ")
    assert list(tmp_path.iterdir()) == []


def test_a_user_is_found_by_the_attribute_and_hashed_if_the_records_are(
    run: Run, shelf: MemoryChest, record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed = UserIds("hashed", "k" * 16).kept("42")
    shelf.write([record(attributes={"enduser.id": each}) for each in ("42", "43", hashed)])
    assert found(run("find", shelf.name, "--user", "42", "--json")) == ["request-1"]
    assert found(run("find", shelf.name, "attr.enduser.id=42", "--json")) == ["request-1"]
    monkeypatch.setenv("CHEST_USER_IDS", "hashed")
    monkeypatch.setenv("CHEST_USER_IDS_KEY", "k" * 16)
    assert found(run("find", shelf.name, "--user", "42", "--json")) == ["request-3"]


def test_joined_shows_what_else_has_the_request_s_id(run: Run, shelf: MemoryChest, record: MakeRecord) -> None:
    shelf.write(
        [
            record(request_id="order-42", method="JOB", path="send_email", outcome="error", time_ns=7),
            record(request_id="order-41", path="/other", time_ns=6),
            record(request_id="order-42", path="/orders", time_ns=5),
        ]
    )
    assert len(run("find", shelf.name, "method=JOB", "outcome=error").stdout.splitlines()) == 1
    request, job = run("find", shelf.name, "method=JOB", "outcome=error", "--joined").stdout.splitlines()
    assert "/orders" in request
    assert "send_email" in job
    assert len(run("find", shelf.name, "request_id=order-42").stdout.splitlines()) == 2


def test_before_and_after_show_what_the_same_user_did(run: Run, url: str, shelf: MemoryChest) -> None:
    result = run("find", url, "--before", "request-4", "--after", "request-4", "--json")
    assert found(result) == ["request-1", "request-2", "request-4", "request-5"]
    assert result.stderr == "2 before and 1 after; user_id: 123\n"
    assert found(run("find", url, "--after", "request-1", "--limit", "1", "plan=premium", "--json")) == [
        "request-1",
        "request-4",
    ]
    assert found(run("find", url, "--before", "request-4", "--by", "status", "--json"))[-1] == "request-4"


def test_neighbours_of_no_record_or_of_two_are_refused(run: Run, url: str) -> None:
    result = run("find", url, "--before", "nosuch")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "no record whose id is nosuch" in result.stderr
    assert run("find", url, "--before", "request-1", "--after", "request-2").exit_code == 2
