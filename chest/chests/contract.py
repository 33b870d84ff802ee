"""The contracts every store keeps: ``Chest`` takes records, ``ReadableChest`` gives them back, ``StreamChest`` hands them on."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, ClassVar, NamedTuple, Self, TypeAlias

from chest.chests.asking.conditions import Name
from chest.chests.asking.cube import Basis, Cube, CubeQuestion, Sample, Step
from chest.chests.asking.following import FollowedRecords
from chest.chests.asking.latest import Latest, latest_by_reading
from chest.chests.asking.tally import cube_by_reading, sample_by_reading, time_range_by_reading
from chest.chests.query import EVERYTHING, Query
from chest.chests.upkeep import CoordinationStore, Partitions, RetentionBackend, VariableIndexes
from chest.record.record import Record

__all__ = [
    "Chest", "Cube", "Cursor", "FollowedRecords", "Latest", "Query", "ReadableChest", "Received", "Sample", "StoredRecord", "StreamChest",
    "StreamReader",
]  # fmt: skip

Cursor: TypeAlias = int | str
"""A place in the order in which a chest stored its records; only that chest can interpret it."""


class StoredRecord(NamedTuple):
    """A record as a chest gives it back, with the place at which it stands."""

    cursor: Cursor
    """Its place: reading ``after`` it gives what was stored later."""
    stored_at: datetime
    """When the chest stored it: an aware datetime in UTC. After a store was down, hours later than the request."""
    record: Record


class Chest(ABC):
    """A store for records. The constructor connects to nothing; the first :meth:`open` or :meth:`write` does.

    A chest knows no thread: calls may come from any thread, one after the other or at once, and after a fork from the
    child. It waits for its store only for a bounded time, and never retries: delivery does that.
    """

    name: str
    """A label for messages and logs, such as ``sqlite:///chest.sqlite3``; holds no password and no token."""

    is_idempotent: ClassVar[bool] = True
    """True if a record that is written twice, told by ``Record.id``, is stored once.

    Of two that differ, the first stays, with one exception: a record takes the place of one with the outcome ``killed``. That
    is the note of a request that was believed to be lost. It never takes the place of a record. The new record stands where
    it would if it came for the first time, so that a reader that has seen the note also sees the record. A chest whose user
    may not delete keeps the note. Contract tests hold every readable chest to this; it costs only records that come again.
    """

    is_write_checked: ClassVar[bool] = True
    """True if :meth:`check` tells that a write would be allowed; False if only that the store answers and knows the log-in."""

    @abstractmethod
    def open(self) -> None:
        """Connect, and create what is missing. Opening an open chest does nothing.

        :raises ChestUnavailable: the store cannot be reached or used now; :exc:`~chest.errors.SchemaMismatch` when
            the table, collection or file is not one that Chest writes.
        """

    @abstractmethod
    def write(self, records: Sequence[Record]) -> None:
        """Store all of the records or none; opens the chest if it is not open. Without records nothing happens.

        :raises ChestUnavailable: not now; the same records may be written later, and the chest is ready to try.
        :raises RecordRejected: never as they are; ``ids`` names the refused ones if the store tells. None was stored
            by a chest with transactions; without transactions, writing the others again is harmless or doubles them
            as :attr:`is_idempotent` says.
        """

    def write_new(self, records: Sequence[Record], meanwhile: Callable[[], object] = lambda: None) -> None:
        """:meth:`write`, for records that are most likely new: quicker if the store has a way. It keeps the same promises.

        :param meanwhile: work of the caller for the time that this thread waits for the store; called never, once or more
            often. Does not raise.
        """
        if records:
            meanwhile()
        self.write(records)

    @abstractmethod
    def check(self) -> None:
        """Check whether records could be written; writes nothing, makes nothing and leaves nothing open.

        :raises ChestError: what is wrong, and what to do about it.
        """

    def notices(self) -> Sequence[str]:
        """What an operator should know about a store that can be written, and what to do; for ``chest check``."""
        return ()

    def counts(self) -> Mapping[str, int]:
        """What this chest changed in values in this process, counted by reason, for ``Recorder.stats()``."""
        return {}

    def tend(self) -> None:  # noqa: B027 - most connections need nothing
        """What the connection needs while nothing is written: called by delivery every few seconds, from any thread. Does not wait."""

    def wait_at_most(self, seconds: float) -> bool:
        """Limit the time that each later call waits for the store in all; True if the chest can promise that.

        Asked at the end of a process that cannot have a thread, and so cannot end a call from outside. A chest that cannot
        promise it is not written to there, and its records wait on disk for the next start.
        """
        return False

    @abstractmethod
    def close(self) -> None:
        """Close the connection to the store. Closing twice does nothing; the next write opens again."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


class ReadableChest(Chest):
    """A chest that also gives records back, in the order in which it stored them.

    Reading makes nothing: if there is no chest yet, it raises :exc:`~chest.errors.ChestUnavailable` instead of finding
    nothing, so that a mistyped path is noticed.
    """

    @abstractmethod
    def read(self, query: Query = EVERYTHING, *, after: Cursor | None = None, limit: int = 1000) -> list[StoredRecord]:
        """One page of the records that match, oldest stored first; fewer than ``limit`` only if there are no more.

        :param query: the conditions; all of them hold for what is returned.
        :param after: the cursor of the last record seen; None begins at the start.
        :param limit: the most records to return, at least 1.
        """

    @abstractmethod
    def newest(self) -> Cursor | None:
        """The cursor of the record stored last; None if the chest is empty. Reading ``after`` it gives what is stored from now on."""

    @abstractmethod
    def remove(self, stored: Sequence[StoredRecord]) -> int:
        """Remove records that were read, and return how many were there to remove."""

    def cube(
        self,
        query: Query = EVERYTHING,
        *,
        by: Sequence[Name] = (),
        step: Step | None = None,
        groups: int = 1000,
        seconds: float | None = None,
    ) -> Cube:
        """Counts of the requests that match, by column of time, group, status class and duration bucket.

        Without an own way of the store, the records are read one by one. A budget that ends is no error: the answer says
        what it rests on.

        :param by: names whose values divide the requests into groups.
        :param step: columns of time; None: one for all.
        :param groups: the most groups to tell apart; the smallest beyond are put together.
        :param seconds: the budget; None: none.
        """
        return self._answer(CubeQuestion(query, tuple(by), step, groups, seconds))

    def _answer(self, question: CubeQuestion) -> Cube:
        """The answer of :meth:`cube`."""
        return cube_by_reading(self, question)

    def sample(self, query: Query = EVERYTHING, *, size: int = 5000, seconds: float | None = None) -> Sample:
        """Records that match, drawn at random, or all if there are no more than ``size``. The budget as of :meth:`cube`."""
        return sample_by_reading(self, query, size, seconds)

    def latest(
        self,
        query: Query = EVERYTHING,
        *,
        before: Cursor | None = None,
        limit: int = 100,
        seconds: float | None = None,
    ) -> Latest:
        """The records stored last that match, newest first. If the budget ends, those that were found until then.

        :param before: the cursor of the oldest record seen; None begins with the newest one there is.
        :param limit: the most records to return, at least 1.
        :param seconds: the budget; None: none.
        """
        return latest_by_reading(self, query, before, limit, seconds)

    def following(
        self,
        query: Query = EVERYTHING,
        *,
        after: Cursor | None = None,
        limit: int = 100,
        seconds: float | None = None,
    ) -> FollowedRecords:
        """The records stored first behind a cursor that match: :meth:`read`, but a store that can be stopped ends with its budget.

        :param after: the cursor of the last record seen; None begins at the start.
        :param limit: the most records to return, at least 1.
        :param seconds: the budget; None: none.
        """
        begin, newest = time.monotonic(), self.newest()
        found = self.read(query, after=after, limit=limit)
        end = found[-1].cursor if found else after if newest is None else newest
        if found and len(found) < limit and isinstance(newest, int) and isinstance(end, int):
            end = max(newest, end)  # what was looked through is not looked through again, whether it matched or not
        return FollowedRecords(found, Basis(True, len(found), len(found), time.monotonic() - begin), end)

    def time_range(self, query: Query = EVERYTHING) -> tuple[int, int] | None:
        """When the first and the last request began that lie in the query's time range; None: no request.

        A store may leave the query's other conditions out of account.
        """
        return time_range_by_reading(self, query)

    @property
    def is_in_order(self) -> bool:
        """True if no record appears before one that was there; False if transactions draw their places first and commit later."""
        return False

    def coordination(self) -> CoordinationStore | None:
        """Where readers of this chest coordinate, in the same store; None if it has no place for that."""
        return None

    def retention(self) -> RetentionBackend | None:
        """How to remove many records without keeping others waiting; None if there is only :meth:`remove`."""
        return None

    def variable_indexes(self) -> VariableIndexes | None:
        """How to make an index on one variable; None if this chest has no such indexes."""
        return None

    def partitions(self) -> Partitions | None:
        """How to divide this chest's table by day; None if the store does so itself, or cannot."""
        return None


class Received(NamedTuple):
    """What a stream gave at once. It gives the records again, to any of its readers, unless it is told that they are safe."""

    records: Sequence[Record]
    unreadable: int = 0
    """Messages that are no record of Chest. They were logged, and are never given again."""
    receipt: Any = None
    """What the stream knows them by."""


class StreamReader(ABC):
    """Takes records from a stream for one purpose, in the order of storing. Used by one thread at a time.

    Readers of the same name, in any process on any host, share the work: each record goes to one of them.
    """

    @abstractmethod
    def receive(self, limit: int, wait_seconds: float = 0.0) -> Received:
        """The next records that no reader of this name has, at most ``limit``; none if there are none now.

        :param wait_seconds: how long to wait for the first one.
        :raises ChestUnavailable: not now; the reader is ready to try again.
        """

    @abstractmethod
    def acknowledge(self, received: Received) -> None:
        """Tell the stream that the records are safe; it has noted that when this returns.

        :raises ChestUnavailable: it may not have, and may give them again.
        """

    @abstractmethod
    def pending(self) -> int:
        """How many records this name has still to take, those that were received and are not acknowledged among them."""

    @abstractmethod
    def close(self) -> None:
        """Let other readers have at once what was received and not acknowledged. Does not raise."""


class StreamChest(Chest):
    """A chest that hands records on: each once to the readers of a name, which acknowledge it. Not for questions."""

    @abstractmethod
    def reader(self, name: str) -> StreamReader:
        """A reader that begins with the oldest record, or goes on where readers of this name stopped. Connects to nothing.

        :param name: any text; the same for readers that share the work.
        """
