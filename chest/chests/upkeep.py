"""What a readable chest may offer beside reading: ``Ledger``, to agree in, and ``Housekeeping``, to keep it small."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from typing import NamedTuple

__all__ = ["Housekeeping", "Ledger", "Note"]


class Note(NamedTuple):
    """A text in a ledger, and how often it has been changed."""

    text: str
    version: int


class Ledger(ABC):
    """Notes that outlive processes, and locks that do not; shared by all who do the same work.

    A name belongs to whoever uses it: two pieces of work that are told apart have two names.
    """

    @abstractmethod
    def note(self, name: str) -> Note | None:
        """The note of this name, None where none was made. Makes nothing.

        :raises ChestUnavailable: the store cannot be read now.
        """

    @abstractmethod
    def set_note(self, name: str, text: str, replaces: Note | None) -> Note | None:
        """Make or change a note, durably; None, and nothing done, where it is no longer the one that was read.

        :param name: at most 200 characters.
        :param replaces: what :meth:`note` gave, or this method the last time; None where there was no note.
        :raises ChestUnavailable: the store cannot be written now.
        """

    @abstractmethod
    def lock(self, name: str) -> AbstractContextManager[bool]:
        """A lock for the block, taken without waiting: True when we have it, False when somebody else does.

        It ends with the process that holds it, whatever ends that; at the latest with a child that was forked meanwhile.

        :raises ChestUnavailable: the store cannot be asked now.
        """

    @abstractmethod
    def close(self) -> None:
        """Let the store go; the next call opens it again."""


class Housekeeping(ABC):
    """Removing what is old in steps that are short, so that nobody who reads or writes waits long."""

    @abstractmethod
    def rows(self) -> int:
        """How many records there are."""

    @abstractmethod
    def used_bytes(self) -> int:
        """How much room the records take; an estimate where the store does not tell."""

    @abstractmethod
    def remove_oldest(self, limit: int, before_ns: int | None = None) -> int:
        """Remove records, those stored first, in one short transaction; returns how many.

        :param limit: the most to remove.
        :param before_ns: only requests that began before this Unix time in nanoseconds.
        """

    @abstractmethod
    def reclaim(self, limit_bytes: int) -> int:
        """Give room that is free back to the file system, in one short step; the bytes given back, 0: no more to give."""

    @abstractmethod
    def close(self) -> None:
        """Let the store go; the next call opens it again."""
