"""``Database``: what differs between one SQL database and another, in one place; the chest knows nothing else of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import datetime
from typing import Any

from sqlalchemy import Table
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from chest.chests.sql_url import SQLTarget
from chest.errors import ChestError


class Database(ABC):
    """One database that an SQL chest writes to. Every call may raise ``DBAPIError``, which :meth:`explain` turns.

    :param target: what the URL says.
    """

    def __init__(self, target: SQLTarget) -> None:
        self.name = target.name
        self.target = target

    @abstractmethod
    def prepare(self) -> None:
        """Make what has to be there before anyone can connect."""

    @abstractmethod
    def place(self) -> object:
        """What a connection stands on; no longer equal when a new connection would stand on something else."""

    @abstractmethod
    def connect_to_write(self) -> Connection:
        """A connection for writing, set up for many small transactions."""

    @abstractmethod
    def connect_to_read(self) -> Connection:
        """A connection for reading; makes nothing, and raises ChestUnavailable where there is nothing to read."""

    @abstractmethod
    def connect_to_check(self) -> Connection | None:
        """A connection that can change nothing; None where nothing is there yet, and it can be made."""

    @abstractmethod
    def begin_alone(self, connection: Connection) -> None:
        """Begin a transaction beside which no other process makes a table."""

    @abstractmethod
    def insert_text(self, table: Table, rows: int) -> str:
        """SQL that stores so many rows of ``STORED_COLUMNS``, each unless its ``id`` is stored already."""

    @abstractmethod
    def remove_text(self, table: Table) -> str:
        """SQL that removes the row of one ``seq``."""

    @abstractmethod
    def view_text(self, table: Table, view: str) -> str:
        """SQL that makes the view of one row a variable; empty where the database has no way to."""

    @abstractmethod
    def stored_at_value(self, moment: datetime) -> Any:
        """What is bound for ``stored_at``."""

    @abstractmethod
    def explain(self, error: DBAPIError) -> ChestError:
        """The error of Chest that this one of the driver is, with what to do about it."""
