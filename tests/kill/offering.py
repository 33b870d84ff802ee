"""Processes that offer numbered records as fast as they can, and are killed in the middle of it.

Run as ``python -m tests.kill.offering DIRECTORY PROCESSES LONGEST_SECONDS [STORE]``: forks so many processes, kills each with
SIGKILL at a random moment, and ends. Each process notes in shared memory, which its death does not take back, how many of
its offers have returned. With a store every process has a recorder that delivers meanwhile; without, a bare ring.
"""

from __future__ import annotations

import mmap
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from chest import Recorder
from chest.chests.registry import sqlite_url
from chest.record.counters import Counters
from chest.record.record import Record
from chest.record.record_id import RecordIds
from chest.ring.line import Resource
from chest.ring.lock_file import LockFile
from chest.ring.segments.file import SegmentFile
from chest.ring.writer import RingWriter

RING_BYTES = 1 << 20
AT_ONCE = 3
_SLOTS = 4096


class Tally:
    """How many offers of each process have returned; in a mapped file, so that it outlives the process that counts."""

    def __init__(self, directory: Path) -> None:
        path = directory / "tally"
        with path.open("a+b") as file:
            file.truncate(8 * _SLOTS)
            self._counts = memoryview(mmap.mmap(file.fileno(), 8 * _SLOTS)).cast("Q")

    def __getitem__(self, process: int) -> int:
        return self._counts[process]

    def __setitem__(self, process: int, count: int) -> None:
        self._counts[process] = count


def numbered(ids: RecordIds, process: int, number: int) -> Record:
    """Record ``number`` of a process; its text tells whether it came through whole."""
    now = time.time_ns()
    return Record(
        ids.new(now), f"{process}-{number}", now, number, "GET", f"/{process}", None, 200, "ok", None,
        {"process": process, "number": number, "text": text_of(number)}, {}, "shop", "1.0", "test",
    )  # fmt: skip


def text_of(number: int) -> str:
    """A text that only this number has, of a length that varies."""
    return f"{number}," * (number % 40)


def offer_for_ever(offer: Callable[[Record], bool], ids: RecordIds, process: int, tally: Tally) -> None:
    """Offer one record after the other, each again until it is taken."""
    number = 0
    while True:
        record = numbered(ids, process, number)
        while not offer(record):
            time.sleep(0.0001)
        number += 1
        tally[process] = number


def offer_to_a_ring(directory: Path, process: int, tally: Tally) -> None:
    """Without a reader: what is in the file is all there is."""
    ids = RecordIds()
    ring = RingWriter(Counters(), bytearray(b"\1"))
    resource = Resource("shop", "1.0", "test")
    lock = LockFile.create(directory / f"main.{process}.lock")
    description = {**resource._asdict(), "recorder": "main", "process": ids.process}
    ring.open(SegmentFile.create(directory / f"main.{process}.ring", RING_BYTES, description), resource)
    offer_for_ever(ring.offer, ids, process, tally)
    lock.close()


def main(directory: Path, processes: int, longest_seconds: float, store: str | None = None) -> None:
    tally = Tally(directory)
    recorder = None
    if store is not None:
        recorder = Recorder(
            [sqlite_url(Path(store))], directory=directory, service="shop", ring_bytes=RING_BYTES, flush_seconds=0.05
        )
    # Two more in every other round, so that a process adopts what one killed before it left, and may be killed at that.
    for begin in range(0, processes, AT_ONCE):
        children = {}
        for process in range(begin, min(begin + AT_ONCE, processes)):
            children[process] = os.fork()
            if not children[process]:
                _be_killed(recorder, directory, process, tally)
        for process in random.sample(sorted(children), len(children)):
            while not tally[process] and not _has_ended(children[process]):
                time.sleep(0.0002)
            time.sleep(random.uniform(0, longest_seconds))
            os.kill(children[process], signal.SIGKILL)
            _, status = os.waitpid(children[process], 0)
            if not os.WIFSIGNALED(status):
                sys.exit(f"process {process} ended by itself with {os.waitstatus_to_exitcode(status)}")


def _be_killed(recorder: Recorder | None, directory: Path, process: int, tally: Tally) -> None:
    try:
        if recorder is None:
            offer_to_a_ring(directory, process, tally)
        else:
            recorder.prepare()
            offer_for_ever(recorder.offer, recorder.request_side.record_ids, process, tally)
    except BaseException as error:
        print(f"process {process}: {error!r}", file=sys.stderr, flush=True)
    finally:
        os._exit(1)


def _has_ended(pid: int) -> bool:
    ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    return ended is not None


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), *sys.argv[4:])
