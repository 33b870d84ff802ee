"""``Lane``: one chest's way: write, wait after a failure, and find the record that a chest will never take."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Sequence
from typing import Final

from chest.chests.base import Chest
from chest.counters import Counters
from chest.errors import ChestUnavailable, RecordRejected
from chest.record import Record

logger = logging.getLogger("chest.delivery")

FIRST_WAIT_SECONDS: Final = 0.2
LONGEST_WAIT_SECONDS: Final = 30.0
LONGEST_RETRY_AFTER_SECONDS: Final = 3600.0
_REJECTIONS_LOGGED_EVERY_SECONDS: Final = 60.0


class Lane:
    """Brings batches to one chest.

    A chest that is unavailable is tried again after a wait that doubles up to 30 s, with full jitter, or after what the
    store asked for. Any exception that a chest was not meant to raise counts as unavailable: nothing a chest does may end
    the exporter. A batch that is refused is halved until the records that are refused stand alone; the rest is written.

    :param chest: opened at the first batch, in the thread that delivers.
    :param counters: ``written.<chest>``, ``failed_writes.<chest>``, ``dropped.rejected``.
    :param clock: a monotonic clock in seconds.
    """

    def __init__(self, chest: Chest, counters: Counters, clock: Callable[[], float] = time.monotonic) -> None:
        self.chest = chest
        self._counters = counters
        self._clock = clock
        self._is_open = False
        self._failures = 0
        self._done_ids: set[str] = set()
        self._not_before = 0.0
        self._rejection_logged_at = float("-inf")

    def seconds_to_wait(self) -> float:
        """How long this chest is to be left alone; 0 when it may be tried now."""
        return max(0.0, self._not_before - self._clock())

    def deliver(self, records: Sequence[Record]) -> bool:
        """Write the records; True when the chest has them, or refused them for good; False when it is to be tried again."""
        if not self._attempt(lambda: self._write(records)):
            return False
        if self._failures:
            logger.warning("%s takes records again after %d failed writes", self.chest.name, self._failures)
            self._failures = 0
        return True

    def open(self) -> None:
        """Open the chest before there is anything to write, so that the first batch does not wait for it."""
        self._attempt(lambda: None)

    def _attempt(self, act: Callable[[], None]) -> bool:
        """Open the chest if need be and act; False, with the failure noted, when it raised."""
        try:
            if not self._is_open:
                self.chest.open()
                self._is_open = True
            act()
        except ChestUnavailable as error:
            self._failed(str(error), error.retry_after)
            return False
        except Exception as error:  # noqa: BLE001 - see the class
            self._failed(f"{self.chest.name}: {type(error).__name__}: {error}", None)
            return False
        return True

    @property
    def is_failing(self) -> bool:
        """Whether the last try failed."""
        return self._failures > 0

    def _write(self, records: Sequence[Record]) -> None:
        """Write all but the records that are refused: those the chest names, else what halving finds.

        What this attempt has written already is remembered until the batch is through, so that another half's failure does
        not have it written twice.
        """
        done = self._done_ids
        waiting = [[record for record in records if record.id not in done] if done else list(records)]
        while waiting:
            batch = waiting.pop()
            if not batch:
                continue
            try:
                self.chest.write(batch)
            except RecordRejected as error:
                waiting += self._around(batch, error)
            else:
                self._counters.add(f"written.{self.chest.name}", len(batch))
                if waiting or self._done_ids:
                    self._done_ids.update(record.id for record in batch)
        self._done_ids.clear()

    def _around(self, records: list[Record], error: RecordRejected) -> list[list[Record]]:
        """What is to be written instead of a batch that was refused."""
        named = set(error.ids)
        refused = [record for record in records if record.id in named]
        if not refused and len(records) > 1:
            middle = len(records) // 2
            return [records[middle:], records[:middle]]
        self._reject(refused or records, error)
        self._done_ids.update(record.id for record in refused or records)
        return [[record for record in records if record.id not in named]] if refused else []

    def _reject(self, records: Sequence[Record], error: RecordRejected) -> None:
        self._counters.add("dropped.rejected", len(records))
        self._counters.error(f"{self.chest.name} refused {len(records)} records: {error}")
        if self._clock() - self._rejection_logged_at >= _REJECTIONS_LOGGED_EVERY_SECONDS:
            self._rejection_logged_at = self._clock()
            logger.error("%s refused record %s for good: %s", self.chest.name, records[0].id, error)

    def _failed(self, message: str, retry_after: float | None) -> None:
        self._counters.add(f"failed_writes.{self.chest.name}")
        self._counters.error(message)
        if not self._failures:
            logger.error("A chest takes no records, which are kept and tried again: %s", message)
        longest = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2 ** min(self._failures, 20))
        self._failures += 1
        wait = random.uniform(longest / 2, longest) if retry_after is None else retry_after  # noqa: S311 - jitter
        wait = min(wait, LONGEST_RETRY_AFTER_SECONDS)
        self._not_before = self._clock() + wait

    def try_now(self) -> None:
        """Forget the wait: at the end there is no later."""
        self._not_before = 0.0

    def close(self) -> None:
        """Close the chest; what that raises is counted."""
        self._is_open = False
        try:
            self.chest.close()
        except Exception as error:  # noqa: BLE001 - the others are to be closed too
            self._counters.error(f"{self.chest.name}: {error}")
