"""``ServerDatabase``: what the databases that are servers have in common: their connections."""

from __future__ import annotations

import os
from abc import abstractmethod
from contextlib import suppress
from typing import Any, ClassVar, Final, NamedTuple

from sqlalchemy import create_engine
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from chest.chests.sql_database import Database
from chest.chests.sql_url import SQLTarget
from chest.encoding import decode
from chest.errors import (
    ChestError,
    ChestUnavailable,
    LoginRefused,
    RecordRejected,
    SettingsError,
    TLSRefused,
    UnknownDatabase,
    UnknownHost,
)
from chest.native import is_readable, socket_home

_LONGEST_CONNECT_SECONDS: Final = 5.0


class Diagnosis(NamedTuple):
    """What an error of a driver is."""

    kind: type[ChestError]
    told: str
    """What happened, as the server or the driver puts it; without values of records."""


CURES: Final[dict[type[ChestError], str]] = {
    ChestUnavailable: "cannot be used",
    RecordRejected: "refused a record",
    LoginRefused: "does not let this user in, or not write: see to the user, the password and the rights",
    UnknownDatabase: "has no such database: make it, or see to the name in the URL",
    UnknownHost: "has a host name that leads nowhere: see to the host in the URL",
    TLSRefused: "gives no connection that is encrypted as asked: see to the certificates and the URL's ssl options",
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
        self._engine_pid = 0

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
        """What an error of the driver is."""

    def prepare(self) -> None:
        """Nothing: databases are made by people."""

    def place(self) -> object:
        """Where a socket may be used: under gevent, in the thread that made it."""
        return socket_home()

    def is_lost(self, connection: Connection) -> bool:
        """Nothing is to be read from an idle connection, but its end, and what the server says last."""
        try:
            return is_readable(self._descriptor(connection))
        except Exception:  # noqa: BLE001 - whatever the driver raises for a connection that is no more
            return True

    can_be_left_in_use: ClassVar[bool] = True

    def leave_to_parent(self, connection: Connection) -> None:
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

    def _connect(self) -> Connection:
        if self._engine is None or self._engine_pid != os.getpid():
            # Its locks may have been held at a fork.
            self._engine, self._engine_pid = self._new_engine(), os.getpid()
        return self._engine.connect()

    def _new_engine(self) -> Engine:
        def connect() -> Any:
            _, arguments = engine.dialect.create_connect_args(self._url)
            return self.connect_driver(dict(arguments))

        engine = create_engine(
            self._url, creator=connect, poolclass=NullPool, json_deserializer=decode, hide_parameters=True
        )
        return engine

    def _descriptor(self, connection: Connection) -> int:
        return self.file_descriptor(connection.connection.driver_connection)
