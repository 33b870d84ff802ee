"""``MemoryChest``: records in a list of this process, for tests of applications and for trying things out."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import islice

from chest.chests.contract import Cursor, ReadableChest, StoredRecord
from chest.chests.query import EVERYTHING, Query
from chest.errors import SettingsError
from chest.record.record import Outcome, Record
from chest.system.fork_guard import call_in_child, check_fork

__all__ = ["MemoryChest"]


class _Shelf:
    """What one or more memory chests hold: the records in order, each ``id`` once."""

    def __init__(self) -> None:
        self.rows: dict[str, StoredRecord] = {}
        self.last_cursor = 0
        self._renew_lock()
        call_in_child(self._renew_lock)

    def _renew_lock(self) -> None:
        self._lock = threading.Lock()

    def lock(self) -> threading.Lock:
        """The lock of this process: one inherited by a fork may be held for ever, by a thread that did not come."""
        check_fork()
        return self._lock


_shared_shelves: dict[str, _Shelf] = {}


class MemoryChest(ReadableChest):
    """Keeps records in the memory of this process, and nowhere else: for tests, never for production.

    No other process sees it: under several workers, each has its own.

    :param url: ``memory:`` or ``memory:name``. All chests of one URL share what they hold, so that a test can look at
        what an application with ``chests=["memory:shop"]`` wrote: ``MemoryChest("memory:shop").records``. It is kept
        until :meth:`clear`. None: a chest that shares nothing.
    :param most_records: the oldest ones beyond are forgotten; None: nothing is ever forgotten.
    :raises SettingsError: the URL has parameters; this chest takes none.
    """

    def __init__(self, url: str | None = None, *, most_records: int | None = None) -> None:
        self.name = url or "memory"
        if "?" in self.name:
            raise SettingsError(
                f"{self.name.partition('?')[0]}: a memory chest has no parameters; leave out the ? and what follows."
            )
        self._most_records = most_records
        self._shelf = _Shelf() if url is None else _shared_shelves.setdefault(url, _Shelf())

    @property
    def records(self) -> list[Record]:
        """All that is held, in the order in which it came."""
        return [stored.record for stored in self._snapshot()]

    def clear(self) -> None:
        """Forget everything, for all chests of the URL."""
        with self._shelf.lock():
            self._shelf.rows.clear()

    def open(self) -> None:
        """Nothing is to be opened."""

    def write(self, records: Sequence[Record]) -> None:
        shelf, now = self._shelf, datetime.now(UTC)
        with shelf.lock():
            for record in records:
                there = shelf.rows.get(record.id)
                if there is None or (there.record.outcome == Outcome.KILLED != record.outcome):
                    shelf.rows.pop(record.id, None)  # it would keep its place in the order
                    shelf.last_cursor += 1
                    shelf.rows[record.id] = StoredRecord(shelf.last_cursor, now, record)
            while self._most_records is not None and len(shelf.rows) > self._most_records:
                del shelf.rows[next(iter(shelf.rows))]

    def check(self) -> None:
        """Memory can always be written."""

    def wait_at_most(self, seconds: float) -> bool:
        return True  # it waits for nothing

    def close(self) -> None:
        """What is held stays, for the test that looks at it after the application has ended."""

    def read(self, query: Query = EVERYTHING, *, after: Cursor | None = None, limit: int = 1000) -> list[StoredRecord]:
        since = int(after or 0)
        meant = (row for row in self._snapshot() if int(row.cursor) > since and query.matches(row.record))
        return list(islice(meant, limit))

    def newest(self) -> Cursor | None:
        rows = self._snapshot()
        return rows[-1].cursor if rows else None

    def remove(self, stored: Sequence[StoredRecord]) -> int:
        with self._shelf.lock():
            return sum(self._shelf.rows.pop(row.record.id, None) is not None for row in stored)

    @property
    def is_in_order(self) -> bool:
        return True

    def _snapshot(self) -> list[StoredRecord]:
        with self._shelf.lock():
            return list(self._shelf.rows.values())
