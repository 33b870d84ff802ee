"""``ServerDatabase``: what all database servers have in common: their connections."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, ClassVar, Final, NamedTuple

from sqlalchemy import Table, create_engine, delete
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from chest.chests.refused_rows import plain_record
from chest.chests.sql.columns import values_of
from chest.chests.sql.dialect import Database
from chest.chests.sql.url import SQLTarget
from chest.errors import (
    ChestError,
    ChestUnavailable,
    LoginRefused,
    RecordRejected,
    SchemaMismatch,
    SettingsError,
    TLSRefused,
    UnknownDatabase,
    UnknownHost,
)
from chest.record.encoding import decode
from chest.record.record import Outcome
from chest.system.fork_guard import call_in_child, check_fork
from chest.system.threads import is_readable, socket_home

_LONGEST_CONNECT_SECONDS: Final = 5.0
_REMOVED_AT_ONCE: Final = 500
"""Rows a statement: each is a value that is bound."""


class Diagnosis(NamedTuple):
    """The kind of a driver's error, and its message."""

    kind: type[ChestError]
    told: str
    """The message of the server or the driver; without values of records."""


CURES: Final[dict[type[ChestError], str]] = {
    ChestUnavailable: "cannot be used",
    RecordRejected: "refused a record",
    SchemaMismatch: "has a column of your own that is NOT NULL and has no default: give it one",
    LoginRefused: "refuses this user or does not let it write: check the user, the password and the rights",
    UnknownDatabase: "has no such database: create it, or check the name in the URL",
    UnknownHost: "has a host name that cannot be resolved: check the host in the URL",
    TLSRefused: "offers no encrypted connection as the URL asks: check the certificates and the URL's ssl options",
}


class ServerDatabase(Database):
    """A database behind a socket. Connecting takes at most 5 s, and each answer at most ``?timeout_seconds=10``."""

    checks_json: ClassVar[bool] = True
    driver: str
    """SQLAlchemy's name of dialect and driver."""

    def __init__(self, target: SQLTarget) -> None:
        super().__init__(target)
        if not target.url.database:
            raise SettingsError(f"{self.name} names no database: write {target.backend}://user:password@host/database.")
        self._url: URL = target.url.set(drivername=self.driver)
        self._engine: Engine | None = None
        call_in_child(self._forget_engine)

    def wait_at_most(self, seconds: float) -> bool:
        longest = seconds / 2  # to connect, and for the first answer that does not come
        self.target = self.target._replace(timeout_seconds=min(self.target.timeout_seconds, longest))
        return True

    @property
    def connect_seconds(self) -> float:
        """How long connecting may take."""
        return min(_LONGEST_CONNECT_SECONDS, self.target.timeout_seconds)

    @abstractmethod
    def connect_driver(self, arguments: dict[str, Any]) -> Any:
        """A new connection of the driver.

        :param arguments: what SQLAlchemy makes of the URL for it.
        """

    @abstractmethod
    def file_descriptor(self, driver_connection: Any) -> int:
        """The number of the connection's socket."""

    @abstractmethod
    def diagnose(self, error: Any) -> Diagnosis:
        """The kind and the message of the driver's error."""

    def prepare(self) -> None:
        """Does nothing: people create databases on servers."""

    def identity(self) -> object:
        """The thread in which a socket may be used: under gevent, the one that made it."""
        return socket_home()

    def is_lost(self, connection: Connection) -> bool:
        """An idle connection has nothing to read except its end and the server's last message."""
        try:
            return is_readable(self._descriptor(connection))
        except Exception:  # noqa: BLE001 - whatever the driver raises for a connection that is gone
            return True

    can_be_left_in_use: ClassVar[bool] = True

    def abandon_after_fork(self, connection: Connection) -> None:
        """The copy of the socket is replaced by ``/dev/null``: the driver's good-bye would reach the parent's session."""
        with suppress(Exception):
            nowhere = os.open(os.devnull, os.O_RDWR)
            try:
                os.dup2(nowhere, self._descriptor(connection))
            finally:
                os.close(nowhere)
            connection.invalidate()
            connection.close()

    def connect_to_write(self) -> Connection:
        return self._connect()

    def connect_to_read(self) -> Connection:
        return self._connect()

    def connect_to_check(self) -> Connection | None:
        return self._connect()

    def explain(self, error: DBAPIError) -> ChestError:
        kind, told = self.diagnose(error.orig)
        return kind(f"{self.name} {CURES[kind]} ({told}).")

    def fills_columns(self, connection: Connection, table: Table, columns: Sequence[str]) -> bool:
        """Tries a row and rolls it back: only the server knows what a trigger does."""
        try:
            with connection.begin_nested():
                rows = self.rows([plain_record()], datetime.now(UTC))
                self.insert(connection, table, columns, values_of(rows, columns))
        except DBAPIError as error:
            return not isinstance(self.explain(error), SchemaMismatch)
        finally:
            connection.rollback()
        return True

    def remove_notes(
        self, connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]
    ) -> bool:
        """Remove the notes of killed requests with the ids of these rows, which then replace them; True if there were any.

        If the user may not delete, or a rule of the user's forbids it, the notes stay.
        """
        place = columns.index("id")
        ids = [row[place] for row in rows]
        if not ids or not self.may_delete(connection, table):
            return False
        removed = 0
        try:
            with connection.begin_nested():
                for start in range(0, len(ids), _REMOVED_AT_ONCE):
                    has_id = table.c.id.in_(ids[start : start + _REMOVED_AT_ONCE])
                    notes = delete(table).where(has_id, table.c.outcome == Outcome.KILLED)
                    removed += connection.execute(notes).rowcount
        except DBAPIError as error:
            if self.is_passing(error):
                raise
            return False
        return removed > 0

    def may_delete(self, connection: Connection, table: Table) -> bool:
        """False if it is known that this user may not delete rows by id and outcome."""
        return True

    def told_of_refusal(self, error: DBAPIError) -> str:
        return f"{self.name} {CURES[RecordRejected]} ({self.diagnose(error.orig).told})."

    def _connect(self) -> Connection:
        check_fork()
        if self._engine is None:
            self._engine = self.new_engine()
        return self._engine.connect()

    def _forget_engine(self) -> None:
        """In a forked child: its locks may have been held at the fork."""
        self._engine = None

    def new_engine(self) -> Engine:
        """What makes connections."""

        def connect() -> Any:
            _, arguments = engine.dialect.create_connect_args(self._url)
            try:
                return self.connect_driver(dict(arguments))
            except Exception as error:
                if not _has_descriptors():
                    raise ChestUnavailable(
                        f"{self.name} {CURES[ChestUnavailable]} (this process has no file descriptor left: raise its"
                        " limit, ulimit -n, or have it close files)."
                    ) from error
                raise

        engine = create_engine(
            self._url, creator=connect, poolclass=NullPool, json_deserializer=decode, hide_parameters=True
        )
        return engine

    def _descriptor(self, connection: Connection) -> int:
        return self.file_descriptor(connection.connection.driver_connection)


def _has_descriptors() -> bool:
    """True if this process can open another socket and a poll; a driver may report no reason, or a wrong one."""
    try:
        for descriptor in os.pipe():
            os.close(descriptor)
    except OSError:
        return False
    return True
