"""The endpoints: what ``chest.query`` answers, in milliseconds, as JSON and as CSV."""

from __future__ import annotations

import csv
import io
import json
import time
from typing import Any
from urllib.parse import quote

import pytest

from chest.chests.contract import StoredRecord
from chest.chests.memory import MemoryChest
from chest.dashboard import ChestPage
from chest.query import compare, heatmap, over_time, top, values
from chest.record.record import Record
from chest.testing.records import make_record
from tests.dashboard.conftest import NOON_MS, NOON_NS, Get, ask

UNTIL = "until=2026-01-01T13:00"
ALL = f"since=2026-01-01T12:00&{UNTIL}"


def _rows(body: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(body.decode(), newline="")))


def test_over_time_has_a_row_for_each_step_and_group(get: Get, chest: MemoryChest) -> None:
    found = get(f"/api/over-time?{ALL}&by=route&steps=6").json
    expected = over_time(chest, "since=2026-01-01T12:00 until=2026-01-01T13:00", by="route", columns=6)
    assert found["step_ms"] == 600_000
    assert [group["group"] for group in found["groups"]] == ["/cart/<id>", "/pay"]
    assert [group["condition"] for group in found["groups"]] == ["route=/cart/<id>", "route=/pay"]
    for group in found["groups"]:
        rows = [row for row in expected.rows if row.group == (group["group"],)]
        assert [row["time_ms"] * 10**6 for row in group["rows"]] == [row.begin_ns for row in rows]
        assert [row["requests"] for row in group["rows"]] == [row.requests for row in rows]
        assert [row["p99_ms"] for row in group["rows"]] == [row.p99_ns and row.p99_ns / 1e6 for row in rows]
    assert sum(row["errors"] for group in found["groups"] for row in group["rows"]) == pytest.approx(8)
    table = _rows(get(f"/api/over-time.csv?{ALL}&by=route&steps=6").body)
    assert len(table) == 12
    assert float(table[0]["time_ms"]) == NOON_MS


def test_over_time_of_no_group_has_the_group_null(get: Get) -> None:
    (group,) = get(f"/api/over-time?{ALL}").json["groups"]
    assert (group["group"], group["values"]) == (None, [])


def test_the_heatmap_counts_each_request_and_failure_once(get: Get, chest: MemoryChest) -> None:
    found = get(f"/api/heatmap?{ALL}&columns=12&rows=20").json
    bands = heatmap(chest, "since=2026-01-01T12:00 until=2026-01-01T13:00", columns=12, bands=20).bands
    assert found["times_ms"][:2] == [NOON_MS, NOON_MS + 300_000]
    assert found["bounds_ms"] == [band.low_ns / 1e6 for band in bands] + [bands[-1].high_ns / 1e6]
    assert len(found["counts"]) == len(found["times_ms"])
    assert {len(column) for column in found["counts"]} == {len(found["bounds_ms"]) - 1}
    assert sum(map(sum, found["counts"])) + sum(found["overflow"]) == 400
    assert sum(map(sum, found["errors"])) + sum(found["overflow_errors"]) == 8
    table = _rows(get(f"/api/heatmap.csv?{ALL}&columns=12&rows=20").body)
    assert sum(float(row["requests"]) for row in table) == 400


def test_the_heatmap_of_a_value_counts_the_requests_that_have_it(get: Get) -> None:
    found = get(f"/api/heatmap?{ALL}&name=plan&value=pro").json
    assert sum(map(sum, found["counts"])) + sum(found["overflow"]) == 200


def test_top_has_a_row_for_each_group_and_what_is_left(get: Get, chest: MemoryChest) -> None:
    found = get(f"/api/top?{ALL}&by=plan,release&sort=p95&limit=1&against=1h").json
    (row,) = found["rows"]
    assert (row["values"], row["condition"]) == (["pro", "v2"], "plan=pro release=v2")
    (expected, *_) = top(chest, "since=2026-01-01T12:00 until=2026-01-01T13:00", by="plan,release", sort="p95").rows
    assert (
        row["p95_ms"] == expected.p95_ns and expected.p95_ns / 1e6
        if False
        else row["p95_ms"] * 1e6 == pytest.approx(expected.p95_ns)
    )
    assert row["requests"] == 100
    assert sum(row["spark"]) == 100
    assert row["before"] is None
    assert found["groups"] == 4
    assert found["everything"]["requests"] == 400
    assert found["everything"]["before"]["requests"] == 0
    earlier = get("/api/top?since=2026-01-01T12:30&until=2026-01-01T13:00&against=30m").json
    assert {row["before"]["requests"] > 0 for row in earlier["rows"]} == {True}
    table = _rows(get("/api/top.csv?since=2026-01-01T12:30&until=2026-01-01T13:00&against=30m").body)
    assert {float(row["requests_before"]) > 0 for row in table} == {True}
    assert "spark" not in table[0]


def test_values_of_every_name_or_of_some(get: Get, chest: MemoryChest) -> None:
    every = get(f"/api/values?{ALL}").json["rows"]
    assert {"status", "plan", "user_id", "note"} <= {row["name"] for row in every}
    plan, user = get(f"/api/values?{ALL}&name=plan&name=user_id&limit=3").json["rows"]
    assert (plan["type"], plan["present_share"], plan["distinct"]) == ("text", 1, 2)
    assert plan["top"][0] == {"value": "free", "share": 0.5, "count": 200, "condition": "plan=free"}
    assert (user["type"], user["distinct"], len(user["top"]), user["largest"]) == ("number", 40, 3, 39)
    assert user["distinct"] == values(chest, names="user_id").rows[0].distinct
    assert len(_rows(get(f"/api/values.csv?{ALL}&name=plan&name=user_id&limit=3").body)) == 5


def test_compare_names_the_planted_cause_and_the_filter_that_selects_it(get: Get, chest: MemoryChest) -> None:
    found = get(f"/api/compare?{ALL}&selection={quote('duration>=100ms')}").json
    assert (found["these"], found["others"]) == (100, 300)
    assert "duration" in found["left_out"]
    first = [row for row in found["rows"] if row["difference"] > 0][:2]
    assert {(row["name"], row["value"], row["condition"]) for row in first} == {
        ("release", "v2", "release=v2"),
        ("plan", "pro", "plan=pro"),
    }
    assert all(row["low"] <= row["difference"] <= row["high"] for row in found["rows"])
    expected = compare(chest, "duration>=100ms", filter="since=2026-01-01T12:00 until=2026-01-01T13:00")
    assert first[0]["these_share"] == expected.rows[0].values[0].selected_share


def test_the_rectangles_times_select_and_do_not_narrow_the_others(get: Get) -> None:
    end = NOON_MS + 15 * 60_000
    found = get(f"/api/compare?{ALL}&selection={quote('duration>=100ms')}&from={NOON_MS}&to={end}").json
    assert (found["these"], found["others"]) == (25, 375)
    assert {"duration", "time"} <= set(found["left_out"])


def test_compare_with_other_requests_than_the_rest(get: Get) -> None:
    found = get(
        f"/api/compare?{ALL}&selection=release=v2&against={quote('release=v1 plan=free')}&filter=route=/pay"
    ).json
    assert (found["these"], found["others"]) == (40, 20)


def test_compare_without_a_selection_is_a_sentence(get: Get) -> None:
    answer = get(f"/api/compare?{ALL}")
    assert answer.status == 400
    assert "needs a selection" in answer.json["error"]


def test_names_are_what_can_be_typed_and_their_values(get: Get) -> None:
    names = {row["name"]: row["type"] for row in get("/api/names").json["names"]}
    assert names["user_id"] == "number"
    assert names["status"] == "number"
    found = get("/api/names?name=plan").json["values"]
    assert sorted(each["condition"] for each in found) == ["plan=free", "plan=pro"]


def test_every_answer_says_what_it_rests_on(get: Get) -> None:
    for url in ("over-time", "heatmap", "top", "values", "compare?selection=status=500", "names"):
        basis = get(f"/api/{url}").json["basis"]
        assert (basis["exact"], basis["text"], basis["complete"], basis["of"]) == (True, "exact", True, 400), url


def test_an_answer_that_the_budget_cut_says_so() -> None:
    slow = _Slow()
    slow.write([make_record(time_ns=NOON_NS + place) for place in range(2500)])
    basis = ask(ChestPage(slow, allow="everybody", seconds=0.01), "/api/top").json["basis"]
    assert (basis["exact"], basis["complete"]) == (False, False)
    assert basis["seen"] in (1000, 2000)  # whole pages
    assert basis["text"] == f"of the first {basis['seen']:,} records only"


class _Slow(MemoryChest):
    """Takes longer for each page than the shortest budget that a question is given."""

    def read(self, *arguments: Any, **options: Any) -> list[StoredRecord]:
        time.sleep(0.06)
        return super().read(*arguments, **options)


@pytest.mark.parametrize(
    ("question", "error", "where"),
    [
        ("filter=status==5", "== is no operator; write =", {"position": 6, "suggestion": "status=5"}),
        ("filter=a=1&filter=b>", "expected a value to compare with", {"position": 2}),
        ("since=yesterday", "since: expected 15m", {"parameter": "since"}),
        ("limit=0", "limit: expected a whole number from 1 to 1,000", {"parameter": "limit"}),
        ("limit=99999999999999999999", "limit: expected a whole number", {"parameter": "limit"}),
        ("sort=name", "sort='name': there are total, count", {}),
        ("against=later", "against: expected a number and ms", {"parameter": "against"}),
        ("by=Status", "did you mean the field status?", {}),
        ("&".join(f"x{place}=1" for place in range(200)), "more than 100 parameters", {"parameter": "the question"}),
    ],
)
def test_an_invalid_question_is_told_where_and_why(
    get: Get, question: str, error: str, where: dict[str, object]
) -> None:
    answer = get(f"/api/top?{question}")
    assert answer.status == 400
    assert error in answer.json["error"]
    told = {"error": answer.json["error"], "position": None, "suggestion": None, "parameter": None}
    assert answer.json == {**told, **where}


@pytest.mark.parametrize("name", ["selection", "against"])
def test_a_selection_that_is_invalid_is_told_apart_from_the_filter(get: Get, name: str) -> None:
    question = {"selection": "status=5xx", name: "status==5"}
    answer = get("/api/compare?" + "&".join(f"{each}={quote(text)}" for each, text in question.items()))
    assert answer.status == 400
    assert answer.json["error"].startswith(f"{name}: == is no operator")
    assert (answer.json["parameter"], answer.json["position"]) == (name, None)


def test_a_text_that_a_spreadsheet_takes_for_a_formula_is_quoted(
    chest: MemoryChest, get: Get, records: list[Record]
) -> None:
    for place, text in enumerate(("=1+1", "+1", "-1", "@SUM(A1)", "\tx")):
        chest.write([records[0]._replace(id=f"{place:032x}"[::-1], variables={"plan": text})])
    shown = [row["value"] for row in _rows(get("/api/values.csv?name=plan&limit=20").body)]
    assert {"'=1+1", "'+1", "'-1", "'@SUM(A1)", "'\tx", "free", "pro"} == set(shown)


def test_json_holds_only_numbers_that_json_has(get: Get) -> None:
    for url in ("over-time?since=2030-01-01", "heatmap?since=2030-01-01", "top?since=2030-01-01", "values?filter=a=b"):
        json.loads(get(f"/api/{url}").body, parse_constant=pytest.fail)


def test_a_release_that_came_within_the_range_is_marked(get: Get, chest: MemoryChest) -> None:
    came_ns = NOON_NS + 45 * 60 * 10**9
    chest.write([make_record(time_ns=came_ns + place * 10**9, release="v3") for place in range(20)])
    for question in ("over-time", "over-time?by=route", "heatmap"):
        separator = "&" if "?" in question else "?"
        marks = get(f"/api/{question}{separator}{ALL}").json["releases"]
        assert {"time_ms": came_ns / 1e6, "release": "v3"} in marks, question


def test_what_is_new_has_the_times_at_which_it_was_first_and_last_seen(get: Get, chest: MemoryChest) -> None:
    came_ns = NOON_NS + 50 * 60 * 10**9
    fields: dict[str, Any] = {"error": "TypeError", "outcome": "error", "variables": {"plan": "trial"}}
    chest.write([make_record(time_ns=came_ns + place * 10**9, **fields) for place in range(5)])
    found = get("/api/new?since=2026-01-01T12:40&name=plan").json
    (error,) = found["errors"]
    times = {"first_seen_ms": came_ns / 1e6, "last_seen_ms": came_ns / 1e6 + 4000}
    assert error == {"name": "error", "value": "TypeError", "count": 5, "condition": "error=TypeError", **times}
    assert {"name": "plan", "value": "trial", "count": 5, "condition": "plan=trial", **times} in found["values"]
    assert found["since_ms"] == NOON_MS + 40 * 60_000
    table = _rows(get("/api/new.csv?since=2026-01-01T12:40&name=plan").body)
    assert {"TypeError", "trial"} <= {row["value"] for row in table}
    assert get("/api/new?since=1h").json["errors"] == []


def test_a_value_that_is_too_long_for_a_url_is_cut_and_has_no_filter(get: Get, chest: MemoryChest) -> None:
    chest.write([make_record(variables={"plan": "x" * 10_000}, time_ns=NOON_NS) for _ in range(300)])
    (row,) = get("/api/values?name=plan&limit=1").json["rows"]
    assert (len(row["top"][0]["value"]), row["top"][0]["condition"]) == (1000, None)
    (group, *_) = get("/api/top?by=plan&sort=count").json["rows"]
    assert (len(group["group"]), group["condition"]) == (1000, None)
    for row in get("/api/compare?selection=status=200").json["rows"]:
        assert len(row["value"] or "") <= 1000


def test_a_request_with_10000_variables_does_not_make_a_question_long(chest: MemoryChest) -> None:
    chest.write([make_record(variables={f"name_{place}": place for place in range(10_000)})] * 1)
    page = ChestPage(chest, allow="everybody", seconds=0.2, patience_seconds=60)
    answer = ask(page, "/api/values").json
    assert answer["left_out"] > 5000
    assert {"plan", "user_id", "note"} <= {row["name"] for row in answer["rows"]}
    compared = ask(page, "/api/compare?selection=duration>=100ms").json
    assert {row["name"] for row in compared["rows"]} >= {"plan", "release"}
    assert len(compared["left_out"]) == 1000


def test_the_time_range_is_told(get: Get) -> None:
    found = get(f"/api/top?{ALL}").json
    assert (found["begin_ms"] * 10**6, found["end_ms"]) == (NOON_NS, NOON_MS + 3_600_000)


@pytest.mark.parametrize("by", ["user_id", "status,user_id", "user_id,plan"])
def test_groups_that_are_put_together_are_no_filter(get: Get, by: str) -> None:
    groups = get(f"/api/over-time?{ALL}&by={by}&limit=3").json["groups"]
    conditions = {group["condition"] for group in groups if "(others)" in group["values"]}
    assert conditions == {None}
    assert all(group["condition"] for group in groups if "(others)" not in group["values"])
