"""``Retention``: removes records that are too old or too many from a chest, a little at a time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from chest.chests.contract import ReadableChest
from chest.chests.query import EVERYTHING, Query
from chest.chests.registry import GivenChests
from chest.chests.upkeep import RetentionBackend
from chest.errors import ChestUnavailable, SettingsError
from chest.system.threads import sleep
from chest.transfer.transfer import require_readable

__all__ = ["Retention", "RetentionResult"]

CHUNK_RECORDS: Final = 500
"""A few milliseconds in SQLite, whose writers wait meanwhile."""
RECLAIMED_AT_ONCE_BYTES: Final = 1024 * 1024
_SHORTEST_PAUSE_SECONDS: Final = 0.002
_MIB: Final = 1024 * 1024
_A_DAY_NS: Final = 86_400 * 10**9
"""How far hosts' clocks, and the time of a request in hand, may lie apart without a doubt."""


@dataclass
class RetentionResult:
    """What a run did."""

    removed: int = 0
    """Records."""
    reclaimed_bytes: int = 0
    """What a SQLite file became shorter by."""
    seconds: float = 0.0
    is_complete: bool = False
    """True if the bounds are met; not when it was stopped."""


class Retention:
    """Removes the oldest records of a chest until the bounds hold.

    A chunk is a short transaction, and after each the store is left alone for as long as the chunk took: those that write,
    read and transfer go on. In SQLite the room is then given back to the file system, in steps of 1 MiB. Of a table that has
    partitions, those that are too old are dropped whole; in PostgreSQL the records of a day live until then.

    A clock that is days ahead would make every record too old. So nothing is removed for its age, and the run fails, if the newest
    record is itself older than ``max_age``, or began more than a day from now.

    Records that a transfer has not taken yet are removed like others: let ``max_age`` be far longer than its interval.

    Example::

        Retention("sqlite:///chest.sqlite3", max_age=timedelta(days=30), max_bytes=2 * 1024**3).run()

    :param chest: a chest that can be read, or its URL.
    :param max_age: requests that began longer ago are removed.
    :param max_rows: the most records to keep.
    :param max_bytes: the most room that records may take, at least 1 MiB: of a SQLite file that holds nothing else, the pages
        in use; elsewhere an estimate from the newest records.
    :param chunk_records: how many are removed at once.
    :param may_remove_all: remove what is too old also if that is every record, or if some began in the future: for a service
        without requests for longer than ``max_age``, whose records have to go all the same.
    :raises SettingsError: no bound is given, or a bound is invalid, or the chest cannot keep it.
    """

    def __init__(
        self,
        chest: str | ReadableChest,
        *,
        max_age: timedelta | None = None,
        max_rows: int | None = None,
        max_bytes: int | None = None,
        chunk_records: int = CHUNK_RECORDS,
        may_remove_all: bool = False,
    ) -> None:
        _refuse_nonsense(max_age, max_rows, max_bytes, chunk_records)
        self._given = GivenChests()
        self.source = require_readable(self._given.chest(chest))
        self.name = f"retention of {self.source.name}"
        self._max_age, self._max_rows, self._max_bytes = max_age, max_rows, max_bytes
        self._chunk_records = chunk_records
        self._may_remove_all = may_remove_all
        self._retention = self.source.retention()
        if self._retention is None and (max_rows is not None or max_bytes is not None):
            raise SettingsError(f"{self.source.name} cannot tell how much it holds: give max_age= alone.")

    def run(self, *, stop: Callable[[], bool] = lambda: False) -> RetentionResult:
        """Remove what is too old or too much now.

        :param stop: asked between chunks; True ends the run there.
        :raises ChestUnavailable: the chest failed, or the newest record makes the clock doubtful; what was removed is removed.
        """
        began, result = time.monotonic(), RetentionResult()
        try:
            if self._retention is None:
                self._remove_by_reading(result, stop)
            else:
                self._keep(self._retention, result, stop)
            result.is_complete = not stop()
        finally:
            self.close()
        result.seconds = time.monotonic() - began
        return result

    def close(self) -> None:
        """Let go of what was opened here; the next run opens it again."""
        self._given.close()
        if self._retention is not None:
            self._retention.close()

    def __repr__(self) -> str:
        return f"<Retention of {self.source.name}>"

    def _keep(self, chest: RetentionBackend, result: RetentionResult, stop: Callable[[], bool]) -> None:
        """Remove by age, and by the other bounds even if the clock is doubtful, which is raised last."""
        try:
            if self._max_age is not None:
                cutoff_ns = self._cutoff_ns()
                self._require_right_clock(chest.newest_ns(), cutoff_ns)
                self._remove(chest, math.inf, result, stop, before_ns=cutoff_ns)
        finally:
            self._keep_size(chest, result, stop)

    def _keep_size(self, chest: RetentionBackend, result: RetentionResult, stop: Callable[[], bool]) -> None:
        if self._max_rows is not None:
            self._remove(chest, chest.rows() - self._max_rows, result, stop)
        if self._max_bytes is not None:
            self._remove_to_bytes(chest, self._max_bytes, result, stop)
        while not stop():
            began = time.monotonic()
            reclaimed = chest.reclaim(RECLAIMED_AT_ONCE_BYTES)
            if not reclaimed:
                return
            result.reclaimed_bytes += reclaimed
            _leave_alone(began)

    def _remove(
        self,
        chest: RetentionBackend,
        excess: float,
        result: RetentionResult,
        stop: Callable[[], bool],
        before_ns: int | None = None,
    ) -> None:
        goes_at_once = True
        while excess > 0 and not stop():
            began, removed = time.monotonic(), 0
            if goes_at_once:
                removed = chest.remove_at_once(excess, before_ns)
                goes_at_once = removed > 0  # asking costs more than a chunk
            removed = removed or chest.remove_oldest(int(min(excess, self._chunk_records)), before_ns)
            if not removed:
                return
            excess -= removed
            result.removed += removed
            _leave_alone(began)

    def _remove_to_bytes(
        self, chest: RetentionBackend, max_bytes: int, result: RetentionResult, stop: Callable[[], bool]
    ) -> None:
        """A share of the rows has about that share of the bytes; looked at again until it is so."""
        while not stop() and (used := chest.used_bytes()) > max_bytes:
            rows = chest.rows()
            if not rows:
                return
            self._remove(chest, math.ceil(rows * (1 - max_bytes / used)), result, stop)

    def _remove_by_reading(self, result: RetentionResult, stop: Callable[[], bool]) -> None:
        cutoff_ns = self._cutoff_ns()
        self._require_right_clock(self._newest_read_ns(cutoff_ns), cutoff_ns)
        old = Query(until_ns=cutoff_ns)
        while not stop():
            began = time.monotonic()
            page = self.source.read(old, limit=self._chunk_records)
            result.removed += self.source.remove(page)
            if len(page) < self._chunk_records:
                return
            _leave_alone(began)

    def _newest_read_ns(self, cutoff_ns: int) -> int | None:
        """When a record began that decides what the newest one would: one of the future, else one that stays, else any."""
        for query in (Query(since_ns=_tomorrow_ns()), Query(since_ns=cutoff_ns), EVERYTHING):
            for stored in self.source.read(query, limit=1):
                return stored.record.time_ns
        return None

    def _require_right_clock(self, newest_ns: int | None, cutoff_ns: int) -> None:
        """See that the newest record lies between the cutoff and tomorrow.

        :raises ChestUnavailable: it does not.
        """
        if newest_ns is None or self._may_remove_all or cutoff_ns <= newest_ns < _tomorrow_ns():
            return
        now, newest = datetime.now(UTC), datetime.fromtimestamp(newest_ns / 1e9, UTC)
        what = f"is older than max_age ({self._max_age})" if newest_ns < cutoff_ns else "is from the future"
        raise ChestUnavailable(
            f"{self.name}: the newest record ({newest:%Y-%m-%d %H:%M} UTC) {what}, so the clock ({now:%Y-%m-%d %H:%M} UTC) may be"
            " wrong, and nothing was removed for its age. Set the clock right; or give may_remove_all if it is."
        )

    def _cutoff_ns(self) -> int:
        age = self._max_age or timedelta()
        return time.time_ns() - round(age.total_seconds() * 1e9)


def _tomorrow_ns() -> int:
    return time.time_ns() + _A_DAY_NS


def _leave_alone(began: float) -> None:
    """Sleep for as long as it took since ``began``: SQLite's writers do not queue, and one that comes back at once wins."""
    sleep(max(_SHORTEST_PAUSE_SECONDS, time.monotonic() - began))


def _refuse_nonsense(
    max_age: timedelta | None, max_rows: int | None, max_bytes: int | None, chunk_records: int
) -> None:
    if max_age is None and max_rows is None and max_bytes is None:
        raise SettingsError("Retention needs a bound: give max_age=, max_rows= or max_bytes=.")
    if max_age is not None and max_age <= timedelta():
        raise SettingsError("max_age must be more than 0, such as timedelta(days=30).")
    if max_rows is not None and max_rows < 0:
        raise SettingsError("max_rows is 0 or more.")
    if max_bytes is not None and max_bytes < _MIB:
        raise SettingsError("max_bytes is at least 1 MiB (1024 * 1024).")
    if chunk_records < 1:
        raise SettingsError("chunk_records is at least 1.")
