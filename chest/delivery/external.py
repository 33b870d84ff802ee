"""``ExternalDelivery``: delivers for all processes that keep their rings in one directory, from a process of its own.

``OtherRings`` are its source, as :class:`~chest.delivery.own_ring.OwnRing` is that of a recorder.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from chest.delivery.batch import AnyBatcher, Batcher
from chest.delivery.loop import DeliveryLoop
from chest.delivery.spool_policy import DUE_SHARE
from chest.delivery.worker import ChestWorker
from chest.record.counters import Counters
from chest.ring.live_ring_reader import LiveRingReader, Taken
from chest.ring.orphaned_ring import OrphanedRing
from chest.ring.recovery import RingNames
from chest.system.threads import WakeEvent

_LOOK_FOR_RINGS_EVERY_SECONDS: Final = 0.25
_LOOK_AROUND_EVERY_SECONDS: Final = 2.0
_MOST_RINGS_AT_A_LOOK: Final = 1000
_CHUNK_BYTES: Final = 256 * 1024


class Progress(NamedTuple):
    """What was delivered, and what is in hand."""

    rings: int
    """Rings of living processes that are delivered now."""
    delivered: int
    """Records that were taken from rings and are in every chest, or on disk for it."""
    recovered: int
    """Those of them that were left by processes which are gone."""


class ExternalDelivery:
    """Runs a delivery loop over the rings of other processes in the calling thread: ``chest drain``.

    :param directory: in which the rings lie.
    :param workers: one a chest.
    :param adopt: gives the rings in the directory whose owners are gone; None now and then while it finds none.
    :param flush_seconds: how old a record may become before it is written.
    :param batch_records: about how many records are written in one transaction.
    """

    def __init__(
        self,
        directory: Path,
        workers: Sequence[ChestWorker],
        counters: Counters,
        *,
        adopt: Callable[[], Iterator[OrphanedRing | None]],
        flush_seconds: float,
        batch_records: int,
    ) -> None:
        self._counters = counters
        self._wake_event = WakeEvent()
        self._progress_before = Progress(0, 0, 0)
        self._rings = OtherRings(directory, counters, flush_seconds=flush_seconds, batch_records=batch_records)
        self.loop = DeliveryLoop(
            self._rings, workers, counters, adopt=adopt, wake=self._wake_event.set, runs_in_caller=True
        )

    def stop(self, seconds: float) -> None:
        """Have it deliver what there is, for no longer than so many seconds, and end. Safe in a signal handler."""
        self.loop.put_off = lambda: None
        stop_by = time.monotonic() + seconds
        if self.loop.stop_by is None or stop_by < self.loop.stop_by:
            self.loop.stop_by = stop_by
        self._wake_event.set()

    def stop_when_drained(self, patience_seconds: float) -> None:
        """Have it deliver what there is now, however long it takes, and end; earlier if nothing was delivered for so many seconds."""
        self.stop(patience_seconds)
        self.loop.put_off = partial(self._put_off, patience_seconds)

    @property
    def progress(self) -> Progress:
        """What it has done so far."""
        return Progress(self._rings.count, self._counters.get("taken"), self._counters.get("recovered"))

    def run(self, report: Callable[[Progress], object] = lambda _: None) -> bool:
        """Deliver until :meth:`stop`; True when nothing was left.

        :param report: called with the progress after every round.
        """
        try:
            while (seconds := self.loop.step()) is not None:
                report(self.progress)
                self._wake_event.wait(seconds)
            return self.loop.is_drained
        finally:
            self.loop.workers.close(self.loop.stop_by or time.monotonic())
            self.loop.release()
            report(self.progress)

    def _put_off(self, seconds: float) -> None:
        """Put the deadline off if something was delivered since it was put off last: of the rings, only what they held at first."""
        before, self._progress_before = self._progress_before, self.progress
        is_first = self._rings.may_hold_first(before.delivered - before.recovered)
        is_first = is_first and self.progress.delivered > before.delivered
        if is_first or self.progress.recovered > before.recovered:
            self.loop.stop_by = time.monotonic() + seconds


class OtherRings:
    """Finds the rings whose owners leave delivery to others, one after the other, and gives their records to the loop.

    Two processes that deliver for one directory share the rings: each ring is delivered by the one that holds its lock. One
    new ring is taken at a look, so that the other process gets some as well. The rings of a process that was killed are
    taken by the other one at its next look.

    :param flush_seconds: how old a record may become before it is written.
    :param batch_records: about how many records are written in one transaction.
    """

    def __init__(self, directory: Path, counters: Counters, *, flush_seconds: float, batch_records: int) -> None:
        self._directory = directory
        self._counters = counters
        self._flush_seconds = flush_seconds
        self._batch_records = batch_records
        self._rings: dict[Path, tuple[LiveRingReader, AnyBatcher]] = {}
        self._look_at = self._round_at = 0.0
        self._first_bytes: dict[LiveRingReader, int] = {}
        """Of each ring that was not found empty yet, how much at most is left of what it held when it was taken."""
        self._taken_records = self._first_records = 0

    def may_hold_first(self, delivered: int) -> bool:
        """True if some of what the rings held when they were taken may not be among so many records that were delivered."""
        return bool(self._first_bytes) or delivered < self._first_records

    @property
    def count(self) -> int:
        """How many rings it delivers now."""
        return len(self._rings)

    @property
    def look_every_seconds(self) -> float:
        """How often :meth:`look_around` is to be called."""
        return _LOOK_AROUND_EVERY_SECONDS

    def batchers(self) -> list[AnyBatcher]:
        """One for each ring."""
        return [batcher for _, batcher in self._rings.values()]

    def fill(self) -> float:
        """How full the fullest ring is, from 0 to 1."""
        return max((ring.full_share for ring, _ in self._rings.values()), default=0.0)

    def prepare(self) -> bool:
        """Look for rings now and then; True if one was orphaned, and is to be adopted."""
        if time.monotonic() < self._look_at:
            return False
        self._look_at = time.monotonic() + _LOOK_FOR_RINGS_EVERY_SECONDS
        has_orphans = self._release_orphaned()
        self._take_one(_MOST_RINGS_AT_A_LOOK)
        return has_orphans

    def look_around(self) -> None:
        """Nothing else is to be looked at."""

    def look_if_due(self) -> bool:
        """True if the records may be old enough, or a ring fills up."""
        return time.monotonic() >= self._round_at or self.fill() > DUE_SHARE

    is_asked = False
    is_idle = False

    def longest_rest(self, seconds: float) -> float:
        """The loop rests no longer than usual: another process may fill a ring at any moment."""
        return 0.0

    def begin_round(self) -> None:
        """The loop begins to empty the rings."""

    def end_round(self, is_complete: bool) -> None:
        """The round ended: each ring was empty once; if room or time ran out first, the next round is due at once."""
        if is_complete:
            self._round_at = time.monotonic() + self._flush_seconds

    def commit(self, batcher: AnyBatcher) -> None:
        """Commit what is settled by now."""
        batcher.commit_settled()

    def begin_to_end(self) -> bool:
        """Take every ring that no other process holds, for the last round; True: look for orphans once more."""
        self._release_orphaned()
        while self._take_one(None):
            pass
        return True

    def has_records(self) -> bool:
        """There may always be some."""
        return True

    def is_drained(self, is_all_delivered: bool) -> bool:
        """True if nothing was left: more may be recorded at any moment."""
        return is_all_delivered

    def release(self) -> None:
        """Leave the rings to the next process."""
        for ring, _ in self._rings.values():
            ring.release()
        self._rings.clear()

    def _release_orphaned(self) -> bool:
        """Release the rings whose owners are gone: they are for recovery, which also looks behind their last lines."""
        has_orphans = False
        for path, (ring, batcher) in tuple(self._rings.items()):
            if not ring.has_owner:
                batcher.commit_settled()
                if not batcher.is_unsettled:  # else it would be delivered twice, though it were stored once
                    del self._rings[path]
                    self._first_bytes.pop(ring, None)
                    ring.release()
                    has_orphans = True
        return has_orphans

    def _take_one(self, most: int | None) -> bool:
        """Take one ring that no other process holds, out of a limited number looked at; False: found none."""
        for path in self._ring_paths()[:most]:
            ring = LiveRingReader.adopt(path, self._counters)
            if ring is not None:
                self._first_bytes[ring] = ring.most_pending_bytes
                take = partial(self._take_from, ring)
                notes = partial(getattr, ring, "notes")
                self._rings[path] = (
                    ring,
                    Batcher(take, list, ring.commit_to, self._batch_records, self._counters, notes),
                )
                return True
        return False

    def _take_from(self, ring: LiveRingReader) -> Taken | None:
        taken = ring.take(_CHUNK_BYTES)
        if taken is not None:
            self._taken_records += len(taken.data)
        if ring in self._first_bytes:
            left = 0 if taken is None else self._first_bytes[ring] - (taken.end - taken.begin)
            self._first_bytes[ring] = left
            if left <= 0:
                del self._first_bytes[ring]
                self._first_records = self._taken_records
        return taken

    def _ring_paths(self) -> list[Path]:
        """A ring without a lock has no owner that lives."""
        try:
            paths = (self._directory / name for name in RingNames.of(self._directory).locked)
            return [path for path in paths if path not in self._rings]
        except OSError as error:
            self._counters.fault(
                "the ring files in %s cannot be looked for: %s", self._directory, error.strerror or error
            )
            return []
