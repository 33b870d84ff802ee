"""``RingWriter``: the ring as requests see it: lock-free offers from any number of threads, to one :class:`chest.ring.reader.RingReader`.

How it is lock-free. A segment is written by its owner, and owning it means having popped its ``write`` from a list.
Taken as atomic, because CPython does each in one C call: ``list.pop``, ``list.append``, ``deque.append``, ``deque.popleft``
and, with the global interpreter lock, a segment's ``write`` beside its ``tell``. Nothing else is relied on. It follows that
threads, greenlets, signal handlers and finalizers that offer in the middle of another offer each write a segment of their own,
and no one ever waits. If Chest is compiled, a usual offer as a whole is one such call (``chest/native/ring/fast_ring.h``). On a
free-threaded build the same holds: pop and append take the list's own mutex for some nanoseconds (strictly no longer lock-free,
still never held across anything), one writer a segment remains, and the reader trusts no byte behind the first NUL or after
the last newline, so a line that is not yet visible is read the next time.

How it survives. A line is in the page cache as soon as ``write`` returns: the kernel keeps it whatever becomes of the
process, and :mod:`chest.ring.recovery` delivers it. A line torn by SIGKILL has no newline at its end and is left out.

How it notices a fork. ``fork_guard[0]`` reads 0 in a child, hooks or no hooks (see :mod:`chest.system.fork_guard`); an offer made
there before the child has a ring of its own is kept in memory and moved into the ring when that opens.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Final

from chest.native import IS_NATIVE, FastRing
from chest.record.counters import Counters
from chest.record.record import Record
from chest.record.row import line_of, row_of
from chest.ring.in_flight import InFlight, clear_killed_requests
from chest.ring.line import Resource
from chest.ring.segments.file import SegmentFile
from chest.ring.segments.pool import SegmentPool, Write
from chest.system.fork_guard import ForkGuard, call_in_child, check_fork

PRE_OPEN_RECORDS: Final = 1000
"""How many records are kept in memory before the ring is open; a bound that only a storm of signal handlers could reach."""


class RingWriter(FastRing):
    """A bounded buffer of finished requests.

    :param counters: counts drops, by reason: ``dropped.ring_full``, ``.too_large``, ``.not_encodable``,
        ``.before_open``, ``.closed``.
    :param fork_guard: reads 1 while this process may write into the segments.
    :param in_flight: lives in the same file, and is opened and closed with it.
    :param prepare: opens this ring; called if a forked child ends a request that its parent began, before any of its own.
    """

    def __init__(
        self,
        counters: Counters,
        fork_guard: ForkGuard,
        in_flight: InFlight | None = None,
        prepare: Callable[[], None] = lambda: None,
    ) -> None:
        self._prepare = prepare
        self._is_in_child = False
        self._counters = counters
        self._fork_guard = fork_guard
        if IS_NATIVE:
            self._set_fork_guard(fork_guard)
        self._in_flight = in_flight
        self._is_closed = False
        self._idle: list[Write] = []
        self._pre_open_buffer: deque[bytes] = deque()
        self.pool: SegmentPool | None = None
        """Its segments; None while it is not open in this process."""
        self.resource = Resource("", "", "")
        self.lacks_reader = False
        """True if no thread could be started that reads; asked for again whenever a segment is full."""
        call_in_child(self.forget)

    # -- offers ------------------------------------------------------------------------------------------------------

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
        if not self._fork_guard[0]:
            return self._offer_before_open(line)
        idle = self._idle
        try:
            write = idle.pop()
        except IndexError:
            return self.write_line(line, self._next_segment())
        try:
            write(line)
        except ValueError:  # the segment is full
            return self.write_line(line, write)
        except BaseException:  # of a signal handler: not ours, and the segment is not to be lost with it
            idle.append(write)
            raise
        idle.append(write)
        return True

    if not IS_NATIVE:
        offer_line = _offer_line

    def _next_segment(self) -> Write | None:
        if self.lacks_reader:
            self._fork_guard[0] = 0  # the next request tries again to start one
        pool = self.pool
        return None if pool is None else pool.take_next()

    def write_line(self, line: bytes, write: Write | None) -> bool:
        """Write into this owned segment, else into the next that has room, and hand it back; False when the line was dropped."""
        pool = self.pool
        if pool is not None and len(line) > pool.file.segment_bytes:
            if write is not None:
                pool.idle.append(write)
            self._counters.add("dropped.too_large")
            return False
        while write is not None and pool is not None:
            try:
                write(line)
            except ValueError:  # "data out of range": the segment is full
                pool.retire(write)
                write = self._next_segment()
            else:
                pool.idle.append(write)
                return True
        self._counters.add("dropped.ring_full")
        return False

    # -- offers before it is open ------------------------------------------------------------------------------------

    def _offer_before_open(self, line: bytes) -> bool:
        check_fork()
        if self._is_closed:
            self._counters.add("dropped.closed")
            return False
        if not self.is_open and self._is_in_child:
            self._prepare()  # the child may end before it serves a request of its own
        pool = self.pool
        if pool is not None:  # only without a reader yet, or for the moment: it is as safe in there
            write = pool.take()
            if write is not None:
                return self.write_line(line, write)
        if len(self._pre_open_buffer) >= PRE_OPEN_RECORDS:
            self._counters.add("dropped.before_open")
            return False
        self._pre_open_buffer.append(line)
        return True

    @property
    def has_pre_open_records(self) -> bool:
        """True if something that this process offered waits in memory for the ring to open."""
        return bool(self._pre_open_buffer)

    def flush_pre_open_buffer(self) -> None:
        """Move what was offered before the ring was open into it."""
        pool = self.pool
        while pool is not None and self._pre_open_buffer:
            try:
                line = self._pre_open_buffer.popleft()
            except IndexError:
                return
            self.write_line(line, pool.take())

    def drop_pre_open_buffer(self) -> int:
        """Give up what was offered before the ring was open, and never came into it; returns how many records."""
        count = len(self._pre_open_buffer)
        self._pre_open_buffer.clear()
        return count

    # -- opening and closing -----------------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """True if this very process has opened it."""
        return self.pool is not None

    @property
    def file(self) -> SegmentFile | None:
        """What it writes into."""
        return None if self.pool is None else self.pool.file

    @property
    def drains_elsewhere(self) -> bool:
        """True if the reader is another process."""
        return self.pool is not None and self.pool.drains_elsewhere

    @property
    def requests_in_flight(self) -> int:
        """How many requests are noted as being served."""
        return 0 if self._in_flight is None else self._in_flight.count

    @property
    def capacity_bytes(self) -> int:
        """Bytes that the segments hold."""
        return 0 if self.pool is None else len(self.pool.file.segments) * self.pool.file.segment_bytes

    def open(self, file: SegmentFile, resource: Resource, *, drains_elsewhere: bool = False) -> None:
        """Take a fresh file into use, in the place of what there was. Call it before traffic, in one thread.

        :param drains_elsewhere: whether the reader is another process, which hands segments back by their state.
        """
        check_fork()
        self._let_go()  # an offer meanwhile must not find the segments of another file
        self.resource = resource
        self._is_closed = False
        if self._in_flight is not None:
            self._in_flight.open(file)
        pool = SegmentPool(file, drains_elsewhere=drains_elsewhere)
        self._idle = pool.idle
        # Published last: until then no offer finds a segment, and the reader must not see a half-open ring.
        self.pool = pool

    def forget(self) -> None:
        """In a forked child: let the parent's ring go, so that nothing that the child inherited writes into it."""
        self._pre_open_buffer.clear()
        self._is_in_child = True
        if self._in_flight is not None:
            self._in_flight.close()
        self._let_go()

    def _let_go(self) -> None:
        pool, self.pool = self.pool, None
        self._idle = []
        if pool is not None:
            pool.idle, pool.free = [], []  # of an offer that is under way
            pool.file.close()

    def stop_accepting(self, patience_seconds: float = 0.05) -> bool:
        """Let no offer in any more: what comes later is dropped and counted. Offers under way may finish.

        :return: whether all did; a thread that the system has not let run for so long may yet write its line.
        """
        self._is_closed = True
        self._fork_guard[0] = 0
        pool = self.pool
        if pool is None:
            return True
        pool.free = []
        deadline = time.monotonic() + patience_seconds
        while pool.has_active:
            try:
                pool.retire(pool.idle.pop())
            except IndexError:
                if time.monotonic() >= deadline:
                    return False
                time.sleep(0)
        return True

    def close(self, *, forgets_requests: bool = True) -> SegmentFile | None:
        """Give the file back, unmapped; the ring is no longer open.

        :param forgets_requests: whether those that are being served go on; else this is the end of the process.
        """
        pool, self.pool = self.pool, None
        self._idle = []
        if self._in_flight is not None:
            self._in_flight.close()
            if pool is not None and forgets_requests:
                clear_killed_requests(pool.file)
        if pool is not None:
            pool.file.close()
        return None if pool is None else pool.file

    def reclaim(self) -> None:
        """Hand back the segments and slots that have lost their owner; see :meth:`SegmentPool.reclaim`."""
        if self._is_closed:
            return
        if self._in_flight is not None:
            self._in_flight.reclaim()
        if self.pool is not None:
            self.pool.reclaim()
