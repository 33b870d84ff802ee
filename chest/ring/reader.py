"""``RingReader``: the ring as its one consumer sees it: takes whole lines, and says which are in every chest."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import Final, NamedTuple

from chest import native
from chest.native import IS_NATIVE, Segment
from chest.record.counters import Counters
from chest.ring.line import Resource
from chest.ring.segments.batch_notes import BatchNotes, Range, SentRange
from chest.ring.segments.file import ACTIVE, DRAINED, FREE, RETIRED, SegmentFile
from chest.ring.segments.lines import Hole, hole_at, lines_of, whole_lines
from chest.ring.segments.pool import SegmentPool
from chest.ring.writer import RingWriter

_READY_BYTES: Final = 256 * 1024
"""How much of a segment is in memory before it is written: some 700 records."""

Written = list[tuple[int, int, int]]
"""Index, cycle and position of each segment in use."""


class Chunk(NamedTuple):
    """Whole lines taken from one segment, and the position to commit once they are delivered."""

    data: bytes
    segment: int
    begin: int
    end: int
    left: int | None = None
    """0: the last chunk of a batch that was sent before; more: others of the same batch follow; None: it was in no batch yet."""


class RingReader:
    """What takes from a ring that is open. One reader at a time, in one thread at a time.

    :param ring: what it takes from. If another process drains it, only what is asked of the reader is answered here.
    :param counters: ``dropped.damaged``.
    """

    def __init__(self, ring: RingWriter, counters: Counters) -> None:
        self._ring = ring
        self._counters = counters
        file = ring.file
        self._read = [] if file is None else [file.committed(index) for index in range(len(file.segments))]
        self._ready: dict[int, int] = {}  # of segments in use, up to where their pages are in memory
        self._notes: BatchNotes | None = None
        self._sent: deque[SentRange] = deque()  # what another reader has sent, and not committed
        self._round: deque[int] = deque()  # segments that are yet to be looked at before a new round begins

    @property
    def resource(self) -> Resource:
        """Service, release and host of every record."""
        return self._ring.resource

    @property
    def capacity_bytes(self) -> int:
        """Bytes that the segments hold."""
        return self._ring.capacity_bytes

    @property
    def has_pre_open_records(self) -> bool:
        """True if something waits in memory for the ring to open."""
        return self._ring.has_pre_open_records

    def reclaim(self) -> None:
        """See :meth:`RingWriter.reclaim`."""
        self._ring.reclaim()

    # -- what there is -----------------------------------------------------------------------------------------------

    def pending_bytes(self) -> int:
        """Bytes offered and not yet taken."""
        file = self._ring.file
        if file is None:
            return 0
        # Asked twenty times a second by every idle process: one look at the states, and none at a segment that is free.
        pending = 0
        for index, state in enumerate(file.states()):
            if state in (ACTIVE, RETIRED):
                pending += file.segments[index].tell() - self._read[index]
        return pending

    def undelivered_bytes(self) -> int:
        """Bytes offered and not yet in every chest."""
        return sum(end - begin for _, begin, end in self._undelivered())

    def undelivered_records(self) -> int:
        """Records offered and not yet in every chest; counts them, which takes time."""
        return sum(segment[begin:end].count(b"\n") for segment, begin, end in self._undelivered())

    def _undelivered(self) -> list[tuple[Segment, int, int]]:
        file = self._ring.file
        if file is None:
            return []
        return [
            (segment, file.committed(index), segment.tell())
            for index, segment in enumerate(file.segments)
            if file.state(index) in (ACTIVE, RETIRED)
        ]

    def written(self) -> Written:
        """The position up to which each segment is written now, for :meth:`has_committed`."""
        self._ring.flush_pre_open_buffer()
        pool = self._ring.pool
        if pool is None:
            return []
        file = pool.file
        return [
            (index, pool.cycles[index], segment.tell())
            for index, segment in enumerate(file.segments)
            if file.state(index) in (ACTIVE, RETIRED)
        ]

    def has_committed(self, written: Written) -> bool:
        """True if every chest has all that was written then."""
        pool = self._ring.pool
        return pool is None or all(
            pool.cycles[index] != cycle or pool.file.committed(index) >= end or pool.file.state(index) == DRAINED
            for index, cycle, end in written
        )

    # -- taking ------------------------------------------------------------------------------------------------------

    def take(self, most_bytes: int) -> Chunk | None:
        """Whole lines of one segment, about ``most_bytes`` of them; None when nothing is there.

        A segment is emptied and then the next one, in the order in which they were taken into use: so the records of one
        thread come in its order, and a segment that is filled all the time keeps none waiting.
        """
        self._ring.flush_pre_open_buffer()
        pool = self._ring.pool
        if pool is None:
            return None
        chunk = self._take_sent(pool, most_bytes) or self._take_from_round(pool, most_bytes)
        if chunk is None:
            in_use = [index for index, state in enumerate(pool.file.states()) if state in (ACTIVE, RETIRED)]
            self._round.extend(sorted(in_use, key=pool.opened.__getitem__))
            chunk = self._take_from_round(pool, most_bytes)
        return chunk

    def _take_sent(self, pool: SegmentPool, most_bytes: int) -> Chunk | None:
        if not self._sent:
            return None
        (index, begin, end), left, is_settled = self._sent[0]
        segment, data, reached = pool.file.segments[index], b"", end
        if not is_settled:
            data = whole_lines(segment, begin, most_bytes, end).data or segment[begin:end]
            reached = begin + len(data)
        self._read[index] = reached
        self._sent.popleft()
        if reached < end:
            self._sent.appendleft(SentRange(Range(index, reached, end), left, is_settled))
            left += 1
        return Chunk(data, index, begin, reached, left)

    def _take_from_round(self, pool: SegmentPool, most_bytes: int) -> Chunk | None:
        while self._round:
            index = self._round[0]
            segment = pool.file.segments[index]
            is_in_use = pool.file.state(index) in (ACTIVE, RETIRED)
            chunk = self._take_from(pool, index, segment, most_bytes) if is_in_use else None
            if chunk is None or self._read[index] == segment.tell():
                self._round.popleft()
            if chunk is not None:
                return chunk
        return None

    def _take_from(self, pool: SegmentPool, index: int, segment: Segment, most_bytes: int) -> Chunk | None:
        begin, end = self._read[index], segment.tell()
        if pool.file.state(index) == ACTIVE:
            self._make_ready(index, segment, end)
        if begin >= end:
            self._recycle_if_done(pool, index)
            return None
        lines = whole_lines(segment, begin, most_bytes, end)
        if not lines.data:
            return self._behind_lost_page(index, segment) if lines.hole is not None and pool.file.all_faults else None
        self._read[index] = begin + len(lines.data)
        return Chunk(lines.data, index, begin, begin + len(lines.data))

    def _make_ready(self, index: int, segment: Segment, end: int) -> None:
        """Have the pages behind ``end`` be in memory: the kernel makes a request that writes into another wait."""
        ready = self._ready.get(index, 0)
        if IS_NATIVE and ready < min(end + _READY_BYTES // 2, len(segment)):
            self._ready[index] = min(end + _READY_BYTES, len(segment))
            native.fault_in(segment, max(ready, end), self._ready[index])

    def _behind_lost_page(self, index: int, segment: Segment) -> Chunk:
        begin, end = self._read[index], segment.tell()
        gap = hole_at(segment, begin, end) or Hole(end, lines_of(end - begin))
        self._counters.add("dropped.damaged", gap.lines)
        self._read[index] = gap.end
        return Chunk(b"", index, begin, gap.end)

    @property
    def notes(self) -> BatchNotes | None:
        """Where batches are noted before they are sent; None if there is no ring yet."""
        file = self._ring.file
        if file is None:
            return None
        if self._notes is None or self._notes.file is not file:
            self._notes = BatchNotes(file)
        return self._notes

    def commit_to(self, segment: int, end: int) -> None:
        """Every chest has the lines of the segment up to ``end``; what was taken first is committed first."""
        pool = self._ring.pool
        if pool is not None:
            pool.file.set_committed(segment, end)
            self._recycle_if_done(pool, segment)

    def _recycle_if_done(self, pool: SegmentPool, index: int) -> None:
        """Zero a drained segment and hand it back; last in, first out, so that its pages are still in the cache."""
        file = pool.file
        # The state first: only behind RETIRED is the position final. Asked the other way round, a line that is written in
        # between would be zeroed unread.
        if file.state(index) != RETIRED or file.committed(index) != file.segments[index].tell():
            return
        file.set_state(index, DRAINED)
        file.clear(index, file.segments[index].tell())
        self._read[index] = 0
        self._ready.pop(index, None)
        pool.cycles[index] += 1
        file.set_state(index, FREE)
        pool.put_free(index)

    # -- instead of a reader in another process ----------------------------------------------------------------------

    def leave_the_other_reader(self) -> None:
        """Take the segments from a reader in another process, whatever it was doing with them. Raises OSError.

        It may have been zeroing one. What it had in hand is delivered again, by the one that comes after it.
        """
        pool = self._ring.pool
        if pool is None or not pool.drains_elsewhere:
            return
        file = pool.file
        counted = file.all_faults - file.faults
        file.move_to_memory()
        if file.all_faults > counted:
            self._count_lost_pages(file)
        for _ in range(len(pool.retired)):
            try:
                write = pool.retired.popleft()
            except IndexError:
                return
            index = pool.index_of(write)
            segment, committed = file.segments[index], file.committed(index)
            used = segment.tell()
            if file.state(index) == DRAINED or committed == used or segment.find(b"\0", committed, used) >= 0:
                file.clear(index, used)
                file.set_state(index, DRAINED)
            pool.retired.append(write)

    def _count_lost_pages(self, file: SegmentFile) -> None:
        """Count what the other reader will not find; a lost header no longer tells how much was delivered."""
        for index, segment in enumerate(file.segments):
            begin, end = file.committed(index), segment.tell()
            while gap := hole_at(segment, begin, end):
                self._counters.add("dropped.damaged", gap.lines)
                begin = gap.end
            if end > begin and not segment[end - 1]:
                self._counters.add("dropped.damaged", lines_of(end - begin))

    def drain_here(self) -> None:
        """Be the reader from now on, after :meth:`leave_the_other_reader`."""
        pool = self._ring.pool
        if pool is None or not pool.drains_elsewhere:
            return
        file = pool.file
        self._read = [file.committed(index) for index in range(len(file.segments))]
        self._sent.extend(BatchNotes(file).ranges_left(self._read))
        pool.drains_elsewhere = False
        with suppress(IndexError):  # what is retired and not drained is handed back by this reader
            while True:
                write = pool.take_back()
                file.set_state(pool.index_of(write), FREE)
                pool.free.append(write)
        pool.retired.clear()
