"""``Database``: what differs between one SQL database and another, in one place; the chest knows nothing else of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Any, ClassVar, Final, NamedTuple

from sqlalchemy import Column, Table
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import TypeEngine

from chest.chests.encoded import EncodedRecord, EncodedRecords
from chest.chests.sql_url import SQLTarget
from chest.encoding import encode
from chest.errors import ChestError, RecordRejected
from chest.record import Record

STORED_COLUMNS: Final = (*Record._fields, "stored_at")
"""The columns that Chest writes, in the order of a row's values."""


class ColumnTypes(NamedTuple):
    """The types of a table's columns."""

    counter: TypeEngine[Any]
    """Counts up by itself, and never goes back."""
    id: TypeEngine[Any]
    """Of 32 hex characters; unique."""
    short_text: TypeEngine[Any]
    """Up to 255 characters, of which an index may be made."""
    text: TypeEngine[Any]
    json: TypeEngine[Any]
    moment: TypeEngine[Any]


class Database(ABC):
    """One database that an SQL chest writes to. Every call may raise ``DBAPIError``, which :meth:`explain` turns.

    :param target: what the URL says.
    """

    types: ClassVar[ColumnTypes]
    checks_json: ClassVar[bool]
    """Whether the database refuses text that is no JSON."""

    def __init__(self, target: SQLTarget) -> None:
        self.name = target.name
        self.target = target

    @abstractmethod
    def wait_at_most(self, seconds: float) -> bool:
        """As ``Chest.wait_at_most``, for connections that are made from now on."""

    # -- connections ---------------------------------------------------------------------------------------------------

    @abstractmethod
    def prepare(self) -> None:
        """Make what has to be there before anyone can connect."""

    @abstractmethod
    def place(self) -> object:
        """What a connection stands on; no longer equal when a new connection would stand on something else."""

    @abstractmethod
    def is_lost(self, connection: Connection) -> bool:
        """Whether the other end gave up a connection that nobody used for a while; asked before every use."""

    can_be_left_in_use: ClassVar[bool]
    """Whether :meth:`leave_to_parent` may be called where the parent was using the connection at the fork."""

    @abstractmethod
    def leave_to_parent(self, connection: Connection) -> None:
        """In a forked child: let go of the parent's connection so that the parent notices nothing; raises nothing."""

    @abstractmethod
    def connect_to_write(self) -> Connection:
        """A connection for writing, set up for many small transactions."""

    @abstractmethod
    def connect_to_read(self) -> Connection:
        """A connection for reading; makes nothing, and raises ChestUnavailable where there is nothing to read."""

    @abstractmethod
    def connect_to_check(self) -> Connection | None:
        """A connection that can change nothing; None where nothing is there yet, and it can be made."""

    # -- tables and rows -----------------------------------------------------------------------------------------------

    def more_columns(self) -> Sequence[Column[Any]]:
        """Columns of a new table that are computed from others, for people who query it."""
        return ()

    @abstractmethod
    def turn(self, connection: Connection, table: str) -> AbstractContextManager[None]:
        """A transaction in which no other process writes to this table through Chest, or makes it. The block ends it.

        Rows get their ``seq`` before their transaction is committed. Were two writers at it at once, one that reads
        could see the higher numbers first, and would go on behind the lower ones.
        """

    @abstractmethod
    def insert(
        self, connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]
    ) -> None:
        """Store rows in this order; where the table's ``id`` is among the columns, each unless its ``id`` is there.

        :param rows: the values of these columns, as :meth:`rows` gives them; at least one row.
        """

    @abstractmethod
    def view_text(self, table: Table, view: str) -> str:
        """SQL that makes the view of one row a variable."""

    def rows(self, records: Sequence[Record], moment: datetime) -> list[tuple[Any, ...]]:
        """The records as :meth:`insert` takes them, in ``STORED_COLUMNS``, stored at this moment; all encoded, or none."""
        stored_at = (self.stored_at_value(moment),)
        if isinstance(records, EncodedRecords):
            return [row[1:-1] + stored_at for row in records.rows]
        if records and isinstance(records[0], EncodedRecord):
            return [(*record, *stored_at) for record in records]
        return [
            (
                *record[:10],
                encode(record.variables).decode(),
                encode(record.attributes).decode(),
                *record[12:],
                *stored_at,
            )
            for record in records
        ]

    @abstractmethod
    def stored_at_value(self, moment: datetime) -> Any:
        """What is bound for ``stored_at``."""

    # -- errors --------------------------------------------------------------------------------------------------------

    @abstractmethod
    def explain(self, error: DBAPIError) -> ChestError:
        """The error of Chest that this one of the driver is, with what to do about it; without values of records."""

    @contextmanager
    def explained(self) -> Iterator[None]:
        """For the block, what the driver raises as errors of Chest; of a refused record without the driver's, which shows it."""
        try:
            yield
        except DBAPIError as error:
            told = self.explain(error)
            raise told from (None if isinstance(told, RecordRejected) else error)
