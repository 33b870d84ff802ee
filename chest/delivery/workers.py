"""``ChestWorkers``: the workers of all chests, which do not wait for each other."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from chest.chests.contract import Chest
from chest.delivery.batch import Batch
from chest.delivery.spool.place import spool_path
from chest.delivery.spool.search import SpoolSearch
from chest.delivery.spool.spool import Spool
from chest.delivery.spool_policy import SLOW_WRITE_SECONDS, is_urgent
from chest.delivery.worker import ChestWorker
from chest.delivery.worker_thread import WorkerThread
from chest.record.counters import Counters
from chest.record.record import Record

_HELD_FOR_ONE: Final = 1
"""Decoded batches in memory: the one that is being written. The others wait in the ring, which costs nothing more."""
_HELD_FOR_SEVERAL: Final = 4
"""A chest that is late for a moment is not to hold up those beside it."""


class ChestWorkers:
    """Gives each batch to every worker.

    Several chests have a thread each. The only chest of a recorder has none at first: it is written to in the thread that
    gives, at no cost beside the writing. It gets one as soon as it failed, was slow, or has a spool to deliver; until then
    the ring has room for what comes during one write.

    :param progressed: called from another thread when a worker has settled something.
    :param waits_for_none: whether also the only chest has a thread from the start: the thread that gives is to be free to
        end whatever a chest does.
    """

    def __init__(
        self,
        workers: Sequence[ChestWorker],
        counters: Counters,
        progressed: Callable[[], None],
        *,
        waits_for_none: bool = False,
    ) -> None:
        self._workers = workers
        self._counters = counters
        self._progressed = progressed
        self._threads: dict[ChestWorker, WorkerThread] = {}
        self._has_threads = False
        self._search = SpoolSearch(workers, counters)
        self._are_given_threads = waits_for_none or len(workers) > 1

    def open(self) -> None:
        """Open the chests before there is anything to write; from here on threads may be started."""
        self._has_threads = True
        for worker in self._workers:
            if not self._are_given_threads or not self._ensure_thread(worker):
                worker.open()

    def _ensure_thread(self, worker: ChestWorker) -> bool:
        if worker in self._threads:
            return True
        if not self._has_threads:
            return False
        self._threads[worker] = thread = WorkerThread(worker, self._counters, self._progressed)
        try:
            thread.start()
        except RuntimeError as error:
            self._counters.add("chest_thread_start_failed")
            self._counters.fault(
                "no thread for %s: %s; its records are written in the delivery thread", worker.chest.name, error
            )
            return False
        finally:
            if thread.was_given_up:
                del self._threads[worker]
        return True

    @property
    def has_room(self) -> bool:
        """True if every worker may be given another batch."""
        return all(worker.has_room for worker in self._workers)

    @property
    def is_holding(self) -> bool:
        """True if some worker has not settled what it was given."""
        for worker in self._workers:  # noqa: SIM110 - asked twenty times a second by every idle process
            if worker.is_holding:
                return True
        return False

    def spool_late(self, fill: float) -> None:
        """Put on disk what has waited for too long.

        :param fill: of the ring that fills up meanwhile, from 0 to 1.
        """
        urgent = is_urgent(fill, [worker.has_room for worker in self._workers])
        for worker in self._workers:
            worker.spool_if_late(urgent)

    def spool_blocked(self) -> bool:
        """The ring is nearly full: what waits behind a write that is under way goes to disk, as the next batch will.

        Not earlier: what a chest that is only slow could have taken in time would be written twice. False if nothing can
        be put on disk.
        """
        late = [worker for worker in self._workers if not worker.has_room]
        have_room = [worker.spool is not None and worker.spool_waiting() for worker in late]
        return all(have_room)

    def drop_blocked(self) -> None:
        """The ring is nearly full, and what some workers hold can go nowhere: they lose it, so that the others lose nothing."""
        late = [worker for worker in self._workers if not worker.has_room]
        if len(late) < len(self._workers):
            for worker in late:
                worker.drop_waiting()

    def submit(self, records: Sequence[Record], *, is_fixed: bool = False) -> Batch:
        """Give the records to every worker; the batch is settled when all have written or spooled it. Then call :meth:`poll`.

        :param is_fixed: whether a chest may have it already, as it was sent before.
        """
        batch = Batch(records, len(self._workers) if records else 0, is_fixed=is_fixed)
        if records:
            for worker in self._workers:
                worker.put(batch)
        return batch

    def submit_orphaned(self, records: Sequence[Record]) -> Batch:
        """:meth:`submit`, for records of a process that is gone, which another may have sent before."""
        batch = Batch(records, len(self._workers) if records else 0, is_fixed=True)
        if records:
            for worker in self._workers:
                worker.put_orphaned(batch)
        return batch

    def poll(self) -> None:
        """What is to be done for the workers from the thread that gives."""
        for worker in self._workers:
            thread = self._threads.get(worker)
            if thread is not None:
                thread.wake()
            else:
                self._poll_here(worker)

    def _poll_here(self, worker: ChestWorker) -> None:
        begin = time.monotonic()
        while worker.is_holding and worker.step():
            pass
        if worker.needs_thread or time.monotonic() - begin > SLOW_WRITE_SECONDS:
            if self._ensure_thread(worker):
                self._threads[worker].wake()
            elif not worker.is_holding:
                worker.step()  # a piece of the spool

    def look_around(self) -> None:
        """Have spools delivered that are there, of this process or of others that are gone, and tend the chests."""
        self._search.look()
        for worker in self._workers:
            worker.look_at_spool()
            worker.writer.tend()
        self.poll()

    @property
    def has_room_for_orphaned(self) -> bool:
        """True if every worker may be given records of a process that is gone: it has room, or a spool while its chest fails."""
        return all(worker.has_room_for_orphaned for worker in self._workers)

    def spool_sizes(self) -> dict[str, dict[str, int]]:
        """What waits on disk for each chest, as far as this process has looked, without the chests for which nothing waits."""
        found = {worker.chest.name: [spool.size for spool in worker.spools if spool.size] for worker in self._workers}
        sizes = {name: [sum(numbers) for numbers in zip(*each, strict=True)] for name, each in found.items() if each}
        return {name: dict(zip(("records", "bytes"), size, strict=True)) for name, size in sizes.items()}

    def own_spooled(self) -> int:
        """Records of this process that wait on disk, for any of the chests. From any thread."""
        return sum(worker.spool.own_waiting() for worker in self._workers if worker.spool is not None)

    @property
    def is_emptying_spools(self) -> bool:
        """True if what waits on disk may soon be delivered: no chest that it is for has just failed."""
        workers = [worker for worker in self._workers if worker.spool is not None and worker.spool.own_waiting()]
        return bool(workers) and not any(worker.is_failing for worker in workers)

    # -- the end -----------------------------------------------------------------------------------------------------

    def try_now(self) -> None:
        """The last round: chests that wait after a failure are tried once more."""
        for worker in self._workers:
            worker.writer.try_now()
        self.poll()

    def set_deadline(self, deadline: float) -> None:
        """The last round is in a thread that must not be kept beyond this (monotonic seconds): chests keep to it themselves."""
        for worker in self._workers:
            if worker not in self._threads:
                worker.writer.set_deadline(deadline)

    @property
    def should_give_up(self) -> bool:
        """True if workers failed in the last round, and no other holds anything."""
        hopeless = [worker for worker in self._workers if worker.writer.should_give_up]
        return bool(hopeless) and all(worker in hopeless for worker in self._workers if worker.is_holding)

    def spool_what_others_have(self) -> None:
        """If there are several chests, what one of them has not taken goes to its spool: the others have it already."""
        if len(self._workers) > 1:
            for worker in self._workers:
                worker.spool_waiting()

    def begin_to_close(self) -> None:
        """Close the chests: here those that have no thread, and in their threads the others, without waiting for them."""
        for thread in self._threads.values():
            thread.stop()
        for worker in self._workers:
            if worker not in self._threads:
                worker.close()

    @property
    def is_closed(self) -> bool:
        """True if every thread has ended, and so closed its chest."""
        return all(thread.wait_for_end(0.0) for thread in self._threads.values())

    def close(self, deadline: float) -> None:
        """Close the chests, waiting no longer than until ``deadline`` (monotonic seconds) for those that are being written to."""
        self.begin_to_close()
        for thread in self._threads.values():
            thread.wait_for_end(deadline)


def workers_for(
    chests: Sequence[Chest], counters: Counters, directory: Path | None, spool_bytes: int
) -> list[ChestWorker]:
    """A worker for each chest, which has opened nothing yet.

    :param directory: holds the spools, and is private; None if nothing can be kept on disk.
    :param spool_bytes: of records for each chest; 0 keeps none.
    """
    most_held = _HELD_FOR_SEVERAL if len(chests) > 1 else _HELD_FOR_ONE
    return [
        ChestWorker(chest, counters, spool=_spool_for(chest, counters, directory, spool_bytes), most_held=most_held)
        for chest in chests
    ]


def give_spools(workers: Sequence[ChestWorker], counters: Counters, directory: Path, spool_bytes: int) -> None:
    """Spools for workers that have none yet, as there was no directory for them until now."""
    for worker in workers:
        if worker.spool is None:
            worker.spool = _spool_for(worker.chest, counters, directory, spool_bytes)


def _spool_for(chest: Chest, counters: Counters, directory: Path | None, spool_bytes: int) -> Spool | None:
    if directory is None or not spool_bytes:
        return None
    return Spool(spool_path(directory, chest.name), chest.name, spool_bytes, counters)
