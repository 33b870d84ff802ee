"""What a readable chest may offer beside reading: ``CoordinationStore``, ``RetentionBackend``, ``VariableIndexes``, ``Partitions``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import date
from typing import ClassVar, NamedTuple

from chest.chests.asking.conditions import Name

__all__ = ["CoordinationStore", "Partitions", "RetentionBackend", "VariableIndex", "VariableIndexes", "VersionedValue"]


class VersionedValue(NamedTuple):
    """A text in a coordination store, and how often it was changed."""

    text: str
    version: int


class CoordinationStore(ABC):
    """Values that outlive processes, and locks that do not; shared by all processes that do the same work.

    A name belongs to one piece of work: two pieces of work need two names.
    """

    @abstractmethod
    def value(self, name: str) -> VersionedValue | None:
        """The value under this name; None if it has none. Creates nothing.

        :raises ChestUnavailable: the store cannot be read now.
        """

    @abstractmethod
    def compare_and_set(self, name: str, text: str, replaces: VersionedValue | None) -> VersionedValue | None:
        """Set a value durably and return it; None, and nothing done, if the stored one is no longer ``replaces``.

        :param name: at most 200 characters.
        :param replaces: what :meth:`value` gave, or this method the last time; None if there was no value.
        :raises ChestUnavailable: the store cannot be written now.
        """

    @abstractmethod
    def lock(self, name: str) -> AbstractContextManager[bool]:
        """A lock for the block, taken without waiting: True if it is ours, False if another process has it.

        It ends with the process that holds it, whatever ends that; at the latest with a child that was forked meanwhile.

        :raises ChestUnavailable: the store cannot be asked now.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the connection to the store; the next call opens it again."""


class RetentionBackend(ABC):
    """Removes old records in short steps, so that no reader or writer waits long."""

    @abstractmethod
    def rows(self) -> int:
        """How many records there are."""

    def newest_ns(self) -> int | None:
        """When the latest request began, in Unix nanoseconds; None if the store is empty or cannot say."""
        return None

    @abstractmethod
    def used_bytes(self) -> int:
        """How much room the records take; an estimate if the store does not tell."""

    @abstractmethod
    def remove_oldest(self, limit: int, before_ns: int | None = None) -> int:
        """Remove records, those stored first, in one short transaction; returns how many.

        :param limit: the most to remove.
        :param before_ns: only requests that began before this Unix time in nanoseconds.
        """

    def remove_at_once(self, most: float, before_ns: int | None = None) -> int:
        """Remove many old records by a way that costs the store little, such as a whole partition; returns how many.

        0: there are no such records, so :meth:`remove_oldest` goes on.

        :param most: the most to remove; may be infinite.
        :param before_ns: as of :meth:`remove_oldest`.
        """
        return 0

    @abstractmethod
    def reclaim(self, limit_bytes: int) -> int:
        """Give free room back to the file system, in one short step; returns the bytes given back; 0: no more to give."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection to the store; the next call opens it again."""


class Partitions(ABC):
    """A table with a partition for each day in UTC, so that a retention removes a whole day at once."""

    @abstractmethod
    def missing(self, days: Sequence[date]) -> Sequence[Sequence[str]]:
        """The SQL that makes what is missing: the table, and a partition for each of these days. Empty: nothing is missing.

        Each sequence of statements is a transaction of its own, so that writers never wait for more than a day.

        :raises SchemaMismatch: the table is there, and cannot get such a partition.
        """

    @abstractmethod
    def make(self, days: Sequence[date]) -> Sequence[Sequence[str]]:
        """Run that SQL, and return it.

        :raises ChestUnavailable: not now: another session reads the table. The days that were made stay.
        """


class VariableIndex(NamedTuple):
    """An index on one variable or attribute."""

    name: Name
    size_bytes: int | None
    """How much room it takes; None if the store does not tell."""


class VariableIndexes(ABC):
    """Indexes on single variables and attributes, made on request only: each makes every write slower.

    A filter that asks for a value (``plan=free``) uses them. A record is written as before, however long its values are.
    """

    holds_up_writers: ClassVar[bool]
    """True if nothing can be written while an index is made."""

    @abstractmethod
    def found(self) -> Sequence[VariableIndex]:
        """Those that were made here."""

    @abstractmethod
    def make(self, name: Name) -> None:
        """Make the index, however long that takes; nothing happens if it is there.

        :raises SettingsError: the store cannot have an index on such a name.
        """

    @abstractmethod
    def drop(self, name: Name) -> bool:
        """Remove the index; False if it was not there."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection to the store; the next call opens it again."""

    @staticmethod
    def _digest_of(table: str, name: Name) -> str:
        """For an index's name: a database may take two for one that differ in case, or only at their ends."""
        from hashlib import blake2b  # few need it: a command answers sooner without it

        return blake2b(f"{table} {name.place} {name.name}".encode(), digest_size=8).hexdigest()
