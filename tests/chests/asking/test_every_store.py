"""What each store answers is what Python answers: filters, cubes, samples; also on servers, so that all answer the same."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings

from chest.chests.asking.cube import Step
from chest.chests.asking.reading import Reading
from chest.chests.contract import ReadableChest, StoredRecord
from chest.chests.memory import MemoryChest
from chest.chests.registry import open_chest
from chest.chests.sql.chest import SQLChest
from chest.chests.sql.sqlite.chest import SQLiteChest
from chest.errors import FilterError
from chest.query import name_of, parse
from chest.query.nearby import records_with
from tests.chests.asking.made_up import (
    BEGIN_NS,
    FILTERS,
    MINUTE_NS,
    cells_of,
    cube_in_python,
    made_up,
    texts_of_filters,
)
from tests.servers.postgresql import partitioned
from tests.support import examples

PARTITIONED = pytest.param("partitioned", marks=pytest.mark.server)
STORES = ["memory", "sqlite", "postgresql", PARTITIONED, "mariadb", "mysql57", "mongodb", "clickhouse"]
STEP = Step(BEGIN_NS, 5 * MINUTE_NS)
RECORDS = made_up()
BYS = [
    "",
    "route",
    "status",
    "plan",
    "cart.total",
    "route,release",
    "attr.http.response.body.size",
    "it's",
    "user_id,plan",
]


@pytest.fixture(scope="module", params=STORES)
def chest(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReadableChest]:
    """A chest that holds the records, one of each kind."""
    with open_chest(_url(request, tmp_path_factory)) if request.param != "memory" else MemoryChest() as chest:
        assert isinstance(chest, ReadableChest)
        chest.write(RECORDS)
        yield chest


def _url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path_factory.mktemp('asking')}/chest.sqlite3"
    if request.param == "partitioned":
        return partitioned(request.getfixturevalue("postgresql").new_url())
    server = request.getfixturevalue(request.param)
    if request.param == "mongodb":
        return f"mongodb://127.0.0.1:{server.port}/asking?collection=records_{random.getrandbits(32)}"
    url: str = server.new_url()
    return url


def _read(chest: ReadableChest, text: str) -> list[str]:
    return sorted(stored.record.id for stored in chest.read(parse(text), limit=1000))


def test_a_filter_finds_the_same_records_on_every_store(chest: ReadableChest) -> None:
    for text in FILTERS:
        query = parse(text)
        assert _read(chest, text) == sorted(each.id for each in RECORDS if query.matches(each)), text


def test_a_cube_counts_the_same_on_every_store(chest: ReadableChest) -> None:
    for place, text in enumerate(FILTERS):
        query, by = parse(text), [name_of(each) for each in BYS[place % len(BYS)].split(",") if each]
        step = STEP if place % 2 else None
        cube = chest.cube(query, by=by, step=step, seconds=30 if place % 3 else None)
        expected = cube_in_python([each for each in RECORDS if query.matches(each)], by, step)
        assert cells_of(cube) == expected, (text, by)
        assert cube.basis.is_exact


def test_a_sample_is_whole_where_all_that_match_fit(chest: ReadableChest) -> None:
    for text in FILTERS[::6]:
        query = parse(text)
        expected = sorted(each.id for each in RECORDS if query.matches(each))
        sample = chest.sample(query, size=1000)
        assert sorted(each.id for each in sample.records) == expected, text
        assert (sample.is_whole, sample.matching) == (True, len(expected))


def test_a_sample_is_drawn_of_those_that_match(chest: ReadableChest) -> None:
    query = parse("status=5xx")
    matching = {each.id: each for each in RECORDS if query.matches(each)}
    sample = chest.sample(query, size=20)
    assert len({each.id for each in sample.records}) == len(sample.records) == 20
    assert all(matching[each.id] == each for each in sample.records)
    assert (sample.matching, sample.is_whole) == (len(matching), False)


def test_the_latest_that_match_come_newest_first(chest: ReadableChest) -> None:
    for text in FILTERS[::3]:
        query = parse(text)
        stored = list(reversed(chest.read(query)))
        found = chest.latest(query, limit=7, seconds=60)
        assert (list(found.records), found.basis.is_exact) == (stored[:7], True), text
        assert len(stored) <= 7 or list(chest.latest(query, before=stored[6].cursor).records) == stored[7:107], text


def test_the_following_that_match_come_oldest_first_and_page_by_page(chest: ReadableChest) -> None:
    for text in FILTERS[::3]:
        query = parse(text)
        first, stored, found = chest.read(limit=1)[0], chest.read(query), list[StoredRecord]()
        page = chest.following(query, after=first.cursor, limit=7, seconds=60)
        while page.records:
            found += page.records
            page = chest.following(query, after=page.after, limit=7, seconds=60)
        assert found == [each for each in stored if each != first], text
        assert (page.after, page.basis.is_exact) == (chest.newest(), True)
        assert chest.following(query).records == stored[:100], text


def test_a_beginning_of_an_id_is_looked_for_by_the_store(chest: ReadableChest, monkeypatch: pytest.MonkeyPatch) -> None:
    if not isinstance(chest, MemoryChest):  # which has no other way
        monkeypatch.setattr(type(chest), "read", lambda *arguments, **options: pytest.fail("read one by one"))
    record = RECORDS[17]
    for wanted in (record.id, record.id[:-1], record.request_id, record.request_id[:-1]):
        found = records_with(chest, wanted, seconds=60)
        is_of_record = wanted[:8] == record.id[:8]
        assert record in [each.record for each in found.records]
        assert found.basis.is_exact
        assert all(
            (each.record.id if is_of_record else each.record.request_id).startswith(wanted) for each in found.records
        )
    for wanted in ("no such", "abcd\udcff", "abc%", "abcd_"):
        assert (found := records_with(chest, wanted, seconds=60)).basis.is_exact, wanted
        assert not found.records


def test_what_matches_is_read_whole_within_the_budget(chest: ReadableChest) -> None:
    for text in FILTERS[::5]:
        reading = Reading(chest, 60)
        expected = sorted(each.id for each in RECORDS if parse(text).matches(each))
        assert sorted(each.record.id for each in reading.records(parse(text))) == expected, text
        assert reading.is_whole


def test_the_time_range_is_that_of_the_records(chest: ReadableChest) -> None:
    times = sorted(each.time_ns for each in RECORDS)
    assert chest.time_range() == (times[0], times[-1])
    begin_ns = BEGIN_NS + 5 * MINUTE_NS
    within = [time for time in times if time >= begin_ns]
    assert chest.time_range(parse("since=2026-01-01T12:05")) == (within[0], within[-1])
    assert chest.time_range(parse("since=2030-01-01")) is None
    assert chest.cube(parse("since=2030-01-01")).cells == []
    assert chest.sample(parse("since=2030-01-01")).records in ((), [])


def test_beyond_the_groups_that_are_asked_for_the_smallest_are_put_together(chest: ReadableChest) -> None:
    cube = chest.cube(by=[name_of("user_id")], groups=3)
    assert cube.has_others
    assert len({cell.group for cell in cube.cells}) == 4
    assert sum(cell.records for cell in cube.cells) == 400


@given(texts_of_filters())
@settings(
    max_examples=examples(40),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_any_filter_is_an_answer_or_a_clear_error(chest: ReadableChest, text: str) -> None:
    try:
        query = parse(text)
    except FilterError:
        return
    expected = [each for each in RECORDS if query.matches(each)]
    assert sorted(stored.record.id for stored in chest.read(query, limit=1000)) == sorted(each.id for each in expected)
    assert cells_of(chest.cube(query)) == cube_in_python(expected, (), None)


def test_the_connection_of_a_question_cannot_write(chest: ReadableChest) -> None:
    if not isinstance(chest, SQLiteChest | SQLChest):
        pytest.skip("this store has no connection of SQL")
    execute = "execute" if isinstance(chest, SQLiteChest) else "exec_driver_sql"
    with pytest.raises(Exception, match=r"(?i)read.?only") as raised, chest.reading.use() as connection:
        getattr(connection, execute)("DELETE FROM chest_records")
    assert not isinstance(raised.value, sqlite3.Warning)
    assert len(chest.read()) == 400
