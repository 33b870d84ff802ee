"""Answers out of a chest that can only be read: their figures, against plain counting."""

from __future__ import annotations

import random
from statistics import quantiles

import pytest

from chest.chests.memory import MemoryChest
from chest.chests.query import Query
from chest.errors import SettingsError
from chest.query import compare, heatmap, neighbours, news, over_time, top, values
from chest.query.question import Question
from chest.record.record import Record
from chest.testing.records import make_record

_BEGIN_NS = 1_767_268_800 * 10**9
_HOUR_NS = 3600 * 10**9


def _records() -> list[Record]:
    """One hour. Requests of plan pro under release 2 are eight times as slow, and nothing else is."""
    chance = random.Random(7)
    found = []
    for place in range(4000):
        plan, release = chance.choice(["free", "pro", "pro", None]), chance.choice(["1", "2"])
        slow = plan == "pro" and release == "2"
        is_failed = chance.random() < 0.03
        found.append(
            make_record(
                time_ns=_BEGIN_NS + place * _HOUR_NS // 4000,
                duration_ns=int(chance.lognormvariate(17, 0.4) * (8 if slow else 1)),
                route=chance.choice(["/", "/items/<id>"]),
                status=500 if is_failed else 200,
                outcome="error" if is_failed else "ok",
                release=release,
                variables={"user_id": chance.randrange(200), "cart": {"total": chance.random()}}
                | ({"plan": plan} if plan else {}),
            )
        )
    return found


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return _records()


@pytest.fixture(scope="module")
def chest(records: list[Record]) -> MemoryChest:
    chest = MemoryChest()
    chest.write(records)
    return chest


def test_top_counts_each_group_and_its_percentiles_are_within_1_percent(
    chest: MemoryChest, records: list[Record]
) -> None:
    answer = top(chest, by="plan,release", sort="p95")
    assert answer.basis.is_exact
    assert (answer.by, answer.groups, answer.others) == (("plan", "release"), 6, None)
    assert answer.rows[0].group == ("pro", "2")
    for row in answer.rows:
        own = [each for each in records if (each.variables.get("plan"), each.release) == row.group]
        cuts = quantiles([each.duration_ns for each in own], n=100)
        assert row.requests == len(own) == sum(row.over_time)
        assert row.p50_ns == pytest.approx(cuts[49], rel=0.02)
        assert row.p95_ns == pytest.approx(cuts[94], rel=0.03)
        assert row.longest_ns == max(each.duration_ns for each in own)
        assert row.total_ns == pytest.approx(sum(each.duration_ns for each in own))
        assert row.failed_share == pytest.approx(sum(each.outcome == "error" for each in own) / len(own))
    assert answer.everything.requests == len(records)
    assert answer.everything.per_second == pytest.approx(4000 / 3600, rel=0.01)


@pytest.mark.parametrize("times", ["since=0001-01-01", "until=9999-12-31", "since=1000-01-01 until=9000-01-01"])
def test_a_time_range_of_thousands_of_years_is_about_the_records_there_are(chest: MemoryChest, times: str) -> None:
    for ask in (top, over_time, heatmap, values):
        assert ask(chest, times).table() == ask(chest).table()


def test_top_against_an_earlier_period_has_both(chest: MemoryChest) -> None:
    answer = top(chest, "since=2026-01-01T12:30 until=2026-01-01T12:40", by="release", against="10m")
    assert [round(row.requests + row.before.requests) for row in answer.rows if row.before] == [
        round(row.requests) for row in top(chest, "since=2026-01-01T12:20 until=2026-01-01T12:40", by="release").rows
    ]


def test_beyond_the_limit_rows_are_left_out_and_groups_are_counted(chest: MemoryChest) -> None:
    answer = top(chest, by="user_id", sort="count", limit=5)
    assert (len(answer.rows), answer.groups) == (5, 200)


def test_sampled_requests_count_as_many_as_they_stand_for() -> None:
    chest = MemoryChest()
    chest.write(
        [
            *(make_record(attributes={"chest.sample_rate": 0.1}, duration_ns=1_000_000) for _ in range(10)),
            *(make_record(duration_ns=100_000_000) for _ in range(100)),
        ]
    )
    (row,) = top(chest, by="service").rows
    assert row.requests == pytest.approx(200)
    assert row.total_ns == pytest.approx(100 * 1e6 + 100 * 1e8)
    assert row.p50_ns is not None
    assert row.p50_ns < 2_000_000
    (plan,) = values(chest, names="plan").rows
    assert plan.share == 1


def test_over_time_has_a_row_for_each_step_and_class_of_status(chest: MemoryChest, records: list[Record]) -> None:
    answer = over_time(chest, by="status", step="10m")
    assert answer.groups == (("2xx",), ("5xx",))
    assert len(answer.rows) == 12
    assert sum(row.requests for row in answer.rows) == len(records)
    assert answer.rows[0].begin_ns == _BEGIN_NS
    assert answer.rows[0].per_second == pytest.approx(answer.rows[0].requests / 600)


def test_over_time_shows_a_step_without_requests() -> None:
    chest = MemoryChest()
    chest.write([make_record(time_ns=_BEGIN_NS), make_record(time_ns=_BEGIN_NS + _HOUR_NS)])
    requests = [row.requests for row in over_time(chest, step="15m").rows]
    assert requests == [1, 0, 0, 0, 1]


def test_a_record_is_no_bound_of_a_rate_and_a_time_that_is_asked_for_is() -> None:
    chest = MemoryChest()
    chest.write([make_record(time_ns=_BEGIN_NS)])
    assert top(chest).everything.per_second == 1
    assert [row.per_second for row in over_time(chest, step="15m").rows] == [1 / 900]
    chest.write([make_record(time_ns=_BEGIN_NS + 900 * 10**9)])
    assert [row.per_second for row in over_time(chest, step="15m").rows] == [1 / 900, 1 / 900]
    asked = Query(since_ns=_BEGIN_NS, until_ns=_BEGIN_NS + 1000 * 10**9)
    assert [row.per_second for row in over_time(chest, asked, step="15m").rows] == [1 / 900, 1 / 100]
    assert top(chest, asked).everything.per_second == 2 / 1000


def test_the_rate_of_a_step_that_is_not_over_is_that_of_the_time_until_now(monkeypatch: pytest.MonkeyPatch) -> None:
    chest = MemoryChest()
    chest.write([make_record(time_ns=_BEGIN_NS + seconds * 10**9) for seconds in (0, 910)])
    monkeypatch.setattr("time.time_ns", lambda: _BEGIN_NS + 1000 * 10**9)
    assert [row.per_second for row in over_time(chest, step="15m").rows] == [1 / 900, 1 / 100]


def test_a_heatmap_holds_every_request_once(chest: MemoryChest, records: list[Record]) -> None:
    answer = heatmap(chest, columns=12, bands=20)
    assert len(answer.columns) <= 12
    assert len(answer.bands) <= 21
    assert sum(sum(band.counts) for band in answer.bands) == len(records)
    for lower, upper in zip(answer.bands, answer.bands[1:], strict=False):
        assert lower.high_ns == upper.low_ns
    shortest, longest = min(each.duration_ns for each in records), max(each.duration_ns for each in records)
    assert answer.bands[0].low_ns <= shortest
    assert longest < answer.bands[-1].high_ns


def test_far_above_the_axis_of_a_heatmap_is_one_band_that_says_so() -> None:
    chest = MemoryChest()
    chest.write([make_record(duration_ns=10_000_000 + place) for place in range(3000)])
    chest.write([make_record(duration_ns=10**10), make_record(duration_ns=6 * 10**10)])
    *axis, overflow = heatmap(chest).bands
    assert overflow.is_overflow
    assert sum(overflow.counts) == 2
    assert overflow.low_ns <= 10**10
    assert overflow.high_ns > 6 * 10**10
    assert not any(band.is_overflow for band in axis)


def test_values_tells_type_share_and_top_values(chest: MemoryChest, records: list[Record]) -> None:
    plan, cart = values(chest, names=["plan", "cart.total"]).rows
    pro = sum(each.variables.get("plan") == "pro" for each in records)
    assert (plan.types, plan.distinct, plan.top[0].value, round(plan.top[0].requests)) == (("text",), 2, "pro", pro)
    assert plan.share == pytest.approx(sum("plan" in each.variables for each in records) / len(records))
    assert cart.types == ("number",)
    assert cart.smallest is not None
    assert 0 <= cart.smallest < 0.01
    assert cart.largest is not None
    assert 0.99 < cart.largest <= 1


def test_values_without_names_shows_every_name_there_is(chest: MemoryChest) -> None:
    names = [row.name for row in values(chest).rows]
    assert {"route", "status", "plan", "cart.total", "user_id", "attr.http.response.body.size"} <= set(names)
    assert "request_id" not in names


def test_compare_names_exactly_what_the_slow_ones_have_in_common(chest: MemoryChest) -> None:
    answer = compare(chest, slower_than="p90")
    assert {row.name for row in answer.clear} == {"plan", "release"}
    assert {row.values[0].value for row in answer.clear} == {"pro", "2"}
    assert answer.slower_than_ns is not None
    assert "duration" in answer.left_out
    assert answer.selected + answer.rest == 4000


def test_compare_against_another_filter_compares_just_these(chest: MemoryChest) -> None:
    answer = compare(chest, "release=2", against="release=1")
    assert [row.name for row in answer.clear] == ["duration"]
    assert "release" in answer.left_out


def test_a_few_records_are_no_clear_difference() -> None:
    chest = MemoryChest()
    chest.write([make_record(duration_ns=10**9, variables={"plan": plan}) for plan in ("a", "a", "a", "b", "b")])
    chest.write([make_record(duration_ns=10**6, variables={"plan": "b"}) for _ in range(50)])
    answer = compare(chest, slower_than="500ms")
    (plan,) = [row for row in answer.rows if row.name == "plan"]
    assert plan.score == pytest.approx(0.6)
    assert plan.values[0].high - plan.values[0].low > 0.5


def test_a_name_that_is_different_in_every_request_is_left_out() -> None:
    chest = MemoryChest()
    chest.write([make_record(status=200 + 300 * (place % 2), variables={"order": f"o{place}"}) for place in range(200)])
    assert "order" in compare(chest, "status=500").left_out


@pytest.mark.parametrize(
    "ask",
    [
        lambda chest: top(chest, sort="fast"),
        lambda chest: top(chest, by="Status"),
        lambda chest: compare(chest),
        lambda chest: compare(chest, slower_than="p0"),
        lambda chest: over_time(chest, step=0),
    ],
)
def test_an_invalid_argument_is_refused(chest: MemoryChest, ask: object) -> None:
    with pytest.raises(SettingsError):
        ask(chest)  # type: ignore[operator]


def test_a_chest_without_records_gives_answers_without_rows() -> None:
    chest = MemoryChest()
    assert top(chest).rows == ()
    assert sum(row.requests for row in over_time(chest).rows) == 0
    assert heatmap(chest).bands == ()
    assert compare(chest, "status=500").rows == ()
    assert values(chest, names="plan").rows[0].share == 0


def test_a_budget_that_ends_is_an_answer_that_says_so(chest: MemoryChest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        Question, "seconds_left", lambda _: 0.003
    )  # a quick machine counts all in what it is given at least
    answer = top(chest)
    assert not answer.basis.is_exact
    assert 0 < answer.basis.read < 4000


@pytest.mark.parametrize("kind", ["to_pandas", "to_polars"])
def test_each_answer_is_a_data_frame(chest: MemoryChest, kind: str) -> None:
    pytest.importorskip(kind.removeprefix("to_"))
    answers = [
        top(chest, by="plan", against="1h"), values(chest), over_time(chest, by="status"), heatmap(chest), news(chest, since="2026-01-01T12:30"),
        compare(chest, "plan=pro"), neighbours(chest, chest.read(limit=1)[0].record.id),
    ]  # fmt: skip
    for answer in answers:
        frame, table = getattr(answer, kind)(), answer.table()
        assert (list(frame.columns), len(frame)) == (list(table[0]) if table else [], len(table))
    frame = getattr(answers[0], kind)()
    assert {plan for plan in frame["plan"] if isinstance(plan, str)} == {"pro", "free"}
    assert frame["requests"].sum() == 4000


def test_the_percentile_of_a_comparison_is_that_of_all_requests_not_of_the_sample(
    chest: MemoryChest, records: list[Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chest.query.comparison._PERCENTILE_SECONDS", 60.0)  # on a busy machine
    p95_ns = quantiles([each.duration_ns for each in records], n=100)[94]
    for _ in range(3):  # of 40 records it would be 10 % off, most of the time
        assert compare(chest, slower_than="p95", size=40).slower_than_ns == pytest.approx(p95_ns, rel=0.02)
