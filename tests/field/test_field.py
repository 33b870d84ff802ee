"""The field in its short form: seeds that together have each server, each store and each event. ``make field`` is the long one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.field.parts.stores import Stores
from tests.field.plan import plan_of
from tests.field.run import run

pytestmark = [pytest.mark.field, pytest.mark.timeout(400)]  # a fault shows itself late

SHORT_FORM = (1242, 2300, 2342, 3342, 3375, 5493, 5988)

FAILED_ONCE: dict[int, str] = {
    180: "rows in the log of a SQLite file that was moved away were lost",
    616: "a ring whose lock was taken away was left behind for ever",
    364710: "a record was lost with the ring of a process whose lock was taken away while it could open nothing",
    201373: "nothing was delivered by children that were forked for one request, while the machine was busy",
    183189: "a process that was forked for one request left its record and its ring, and no process delivered them",
}
"""Seeds that found a fault, and what it was."""


@pytest.fixture(scope="module")
def stores() -> Iterator[Stores]:
    with Stores() as stores:
        yield stores


@pytest.mark.parametrize("seed", [*SHORT_FORM, *FAILED_ONCE])
def test_nothing_is_lost_or_doubled_and_nobody_waits(seed: int, stores: Stores, tmp_path: Path) -> None:
    result = run(plan_of(seed), stores, tmp_path)
    print(result, result.log if result.faults else "", sep="\n")
    assert result.faults == []
