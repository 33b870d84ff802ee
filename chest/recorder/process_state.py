"""``ProcessState``: the ring, its file and the delivery thread of a recorder in this very process."""

from __future__ import annotations

import logging
import os
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from chest.delivery.background import BackgroundDelivery
from chest.delivery.log import TroubleReporter
from chest.delivery.own_ring import ADOPT_EVERY_SECONDS
from chest.delivery.worker import ChestWorker
from chest.delivery.workers import give_spools, workers_for
from chest.recorder.directory_recovery import cleaned_killed_request
from chest.recorder.ending.process_end import LeftRing
from chest.recorder.notices import Notices
from chest.recorder.observed_records import observed_records
from chest.recorder.recorder_chests import DefaultPlace, RecorderChests
from chest.recorder.request_side import RequestSide
from chest.recorder.ring_keeper import RingKeeper
from chest.recorder.scheduled_transfers import ScheduledTransfers
from chest.recorder.stores_in_use import keep_stores, mark_group
from chest.recorder.tally_keeper import TallyKeeper
from chest.ring.line import Lineage
from chest.ring.live_ring_reader import EXTERNAL
from chest.ring.orphaned_ring import OrphanedRing
from chest.ring.owned_ring_file import OwnedRingFile
from chest.ring.reader import RingReader
from chest.ring.recovery import give_back_unused_rooms, look_for_orphaned_rings
from chest.settings.settings import Settings
from chest.system.process_hooks import boot_id, effective_user, is_under_test, is_uwsgi_before_its_fork, lack_of_threads
from chest.system.threads import PeriodicThread, new_lock

logger = logging.getLogger("chest")

_KEEPING_SECONDS: Final = 1.0
_T = TypeVar("_T")


@dataclass(frozen=True)
class RecorderParts:
    """What a recorder has in common in every process that it is forked into."""

    settings: Settings
    name: str
    directory: Callable[[], Path]
    request_side: RequestSide
    chests: RecorderChests
    scheduled_transfers: ScheduledTransfers
    notices: Notices
    default_place: DefaultPlace


class ProcessState:
    """Made for the first request of a process; a forked child makes its own, and so does a process that changes its user.

    :param lineage: of this process.
    :param begun: called when the delivery thread begins.
    """

    def __init__(self, parts: RecorderParts, lineage: Lineage, begun: Callable[[], None]) -> None:
        self.parts = parts
        self.lineage = lineage
        self.user = effective_user()
        self.ring = parts.request_side.ring
        self.counters = parts.request_side.counters
        self.delivery: BackgroundDelivery | None = None
        """None if another process delivers, and in the process that uWSGI forks."""
        self._troubles = TroubleReporter(self.counters)
        self.workers: list[ChestWorker] = []
        self.is_closing = False
        self._begun = begun
        self._watch: PeriodicThread | None = None
        self._keeping = new_lock()
        self._is_introduced = False
        self._finalizer: weakref.finalize[..., Any] | None = None
        self._is_in_memory = parts.default_place.is_forbidden
        directory = None if self._is_in_memory else parts.directory
        self.keeper = RingKeeper(self.ring, self.counters, parts.name, directory, parts.notices.add)
        self._open_ring()
        is_delivering = weakly(self._is_delivering, False)
        self.tally_keeper = TallyKeeper(
            parts.request_side, parts.name, directory, lambda: parts.chests.opened, is_delivering
        )

    def _open_ring(self) -> None:
        settings, resource = self.parts.settings, self.parts.request_side.resource
        description = {
            "service": resource.service, "release": resource.release, "host": resource.host, "recorder": self.parts.name,
            "process": self.lineage.process, "parents": self.lineage.parents, "pid": os.getpid(),
            "created_ns": time.time_ns(), "boot_id": boot_id(), "exporter": settings.delivery,
        }  # fmt: skip
        is_external = settings.delivery == EXTERNAL
        segments = self.keeper.begin(settings.ring_bytes, description, drains=not is_external)
        self.ring.open(segments, resource, drains_elsewhere=is_external and self.file is not None)
        self.reader = RingReader(self.ring, self.counters)

    def _is_delivering(self) -> bool:
        return self.delivery is not None and self.delivery.is_running

    @property
    def file(self) -> OwnedRingFile | None:
        """The ring's; None while the ring is in memory."""
        return self.keeper.file

    @property
    def directory(self) -> Path | None:
        """Of the ring's file."""
        return None if self.file is None else self.file.directory

    # -- delivery ----------------------------------------------------------------------------------------------------

    def make_ready(self, *, with_thread: bool) -> bool:
        """Begin to deliver; False in the process that uWSGI forks, which is not to be ready.

        A thread might hold the interpreter's lock at the moment of the fork, and every worker would wait for it for good.
        Such a process asks again at each request: without a master it becomes the worker itself.
        """
        if self.ring.drains_elsewhere:
            if with_thread and self._watch is None and not is_uwsgi_before_its_fork():
                self._start_watch()
            return True
        if is_uwsgi_before_its_fork():
            return False
        if self.delivery is None:
            # Kept for the life of the process, also when its thread ends: it may hold a batch that it took from the ring.
            self.delivery = self.new_delivery()
            self._warn_of_lack_of_threads()
        if with_thread and not self.delivery.is_running:
            self._start(self.delivery)
        return True

    def _warn_of_lack_of_threads(self) -> None:
        if (notice := lack_of_threads()) is not None:
            self.counters.error(notice)
            self.parts.notices.add(notice)

    def _start(self, delivery: BackgroundDelivery) -> None:
        try:
            delivery.start()
            self.ring.lacks_reader = False
        except RuntimeError as error:
            self.ring.lacks_reader = True
            self.counters.add("delivery_start_failed")
            self.counters.fault(
                "cannot start the delivery thread: %s; the next try is when a segment of the ring is full", error
            )

    def new_delivery(self) -> BackgroundDelivery:
        """A delivery that does not keep this object alive: it ends when its recorder is forgotten."""
        settings, chests = self.parts.settings, self.parts.chests
        chests.open_default(in_memory=self._is_in_memory)
        self.workers = workers_for(chests.opened, self.counters, self.directory, settings.spool_bytes)
        delivery = BackgroundDelivery(
            self.reader, self.workers, self.counters,
            adopt=weakly(self._orphaned_rings, iter(())), died=weakly(self._note_death, None),
            look_after_file=weakly(self.look_after_file, None), begun=self._begun,
            flush_seconds=settings.flush_seconds, batch_records=settings.batch_records,
            lineage=self.lineage, notices=self.parts.notices.waiting,
            observe=observed_records.note if is_under_test() else None,
        )  # fmt: skip
        self._end_when_forgotten(delivery)
        return delivery

    def _note_death(self) -> None:
        self.parts.request_side.fork_guard[0] = 0  # the next request starts another thread

    def _orphaned_rings(self) -> Iterator[OrphanedRing | None]:
        if self.file is None:
            return iter(())
        parts = self.parts
        return look_for_orphaned_rings(
            parts.directory(), self.counters, parts.request_side.resource.service, parts.name, cleaned_killed_request
        )

    def _end_when_forgotten(self, delivery: BackgroundDelivery) -> None:
        self.detach()
        left = LeftRing(delivery, self.ring, self.file, self.counters, self.parts.settings.shutdown_seconds)
        self._finalizer = weakref.finalize(self, left.leave)
        self._finalizer.atexit = False

    def detach(self) -> None:
        """Leave nothing to be done when this object is forgotten."""
        if self._finalizer is not None:
            self._finalizer.detach()

    def begin_in_child(self) -> None:
        """In a forked child, before this object is forgotten there: all that it has is its parent's."""
        self.detach()
        if self.file is not None:
            self.file.let_go()
            self.keeper.file = None
        self.tally_keeper.let_go()

    def discard(self) -> None:
        """Remove the file of another user that this process was, into which nothing was offered yet."""
        self.detach()
        if self.file is not None:
            self.file.remove()
            self.keeper.file = None
        self.tally_keeper.let_go()

    # -- the ring's file ---------------------------------------------------------------------------------------------

    def look_after_file(self) -> None:
        """Begin scheduled transfers, and look after the ring's file."""
        self._introduce()
        if not self._is_in_memory:  # each would also write to the default place
            self.parts.scheduled_transfers.start()
        self.keep_file()
        self.tally_keeper.keep(gathers=True)

    def _introduce(self) -> None:
        """Log where the records go, once for each start of a service, not of a worker; and keep it for the commands."""
        if self._is_introduced:
            return
        self._is_introduced = True
        directory, chests = self.directory, self.parts.chests
        if directory is not None:
            try:
                if not mark_group(directory):
                    return
                if self.parts.settings.directory is None:
                    keep_stores(directory, chests.stores)
            except OSError as error:
                self.counters.fault("cannot write %s: %s; commands need the URL of a store", directory, error.strerror)
        place, whose = directory or "memory", self.parts.request_side.resource.service
        logger.info("chest: the records of %s go to %s; ring files are in %s", whose, chests.shown, place)

    def keep_file(self, *, at_once: bool = False) -> None:
        """Have the ring in a file; see :meth:`RingKeeper.keep`."""
        if not self.keeper.keep(at_once=at_once):
            return
        if self.directory is not None:
            give_spools(self.workers, self.counters, self.directory, self.parts.settings.spool_bytes)
        if self.delivery is not None:
            self._end_when_forgotten(self.delivery)

    def _start_watch(self) -> None:
        """Start the thread that looks after the file if this process does not deliver: the file may be removed, by hand or for its age."""
        self._watch = PeriodicThread(weakly(self._look_without_delivery, False), ADOPT_EVERY_SECONDS)
        try:
            self._watch.start()
        except RuntimeError as error:
            self._watch = None
            self.counters.fault("cannot start the thread that looks after the ring's file: %s", error)

    def _look_without_delivery(self) -> bool:
        """Look after the ring's file; False when this is no longer needed."""
        with self._keeping:
            if self.is_closing or not self.ring.drains_elsewhere:
                return False
            try:
                self.parts.notices.log()
                self._troubles.look()
                self._introduce()
                self.keep_file()
                self.tally_keeper.keep(gathers=True)
                self.ring.reclaim()
                if self.directory is not None:
                    give_back_unused_rooms(self.directory)
                    return True
                self.reader.drain_here()  # the other process finds it no more
            except Exception as error:  # noqa: BLE001 - the next look tries again
                self.counters.fault("the ring's file could not be looked after: %r", error)
                return True
        self.parts.request_side.fork_guard[0] = 0
        self.parts.request_side.prepare()  # the delivery thread looks after the file from now on
        return False

    def stop_watch(self) -> None:
        """Have the ring in a file that another process finds; without a file, this process delivers it at its end."""
        if self._watch is not None:
            self._watch.stop()
        if self._keeping.acquire(timeout=_KEEPING_SECONDS):  # else the watch waits for a disk that does not answer
            try:
                self.keep_file()
                if self.file is None:
                    self.reader.drain_here()
            finally:
                self._keeping.release()


def weakly(method: Callable[[], _T], otherwise: _T) -> Callable[[], _T]:
    """The method, for a caller that is not to keep its object alive.

    :param otherwise: the answer if the object is gone.
    """
    weak = weakref.WeakMethod(method)

    def call() -> _T:
        alive = weak()
        return otherwise if alive is None else alive()

    return call
