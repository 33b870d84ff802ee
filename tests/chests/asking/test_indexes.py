"""Indexes on one variable: made, listed, used by a filter, and removed; on every store that has them, with the same answers."""

from __future__ import annotations

import itertools
import json
import random
import sqlite3
from collections.abc import Callable
from typing import Any, Final

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from chest.chests.asking.conditions import Condition, Name
from chest.chests.asking.sql.conditions import where_of
from chest.chests.contract import ReadableChest
from chest.chests.memory import MemoryChest
from chest.chests.mongodb.documents import filter_of
from chest.chests.query import Query
from chest.chests.registry import open_chest
from chest.chests.sql.dialect import database_of
from chest.chests.sql.schema import record_table
from chest.chests.sql.sqlite.asking import SQLITE_WORDS
from chest.chests.sql.url import SQLTarget
from chest.chests.upkeep import VariableIndexes
from chest.errors import SettingsError
from chest.query import name_of, parse
from chest.testing.records import make_record
from tests.servers.postgresql import partitioned

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
_DRAWN: Final = random.Random(24)


def _noise(length: int, first: str, last: str) -> str:
    """A text that no store can compress much."""
    return "".join(chr(_DRAWN.randint(ord(first), ord(last))) for _ in range(length))


_LONG: Final = _noise(10_000, "a", "z")
NOTES: list[Any] = [
    _LONG,
    _LONG[:-1] + "!",  # differs at its end only
    _noise(10_000, "\U00020000", "\U0002a000"),
    *(_LONG[:length] for length in (199, 200, 201)),
    *("é" + _LONG[:length] for length in (188, 189, 190, 197, 198, 199)),
    5e-324,
    1.7976931348623157e308,
    -(2**63),
    [[[[[[[_noise(10_000, "a", "z")]]]]]]],
    [_noise(50, "a", "z") for _ in range(200)],
]
ODD: Final[list[Any]] = [
    0, -0.0, "0", 42, 42.0, "42", "42.0", "4.2e1", 4.2e1, 0.1, "0.1", 1e22, "1e22", 2**53 - 1, 2**53, -(2**63), True, "true", " true",
    False, None, "null", "", " ", "a", "a ", "A", "\u00e4", "a\u0308", "'", '"', '"a"', "\\", "%s", "\U0001f600", "\u2028",
    [], {}, [1], {"a": 1}, {"odd": 1}, {"odd.x": 2}, {"x": 3},
]  # fmt: skip
TYPED: Final = [
    *(value if isinstance(value, str) else json.dumps(value) for value in ODD),
    " 42 ",
    "-0",
    "\ttrue",
    "4.20e+1",
]
PARTITIONED = pytest.param("partitioned", marks=pytest.mark.server)
NAMES = ["plan", "user_id", "attr.enduser.id"]


@pytest.fixture(scope="module", params=["sqlite", "postgresql", PARTITIONED, "mariadb", "mysql57", "mongodb"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The kind of a store, and the URL of a chest that holds the records."""
    kind = request.param
    if kind == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('indexes')}/chest.sqlite3"
    else:
        server = request.getfixturevalue("postgresql" if kind == "partitioned" else kind)
        collection = f"records_{random.getrandbits(32)}"
        url = (
            f"mongodb://127.0.0.1:{server.port}/indexes?collection={collection}"
            if kind == "mongodb"
            else server.new_url()
        )
    if kind == "partitioned":
        partitioned(url)
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
        assert _EXPLAINED[kind](chest, url, parse("plan=trial"))
        assert _EXPLAINED[kind](chest, url, parse("user_id=42"))
        assert not _EXPLAINED[kind](chest, url, parse("it's=1"))
        assert [indexes.drop(name) for name in names] == [True] * len(names)
        assert [indexes.drop(name) for name in names] == [False] * len(names)
        assert not indexes.found()
        assert not _EXPLAINED[kind](chest, url, parse("plan=trial"))
        with pytest.raises(SettingsError, match="cannot have an index"):
            indexes.make(name_of("a$b.c") if kind == "mongodb" else name_of('a"b'))


def test_a_record_is_written_and_found_however_long_its_value_is(store: tuple[str, str]) -> None:
    kind, url = store
    note = Name("variable", "note")
    with open_chest(url) as chest:
        assert isinstance(chest, ReadableChest)
        _indexes(chest).make(note)
        records = [make_record(variables={"note": value}) for value in NOTES]
        for record in records:
            chest.write([record])
        present = Query(conditions=(Condition(note, "present"),))
        assert [stored.record.variables["note"] for stored in chest.read(present)] == NOTES
        for record, value in zip(records, NOTES, strict=True):
            if isinstance(value, list):
                continue
            query = Query(conditions=(Condition(note, "equals", (str(value),)),))
            assert [stored.record.id for stored in chest.read(query)] == [record.id]
            if isinstance(value, str):
                assert _EXPLAINED[kind](chest, url, query)
        several = Query(conditions=(Condition(note, "equals", (NOTES[0], NOTES[3])),))
        assert [stored.record.id for stored in chest.read(several)] == [records[0].id, records[3].id]
        assert _EXPLAINED[kind](chest, url, several)
        assert _indexes(chest).drop(note)


def test_with_an_index_a_filter_finds_what_python_finds(store: tuple[str, str]) -> None:
    odd, nested = Name("variable", "odd"), Name("variable", "nest.x")
    records = [make_record(variables={"odd": value, "nest": {"x": value}}) for value in ODD]
    records += [make_record(variables={"nest.x": value, "nest": {"x": 1}}) for value in ODD]
    with open_chest(store[1]) as chest:
        assert isinstance(chest, ReadableChest)
        indexes = _indexes(chest)
        made = [name for name in (odd, nested) if store[0] != "mongodb" or name is odd]
        for name in made:
            indexes.make(name)
        chest.write(records)
        for name, is_negated in itertools.product((odd, nested), (False, True)):
            for typed in [*((text,) for text in TYPED), ("42", " true"), ("null", "a")]:
                condition = Condition(name, "equals", typed, is_negated)
                query = Query(conditions=(condition, Condition(Name("variable", "nest"), "present")))
                found = [stored.record.id for stored in chest.read(query)]
                assert found == [record.id for record in records if condition.matches(record)], condition
        for name in made:
            assert indexes.drop(name)


def test_names_that_differ_in_case_or_only_at_their_ends_have_an_index_each(store: tuple[str, str]) -> None:
    names = sorted(Name("variable", name) for name in ("plan", "Plan", "p" * 127 + "1", "p" * 127 + "2"))
    with open_chest(store[1]) as chest:
        assert isinstance(chest, ReadableChest)
        indexes = _indexes(chest)
        for name in names:
            indexes.make(name)
        assert sorted(each.name for each in indexes.found()) == names
        for dropped, name in enumerate(names, 1):
            assert indexes.drop(name)
            assert sorted(each.name for each in indexes.found()) == names[dropped:]


@pytest.mark.parametrize("kind", ["mariadb", "mysql57"])
def test_mysql_is_told_to_refuse_rather_than_hold_up_writers(kind: str, request: pytest.FixtureRequest) -> None:
    changes: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if statement.startswith(("ALTER", "SET SESSION lock_wait_timeout")):
            changes.append(statement)

    with open_chest(request.getfixturevalue(kind).new_url()) as chest:
        assert isinstance(chest, ReadableChest)
        chest.write(RECORDS[:10])
        indexes = _indexes(chest)
        event.listen(Engine, "before_cursor_execute", note)
        try:
            indexes.make(Name("variable", "plan"))
            indexes.drop(Name("variable", "plan"))
        finally:
            event.remove(Engine, "before_cursor_execute", note)
    assert len(changes) == 3 * 3
    assert all(change == "SET SESSION lock_wait_timeout = 1" for change in changes[::3]), "writers wait behind it"
    assert all(change.endswith("ALGORITHM = INPLACE, LOCK = NONE") for change in changes[1::3])


def _sqlite_takes_it(chest: ReadableChest, url: str, query: Query) -> bool:
    where = where_of(query, SQLITE_WORDS)
    connection = sqlite3.connect(url.removeprefix("sqlite:///"))
    plan = connection.execute(
        f"EXPLAIN QUERY PLAN SELECT * FROM chest_records WHERE {where.text} AND seq > 0 ORDER BY seq LIMIT 100",
        where.values,
    ).fetchall()
    connection.close()
    return any("chest_records variable" in row[3] for row in plan)


def _postgresql_takes_it(chest: ReadableChest, url: str, query: Query) -> bool:
    database = database_of(SQLTarget.of(url))
    where = where_of(query, database.words)
    with database.connect_to_write() as connection:
        connection.exec_driver_sql("ANALYZE chest_records")
        text = f"EXPLAIN SELECT * FROM chest_records WHERE {where.text} AND seq > 0 ORDER BY seq LIMIT 100"
        rows = connection.exec_driver_sql(text, where.values).fetchall()
    return any("chest_text_" in str(row) for row in rows)


def _mysql_takes_it(chest: ReadableChest, url: str, query: Query) -> bool:
    database = database_of(SQLTarget.of(url))
    with database.connect_to_read() as connection:
        table = record_table("chest_records", database, has_request_id_index=False)
        where = where_of(query, database.words_on(connection, table))
        # MySQL 9 explains as a tree otherwise.
        text = f"EXPLAIN FORMAT=TRADITIONAL SELECT * FROM chest_records WHERE {where.text} AND seq > 0 ORDER BY seq LIMIT 100"
        row = connection.exec_driver_sql(text, where.values).mappings().one()
    return str(row["key"]).startswith("chest_key_")


def _mongodb_takes_it(chest: ReadableChest, url: str, query: Query) -> bool:
    import pymongo

    # The server cuts long bounds of an index in its explanation, also within a character.
    with pymongo.MongoClient[dict[str, Any]](url.partition("?")[0], unicode_decode_error_handler="replace") as client:
        records = client["indexes"][url.rpartition("=")[2]]
        plan = records.find({**filter_of(query), "seq": {"$gt": 0}}).sort("seq", 1).limit(100).explain()
    return "chest variable" in str(plan["queryPlanner"]["winningPlan"])


_EXPLAINED: dict[str, Callable[[ReadableChest, str, Query], bool]] = {
    "sqlite": _sqlite_takes_it,
    "postgresql": _postgresql_takes_it,
    "partitioned": _postgresql_takes_it,
    "mariadb": _mysql_takes_it,
    "mysql57": _mysql_takes_it,
    "mongodb": _mongodb_takes_it,
}


def test_a_chest_without_such_indexes_says_so() -> None:
    assert MemoryChest().variable_indexes() is None
