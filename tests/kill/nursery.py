"""Has processes offer and be killed (``tests/kill/offering.py``), and checks what came through."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

from chest.record.counters import Counters
from chest.ring.recovery import adopt_orphaned_rings
from tests.kill.offering import Tally, text_of
from tests.processes import clean_environment

Offers = Counter[tuple[int, int]]
"""How often each record was found, by the number of the process and that of the record."""


def kill_in_the_middle_of_offers(directory: Path, processes: int, longest_seconds: float, *store: Path) -> None:
    """Have so many processes offer, and kill each within so many seconds.

    :param store: a SQLite file to which they deliver meanwhile.
    """
    command = [sys.executable, "-m", "tests.kill.offering", str(directory), str(processes), str(longest_seconds)]
    with subprocess.Popen(
        [*command, *map(str, store)],
        env=clean_environment(),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as nursery:
        try:
            _, said = nursery.communicate(timeout=100)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(nursery.pid, signal.SIGKILL)
    assert nursery.returncode == 0, said


def recovered(directory: Path) -> Offers:
    """Take what is in the rings of the dead, and remove them; nothing may be damaged."""
    counters, found = Counters(), Offers()
    for ring in adopt_orphaned_rings(directory, counters):
        for records, ends in ring.pieces():
            for record in records:
                number = record.variables["number"]
                assert record.variables["text"] == text_of(number)
                found[record.variables["process"], number] += 1
            for segment, position in ends:
                ring.commit(segment, position)
        ring.remove()
    assert counters.snapshot() == Counters().snapshot(), counters.snapshot()
    return found


def require_each_once(tally: Tally, processes: int, found: Offers) -> None:
    """Every offer that returned has its record, once; the one that did not return any more may have."""
    doubled = [record for record, count in found.items() if count > 1]
    assert not doubled, doubled[:10]
    numbers: dict[int, set[int]] = {process: set() for process in range(processes)}
    for process, number in found:
        numbers[process].add(number)
    for process in range(processes):
        offered = tally[process]
        assert offered > 0
        lost = set(range(offered)) - numbers[process]
        assert not lost, f"process {process} offered {offered} and {len(lost)} are not there: {sorted(lost)[:10]}"
        assert numbers[process] - set(range(offered)) <= {offered}
