"""The short form of the fleet, and that it counts what is lost and doubled."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.endurance import fleet
from chest.chests.memory import MemoryChest
from chest.record.record import Record
from tests.processes import run_python
from tests.support import make_record

_MAIN = """
    import sys
    from benchmarks.endurance.fleet import main

    sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("engine", ["partitioned"])
def test_two_hosts_lose_and_double_nothing_while_the_engine_restarts_is_cut_off_and_one_is_killed(
    engine: str, tmp_path: Path
) -> None:
    found = fleet.fleet(tmp_path, engine, hosts=2, rate=200, seconds=15)
    assert (found.lost, found.doubled, found.unknown) == (0, 0, 0)
    assert found.stored >= found.accepted > 3000


def test_the_command_says_that_nothing_is_lost_or_doubled_and_over_what_network() -> None:
    found = run_python(_MAIN, "--engine", "nats", "--hosts", 2, "--rate", 200, "--seconds", 10)
    assert "met     records lost: 0" in found
    assert "met     records stored twice: 0" in found
    assert "Network: a network namespace for each host" in found or "Network: one network, cut by a proxy" in found


def test_what_is_lost_doubled_and_made_up_is_counted(tmp_path: Path) -> None:
    def record(life: int, number: int) -> Record:
        return make_record(variables={"host": "0", "life": str(life), "n": number})

    (tmp_path / "0-0.counts").write_bytes(fleet._COUNTS.pack(10, 3))
    (tmp_path / "0-1.counts").write_bytes(fleet._COUNTS.pack(5, 0))
    chest = MemoryChest()
    chest.write([record(0, number) for number in range(11) if number not in (4, 9)])
    chest.write([record(1, number) for number in (0, 1, 1, 1, 2, 3, 3, 4, 7)])
    assert fleet._found(chest, tmp_path) == fleet.Found(
        accepted=15, refused=3, stored=18, lost=2, doubled=2, unknown=1, may_double=False,
        where=["host 0-1: 2 doubled, 1 to 3 of 5"],
    )  # fmt: skip
