"""A writer of 2,000 records a second: alone, beside a process that only computes, and beside one that asks one question after the other.

The records are of now, as those of a writer are: of records that lie a day apart, each batch would touch forty pages of the indexes
at random, and every hundredth batch would have a checkpoint of 4,000 of them in it.

With two cores and more processes, the writer also waits for a core. That is the system's time and not the store's, and what a process
that computes costs as well. So times are also given without it; Linux alone tells it.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import threading
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
_SECOND_NS: Final = 10**9


class Turn(NamedTuple):
    """The 99th percentile of the seconds in which a batch was stored; the median of the turns."""

    p99: float
    p99_on_core: float
    """Without the time in which the writer waited for a core."""


class Beside(NamedTuple):
    """What the writer met."""

    alone: Turn
    computing: Turn
    """Beside a process that computes."""
    asking: Turn
    """Beside one that asks."""
    lost: int
    questions: int
    """How many were answered meanwhile."""


def writer_beside_questions(path: Path, asker: str, since_ns: int) -> Beside:
    """The writer in this process, in turns alone, beside computing, and beside the questions.

    :param asker: a module that asks in a process of its own; see :func:`ask_on_demand`.
    """
    turns: dict[str, list[Turn]] = {"alone": [], "computing": [], "asking": []}
    questions = written = 0
    with (
        open_chest(f"sqlite:///{path}") as chest,
        subprocess.Popen(
            [sys.executable, "-m", asker, f"sqlite:///{path}", str(since_ns)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        ) as others,
    ):  # fmt: skip
        assert isinstance(chest, ReadableChest)
        assert others.stdin is not None
        assert others.stdout is not None
        before = chest.cube().basis.of
        chest.write_new(first := _batches().pop())  # it connects
        written += len(first)
        for _ in range(_PHASES):
            for name, found in turns.items():
                batches = _batches()
                if name != "alone":
                    print(name, _PHASE_SECONDS, file=others.stdin, flush=True)
                found.append(_write(chest, batches))
                written += len(batches) * _A_BATCH
                if name != "alone":
                    done = int(others.stdout.readline())
                    questions += done if name == "asking" else 0
        others.stdin.close()
        lost = before + written - chest.cube().basis.of
    return Beside(*map(_median, turns.values()), lost, questions)


def ask_on_demand(questions: list[Callable[[], object]]) -> None:
    """In the other process: for each line that comes, compute or ask for so many seconds, and print how often that was."""
    for line in sys.stdin:
        what, seconds = line.split()
        end, done = time.monotonic() + float(seconds), 0
        while time.monotonic() < end:
            if what == "asking":
                questions[done % len(questions)]()
            else:
                sum(range(100_000))
            done += 1
        print(done, flush=True)


def _batches() -> list[list]:  # type: ignore[type-arg]
    """What the next turn stores."""
    span_ns, begin_ns = int(_PHASE_SECONDS * _SECOND_NS), time.time_ns()
    made = made_up_records(int(_A_SECOND * _PHASE_SECONDS), begin_ns + span_ns, seed=begin_ns, span_ns=span_ns)
    return list(iter(lambda: list(islice(made, _A_BATCH)), []))


def _write(chest: ReadableChest, batches: list[list]) -> Turn:  # type: ignore[type-arg]
    """At their pace; a late one does not make the next ones late."""
    begin, times, on_core = time.perf_counter(), [], []
    with _Waits() as waits:
        for place, batch in enumerate(batches):
            time.sleep(max(0.0, begin + place * _A_BATCH / _A_SECOND - time.perf_counter()))
            waited, asked_at = waits.seconds(), time.perf_counter()
            chest.write_new(batch)
            times.append(time.perf_counter() - asked_at)
            on_core.append(times[-1] - (waits.seconds() - waited))
    return Turn(percentile(sorted(times), 99), percentile(sorted(on_core), 99))


def _median(turns: list[Turn]) -> Turn:
    return Turn(*map(statistics.median, zip(*turns, strict=True)))


class _Waits:
    """How long this thread has waited for a core so far; 0 if the system does not tell."""

    def __enter__(self) -> _Waits:
        try:
            self._file = os.open(f"/proc/self/task/{threading.get_native_id()}/schedstat", os.O_RDONLY)
        except OSError:
            self._file = -1
        return self

    def seconds(self) -> float:
        return int(os.pread(self._file, 100, 0).split()[1]) / _SECOND_NS if self._file >= 0 else 0.0

    def __exit__(self, *_: object) -> None:
        if self._file >= 0:
            os.close(self._file)
