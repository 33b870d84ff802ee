"""Do memory and disk stay bounded, and does every record arrive, while a store goes up and down for a long time?

``python -m benchmarks.endurance.soak [--seconds N] [--rate R] [--save]`` asks an application all the time, in a process of its own with two
chests: a SQLite file, and one that is taken away and comes back at random, for up to half a minute. Every few seconds it
shows resident memory, the bytes of the spool, and how many requests were made and are in each store. At the end both are
to have every one of them once; it ends with 1 if that is not so.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.rig.application import app
from benchmarks.rig.measure import Requests
from benchmarks.rig.report import Report, Target, about, question_of, save
from chest import ChestMiddleware, ChestUnavailable, Recorder
from chest.chests.contract import Chest
from chest.chests.registry import open_chest, sqlite_url
from chest.record.record import Record

_TELL_EVERY_SECONDS: Final = 5.0
_LONGEST_OUTAGE_SECONDS: Final = 30.0
_LONGEST_HEALTH_SECONDS: Final = 30.0
_SETTLE_SECONDS: Final = 120.0
_MIB: Final = 1024 * 1024
_MOST_GROWTH_MIB: Final = 24.0
"""The ring's pages, 16 MiB, are touched one after the other; the rest is an allocator's."""


class FlappingChest(Chest):
    """A SQLite file that cannot be reached while ``is_down``, or answers slowly."""

    name = "flapping:store"

    def __init__(self, path: Path) -> None:
        self._chest = open_chest(sqlite_url(path))
        self.is_down = False
        self.slow_seconds = 0.0

    def open(self) -> None:
        self._require_up()
        self._chest.open()

    def write(self, records: Sequence[Record]) -> None:
        time.sleep(self.slow_seconds)
        self._require_up()
        self._chest.write(records)

    def check(self) -> None:
        self._chest.check()

    def close(self) -> None:
        self._chest.close()

    def _require_up(self) -> None:
        if self.is_down:
            raise ChestUnavailable("the store is down, as it is meant to be")


def flap(chest: FlappingChest, over: threading.Event) -> None:
    """Up, down, slow, for random times."""
    while not over.wait(random.uniform(1, _LONGEST_HEALTH_SECONDS)):
        chest.is_down, chest.slow_seconds = random.choice([(True, 0.0), (True, 1.0), (False, 1.0)])
        over.wait(random.uniform(1, _LONGEST_OUTAGE_SECONDS))
        chest.is_down, chest.slow_seconds = False, 0.0
    chest.is_down, chest.slow_seconds = False, 0.0


def ask(call: Requests, rate: float, over: threading.Event) -> int:
    """So many requests a second; how many there were."""
    asked, begin = 0, time.monotonic()
    while not over.is_set():
        for _ in range(int((time.monotonic() - begin) * rate) - asked):
            call()
            asked += 1
        time.sleep(0.005)
    return asked


def stored(path: Path) -> tuple[int, int]:
    """Rows, and different ids."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        try:
            return connection.execute("SELECT count(*), count(DISTINCT id) FROM chest_records").fetchone()  # type: ignore[no-any-return]
        except sqlite3.OperationalError:
            return 0, 0


def resident_bytes() -> int:
    """Of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


class Sample(NamedTuple):
    """What there is at one moment."""

    seconds: float
    resident_bytes: int
    spool_bytes: int
    taken: int
    steady: int
    flapping: int
    state: str

    def __str__(self) -> str:
        return (
            f"{self.seconds:6.0f} {self.resident_bytes / _MIB:8.1f} {self.spool_bytes / _MIB:10.2f} {self.taken:10,}"
            f" {self.steady:10,} {self.flapping:10,}  {self.state}"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.endurance.soak", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--seconds", type=float, default=600.0, help="how long (600)")
    parser.add_argument("--rate", type=float, default=1000.0, help="requests a second (1000)")
    parser.add_argument("--save", action="store_true", help="write what was found to benchmarks/results/")
    parser.add_argument("--remark", default="", help="what to say of the machine in that file")
    given = parser.parse_args(arguments)
    here = about()
    with tempfile.TemporaryDirectory(prefix="chest-soak-") as directory:
        report = soak(Path(directory), given.seconds, given.rate)
    print(report)
    if given.save:
        print(f"saved as {save([report], here, given.remark, '-soak')}")
    return 0 if all(target.is_met for target in report.targets) else 1


def soak(directory: Path, seconds: float, rate: float) -> Report:
    """Ask for so long, and see what is in both stores when they are well again."""
    steady_path, flapping_path = directory / "steady.sqlite3", directory / "flapping.sqlite3"
    flapping = FlappingChest(flapping_path)
    middleware = ChestMiddleware(
        app, chests=[sqlite_url(steady_path), flapping], directory=directory / "rings", service="soak"
    )
    recorder = middleware.recorder
    over = threading.Event()
    asked = 0

    def count() -> None:
        nonlocal asked
        asked = ask(Requests(middleware), rate, over)

    threads = [threading.Thread(target=count), threading.Thread(target=flap, args=(flapping, over))]
    for thread in threads:
        thread.start()
    begin = time.monotonic()
    samples = []
    print(f"{'s':>6} {'RSS MiB':>8} {'spool MiB':>10} {'taken':>10} {'steady':>10} {'flapping':>10}  store")
    while time.monotonic() - begin < seconds:
        time.sleep(min(_TELL_EVERY_SECONDS, seconds))
        samples.append(_sample(recorder, flapping, time.monotonic() - begin))
        print(samples[-1], flush=True)
    over.set()
    for thread in threads:
        thread.join()
    return verdict(recorder, asked, samples, steady_path, flapping_path)


def _sample(recorder: Recorder, flapping: FlappingChest, seconds: float) -> Sample:
    stats = recorder.stats()
    written = stats.get("written", {})
    return Sample(
        seconds,
        resident_bytes(),
        stats["spool"].get(flapping.name, {}).get("bytes", 0),
        stats.get("taken", 0),
        sum(count for name, count in written.items() if name != flapping.name),
        written.get(flapping.name, 0),
        "down" if flapping.is_down else "slow" if flapping.slow_seconds else "up",
    )


def verdict(recorder: Recorder, asked: int, samples: Sequence[Sample], *paths: Path) -> Report:
    """What came of it, once each of the stores had time to get every request."""
    deadline = time.monotonic() + _SETTLE_SECONDS
    while any(stored(path)[1] < asked for path in paths) and time.monotonic() < deadline:
        time.sleep(0.5)
    found = [stored(path) for path in paths]
    dropped = sum(recorder.stats().get("dropped", {}).values())
    recorder.close()
    return report_of(asked, found, dropped, samples)


def report_of(asked: int, found: Sequence[tuple[int, int]], dropped: int, samples: Sequence[Sample]) -> Report:
    """A row for about each thirtieth of the time, and the promises."""
    settled = samples[len(samples) // 10 :]
    growth_mib = (max(sample.resident_bytes for sample in settled) - settled[0].resident_bytes) / _MIB
    return Report(
        question_of(__doc__),
        ("seconds, store", "RSS MiB", "spool MiB", "taken", "steady", "flapping"),
        [
            (
                f"{sample.seconds:.0f}, {sample.state}", sample.resident_bytes / _MIB, sample.spool_bytes / _MIB,
                sample.taken, sample.steady, sample.flapping,
            )
            for sample in samples[:: max(1, len(samples) // 30)]
        ],
        targets=[
            Target("requests that a store lacks at the end", sum(asked - ids for _, ids in found), "at most", 0),
            Target("rows that are there twice", sum(rows - ids for rows, ids in found), "at most", 0),
            Target("records dropped", dropped, "at most", 0),
            Target("memory grown after the first tenth of the time", growth_mib, "at most", _MOST_GROWTH_MIB, " MiB"),
        ],
        notes=[f"Requests: {asked:,}; the most on disk: {max(s.spool_bytes for s in samples) / _MIB:.1f} MiB."],
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
