"""``news`` and the marks of releases: what was first seen lately, with exact times."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chest.chests.asking.cube import Cube
from chest.chests.asking.following import FollowedRecords
from chest.chests.contract import ReadableChest
from chest.chests.memory import MemoryChest
from chest.chests.query import Query
from chest.chests.registry import open_chest
from chest.errors import SettingsError
from chest.query import heatmap, news, over_time
from chest.record.record import Record
from chest.testing.records import make_record

_BEGIN_NS = 1_767_268_800 * 10**9
_MINUTE_NS = 60 * 10**9
_NEW = "2026-01-01T13:00"


def _time_ns(minute: float) -> int:
    return _BEGIN_NS + int(minute * _MINUTE_NS)


def _records() -> list[Record]:
    """Two hours from 12:00 on. In the second there are a release, an error, a route, a status and a plan that were not there before."""
    found = []
    for place in range(1200):
        minute = place / 10
        is_new = minute >= 75.3
        found.append(
            make_record(
                time_ns=_time_ns(minute),
                release="2" if is_new else "1",
                error=("TypeError" if is_new else "KeyError") if place % 40 == 7 else None,
                outcome="error" if place % 40 == 7 else "ok",
                status=418 if place in (901, 911) else 500 if place % 40 == 7 else 200,
                route="/new" if place == 1000 else "/",
                variables={"plan": "trial" if place == 800 else "free", "n": place % 3},
                attributes={"chest.sample_rate": 0.5} if place == 1000 else {},
            )
        )
    return found


@pytest.fixture(scope="module", params=["memory", "sqlite"])
def chest(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReadableChest]:
    path: Path = tmp_path_factory.mktemp("novelty") / "chest.sqlite3"
    with MemoryChest() if request.param == "memory" else open_chest(f"sqlite:///{path}") as chest:
        assert isinstance(chest, ReadableChest)
        chest.write(_records())
        yield chest


def test_news_are_the_values_that_were_not_there_before(chest: ReadableChest) -> None:
    answer = news(chest, since=_NEW, names="plan,n")
    assert answer.basis.is_exact
    assert answer.names == ("error", "status", "route", "release", "plan", "n")
    assert [tuple(value) for value in answer.values] == [
        ("route", "/new", _time_ns(100), _time_ns(100), 2.0),
        ("status", "418", _time_ns(90.1), _time_ns(91.1), 2.0),
        ("plan", "trial", _time_ns(80), _time_ns(80), 1.0),
        ("error", "TypeError", _time_ns(76.7), _time_ns(116.7), 11.0),
        ("release", "2", _time_ns(75.3), _time_ns(119.9), 447.0 + 1),
    ]
    assert answer.before == 600


def test_a_filter_and_a_limit_narrow_the_news(chest: ReadableChest) -> None:
    answer = news(chest, "outcome=error", since=_NEW, limit=1)
    assert {value.name for value in answer.values} == {"error", "release"}
    assert news(chest, since=_time_ns(-1), limit=1).before == 0


def test_nothing_is_new_where_all_was_there_before(chest: ReadableChest) -> None:
    assert news(chest, "release=1", since=_NEW).values == ()


def test_news_since_what_is_no_time_are_refused(chest: ReadableChest) -> None:
    with pytest.raises(SettingsError, match="expected 15m, 2h or 3d"):
        news(chest, since="lately")


@pytest.mark.parametrize("by", ["", "status", "release", "plan"])
def test_a_release_is_marked_where_it_was_first_seen(chest: ReadableChest, by: str) -> None:
    for step in ("5m", "10s"):
        answer = over_time(chest, by=by, step=step)
        assert answer.releases == ((_time_ns(75.3), "2"),)
        assert sum(row.requests for row in answer.rows) == 1201


def test_the_heatmap_has_the_same_marks_and_counts_each_request_once(chest: ReadableChest) -> None:
    answer = heatmap(chest)
    assert answer.releases == ((_time_ns(75.3), "2"),)
    assert sum(sum(band.counts) for band in answer.bands) == 1201
    assert heatmap(chest, "release=2").releases == ()


def test_if_the_budget_ends_all_that_is_new_is_told_with_times_as_exact_as_a_column(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chest = MemoryChest()
    chest.write([make_record(time_ns=_time_ns(0), variables={"id": -1})])
    chest.write([make_record(time_ns=_time_ns(70.1), variables={"id": place}) for place in range(500)])
    chest.write([make_record(time_ns=_time_ns(119.9), variables={"id": -1})])
    following = chest.following

    def slow(*args: Any, **options: Any) -> FollowedRecords:
        time.sleep(0.05)
        return following(*args, **options)

    monkeypatch.setattr(chest, "following", slow)
    begin = time.monotonic()
    answer = news(chest, since=_NEW, names="var.id", limit=1000, seconds=3)
    assert time.monotonic() - begin < 15  # each of them: 25 s
    assert (len(answer.values), answer.left_out) == (500, 0)
    exact = [value for value in answer.values if value.first_ns == value.last_ns == _time_ns(70.1)]
    rest = [value for value in answer.values if value not in exact]
    assert exact
    assert rest
    assert not answer.basis.is_exact
    for value in rest:
        assert value.first_ns <= _time_ns(70.1) <= value.last_ns < value.first_ns + _MINUTE_NS


@pytest.mark.parametrize("change", [{"has_others": True}, {"is_exact": False}])
def test_if_the_columns_were_not_told_apart_a_value_is_looked_for_in_the_whole_range(
    change: dict[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    chest = MemoryChest()
    chest.write([make_record(time_ns=_time_ns(minute), error="E") for minute in (70, 90, 110)])
    cube = chest.cube

    def partial(query: Query, **options: Any) -> Cube:
        """Of the columns only the latest."""
        whole = cube(query, **options)
        if len({cell.column for cell in whole.cells}) < 3:
            return whole
        cells = [cell for cell in whole.cells if cell.column == max(each.column for each in whole.cells)]
        basis = whole.basis._replace(is_exact=change.get("is_exact", True))
        return replace(whole, cells=cells, basis=basis, has_others="has_others" in change)

    monkeypatch.setattr(chest, "cube", partial)
    answer = news(chest, since=_NEW, seconds=60)
    (value,) = (value for value in answer.values if value.name == "error")
    assert (value.first_ns, value.last_ns) == (_time_ns(70), _time_ns(110))
    assert answer.basis.is_exact


def test_a_value_that_was_there_before_is_not_new_however_many_values_there_are() -> None:
    chest = MemoryChest()
    chest.write([make_record(time_ns=_time_ns(0), error=f"E{place}") for place in range(13_000)])
    chest.write([make_record(time_ns=_time_ns(70), error="E5") for _ in range(50)])
    chest.write([make_record(time_ns=_time_ns(71), error="New") for _ in range(50)])
    answer = news(chest, since=_NEW, seconds=60)
    assert [(value.value, value.first_ns) for value in answer.values] == [("New", _time_ns(71))]
    assert not answer.basis.is_exact


def test_the_first_release_is_marked_if_requests_without_one_came_before() -> None:
    chest = MemoryChest()
    chest.write([make_record(time_ns=_time_ns(minute), release="" if minute < 30 else "v1") for minute in range(60)])
    assert over_time(chest, step="5m").releases == ((_time_ns(30), "v1"),)
