"""Indexes on one variable: made, listed, used by a filter, and removed; on every store that has them, with the same answers."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from typing import Any

import pytest

from chest.chests.contract import ReadableChest
from chest.chests.memory import MemoryChest
from chest.chests.mongodb.documents import filter_of
from chest.chests.registry import open_chest
from chest.chests.sql.asking.conditions import where_of
from chest.chests.sql.chest import SQLChest
from chest.chests.sql.sqlite.asking import SQLITE_WORDS
from chest.chests.upkeep import VariableIndexes
from chest.errors import SettingsError
from chest.query import name_of, parse
from chest.testing.records import make_record

RECORDS = [
    make_record(
        variables={
            "plan": "trial" if place % 500 == 0 else "free",
            "user_id": place if place % 2 else str(place),
            "it's": place % 3,
        },
        attributes={"enduser.id": f"user-{place % 900}"},
    )
    for place in range(3000)
]
FILTERS = [
    "plan=trial",
    "user_id=42",
    "user_id=41",
    "plan=trial,missing",
    "attr.enduser.id=user-7",
    "it's=1 plan=trial",
]
NAMES = ["plan", "user_id", "attr.enduser.id"]


@pytest.fixture(scope="module", params=["sqlite", "postgresql", "mongodb"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The kind of a store, and the URL of a chest that holds the records."""
    kind = request.param
    if kind == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('indexes')}/chest.sqlite3"
    else:
        server = request.getfixturevalue(kind)
        collection = f"records_{random.getrandbits(32)}"
        url = (
            f"mongodb://127.0.0.1:{server.port}/indexes?collection={collection}"
            if kind == "mongodb"
            else server.new_url()
        )
    with open_chest(url) as chest:
        chest.write(RECORDS)
    return kind, url


def _ids(chest: ReadableChest, text: str) -> list[str]:
    return sorted(stored.record.id for stored in chest.read(parse(text), limit=3000))


def _indexes(chest: ReadableChest) -> VariableIndexes:
    found = chest.variable_indexes()
    assert found is not None
    return found


def test_an_index_is_made_listed_and_removed_and_the_answers_stay(store: tuple[str, str]) -> None:
    kind, url = store
    names = [name_of(text) for text in NAMES if kind != "mongodb" or not text.startswith("attr.")]
    with open_chest(url) as chest:
        assert isinstance(chest, ReadableChest)
        indexes = _indexes(chest)
        before = [_ids(chest, text) for text in FILTERS]
        assert before[0] == sorted(each.id for each in RECORDS if each.variables["plan"] == "trial")
        for name in names:
            indexes.make(name)
            indexes.make(name)  # nothing happens
        assert sorted(each.name for each in indexes.found()) == sorted(names)
        assert all(each.size_bytes is None or each.size_bytes > 0 for each in indexes.found())
        assert [_ids(chest, text) for text in FILTERS] == before
        assert _EXPLAINED[kind](chest, url, "plan=trial")
        assert _EXPLAINED[kind](chest, url, "user_id=42")
        assert not _EXPLAINED[kind](chest, url, "it's=1")
        assert [indexes.drop(name) for name in names] == [True] * len(names)
        assert [indexes.drop(name) for name in names] == [False] * len(names)
        assert not indexes.found()
        assert not _EXPLAINED[kind](chest, url, "plan=trial")
        with pytest.raises(SettingsError, match="cannot have an index"):
            indexes.make(name_of("a$b.c") if kind == "mongodb" else name_of('a"b'))


def _sqlite_takes_it(chest: ReadableChest, url: str, text: str) -> bool:
    where = where_of(parse(text), SQLITE_WORDS)
    connection = sqlite3.connect(url.removeprefix("sqlite:///"))
    plan = connection.execute(
        f"EXPLAIN QUERY PLAN SELECT * FROM chest_records WHERE {where.text} AND seq > 0 ORDER BY seq LIMIT 100",
        where.values,
    ).fetchall()
    connection.close()
    return any("chest_records variable" in row[3] for row in plan)


def _postgresql_takes_it(chest: ReadableChest, url: str, text: str) -> bool:
    assert isinstance(chest, SQLChest)
    where = where_of(parse(text), chest._database.words)
    with chest._database.connect_to_write() as connection:
        connection.exec_driver_sql("ANALYZE chest_records")
        text = f"EXPLAIN SELECT * FROM chest_records WHERE {where.text} AND seq > 0 ORDER BY seq LIMIT 100"
        rows = connection.exec_driver_sql(text, where.values).fetchall()
    return any("chest_text_" in str(row) for row in rows)


def _mongodb_takes_it(chest: ReadableChest, url: str, text: str) -> bool:
    import pymongo

    with pymongo.MongoClient[dict[str, Any]](url.partition("?")[0]) as client:
        records = client["indexes"][url.rpartition("=")[2]]
        plan = records.find({**filter_of(parse(text)), "seq": {"$gt": 0}}).sort("seq", 1).limit(100).explain()
    return "chest variable" in str(plan["queryPlanner"]["winningPlan"])


_EXPLAINED: dict[str, Callable[[ReadableChest, str, str], bool]] = {
    "sqlite": _sqlite_takes_it,
    "postgresql": _postgresql_takes_it,
    "mongodb": _mongodb_takes_it,
}


def test_a_chest_without_such_indexes_says_so() -> None:
    assert MemoryChest().variable_indexes() is None
