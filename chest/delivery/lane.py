"""``Lane``: one chest's way: write, wait after a failure, keep on disk what cannot be written, bury what never will be."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from chest.chests.base import Chest
from chest.counters import Counters
from chest.delivery.backoff import Backoff
from chest.delivery.batch import Batch
from chest.delivery.plain_words import plain_words
from chest.delivery.spool import Spool
from chest.delivery.trouble import Trouble
from chest.delivery.writing import Writing
from chest.errors import ChestUnavailable, RecordRejected
from chest.record import Record

if TYPE_CHECKING:
    from chest.delivery.spool_file import Piece

SPOOL_AFTER_SECONDS: Final = 5.0
"""How long a batch waits for a chest before it goes to disk: a restart or a failover is mostly over by then, and what was
spooled is written twice. Meanwhile it is in the ring, which survives the process as well as the spool does."""
SPOOL_SOON_SECONDS: Final = 1.0
"""The same where others have to wait for it: the chests beside it, or requests for room in a ring that is half full. Not at
once: a chest that is only slower than the others is not to have every burst written to disk twice."""

_LATE_SECONDS: Final = 0.25
"""How much beyond the end a chest may wait. It is not asked to hurry before each batch: it connects anew each time."""


class _Held:
    """A batch that this lane has not settled."""

    __slots__ = ("batch", "since", "writing")

    def __init__(self, batch: Batch, since: float) -> None:
        self.batch = batch
        self.since = since
        self.writing = Writing(batch.records)


class Lane:
    """Brings batches to one chest, in a thread of the lane's own or in that of whoever calls :meth:`step`.

    Any exception that a chest was not meant to raise counts as unavailable: nothing a chest does may end the thread.
    While a chest fails it is probed with one batch at a time. A batch that waits for too long goes to the spool, and so do
    the ones after it until the chest takes one again; then the lane delivers one new batch and one piece of the spool in
    turn, so that neither keeps the other waiting.

    :meth:`put`, :meth:`must_spool` and :meth:`spool_waiting` are for the thread that takes from the ring; :meth:`step` is
    for the lane's own. What both touch is a deque whose steps are atomic: whoever has popped a batch owns it.

    :param chest: opened at the first batch, in the thread that delivers.
    :param counters: ``written.<chest>``, ``failed_writes.<chest>``, ``dropped.rejected``.
    :param clock: a monotonic clock in seconds.
    :param spool: None where nothing can be kept on disk.
    :param most_held: how many batches it may hold in memory that are not settled.
    """

    def __init__(
        self,
        chest: Chest,
        counters: Counters,
        clock: Callable[[], float] = time.monotonic,
        spool: Spool | None = None,
        most_held: int = 2,
    ) -> None:
        self.chest = chest
        self.spool = spool
        self._counters = counters
        self._clock = clock
        self._backoff = Backoff(clock)
        self._failing = Trouble(counters, clock)
        self._rejecting = Trouble(counters, clock)
        self._most_held = most_held
        self._is_open = False
        self._has_tried = False
        self._waiting: deque[_Held] = deque()
        self._in_hand: _Held | None = None
        self._is_spooling = False
        self._is_draining = False
        self._is_spool_s_turn = False
        self._last: tuple[Sequence[Record], Writing] | None = None
        self._deadline: float | None = None
        self._longest_wait: float | None = None
        self._is_late = False

    # -- for the thread that takes from the ring ---------------------------------------------------------------------

    def put(self, batch: Batch) -> None:
        """Take a batch over; settled when the chest has it, or the spool. Where there is no room for it, it is spooled at once."""
        held = _Held(batch, self._clock())
        if ((self._is_spooling and not self._may_probe()) or not self.has_room) and self._is_spooled(held):
            return
        self._waiting.append(held)

    def _may_probe(self) -> bool:
        return not self.is_holding and not self.seconds_to_wait()

    @property
    def is_holding(self) -> bool:
        """Whether a batch is not settled."""
        return bool(self._waiting) or self._in_hand is not None

    @property
    def has_room(self) -> bool:
        """Whether another batch may be put."""
        return len(self._waiting) + (self._in_hand is not None) < self._most_held

    def must_spool(self, is_urgent: bool) -> bool:
        """Whether what waits is to go to disk.

        :param is_urgent: whether somebody has to wait because of this lane: another chest, or requests for the ring's room.
        """
        if self.spool is None or not self._waiting:
            return False
        if self._is_spooling:
            return not self._may_be_written_now()
        oldest = self._in_hand or self._oldest_waiting()
        patience = SPOOL_SOON_SECONDS if is_urgent else SPOOL_AFTER_SECONDS
        return oldest is not None and self._clock() - oldest.since >= patience

    def _may_be_written_now(self) -> bool:
        """Whether one batch waits for nothing but the thread's next step."""
        return len(self._waiting) == 1 and self._in_hand is None and not self.seconds_to_wait()

    def _oldest_waiting(self) -> _Held | None:
        try:
            return self._waiting[0]
        except IndexError:
            return None

    def spool_waiting(self) -> bool:
        """Put what waits on disk, and settle it; False when that is not possible. What is being written stays."""
        while True:
            try:
                held = self._waiting.popleft()
            except IndexError:
                return True
            if not self._is_spooled(held):
                self._waiting.appendleft(held)
                return False
            self._is_spooling = True

    def _is_spooled(self, held: _Held) -> bool:
        if self.spool is None or not self.spool.add(held.writing.left()):
            return False
        held.batch.settle()
        self._is_draining = True  # worth a look when the chest is back
        return True

    def drop_waiting(self) -> None:
        """Give up what waits, which is counted: for when there is no disk to put it on and others would lose theirs."""
        while True:
            try:
                held = self._waiting.popleft()
            except IndexError:
                return
            self._counters.add("dropped.no_spool", len(held.writing.left()))
            held.batch.settle()

    def look_at_spool(self) -> None:
        """Have the spool delivered if there is one, be it of this process or of another that is gone."""
        if self.spool is not None and self.spool.exists():
            self._is_draining = True

    # -- for the thread that delivers --------------------------------------------------------------------------------

    def seconds_to_wait(self) -> float:
        """How long this chest is to be left alone; 0 when it may be tried now."""
        return self._backoff.seconds_to_wait()

    def seconds_to_sleep(self) -> float | None:
        """How long there is nothing to do; None: until something is put."""
        return self.seconds_to_wait() if self._waiting or self._is_draining else None

    @property
    def needs_thread(self) -> bool:
        """Whether it had better not be stepped in the thread that takes from the ring: it fails, or has a spool to deliver."""
        return self.is_failing or self._is_draining

    @property
    def is_failing(self) -> bool:
        """Whether the last try failed."""
        return self._backoff.failures > 0

    def step(self) -> bool:
        """Write one batch, or one piece of the spool; False when there is nothing to do, or it did not succeed."""
        if self.seconds_to_wait() or not self._is_in_time():
            return False
        if self._is_spool_s_turn or not self._waiting:
            self._is_spool_s_turn = False
            if self._is_draining and not (self.is_failing and self._waiting):
                return self._write_spooled() or bool(self._waiting)
        self._is_spool_s_turn = self._is_draining
        return self._write_waiting()

    def _write_waiting(self) -> bool:
        try:
            held = self._in_hand = self._waiting.popleft()
        except IndexError:
            return False
        try:
            is_written = self._attempt(lambda: self._write(held.writing))
        except BaseException:  # what ends the thread does not end the batch
            self._waiting.appendleft(held)
            raise
        else:
            if is_written:
                held.batch.settle()
            else:
                self._waiting.appendleft(held)
            return is_written
        finally:
            self._in_hand = None

    def _write_spooled(self) -> bool:
        spool = self.spool
        if spool is None or not spool.begin():
            self._is_draining = False
            return False
        piece = spool.oldest()
        if piece is None:
            self._is_draining = False
            spool.end()
            return False
        return self._deliver_piece(spool, piece)

    def _deliver_piece(self, spool: Spool, piece: Piece) -> bool:
        writing = Writing(piece.records)
        if not self._attempt(lambda: self._write(writing)):
            return False
        spool.remove(piece)
        self._counters.add(f"unspooled.{self.chest.name}", len(piece.records))
        return True

    def deliver(self, records: Sequence[Record]) -> bool:
        """Write the records now; True when the chest has them, or refused them for good; False when they are to be tried again.

        For who has no other batch on its way: tried again with the same records, it goes on where it was.
        """
        if self._last is None or self._last[0] is not records:
            self._last = records, Writing(records)
        writing = self._last[1]
        if not self._attempt(lambda: self._write(writing)):
            return False
        self._last = None
        return True

    def open(self) -> None:
        """Open the chest before there is anything to write, so that the first batch does not wait for it."""
        if not self._is_open:  # else it would be said to take records again, of which nobody knows
            self._attempt(lambda: None)

    def _attempt(self, act: Callable[[], None]) -> bool:
        """Open the chest if need be and act; False, with the failure noted, when it raised."""
        self._has_tried = True
        try:
            if not self._is_open:
                self.chest.open()
                self._is_open = True
            act()
        except ChestUnavailable as error:
            self._failed(error, error.retry_after)
            return False
        except KeyboardInterrupt:
            raise  # somebody's Ctrl-C, at a command
        except BaseException as error:  # noqa: BLE001 - see the class; asyncio's CancelledError, for one, is no Exception
            self._failed(error, None)
            return False
        if self.is_failing:
            self._failing.over(f"{self.chest.name} takes records again after {self._backoff.failures} failures")
            self._backoff.succeeded()
        self._is_spooling = False
        return True

    def _write(self, writing: Writing) -> None:
        writing.go_on(self.chest, self._wrote, self._reject)

    def _wrote(self, records: int) -> None:
        self._counters.add(f"written.{self.chest.name}", records)

    def _reject(self, records: Sequence[Record], error: RecordRejected) -> None:
        if self.spool is None or not self.spool.bury(records, plain_words(error)):
            self._counters.add("dropped.rejected", len(records))
        self._rejecting.tell(f"{self.chest.name} refused record {records[0].id} for good", error)

    def _failed(self, error: BaseException, retry_after: float | None) -> None:
        self._counters.add(f"failed_writes.{self.chest.name}")
        self._backoff.failed(retry_after)
        self._failing.tell(f"{self.chest.name} takes no records, which are kept and tried again", error)

    def hurry(self, deadline: float) -> None:
        """Have the chest itself end by then (in the clock's seconds): it is to be stepped in a thread that nobody can leave behind."""
        self._deadline = deadline

    def _is_in_time(self) -> bool:
        if self._deadline is None:
            return True
        left_seconds = self._deadline - self._clock()
        if self._longest_wait is None or self._longest_wait > left_seconds + _LATE_SECONDS:
            self._is_late = left_seconds <= 0 or not self._keeps_to(left_seconds)
            self._longest_wait = left_seconds
        return not self._is_late

    def _keeps_to(self, seconds: float) -> bool:
        self._is_open = False
        try:
            return self.chest.wait_at_most(seconds)
        except Exception as error:  # noqa: BLE001 - it gave up a connection, or is a guest's
            self._counters.error(f"{self.chest.name}: {plain_words(error)}")
            return False

    def try_now(self) -> None:
        """Forget the wait: at the end there is no later."""
        self._has_tried = False
        self._backoff.try_now()

    @property
    def is_hopeless(self) -> bool:
        """Whether the chest failed since :meth:`try_now`, or would take too long: at the end it is not tried again."""
        return self._is_late or (self._has_tried and self.is_failing)

    def close(self) -> None:
        """Close the chest and the spool; what that raises is counted."""
        self._is_open = False
        if self.spool is not None:
            self.spool.close()
        try:
            self.chest.close()
        except BaseException as error:  # noqa: BLE001 - the others are to be closed too
            self._counters.error(f"{self.chest.name}: {plain_words(error)}")
