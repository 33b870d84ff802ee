"""``OwnRing``: the ring of this process as a source of the delivery loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from chest.delivery.batch import AnyBatcher, Batcher
from chest.delivery.flush import FlushTickets
from chest.delivery.spool_policy import DUE_SHARE
from chest.record.counters import Counters
from chest.record.encoded import plain
from chest.record.record import Record
from chest.ring.line import Lineage, decode_lines
from chest.ring.reader import RingReader

ADOPT_EVERY_SECONDS: Final = 5.0
"""How often the loop looks for orphaned rings and spools, and after the ring's own file."""
_CHUNK_BYTES: Final = 32 * 1024
"""About a hundred records are decoded in one go: the interpreter lock is held some 50 µs, and a request never waits longer."""
_BYTES_FOR_A_REST: Final = 8 << 20
"""A smaller ring could be full when the loop wakes from its long rest."""


class OwnRing:
    """Gives the records of this process to the delivery loop, and says when they are due.

    :param ring: taken from by the loop alone.
    :param lineage: tells records of requests that a parent process began, and which get an id of this one's.
    :param look_after_file: called every few seconds, to notice when the ring's file is taken away.
    :param flush_seconds: how old the oldest record may become before it is written.
    :param batch_records: about how many records are written in one transaction.
    :param observe: told of what is taken.
    :param as_encoded: whether the chests take records with their JSON encoded.
    """

    def __init__(
        self,
        ring: RingReader,
        lineage: Lineage,
        counters: Counters,
        *,
        look_after_file: Callable[[], None],
        flush_seconds: float,
        batch_records: int,
        observe: Callable[[Sequence[Record]], object] | None = None,
        as_encoded: bool = False,
    ) -> None:
        self.flushes = FlushTickets(ring)
        self._ring = ring
        self._lineage = lineage
        self._counters = counters
        self._look_after_file = look_after_file
        self._flush_seconds = flush_seconds
        self._observe = observe
        self._as_encoded = as_encoded
        self._batcher = Batcher(
            lambda: ring.take(_CHUNK_BYTES), self._decoded, ring.commit_to, batch_records, counters, lambda: ring.notes
        )
        self._pending_since: float | None = None
        self._empty_at = time.monotonic()
        self._is_backlogged = False

    @property
    def look_every_seconds(self) -> float:
        """How often :meth:`look_around` is to be called."""
        return ADOPT_EVERY_SECONDS

    def batchers(self) -> list[AnyBatcher]:
        """The one of this ring."""
        return [self._batcher]

    def fill(self) -> float:
        """How full the ring is, from 0 to 1."""
        capacity_bytes = self._ring.capacity_bytes
        return self._ring.undelivered_bytes() / capacity_bytes if capacity_bytes else 0.0

    def prepare(self) -> bool:
        """Nothing is to be prepared; False: no ring was orphaned."""
        return False

    def look_around(self) -> None:
        """Do what is to be done every few seconds."""
        self._look_after_file()
        self._ring.reclaim()

    def look_if_due(self) -> bool:
        """Look whether records wait, and since when; True if a batch is begun, the ring fills up, or its oldest record is old enough."""
        if self._batcher.is_begun or self._is_backlogged:
            return True
        pending = self._ring.pending_bytes()
        now = time.monotonic()
        if not pending and not self._ring.has_pre_open_records:
            self._pending_since, self._empty_at = None, now
            return False
        if self._pending_since is None:
            self._pending_since = self._empty_at  # since then, at most: it may have come right after that
        return now - self._pending_since >= self._flush_seconds or pending >= self._ring.capacity_bytes * DUE_SHARE

    @property
    def is_asked(self) -> bool:
        """True if a flush waits."""
        return self.flushes.are_pending

    @property
    def is_idle(self) -> bool:
        """True if no record waited in the ring when it was last asked what is due."""
        return self._pending_since is None

    def longest_rest(self, seconds: float) -> float:
        """How long the loop may rest after nothing came for a while, of these seconds; 0 if it may not rest longer than usual."""
        return min(seconds, self._flush_seconds) if self._ring.capacity_bytes >= _BYTES_FOR_A_REST else 0.0

    def begin_round(self) -> None:
        """The loop begins to empty the ring."""
        self._pending_since, self._empty_at = None, time.monotonic()

    def end_round(self, is_complete: bool) -> None:
        """The round ended: the ring was empty once, or room or time ran out first."""
        self._is_backlogged = not is_complete

    def commit(self, batcher: AnyBatcher) -> None:
        """Commit what is settled by now, and answer the flushes that waited for it."""
        batcher.commit_settled()
        self.flushes.answer()

    def begin_to_end(self) -> bool:
        """The last round begins; False: no ring was orphaned by it."""
        return False

    def has_records(self) -> bool:
        """True if there are records that are not in every chest, or on disk."""
        return self._batcher.is_unsettled or self._batcher.is_begun or bool(self._ring.pending_bytes())

    def is_drained(self, is_all_delivered: bool) -> bool:
        """True if nothing is left at the end, also if the last round had to give up."""
        return not self.has_records()

    def release(self) -> None:
        """The ring stays with the recorder."""

    def _decoded(self, data: bytes) -> Sequence[Record]:
        records = self._decoded_lines(data)
        if self._lineage.parents:
            records = list(map(self._lineage.own, records))
        if self._observe is not None:
            self._observe(list(map(plain, records)))
        return records

    def _decoded_lines(self, data: bytes) -> Sequence[Record]:
        try:
            return decode_lines(data, self._ring.resource, as_encoded=self._as_encoded)
        except MemoryError:
            raise  # of the machine, and no fault of a line: the chunk is kept for the next thread
        except Exception as error:  # noqa: BLE001 - one damaged line must not hold the others up
            self._counters.fault("a piece of the ring could not be read: %s", error)
            return [record for line in data.splitlines(keepends=True) for record in self._decoded_line(line)]

    def _decoded_line(self, line: bytes) -> Sequence[Record]:
        try:
            return decode_lines(line, self._ring.resource, as_encoded=self._as_encoded)
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001
            self._counters.add("dropped.damaged")
            return []
