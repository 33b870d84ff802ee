"""``over_time``: how its rows are divided when there are more groups, steps or names than fit."""

from __future__ import annotations

import pytest

from chest.chests.asking.cube import OTHERS
from chest.chests.memory import MemoryChest
from chest.query import over_time
from chest.testing.records import make_record

_BEGIN_NS = 1_767_268_800 * 10**9


@pytest.fixture(scope="module")
def chest() -> MemoryChest:
    chest = MemoryChest()
    chest.write(
        [
            make_record(time_ns=_BEGIN_NS + place * 10**9, route=f"/{place % 40}", variables={"n": place % 7})
            for place in range(1000)
        ]
    )
    return chest


@pytest.mark.parametrize("by", ["route,n", "status,route,n", "status,route"])
def test_the_table_names_the_groups_that_are_put_together_in_each_column(chest: MemoryChest, by: str) -> None:
    answer = over_time(chest, by=by, groups=3, step="10m")
    others = [row for row in answer.table() if row["route"] == OTHERS[0]]
    assert others
    assert {row.get("n", OTHERS[0]) for row in others} == {OTHERS[0]}
    assert sum(row["requests"] for row in answer.table()) == 1000


@pytest.mark.parametrize(("by", "most"), [("route", 20_000), ("status,route", 20_000 / 6)])
def test_more_rows_than_can_be_shown_are_fewer_groups(chest: MemoryChest, by: str, most: float) -> None:
    answer = over_time(chest, by=by, groups=1000, step="1s")
    assert len(answer.rows) <= most + 1000  # with the others
    assert sum(row.requests for row in answer.rows) == 1000
    assert {group: sum(row.requests for row in rows) for group, rows in answer.rows_by_group().items()} == {
        group: sum(row.requests for row in answer.rows if row.group == group) for group in answer.groups
    }


def test_by_status_nothing_is_no_group() -> None:
    answer = over_time(MemoryChest(), by="status")
    assert (answer.groups, answer.table()) == ((), [])
