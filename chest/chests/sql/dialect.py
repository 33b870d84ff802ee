"""``Database``: what differs between one SQL database and another, in one place; the chest knows no other difference."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pkgutil import resolve_name
from typing import Any, ClassVar, Final, NamedTuple

from sqlalchemy import Column, FromClause, Table
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import TypeEngine

from chest.chests.asking.sql.words import Words
from chest.chests.sql.columns import STORED_COLUMNS
from chest.chests.sql.rows import rows_of
from chest.chests.sql.url import SQLTarget
from chest.errors import ChestError, ChestUnavailable, MissingDependencyError, RecordRejected
from chest.record.record import Record

LARGEST_BYTES_CHANGED: Final = 32 * 1024 * 1024
"""The largest table that is read or copied as a whole while writers wait: some ten thousand rows, less than a second's work."""
_DATABASES: Final = {
    "postgresql": "chest.chests.sql.postgresql.dialect:PostgreSQLDatabase",
    "mysql": "chest.chests.sql.mysql.dialect:MySQLDatabase",
}


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
    words: ClassVar[Words]
    """How it says a question."""
    variable_index_kind: ClassVar[type[Any] | None] = None
    """A class of ``VariableIndexes`` that takes this database and the name of a table; None if there are no such indexes."""
    retention_kind: ClassVar[type[Any] | None] = None
    """A class of ``SQLRetentionBackend`` that takes this database and the table; None: that class itself."""
    partitions_kind: ClassVar[type[Any] | None] = None
    """A class of ``Partitions`` that takes this database and the name of a table; None if there are no partitions."""
    checks_json: ClassVar[bool]
    """True if the database refuses text that is not JSON."""

    def __init__(self, target: SQLTarget) -> None:
        self.name = target.name
        self.target = target

    @abstractmethod
    def wait_at_most(self, seconds: float) -> bool:
        """As ``Chest.wait_at_most``, for connections that are made from now on."""

    # -- connections ---------------------------------------------------------------------------------------------------

    @abstractmethod
    def prepare(self) -> None:
        """Create what must exist before a connection can be made."""

    @abstractmethod
    def identity(self) -> object:
        """Identity of the database; changes when the file or the server was replaced."""

    @abstractmethod
    def is_lost(self, connection: Connection) -> bool:
        """True if the server closed the connection while it was idle; asked before every use."""

    can_be_left_in_use: ClassVar[bool]
    """True if :meth:`abandon_after_fork` may be called even if the parent was using the connection at the fork."""

    @abstractmethod
    def abandon_after_fork(self, connection: Connection) -> None:
        """In a forked child: let go of the parent's connection so that the parent notices nothing; raises nothing."""

    @abstractmethod
    def connect_to_write(self) -> Connection:
        """A connection for writing, set up for many small transactions."""

    @abstractmethod
    def connect_to_read(self) -> Connection:
        """A connection for reading; creates nothing, cannot write, and raises ChestUnavailable if the database does not exist."""

    @abstractmethod
    def connect_to_check(self) -> Connection | None:
        """A connection that can change nothing; None if nothing is there yet and it can be created."""

    @abstractmethod
    def limit_statements(self, connection: Connection, seconds: float | None) -> None:
        """Have the server stop each later statement of this connection after so long; None: no more."""

    def words_on(self, connection: Connection, source: FromClause) -> Words:
        """:attr:`words`, with what they need to know of what is read from."""
        return self.words

    @abstractmethod
    def is_out_of_time(self, error: DBAPIError) -> bool:
        """True if the server stopped a statement for :meth:`limit_statements`."""

    # -- tables and rows -----------------------------------------------------------------------------------------------

    def more_columns(self) -> Sequence[Column[Any]]:
        """Columns of a new table that are computed from others, for people who query it."""
        return ()

    @abstractmethod
    def exclusive_write(self, connection: Connection, table: str) -> AbstractContextManager[None]:
        """A transaction in which no other process writes to this table through Chest, or makes it. The block ends it.

        Rows get their ``seq`` before their transaction is committed. With two writers at once a reader could see the
        higher numbers first, and would then miss the lower ones.
        """

    @abstractmethod
    def insert(
        self, connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]
    ) -> None:
        """Store rows in this order; if the table's ``id`` is among the columns, each unless its ``id`` is there.

        A row that is there as the note of a killed request gives way, as :attr:`Chest.is_idempotent` says.

        :param rows: the values of these columns, as :meth:`rows` gives them; at least one row.
        """

    def notices_on(self, connection: Connection, table: Table) -> Sequence[str]:
        """What an operator should know about the table; for ``chest check``."""
        return ()

    @abstractmethod
    def table_bytes(self, connection: Connection, table: Table) -> int:
        """About how large the table is, without its indexes."""

    @abstractmethod
    def online_index_text(self, connection: Connection, index: str, table: str) -> str:
        """SQL that makes an index on ``request_id`` while others write."""

    def fills_columns(self, connection: Connection, table: Table, columns: Sequence[str]) -> bool:
        """True if a trigger or rule fills the user's own columns that have no default.

        :param columns: Chest's columns that the table has.
        """
        return False

    @abstractmethod
    def require_rights(self, connection: Connection, table: Table, columns: Sequence[str] = STORED_COLUMNS) -> None:
        """Raise the error that inserting these columns, or creating a missing table, would raise if a right is missing."""

    def require_counter(self, connection: Connection, table: Table) -> None:  # noqa: B027 - most have a key that sees to it
        """Refuse a table whose next ``seq`` may be there already, without a key that says so.

        :raises ChestUnavailable: with the statement that mends it.
        """

    @abstractmethod
    def view_text(self, table: Table, view: str) -> str:
        """SQL that creates the view with one row a variable. ``id`` is the record's own; a ``request_id`` may come from a client
        and be shared by several requests. New columns stand last, or a view could not be replaced.
        """

    @abstractmethod
    def view_columns(self, connection: Connection, view: str) -> list[str]:
        """The columns of the view of this name, in their order; empty if no such view can be replaced."""

    @abstractmethod
    def change_schema(self, connection: Connection, statement: str) -> None:
        """Run a statement that changes a table or view that is in use, without waiting long for others."""

    def adding_text(self, connection: Connection, table: Table, column: str) -> str:
        """SQL that adds a column that may be NULL.

        :param column: its name and type.
        """
        return f'ALTER TABLE "{table.name}" ADD COLUMN {column}'

    def rows(self, records: Sequence[Record], moment: datetime) -> list[tuple[Any, ...]]:
        """The records as :meth:`insert` takes them, in ``STORED_COLUMNS``, stored at this moment; all encoded, or none."""
        return rows_of(records, self.stored_at_value(moment))

    @abstractmethod
    def stored_at_value(self, moment: datetime) -> Any:
        """What is bound for ``stored_at``."""

    # -- errors --------------------------------------------------------------------------------------------------------

    @abstractmethod
    def explain(self, error: DBAPIError) -> ChestError:
        """Chest's error for this error of the driver, with what to do about it; without values of records."""

    def is_passing(self, error: DBAPIError) -> bool:
        """True if the cause is not a record but a lost connection, a lock, a full disk: a later try may succeed."""
        return not isinstance(self.explain(error), RecordRejected)

    def told_of_refusal(self, error: DBAPIError) -> str:
        """The message for a record that is refused with this error; without values of the record."""
        return str(self.explain(error))

    def check_constraints(self, connection: Connection) -> None:  # noqa: B027 - few databases have any
        """Check deferred constraints now; raises ``DBAPIError`` as the COMMIT would."""

    def try_insert(
        self, connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]
    ) -> bool:
        """Insert these rows into the transaction, which the caller undoes; False if the database refuses them.

        An error that passes (:meth:`is_passing`) is raised, so that a lock or a full disk blames no row.

        :raises DBAPIError: the store failed, whatever the rows are.
        :raises TypeError, ValueError, OverflowError: the driver cannot take a value.
        """
        try:
            with connection.begin_nested():
                self.insert(connection, table, columns, rows)
                self.check_constraints(connection)
        except DBAPIError as error:
            if self.is_passing(error):
                raise
            return False
        return True

    def failure(self, error: DBAPIError, refused: Sequence[str]) -> ChestError:
        """What to raise for a batch that failed with this error, of which these records are refused."""
        if refused:
            return RecordRejected(self.told_of_refusal(error), refused)
        told = self.explain(error)
        if isinstance(told, RecordRejected):
            return ChestUnavailable(f"{self.name} refused the batch, but none of its records alone: {told}")
        return told

    @contextmanager
    def explained(self) -> Iterator[None]:
        """In the block, turns the driver's errors into Chest's. For a refused record without the cause, which would show the record."""
        try:
            yield
        except DBAPIError as error:
            told = self.explain(error)
            raise told from (None if isinstance(told, RecordRejected) else error)


def database_of(target: SQLTarget) -> Database:
    """The database that a URL names; nothing is connected to.

    :raises MissingDependencyError: its driver is not installed.
    :raises SettingsError: invalid chest URL.
    """
    try:
        kind: type[Database] = resolve_name(_DATABASES[target.backend])
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"The {target.backend} chest needs the package {error.name}: pip install 'wsgi-chest[sql]'"
        ) from error
    return kind(target)
