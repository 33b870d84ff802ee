"""The contracts every store keeps: ``Chest`` takes records, ``ReadableChest`` gives them back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import ClassVar, NamedTuple, Self, TypeAlias

from chest.chests.query import EVERYTHING, Query
from chest.chests.upkeep import Housekeeping, Ledger
from chest.record import Record

__all__ = ["Chest", "Cursor", "Query", "ReadableChest", "StoredRecord"]

Cursor: TypeAlias = int | str
"""A place in the order in which a chest stored its records; only the chest that gave it knows what it means."""


class StoredRecord(NamedTuple):
    """A record as a chest gives it back, with the place at which it stands."""

    cursor: Cursor
    """Where it stands: reading on ``after`` it gives what was stored later."""
    stored_at: datetime
    """When the chest took it, in UTC and aware of it; later than the request, by hours after a store was down."""
    record: Record


class Chest(ABC):
    """A store for records. Making one connects to nothing; the first :meth:`open` or :meth:`write` does.

    A chest knows no thread: calls may come from any thread, one after the other or at once, and after a fork from the
    child. It waits for its store only for a bounded time, and it never retries: that is delivery's to do.
    """

    name: str
    """A label for messages and logs, such as ``sqlite:///chest.sqlite3``; holds no password and no token."""

    is_idempotent: ClassVar[bool] = True
    """Whether a record that is written twice, told by ``Record.id``, is stored once."""

    @property
    def takes_encoded(self) -> bool:
        """Whether it also writes :class:`~chest.chests.encoded.EncodedRecord`, as :meth:`ReadableChest.read_encoded` may give
        them; not so where nobody would see that their JSON is none.
        """
        return False

    @abstractmethod
    def open(self) -> None:
        """Connect, and make what is missing to write into. Opening an open chest does nothing.

        :raises ChestUnavailable: the store cannot be reached or used now; :exc:`~chest.errors.SchemaMismatch` when
            what is there is not what Chest writes.
        """

    @abstractmethod
    def write(self, records: Sequence[Record]) -> None:
        """Store all of the records or none; opens the chest when it is not open. No records: nothing happens.

        :raises ChestUnavailable: not now; the same records may be written later, and the chest is ready to try.
        :raises RecordRejected: never as they are; ``ids`` names the offenders where the store tells. None was stored
            by a chest with transactions; where there are none, writing the others again is harmless or doubles them
            as :attr:`is_idempotent` says.
        """

    def write_new(self, records: Sequence[Record], meanwhile: Callable[[], object] = lambda: None) -> None:
        """:meth:`write`, for records that are hardly there already: quicker where the store has a way. Keeps all it says.

        :param meanwhile: begins what the caller has to do beside; called when this thread will mostly wait for the store,
            perhaps more than once, perhaps never. Does not raise.
        """
        if records:
            meanwhile()
        self.write(records)

    @abstractmethod
    def check(self) -> None:
        """See whether records could be written, and write nothing, make nothing and leave nothing open.

        :raises ChestError: what is wrong, and what to do about it.
        """

    def counts(self) -> Mapping[str, int]:
        """What this chest did to values in this process that somebody should know of, by reason, for ``Recorder.stats()``."""
        return {}

    def wait_at_most(self, seconds: float) -> bool:
        """From now on let no call wait for the store longer than about so long in all; whether the chest can promise that.

        Asked at the end of a process that cannot have a thread: nobody could end a call from outside. A chest that cannot
        promise it is not written to there, and what it lacks waits on disk for the next start.
        """
        return False

    @abstractmethod
    def close(self) -> None:
        """Let the store go. Closing twice does nothing; the next write opens again."""

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

    Reading makes nothing: where no chest is yet, it raises :exc:`~chest.errors.ChestUnavailable` rather than find
    nothing, so that a mistyped path is noticed.
    """

    @abstractmethod
    def read(self, query: Query = EVERYTHING, *, after: Cursor | None = None, limit: int = 1000) -> list[StoredRecord]:
        """One page of the records that match, oldest stored first; fewer than ``limit`` only when there are no more.

        :param query: the conditions; all of them hold for what is returned.
        :param after: the cursor of the last record seen; None begins at the start.
        :param limit: the most records to return, at least 1.
        """

    def read_encoded(
        self, query: Query = EVERYTHING, *, after: Cursor | None = None, limit: int = 1000
    ) -> Sequence[StoredRecord]:
        """:meth:`read`, for who only hands the records on: they may come as they are stored, with their JSON encoded."""
        return self.read(query, after=after, limit=limit)

    @abstractmethod
    def newest(self) -> Cursor | None:
        """The cursor of the record stored last, None when there is none: reading ``after`` it gives what comes."""

    @abstractmethod
    def remove(self, stored: Sequence[StoredRecord]) -> int:
        """Remove records that were read, and return how many were there to remove."""

    @property
    def is_in_order(self) -> bool:
        """Whether nothing turns up before a record that was there already, so that a reader has seen all it has passed.

        Not so where transactions that overlap draw their places first and commit later.
        """
        return False

    def ledger(self) -> Ledger | None:
        """Where those who read this chest can agree, in the same store; None where it has no place for that."""
        return None

    def housekeeping(self) -> Housekeeping | None:
        """How to remove much from this chest without keeping others waiting; None where there is only :meth:`remove`."""
        return None
