"""``Sidecar``: delivers for all processes that keep their rings in one directory, from a process of its own."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from chest.counters import Counters
from chest.delivery.adoption import Adoption
from chest.delivery.batch import Outstanding
from chest.delivery.delivery import DUE_SHARE, NEARLY_FULL_SHARE, PRESSED_SHARE, Delivery
from chest.delivery.lane import Lane
from chest.delivery.losses import Losses
from chest.delivery.nap import Nap
from chest.record import Record
from chest.ring.living_ring import LivingRing
from chest.ring.recovery import SUFFIX, DeadRing

POLL_SECONDS: Final = 0.05
_LOOK_EVERY_SECONDS: Final = 0.25
_LOOK_AT_DEAD_EVERY_SECONDS: Final = 2.0
_PIECE_BYTES: Final = 256 * 1024


class Progress(NamedTuple):
    """What a sidecar has done and has in hand."""

    rings: int
    """Living rings that it delivers now."""
    delivered: int
    """Records that were taken from rings and are in every chest, or on disk for it."""
    recovered: int
    """Those of them that processes had left which were gone."""


class _Source:
    """A living ring, and what of it is on its way."""

    def __init__(self, ring: LivingRing) -> None:
        self.ring = ring
        self.outstanding = Outstanding(ring.commit_to)


class Sidecar:
    """Finds the rings whose owners leave delivery to others, one after the other, and brings them into every lane.

    Two sidecars on one directory share the rings: each is delivered by the one that holds its lock. A sidecar takes one new
    ring at a look, so that the other gets some as well. What one that was killed held is the other's at its next look.

    :param adopt: gives the rings in the directory whose owners are gone.
    :param flush_seconds: how old a record may become before it is written.
    :param batch_records: about how many records are written in one transaction.
    """

    def __init__(
        self,
        directory: Path,
        lanes: Sequence[Lane],
        counters: Counters,
        *,
        adopt: Callable[[], Iterator[DeadRing]],
        flush_seconds: float,
        batch_records: int,
    ) -> None:
        self._directory = directory
        self._counters = counters
        self._flush_seconds = flush_seconds
        self._batch_records = batch_records
        self._nap = Nap()
        self._delivery = Delivery(lanes, counters, self.wake, waits_for_none=True)
        self._adoption = Adoption(adopt, self._delivery, counters)
        self._losses = Losses(counters)
        self._sources: dict[Path, _Source] = {}
        self._look_at = self._look_at_dead_at = self._hand_out_at = 0.0
        self._stop_by: float | None = None
        self._delivered = 0

    def wake(self) -> None:
        """Have it look at the rings at once."""
        self._nap.end()

    def stop(self, seconds: float) -> None:
        """Have it deliver what there is, for no longer than so many seconds, and end. Safe in a signal handler."""
        if self._stop_by is None:
            self._stop_by = time.monotonic() + seconds
        self.wake()

    @property
    def progress(self) -> Progress:
        """What it has done so far."""
        return Progress(len(self._sources), self._delivered, self._counters.get("recovered"))

    def run(self, tell: Callable[[Progress], object] = lambda _: None) -> bool:
        """Deliver until :meth:`stop`; True when nothing was left.

        :param tell: called with the progress after every round.
        """
        self._delivery.open()
        try:
            while self._stop_by is None:
                self._turn()
                tell(self.progress)
                self._nap.take(POLL_SECONDS)
            return self._finish(self._stop_by)
        finally:
            self._delivery.close(self._stop_by or time.monotonic())
            self._commit_settled()
            self._adoption.release()
            for source in self._sources.values():
                source.ring.release()
            self._sources.clear()
            tell(self.progress)

    def _finish(self, deadline: float) -> bool:
        self._delivery.try_now()
        self._delivery.hurry(deadline)
        while self._look():
            pass
        self._adoption.look()
        while not self._has_delivered_all():
            left_seconds = deadline - time.monotonic()
            if left_seconds <= 0 or self._delivery.is_hopeless:
                self._delivery.spool_what_others_have()
                return False
            self._nap.take(min(POLL_SECONDS, left_seconds))
        return True

    def _has_delivered_all(self) -> bool:
        is_emptied = self._hand_out()
        while self._adoption.has_work and self._adoption.step():
            pass
        self._commit_settled()
        return is_emptied and not self._adoption.has_work and not any(s.outstanding for s in self._sources.values())

    def _turn(self) -> None:
        now = time.monotonic()
        if now >= self._look_at:
            self._look()
            self._look_at = now + _LOOK_EVERY_SECONDS
        if now >= self._look_at_dead_at:
            self._losses.look()
            self._delivery.look_at_spools()
            self._adoption.look()
            self._look_at_dead_at = now + _LOOK_AT_DEAD_EVERY_SECONDS
        if self._delivery.is_holding:
            self._delivery.work()
            self._delivery.relieve(self._are_fuller_than(PRESSED_SHARE))
        self._commit_settled()
        is_due = now >= self._hand_out_at or self._are_fuller_than(DUE_SHARE)
        if is_due and self._hand_out():  # else the lanes have no room: again as soon as they have
            self._hand_out_at = now + self._flush_seconds
        while self._adoption.has_work and self._stop_by is None and self._adoption.step():
            if time.monotonic() >= self._hand_out_at:
                self._hand_out()

    def _look(self) -> bool:
        """Let the rings go whose owners are gone, which are for recovery, and take one that nobody has: True when there was."""
        for path, source in tuple(self._sources.items()):
            if not source.ring.has_owner:
                self._let_go(path, source)
        for path in self._ring_paths():
            if path not in self._sources:
                ring = LivingRing.adopt(path, self._counters)
                if ring is not None:
                    self._sources[path] = _Source(ring)
                    return True
        return False

    def _let_go(self, path: Path, source: _Source) -> None:
        source.outstanding.commit_settled()
        if not source.outstanding:  # else it would be delivered twice, though it were stored once
            del self._sources[path]
            source.ring.release()
            self._adoption.look()

    def _ring_paths(self) -> list[Path]:
        try:
            with os.scandir(self._directory) as entries:
                return sorted(Path(entry.path) for entry in entries if entry.name.endswith(SUFFIX))
        except OSError as error:
            self._counters.error(f"{self._directory}: {error.strerror or error}")
            return []

    def _hand_out(self) -> bool:
        """A batch of each ring in turn, until each was empty once; False when the lanes have no room for more."""
        waiting = list(self._sources.values())
        while waiting:
            for source in tuple(waiting):
                source.outstanding.commit_settled()
                if not self._has_room():
                    return False
                if not self._hand_out_batch(source):
                    waiting.remove(source)
        return True

    def _has_room(self) -> bool:
        if self._delivery.has_room:
            return True
        self._delivery.relieve(self._are_fuller_than(PRESSED_SHARE))
        if not self._delivery.has_room and self._are_fuller_than(NEARLY_FULL_SHARE):
            return self._delivery.make_room()
        return self._delivery.has_room

    def _are_fuller_than(self, share: float) -> bool:
        """Whether one of the rings is."""
        return any(source.ring.full_share > share for source in self._sources.values())

    def _hand_out_batch(self, source: _Source) -> bool:
        """False when the ring has no more, or had none when the batch was filled: what came since is for the next time."""
        records: list[Record] = []
        ends: list[tuple[int, int]] = []
        while len(records) < self._batch_records:
            taken = source.ring.take(_PIECE_BYTES)
            if taken is None:
                break
            records += taken[0]
            ends.append(taken[1:])
        if not ends:
            return False
        batch = self._delivery.take_on(records)
        for segment, end in ends:
            source.outstanding.add(batch, segment, end)
        self._delivered += len(records)
        self._delivery.work()
        return len(records) >= self._batch_records or self._stop_by is not None

    def _commit_settled(self) -> None:
        for source in self._sources.values():
            source.outstanding.commit_settled()
