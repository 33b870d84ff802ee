"""How much killing, forking and interrupting does a recorder survive without losing, doubling or tearing a record?

``python -m benchmarks.endurance.stress [--seconds N]`` goes through the trials, each for its share of the time, prints how many
records came through, and ends with 1 if one did not. Runs on a free-threaded interpreter too.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from chest import Recorder
from chest.chests.contract import Chest
from chest.chests.registry import open_chest, sqlite_url
from chest.record.record import Record
from chest.recorder.directory_recovery import recover_directory
from tests.kill.nursery import Offers, kill_in_the_middle_of_offers, recovered, require_each_once
from tests.kill.offering import Tally, numbered, text_of
from tests.processes import run_python

_THREADS = 8
_KILLS = 25


class Trial(NamedTuple):
    """What is done once, again and again; gives how many records were offered and found."""

    name: str
    once: Callable[[Path], int]


class CountingChest(Chest):
    """Counts records by their numbers, and keeps nothing else of them."""

    name = "counting"

    def __init__(self) -> None:
        self.found = Offers()

    def open(self) -> None: ...

    def write(self, records: Sequence[Record]) -> None:
        for record in records:
            variables = record.variables
            assert variables["text"] == text_of(variables["number"])
            self.found[variables["process"], variables["number"]] += 1

    def check(self) -> None: ...

    def close(self) -> None: ...


def threads(directory: Path) -> int:
    """Eight threads offer into one recorder, which delivers meanwhile and reuses its segments."""
    each = 5000
    chest = CountingChest()
    with Recorder([chest], directory=directory, service="shop", ring_bytes=1 << 20) as recorder:
        recorder.prepare()

        def offer(thread: int) -> None:
            for number in range(each):
                record = numbered(recorder.request_side.record_ids, thread, number)
                while not recorder.offer(record):
                    time.sleep(0.0005)

        offering = [threading.Thread(target=offer, args=(number,)) for number in range(_THREADS)]
        for thread in offering:
            thread.start()
        for thread in offering:
            thread.join()
        assert recorder.flush(30), recorder.stats()
    assert chest.found == Offers((thread, number) for thread in range(_THREADS) for number in range(each))
    return chest.found.total()


def kills(directory: Path) -> int:
    """Processes offer into rings that are not emptied, and are killed in the middle of it."""
    kill_in_the_middle_of_offers(directory, _KILLS, 0.008)
    found = recovered(directory)
    require_each_once(Tally(directory), _KILLS, found)
    return found.total()


def kills_of_exporters(directory: Path) -> int:
    """The same with exporters that write to one SQLite file, and are killed in the middle of that."""
    kill_in_the_middle_of_offers(directory, _KILLS, 0.15, directory / "store.sqlite3")
    chest = open_chest(sqlite_url(directory / "store.sqlite3"))
    recover_directory(directory, [chest])
    found = Offers()
    after = None
    while page := chest.read(after=after, limit=5000):  # type: ignore[attr-defined]
        found.update((stored.record.variables["process"], stored.record.variables["number"]) for stored in page)
        after = page[-1].cursor
    chest.close()
    require_each_once(Tally(directory), _KILLS, found)
    return found.total()


_FORKS = """
    import os, sys, threading, time, warnings
    from pathlib import Path
    from chest import ChestUnavailable, Recorder
    from benchmarks.endurance.stress import CountingChest
    from tests.kill.offering import numbered

    warnings.simplefilter("ignore", DeprecationWarning)

    class DeadChest(CountingChest):
        def write(self, records):
            raise ChestUnavailable("down", 0.01)

    recorder = Recorder([DeadChest()], directory=Path(sys.argv[1]), service="shop", ring_bytes=4 << 20)
    recorder.prepare()

    def offer(process, count):
        for number in range(count):
            assert recorder.offer(numbered(recorder.request_side.record_ids, process, number))

    threads = [threading.Thread(target=offer, args=(process, 1500)) for process in range(4)]
    for thread in threads: thread.start()
    children = []
    for process in range(4, 12):
        child = os.fork()
        if not child:
            try:
                recorder.prepare()
                offer(process, 300)
                os._exit(0)
            finally:
                os._exit(1)
        children.append(child)
    for thread in threads: thread.join()
    assert not any(os.waitpid(child, 0)[1] for child in children)
    os._exit(0)
"""


def forks(directory: Path) -> int:
    """A process forks while its threads offer; without delivery, so that everything stays in the rings."""
    run_python(_FORKS, directory)
    found = recovered(directory)
    expected = {(process, number) for process in range(4) for number in range(1500)}
    expected |= {(process, number) for process in range(4, 12) for number in range(300)}
    assert found == Offers(expected), (found.total(), len(expected))
    return found.total()


_SIGNALS = """
    import random, signal, sys, time
    from pathlib import Path
    from benchmarks.endurance.stress import CountingChest, Offers
    from chest import Recorder
    from tests.kill.offering import numbered

    chest = CountingChest()
    recorder = Recorder([chest], directory=Path(sys.argv[1]), service="shop", ring_bytes=4 << 20)
    recorder.prepare()
    taken = [0, 0]

    def offer(who):
        number, taken[who] = taken[who], taken[who] + 1
        while not recorder.offer(numbered(recorder.request_side.record_ids, who, number)):
            time.sleep(0.0005)

    def handle(signal_number, frame):
        offer(1)
        signal.setitimer(signal.ITIMER_REAL, random.uniform(0.0001, 0.0004))

    signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.0001)
    while taken[1] < 1500:
        offer(0)
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    assert recorder.flush(30), recorder.stats()
    assert chest.found == Offers((who, number) for who in (0, 1) for number in range(taken[who])), taken
    print(sum(taken))
"""


def signals(directory: Path) -> int:
    """Signal handlers offer in the middle of offers."""
    return int(run_python(_SIGNALS, directory))


TRIALS = (
    Trial("8 threads, one recorder", threads),
    Trial("25 processes killed, no exporter", kills),
    Trial("25 processes killed, exporters too", kills_of_exporters),
    Trial("forks while 4 threads offer", forks),
    Trial("signal handlers in offers", signals),
)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.endurance.stress", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="for all trials together (60)")
    seconds = parser.parse_args(arguments).seconds
    gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    where = f"{platform.python_implementation()} {platform.python_version()}, {platform.machine()}, {platform.system()}"
    print(f"{where}, {'with' if gil else 'without'} the interpreter lock\n")
    is_sound = True
    for trial in TRIALS:
        is_sound &= _run(trial, seconds / len(TRIALS))
    return 0 if is_sound else 1


def _run(trial: Trial, seconds: float) -> bool:
    end = time.monotonic() + seconds
    rounds = records = 0
    while not rounds or time.monotonic() < end:
        with tempfile.TemporaryDirectory(prefix="chest-stress-") as directory:
            try:
                records += trial.once(Path(directory))
            except AssertionError as error:
                print(f"{trial.name:<36} FAILED in round {rounds + 1}: {error}")
                return False
        rounds += 1
    print(f"{trial.name:<36} {rounds:>5} rounds {records:>10,} records, each found once", flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main())
