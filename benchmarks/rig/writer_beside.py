"""A writer of 2,000 records a second, alone and beside another process that asks one question after the other."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.rig.made_up_records import made_up_records
from benchmarks.rig.measure import percentile
from chest.chests.contract import ReadableChest
from chest.chests.registry import open_chest

_A_SECOND: Final = 2000
_A_BATCH: Final = 20
_PHASE_SECONDS: Final = 5.0
_PHASES: Final = 6


class Beside(NamedTuple):
    """What the writer met."""

    alone_p99: float
    """Seconds for a batch to be stored; the median of the turns' percentiles."""
    beside_p99: float
    lost: int
    questions: int
    """How many were answered meanwhile."""


def writer_beside_questions(path: Path, asker: str, since_ns: int) -> Beside:
    """The writer in this process, in turns alone and beside the questions.

    :param asker: a module that asks in a process of its own; see :func:`ask_on_demand`.
    """
    times: dict[bool, list[float]] = {False: [], True: []}
    questions = written = 0
    with (
        open_chest(f"sqlite:///{path}") as chest,
        subprocess.Popen(
            [sys.executable, "-m", asker, f"sqlite:///{path}", str(since_ns)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        ) as asking,
    ):  # fmt: skip
        assert isinstance(chest, ReadableChest)
        assert asking.stdin is not None
        assert asking.stdout is not None
        before = chest.cube().basis.of
        for turn, is_beside in enumerate((False, True) * _PHASES):
            batches = _batches(time.time_ns())
            if is_beside:
                print(_PHASE_SECONDS, file=asking.stdin, flush=True)
            elif not turn:
                chest.write_new(batches.pop())  # the first one connects
                written += _A_BATCH
            times[is_beside].append(percentile(sorted(_write(chest, batches)), 99))
            written += len(batches) * _A_BATCH
            questions += int(asking.stdout.readline()) if is_beside else 0
        asking.stdin.close()
        lost = before + written - chest.cube().basis.of
    return Beside(statistics.median(times[False]), statistics.median(times[True]), lost, questions)


def ask_on_demand(questions: list[Callable[[], object]]) -> None:
    """In the asking process: for each line that comes, ask for so many seconds, and print how many questions that were."""
    for line in sys.stdin:
        end, asked = time.monotonic() + float(line), 0
        while time.monotonic() < end:
            questions[asked % len(questions)]()
            asked += 1
        print(asked, flush=True)


def _batches(end_ns: int) -> list[list]:  # type: ignore[type-arg]
    made = made_up_records(int(_A_SECOND * _PHASE_SECONDS), end_ns, seed=end_ns)
    return list(iter(lambda: list(islice(made, _A_BATCH)), []))


def _write(chest: ReadableChest, batches: list[list]) -> list[float]:  # type: ignore[type-arg]
    """At their pace; a late one does not make the next ones late."""
    begin, found = time.perf_counter(), []
    for place, batch in enumerate(batches):
        time.sleep(max(0.0, begin + place * _A_BATCH / _A_SECOND - time.perf_counter()))
        asked_at = time.perf_counter()
        chest.write_new(batch)
        found.append(time.perf_counter() - asked_at)
    return found
