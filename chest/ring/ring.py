"""``Ring``: offer and take, lock-free, from any number of request threads to one consumer.

How it is lock-free. A segment is written by whoever owns it, and owning it means having popped its ``write`` from a list.
Taken as atomic, because CPython does each in one C call: ``list.pop``, ``list.append``, ``deque.append``, ``deque.popleft``
and, with the global interpreter lock, a segment's ``write`` beside its ``tell``. Nothing else is relied on. It follows that
threads, greenlets, signal handlers and finalizers that offer in the middle of another offer each write a segment of their own,
and no one ever waits. Where Chest is compiled, a usual offer as a whole is one such call (``chest/speedups/offering.h``). On a
free-threaded build the same holds: pop and append take the list's own mutex for some nanoseconds (strictly no longer lock-free,
still never held across anything), one writer a segment remains, and the consumer trusts no byte behind the first NUL or after
the last newline, so a line that is not yet visible is read the next time.

How it survives. A line is in the page cache as soon as ``write`` returns: the kernel keeps it whatever becomes of the
process, and :mod:`chest.ring.recovery` delivers it. A line torn by SIGKILL has no newline at its end and is left out.

How it notices a fork. ``mark[0]`` reads 0 in a child, hooks or no hooks (see :mod:`chest.ring.process_mark`); an offer made
there before the child has a ring of its own is kept in memory and moved into the ring when that opens.
"""

from __future__ import annotations

import itertools
import mmap
import os
import time
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from chest.counters import Counters
from chest.record import Record
from chest.ring.in_flight import InFlight, clear_killed_requests
from chest.ring.line import Resource
from chest.ring.process_mark import ProcessMark
from chest.ring.segments import ACTIVE, DRAINED, FREE, RETIRED, SegmentFile
from chest.ring.stacks import may_be_running
from chest.row import line_of, row_of
from chest.speedups import IS_NATIVE, Offering

EARLY_RECORDS: Final = 1000
"""How many records are kept in memory before the ring is open; a bound that only a storm of signal handlers could reach."""
_TRIES_WHEN_OTHERS_HOLD: Final = 100

Write = Callable[[bytes], object]
"""The bound ``write`` of a segment: holding it is owning the segment."""
Written = list[tuple[int, int, int]]
"""Of each segment in use: its index, how often it had been used before, and up to where it was written."""


class Chunk(NamedTuple):
    """Whole lines taken from one segment, and where the segment is to be committed once they are delivered."""

    data: bytes
    segment: int
    end: int


class Ring(Offering):
    """A bounded buffer of finished requests.

    :param counters: where a drop is counted, by reason: ``dropped.ring_full``, ``.too_large``, ``.not_encodable``,
        ``.before_open``, ``.closed``.
    :param mark: reads 1 while this process may write into the segments.
    :param in_flight: lives in the same file, and is opened and closed with it.
    """

    def __init__(self, counters: Counters, mark: ProcessMark, in_flight: InFlight | None = None) -> None:
        self._counters = counters
        self._mark = mark
        if IS_NATIVE:
            self._go_by(mark)
        self._in_flight = in_flight
        self._file: SegmentFile | None = None
        self._owner_pid = 0
        self._is_closed = False
        self._idle: list[Write] = []
        self._free: list[int] = []
        self._read: list[int] = []
        self._cycles: list[int] = []
        self._suspected: dict[int, tuple[int, int, int]] = {}
        self._drains_elsewhere = False
        self._retired: deque[int] = deque()
        self._early: deque[tuple[int, bytes]] = deque()
        self._opened: list[int] = []  # of each segment, its place in the order in which they were taken into use
        self._openings = itertools.count()
        self._round: deque[int] = deque()  # segments that the consumer has yet to look at before it begins anew
        self.resource = Resource("", "", "")
        self.lacks_consumer = False
        """Whether no thread could be started that takes; asked for again whenever a segment is full."""

    # -- the request's side ------------------------------------------------------------------------------------------

    def offer(self, record: Record) -> bool:
        """:meth:`offer_line` for a record that was made elsewhere; one that JSON cannot hold loses its variables."""
        try:
            line = line_of(row_of(record))
        except Exception:  # noqa: BLE001 - a record whose fields are not of their types
            line = None
        if line is None:
            self._counters.add("dropped.not_encodable")
            return False
        return self.offer_line(line)

    def _offer_line(self, line: bytes) -> bool:
        """Keep the line; False when it was dropped, which is counted. Never waits, does no I/O and never raises."""
        if not self._mark[0]:
            return self._offer_early(line)
        try:
            write = self._idle.pop()
        except IndexError:
            return self._write_line(line, self._next_segment())
        try:
            write(line)
        except ValueError:  # the segment is full
            return self._write_line(line, write)
        except BaseException:  # of a signal handler: not ours, and the segment is not to be lost with it
            self._idle.append(write)
            raise
        self._idle.append(write)
        return True

    if not IS_NATIVE:
        offer_line = _offer_line

    def _next_segment(self) -> Write | None:
        """A segment that nobody owns: a free one, else one that another thread hands back in these microseconds."""
        file = self._file
        if self.lacks_consumer:
            self._mark[0] = 0  # the next request tries again to start one
        for _ in range(_TRIES_WHEN_OTHERS_HOLD):
            try:
                index = self._free.pop() if self._free or not self._drains_elsewhere else self._take_back()
            except IndexError:
                pass
            else:
                assert file is not None
                self._opened[index] = next(self._openings)
                file.set_state(index, ACTIVE)
                return file.segments[index].write
            if file is None or all(file.state(index) != ACTIVE for index in range(len(file.segments))):
                return None
            try:
                return self._idle.pop()
            except IndexError:
                continue
        return None

    def _take_back(self) -> int:
        """A segment that the consumer in another process has emptied; raises IndexError when there is none."""
        file = self._file
        for _ in range(len(self._retired)):
            index = self._retired.popleft()  # whoever has popped it owns it
            if file is not None and file.state(index) == DRAINED:
                file.segments[index].seek(0)
                self._cycles[index] += 1
                return index
            self._retired.append(index)
        raise IndexError

    def _write_line(self, line: bytes, write: Write | None) -> bool:
        """Write into this segment, else into the next that has room."""
        if self._file is not None and len(line) > self._file.segment_bytes:
            if write is not None:
                self._idle.append(write)
            self._counters.add("dropped.too_large")
            return False
        while write is not None:
            try:
                write(line)
            except ValueError:  # "data out of range": the segment is full
                self._retire(write)
                write = self._next_segment()
            else:
                self._idle.append(write)
                return True
        self._counters.add("dropped.ring_full")
        return False

    def _retire(self, write: Write) -> None:
        assert self._file is not None
        index = next(i for i, segment in enumerate(self._file.segments) if segment is write.__self__)  # type: ignore[attr-defined]
        self._file.set_state(index, RETIRED)
        if self._drains_elsewhere:
            self._retired.append(index)

    def _offer_early(self, line: bytes) -> bool:
        if self._is_closed:
            self._counters.add("dropped.closed")
            return False
        if self.is_open:  # only without a consumer yet, or for the moment: it is as safe in there
            write = self._any_segment()
            if write is not None:
                return self._write_line(line, write)
        if len(self._early) >= EARLY_RECORDS:
            self._counters.add("dropped.before_open")
            return False
        self._early.append((os.getpid(), line))
        return True

    # -- opening and closing -----------------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether this very process has opened it."""
        return self._file is not None and self._owner_pid == os.getpid()

    @property
    def requests_in_flight(self) -> int:
        """How many requests are noted as being served."""
        return 0 if self._in_flight is None else self._in_flight.count

    @property
    def capacity_bytes(self) -> int:
        """Bytes that the segments hold."""
        return 0 if self._file is None else len(self._file.segments) * self._file.segment_bytes

    def open(self, file: SegmentFile, resource: Resource, *, drains_elsewhere: bool = False) -> None:
        """Take a fresh file into use, in the place of what a parent process had. Call it before traffic, in one thread.

        :param drains_elsewhere: whether the consumer is another process, which hands segments back by their state.
        """
        inherited, self._file = self._file, file
        if inherited is not None:
            self._idle, self._free = [], []  # of the parent's ring: an offer amid all this must not find them
            inherited.close()
        self.resource = resource
        self._owner_pid = os.getpid()
        self._is_closed = False
        self._read = [0] * len(file.segments)
        self._cycles = [0] * len(file.segments)
        self._opened = [0] * len(file.segments)
        self._round = deque()
        self._suspected = {}
        self._drains_elsewhere, self._retired = drains_elsewhere, deque()
        if self._in_flight is not None:
            self._in_flight.open(file)
        # Published last: until then no offer finds a segment, and the consumer must not see a half-open ring.
        self._free = list(range(len(file.segments) - 1, -1, -1))

    def adopt_early(self) -> None:
        """Move what was offered before the ring was open into it, less what a parent process left in this memory."""
        own_pid = os.getpid()
        while self._early:
            try:
                pid, line = self._early.popleft()
            except IndexError:
                return
            if pid == own_pid:
                self._write_line(line, self._any_segment())

    def _any_segment(self) -> Write | None:
        try:
            return self._idle.pop()
        except IndexError:
            return self._next_segment()

    def retract(self, patience_seconds: float = 0.05) -> bool:
        """Let no offer in any more: what comes later is dropped and counted. Offers under way may finish.

        :return: whether all did; a thread that the system has not let run for so long may yet write its line.
        """
        self._is_closed = True
        self._mark[0] = 0
        self._free = []
        deadline = time.monotonic() + patience_seconds
        file = self._file
        while file is not None and any(file.state(index) == ACTIVE for index in range(len(file.segments))):
            try:
                self._retire(self._idle.pop())
            except IndexError:
                if time.monotonic() >= deadline:
                    return not may_be_running(_OFFERING)  # else they are lost, see reclaim
                time.sleep(0)
        return True

    def close(self, *, forgets_requests: bool = True) -> SegmentFile | None:
        """Give the file back, unmapped; the ring is no longer open.

        :param forgets_requests: whether those that are being served go on; else this is the end of the process.
        """
        file, self._file = self._file, None
        self._idle = []
        if self._in_flight is not None:
            self._in_flight.close()
            if file is not None and forgets_requests:
                clear_killed_requests(file)
        if file is not None:
            file.close()
        return file

    # -- the consumer's side -----------------------------------------------------------------------------------------

    @property
    def has_early(self) -> bool:
        """Whether something waits in memory for the ring to open."""
        return bool(self._early)

    def pending_bytes(self) -> int:
        """Bytes offered and not yet taken."""
        file = self._file
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
        """Records offered and not yet in every chest; counts them, so not for every day."""
        return sum(segment[begin:end].count(b"\n") for segment, begin, end in self._undelivered())

    def _undelivered(self) -> list[tuple[mmap.mmap, int, int]]:
        file = self._file
        if file is None:
            return []
        return [
            (segment, file.committed(index), segment.tell())
            for index, segment in enumerate(file.segments)
            if file.state(index) in (ACTIVE, RETIRED)
        ]

    def take(self, most_bytes: int) -> Chunk | None:
        """Whole lines of one segment, about ``most_bytes`` of them; None when nothing is there. One consumer only.

        A segment is emptied and then the next one, in the order in which they were taken into use: so the records of one
        thread come in its order, and a segment that is filled all the time keeps none waiting.
        """
        if self._early:
            self.adopt_early()
        file = self._file
        if file is None:
            return None
        chunk = self._take_from_round(file, most_bytes)
        if chunk is None:
            in_use = [index for index, state in enumerate(file.states()) if state in (ACTIVE, RETIRED)]
            self._round.extend(sorted(in_use, key=self._opened.__getitem__))
            chunk = self._take_from_round(file, most_bytes)
        return chunk

    def _take_from_round(self, file: SegmentFile, most_bytes: int) -> Chunk | None:
        while self._round:
            index = self._round[0]
            segment = file.segments[index]
            chunk = self._take_from(index, segment, most_bytes) if file.state(index) in (ACTIVE, RETIRED) else None
            if chunk is None or self._read[index] == segment.tell():
                self._round.popleft()
            if chunk is not None:
                return chunk
        return None

    def written(self) -> Written:
        """Up to where each segment is written at this moment, for :meth:`has_committed`. For the consumer only."""
        if self._early:
            self.adopt_early()
        file = self._file
        if file is None:
            return []
        return [
            (index, self._cycles[index], segment.tell())
            for index, segment in enumerate(file.segments)
            if file.state(index) in (ACTIVE, RETIRED)
        ]

    def has_committed(self, written: Written) -> bool:
        """Whether every chest has all that was written then."""
        file = self._file
        return file is None or all(
            self._cycles[index] != cycle or file.committed(index) >= end or file.state(index) == DRAINED
            for index, cycle, end in written
        )

    def _take_from(self, index: int, segment: mmap.mmap, most_bytes: int) -> Chunk | None:
        begin, end = self._read[index], segment.tell()
        if begin >= end:
            self._recycle_if_done(index)
            return None
        if end - begin > most_bytes:
            # Up to the end of the line in which the piece would end; a line longer than the piece comes whole.
            newline = segment.find(b"\n", begin + most_bytes, end)
            end = end if newline < 0 else newline + 1
        data = segment[begin:end]
        hole = data.find(b"\0")
        data = data[: data.rfind(b"\n", 0, len(data) if hole < 0 else hole) + 1]
        if not data:
            return None
        self._read[index] = begin + len(data)
        return Chunk(data, index, begin + len(data))

    def commit(self, chunk: Chunk) -> None:
        """Every chest has the lines of this chunk; chunks of one segment are committed in the order they were taken."""
        self.commit_to(chunk.segment, chunk.end)

    def commit_to(self, segment: int, end: int) -> None:
        """Every chest has the lines of the segment up to ``end``."""
        file = self._file
        if file is None:
            return
        file.set_committed(segment, end)
        self._recycle_if_done(segment)

    def reclaim(self) -> None:
        """Hand back the segments that nobody holds any more; to be called from time to time, by the consumer.

        An exception that a signal handler raises, or another thread, may end an offer between taking a segment and handing
        it back. What is written there is taken and delivered like everything, but nobody would ever write there again.
        A segment is lost that two looks in a row find held and unchanged, while no thread is in an offer.
        """
        if self._is_closed:
            return
        held = self._held()
        suspected, self._suspected = self._suspected, held
        lost = held.items() & suspected.items()
        if not lost or may_be_running(_OFFERING):
            return
        for index, (state, _, _) in lost & self._held().items():
            if state == ACTIVE:
                self._file.set_state(index, RETIRED)  # type: ignore[union-attr]
            else:
                self._free.append(index)

    def _held(self) -> dict[int, tuple[int, int, int]]:
        """State, cycle and position of the segments that are neither in ``_idle`` nor in ``_free`` nor the consumer's."""
        file = self._file
        if file is None:
            return {}
        idle, free = self._idle.copy(), self._free.copy()
        return {
            index: (file.state(index), self._cycles[index], segment.tell())
            for index, segment in enumerate(file.segments)
            if (file.state(index) == ACTIVE and segment.write not in idle)
            or (file.state(index) == FREE and index not in free)
        }

    def _recycle_if_done(self, index: int) -> None:
        """Zero a drained segment and hand it back; last in, first out, so that its pages are still in the cache."""
        file = self._file
        # The state first: only behind RETIRED is the position final. Asked the other way round, a line that is written in
        # between would be zeroed unread.
        if file is None or file.state(index) != RETIRED or file.committed(index) != file.segments[index].tell():
            return
        file.set_state(index, DRAINED)
        file.clear(index, file.segments[index].tell())
        self._read[index] = 0
        self._cycles[index] += 1
        file.set_state(index, FREE)
        self._free.append(index)


_OFFERING: Final = frozenset(
    function.__code__
    for function in (Ring._offer_line, Ring.adopt_early, Ring._next_segment, Ring._take_back, Ring._write_line)
)
"""Whoever holds a segment is in one of these."""
