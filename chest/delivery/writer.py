"""``ChestWriter``: writes to one chest, waits after a failure, sets aside what the chest refuses, and says so in the log."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from operator import attrgetter

from chest.chests.batches import BatchWrite
from chest.chests.contract import Chest
from chest.delivery.backoff import Backoff
from chest.delivery.log import RateLimitedLog
from chest.delivery.spool_policy import DEADLINE_SLACK_SECONDS
from chest.errors import ChestUnavailable, RecordRejected
from chest.record.counters import Counters
from chest.record.messages import safe_message
from chest.record.record import Record

KeepRefused = Callable[[Sequence[Record], str], bool]


def batch_write(records: Sequence[Record]) -> BatchWrite[Record]:
    """The records, to be written by :meth:`ChestWriter.write`."""
    return BatchWrite(records, attrgetter("id"))


class ChestWriter:
    """Writes one batch at a time. Any exception of a chest counts as unavailable: nothing a chest does may end a thread.

    :param chest: opened at the first batch, in the thread that writes.
    :param counters: ``written.<chest>``, ``failed_writes.<chest>``, ``dropped.rejected``.
    :param clock: a monotonic clock in seconds.
    :param keep_refused: keeps records that the chest refuses for good, with the reason; False if it could not.
    """

    def __init__(
        self,
        chest: Chest,
        counters: Counters,
        clock: Callable[[], float] = time.monotonic,
        keep_refused: KeepRefused = lambda records, reason: False,
    ) -> None:
        self.chest = chest
        self.why = ""
        """Why the last try failed, without secrets; empty since the chest took records."""
        self._counters = counters
        self._clock = clock
        self._keep_refused = keep_refused
        self._backoff = Backoff(clock)
        self._failures = RateLimitedLog(counters, clock)
        self._refusals = RateLimitedLog(counters, clock)
        self._is_open = False
        self._has_tried = False
        self._deadline: float | None = None
        self._longest_wait: float | None = None
        self._is_late = False

    @property
    def is_failing(self) -> bool:
        """True if the last try failed."""
        return self._backoff.failures > 0

    def seconds_to_wait(self) -> float:
        """How long the chest is to be left alone; 0 when it may be tried now."""
        return self._backoff.seconds_to_wait()

    def open(self) -> bool:
        """Open the chest before there is anything to write; False if it was open already, or could not be opened."""
        return not self._is_open and self._attempt(lambda: None)

    def write(self, batch: BatchWrite[Record]) -> bool:
        """Write what is left of the batch; False if it is to be tried again. What the chest refuses for good is set aside."""
        return self._attempt(lambda: self._write(batch))

    def tend(self) -> None:
        """See :meth:`Chest.tend`; what that raises is counted."""
        try:
            self.chest.tend()
        except Exception as error:  # noqa: BLE001 - the next write tells whether the chest works
            self._counters.fault(
                "%s could not be looked after while it was idle: %s", self.chest.name, safe_message(error)
            )

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
            raise  # Ctrl-C, at a command
        except BaseException as error:  # noqa: BLE001 - see the class; asyncio's CancelledError, for one, is no Exception
            self._failed(error, None)
            return False
        self._succeeded()
        return True

    def _write(self, batch: BatchWrite[Record]) -> None:
        for records, refusal in batch.results(self.chest.write):
            if refusal is None:
                self._counters.add(f"written.{self.chest.name}", len(records))
            else:
                self._refused(records, refusal)

    def _refused(self, records: Sequence[Record], refusal: RecordRejected) -> None:
        if not self._keep_refused(records, safe_message(refusal)):
            self._counters.add("dropped.rejected", len(records))
        self._refusals.error(
            f"{self.chest.name} refused record {records[0].id} for good (see chest dead list)", refusal
        )

    def _failed(self, error: BaseException, retry_after: float | None) -> None:
        self._counters.add(f"failed_writes.{self.chest.name}")
        self._backoff.failed(retry_after)
        self.why = safe_message(error)
        self._failures.error(f"{self.chest.name} takes no records, which are kept and tried again", error)

    def _succeeded(self) -> None:
        if self.is_failing:
            self._failures.recovered(f"{self.chest.name} takes records again after {self._backoff.failures} failures")
            self._backoff.succeeded()
        self.why = ""

    # -- the end -----------------------------------------------------------------------------------------------------

    def set_deadline(self, deadline: float) -> None:
        """Have the chest itself end by then (in the clock's seconds): it is written to in a thread that cannot be left behind."""
        self._deadline = deadline

    def limit_wait(self) -> bool:
        """Have the chest keep to the deadline; False if no time is left, or the chest cannot promise it."""
        if self._deadline is None:
            return True
        left_seconds = self._deadline - self._clock()
        if self._longest_wait is None or self._longest_wait > left_seconds + DEADLINE_SLACK_SECONDS:
            self._is_late = left_seconds <= 0 or not self._set_limit(left_seconds)
            self._longest_wait = left_seconds
        return not self._is_late

    def _set_limit(self, seconds: float) -> bool:
        self._is_open = False
        try:
            return self.chest.wait_at_most(seconds)
        except Exception as error:  # noqa: BLE001 - it gave up a connection, or is a guest's
            self._counters.fault("%s could not be told how long to wait: %s", self.chest.name, safe_message(error))
            return False

    def try_now(self) -> None:
        """Forget the wait after a failure: at the end of the process no later try follows."""
        self._has_tried = False
        self._backoff.try_now()

    @property
    def should_give_up(self) -> bool:
        """True if the chest failed since :meth:`try_now`, or would take too long: at the end it is not tried again."""
        return self._is_late or (self._has_tried and self.is_failing)

    def close(self) -> None:
        """Close the chest; what that raises is counted."""
        self._is_open = False
        try:
            self.chest.close()
        except BaseException as error:  # noqa: BLE001 - the other chests are to be closed too
            self._counters.fault("%s could not be closed: %s", self.chest.name, safe_message(error))
