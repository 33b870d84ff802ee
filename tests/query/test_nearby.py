"""``neighbours``: what the same user did before and after, in the same worker, on the same host; on every kind of chest."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chest.chests.asking.pieces import BudgetOver
from chest.chests.asking.sql.pieces import SQLPieces
from chest.chests.contract import Query, ReadableChest
from chest.chests.memory import MemoryChest
from chest.chests.registry import open_chest
from chest.errors import RecordNotFound, SettingsError
from chest.query import neighbours
from chest.query.nearby import record_with
from chest.record.record import Record
from chest.testing.records import make_record

_BEGIN_NS = 1_767_268_800 * 10**9
_HOUR_NS = 3600 * 10**9


def _records() -> list[Record]:
    chance = random.Random(5)
    found = []
    for place in range(1600):
        # One user in a burst, which is more than is read at once; others over ten days.
        user, time_ns = chance.choice(["ada", "bob", "eve", None]), _BEGIN_NS + chance.randrange(240 * _HOUR_NS)
        if place < 1100:
            user, time_ns = "burst", _BEGIN_NS + chance.randrange(10**9)
        process = f"{chance.randrange(3):08x}"
        found.append(
            make_record(
                id=f"{time_ns:016x}{process}{place:08x}",
                request_id=f"request-{place}" if place % 50 else "shared",
                time_ns=time_ns,
                host=chance.choice(["web1", "web2"]),
                status=chance.choice([200, 500]),
                variables={"user_id": user, "session": f"{user}-{place % 7}"} if user else {},
                attributes={"enduser.id": user} if user == "ada" else {},
            )
        )
    chance.shuffle(found)
    return found


RECORDS = _records()


@pytest.fixture(scope="module", params=["memory", "sqlite"])
def chest(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReadableChest]:
    path: Path = tmp_path_factory.mktemp("neighbours") / "chest.sqlite3"
    with MemoryChest() if request.param == "memory" else open_chest(f"sqlite:///{path}") as chest:
        assert isinstance(chest, ReadableChest)
        chest.write(RECORDS)
        yield chest


def _expected(record: Record, same: str, before: int, after: int) -> tuple[list[str], list[str]]:
    def shared(other: Record) -> object:
        worker, host, user = other.id[16:24], other.host, other.variables.get("user_id")
        return {"worker": worker, "host": host, "user": user, "session": other.variables.get("session")}[same]

    own = (record.time_ns, record.id)
    kin = sorted(
        (each.time_ns, each.id)
        for each in RECORDS
        if shared(each) == shared(record) and each.request_id != record.request_id
    )
    earlier, later = [each for each in kin if each < own], [each for each in kin if each > own]
    return [each for _, each in earlier[-before:]] if before else [], [each for _, each in later[:after]]


@pytest.mark.parametrize("by", ["user", "host", "worker", "session"])
def test_neighbours_are_those_that_began_nearest(chest: ReadableChest, by: str) -> None:
    chance = random.Random(9)
    for record in chance.sample([each for each in RECORDS if each.variables and each.request_id != "shared"], 4):
        before, after = chance.randrange(6), chance.randrange(6)
        found = neighbours(chest, record.id, by=by, before=before, after=after)
        ids = [each.record.id for each in found.before], [each.record.id for each in found.after]
        assert ids == _expected(record, by, before, after)
        assert found.record.record == record
        assert found.basis.is_exact
        assert found.value


def test_a_user_is_the_attribute_or_the_variable(chest: ReadableChest) -> None:
    named = {record.variables.get("user_id"): record for record in RECORDS if record.request_id != "shared"}
    labels = {user: neighbours(chest, named[user].id).by for user in ("ada", "bob")}
    assert labels["ada"] == "attr.enduser.id"
    assert labels["bob"] == "user_id"


def test_a_request_without_a_user_has_no_neighbours(chest: ReadableChest) -> None:
    record = next(each for each in RECORDS if not each.variables and each.request_id != "shared")
    found = neighbours(chest, record.request_id)
    assert (found.value, found.before, found.after) == (None, (), ())


def test_a_filter_chooses_among_the_neighbours(chest: ReadableChest) -> None:
    record = next(each for each in RECORDS if each.variables.get("user_id") == "bob" and each.request_id != "shared")
    found = neighbours(chest, record.id, "status=500", before=5, after=5)
    assert {each.record.status for each in (*found.before, *found.after)} == {500}


def test_an_id_is_found_by_its_beginning_and_an_unknown_or_ambiguous_one_is_said(chest: ReadableChest) -> None:
    record = next(each for each in RECORDS if each.request_id == "request-1234")
    assert neighbours(chest, "request-1234").record.record == record
    assert neighbours(chest, record.id[:30]).record.record == record
    with pytest.raises(RecordNotFound, match="no record whose id is nosuch"):
        neighbours(chest, "nosuch")
    with pytest.raises(RecordNotFound, match="give more of it"):
        neighbours(chest, "request-")


def test_what_makes_no_sense_is_said(chest: ReadableChest) -> None:
    with pytest.raises(SettingsError, match="from 0 to 500"):
        neighbours(chest, RECORDS[0].id, before=501)
    with pytest.raises(SettingsError, match="did you mean the field host"):
        neighbours(chest, RECORDS[0].id, by="HOST")


def test_a_budget_that_ends_is_an_answer(chest: ReadableChest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chest.query.nearby._LEAST_SECONDS", 60.0)
    record = next(each for each in RECORDS if each.variables.get("user_id") == "burst" and each.request_id != "shared")
    assert neighbours(chest, record.id, before=3, seconds=1e-9).record.record == record


def test_an_id_that_is_not_found_within_the_budget_is_no_unknown_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = SQLPieces.places

    def slow(pieces: SQLPieces, query: Query, first: int, *others: Any) -> list[int]:
        if first == 1:
            raise BudgetOver
        return places(pieces, query, first, *others)

    with open_chest(f"sqlite:///{tmp_path}/chest.sqlite3") as chest:
        assert isinstance(chest, ReadableChest)
        chest.write([make_record() for _ in range(2500)])
        with pytest.raises(RecordNotFound, match=r"or begins so\.$"):
            record_with(chest, "nosuch", 300)
        monkeypatch.setattr(SQLPieces, "places", slow)
        with pytest.raises(RecordNotFound, match="among the last 2,000 of 2,500; then the budget ended"):
            record_with(chest, "nosuch", 300)
