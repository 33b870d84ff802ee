"""``Store``: where the records of a run go, what is in it, and what can be done to it. ``Stores`` starts the servers once."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import psycopg
import pymongo
import pymysql

from chest.chests.registry import sqlite_url
from tests.field.plan import StoreKind
from tests.recording_server import recording_server
from tests.servers.database import PASSWORD, USER, DatabaseServer
from tests.servers.fault_proxy import Fault, FaultProxy, fault_proxy
from tests.servers.mariadb import mariadb
from tests.servers.mongodb import mongodb
from tests.servers.mysql57 import mysql57
from tests.servers.postgresql import postgresql
from tests.servers.process import HOST, Server

_QUERY: Final = "SELECT id, request_id, path, outcome FROM chest_records"


class Stored(NamedTuple):
    """A record in the store."""

    id: str
    request_id: str
    path: str
    outcome: str


class Store(Protocol):
    """One store of one run, empty at its beginning."""

    url: str

    def records(self) -> list[Stored]:
        """All that is in it; raises where it cannot be asked now."""

    def kill(self) -> None:
        """Take it away, without a word."""

    def revive(self) -> None:
        """Have it back, with all that it had."""

    def lose_answers(self, is_on: bool) -> None:
        """Do what is asked and cut the connection in the place of the answer, once."""


class SQLiteStore:
    """A file; what takes it away for a while is a transaction of another program."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.url = sqlite_url(path)
        self._numbers = count(1)
        self._locked: sqlite3.Connection | None = None

    def records(self) -> list[Stored]:
        found = set(_rows_of(self.path, "mode=ro"))
        for moved in self.path.parent.glob("moved-*.sqlite3"):
            for log in [None, *self.path.parent.glob("*.orphaned-*-wal")]:
                found.update(_rows_with_log(moved, log))
        return list(found)

    def kill(self) -> None:
        self._locked = sqlite3.connect(self.path, timeout=10, isolation_level=None)
        self._locked.execute("BEGIN EXCLUSIVE")

    def revive(self) -> None:
        if self._locked is not None:
            self._locked.close()
            self._locked = None

    def lose_answers(self, is_on: bool) -> None:
        raise NotImplementedError

    def move_away(self) -> None:
        """As ``mv`` does, with the files beside it left behind."""
        self.path.rename(self.path.with_name(f"moved-{next(self._numbers)}.sqlite3"))


class ServerStore:
    """A database on a server, behind a proxy.

    :param read: gives rows of id, request id, path and outcome.
    :param settle: called when the server is there again, so that it keeps over a kill what it has acknowledged.
    """

    def __init__(
        self,
        url: str,
        server: Server,
        proxy: FaultProxy,
        marker: bytes,
        read: Callable[[], list[Stored]],
        settle: Callable[[], object] = lambda: None,
    ) -> None:
        self.url = url
        self.records = read
        self._server = server
        self._proxy = proxy
        self._marker = marker
        self._settle = settle
        settle()

    def kill(self) -> None:
        self._server.stop(signal.SIGKILL)

    def revive(self) -> None:
        self._server.start()
        self._settle()

    def lose_answers(self, is_on: bool) -> None:
        self._proxy.set(Fault.REPLY_LOST, self._marker) if is_on else self._proxy.heal()


class HTTPStore:
    """What is posted to a receiver behind a proxy; that one is what is taken away."""

    def __init__(self, url: str, proxy: FaultProxy, read: Callable[[], list[Stored]]) -> None:
        self.url = url
        self.records = read
        self._proxy = proxy

    def kill(self) -> None:
        self._proxy.set(Fault.RESET)

    def revive(self) -> None:
        self._proxy.heal()

    def lose_answers(self, is_on: bool) -> None:
        self._proxy.set(Fault.REPLY_LOST, b"POST") if is_on else self._proxy.heal()


class Stores:
    """The servers, each started when the first run asks for it, until the block ends."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._servers: dict[StoreKind, Any] = {}

    def __enter__(self) -> Stores:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.__exit__(None, None, None)

    @contextmanager
    def new(self, kind: StoreKind, directory: Path) -> Iterator[Store]:
        """An empty store for the block.

        :param directory: for a file.
        """
        if kind is StoreKind.SQLITE:
            store = SQLiteStore(directory / "store.sqlite3")
            try:
                yield store
            finally:
                store.revive()
        elif kind is StoreKind.HTTP:
            with recording_server() as receiver, fault_proxy(receiver.port) as proxy:

                def posted() -> list[Stored]:
                    return [_stored(record) for post in list(receiver.posts) for record in post.json]

                yield HTTPStore(f"http://{HOST}:{proxy.port}/records?timeout_seconds=2", proxy, posted)
        else:
            with self._on_server(kind) as found:
                yield found

    @contextmanager
    def _on_server(self, kind: StoreKind) -> Iterator[ServerStore]:
        server = self._server(kind)
        with fault_proxy(server.port) as proxy:
            store = _MAKERS[kind](server, proxy)
            try:
                yield store
            finally:
                store.revive()

    def _server(self, kind: StoreKind) -> Any:
        if kind not in self._servers:
            self._servers[kind] = self._stack.enter_context(_SERVERS[kind]())
        return self._servers[kind]


def _rows_of(path: Path, mode: str) -> list[Stored]:
    with closing(sqlite3.connect(f"file:{path}?{mode}", uri=True, timeout=10)) as connection:
        return [Stored(*row) for row in connection.execute(_QUERY)]


def _rows_with_log(path: Path, log: Path | None) -> list[Stored]:
    """What is in a file that was moved away, given the log that was kept for it; in a copy, as a worker may have it open."""
    with tempfile.TemporaryDirectory(prefix="chest-field-") as directory:
        copy = Path(directory) / "copy.sqlite3"
        shutil.copy(path, copy)
        if log is not None:
            shutil.copy(log, f"{copy}-wal")
        try:
            return _rows_of(copy, "mode=rw")
        except sqlite3.DatabaseError:  # it has no table without its log, or this is another one's
            return []


def _stored(record: Any) -> Stored:
    return Stored(record["id"], record["request_id"], record["path"], record["outcome"])


def _of_postgresql(server: DatabaseServer, proxy: FaultProxy) -> ServerStore:
    name = server.new_database()
    address = {"host": HOST, "port": server.port, "user": USER, "password": PASSWORD, "dbname": name}
    # The tests' server forgets what it has just acknowledged when it is killed.
    server._execute(f"ALTER DATABASE {name} SET synchronous_commit = on")

    def read() -> list[Stored]:
        with psycopg.connect(**address, connect_timeout=5) as connection:
            return [Stored(*row) for row in connection.execute(_QUERY)]

    url = server.url(name, port=proxy.port, query="timeout_seconds=2")
    return ServerStore(url, server.server, proxy, b"COMMIT", read)


def _of_mysql(server: DatabaseServer, proxy: FaultProxy) -> ServerStore:
    name = server.new_database()
    address = {"host": HOST, "port": server.port, "user": USER, "password": PASSWORD, "database": name}

    def read() -> list[Stored]:
        with closing(pymysql.connect(**address, connect_timeout=5)) as connection, connection.cursor() as cursor:
            cursor.execute(_QUERY)
            return [Stored(*row) for row in cursor.fetchall()]

    url = server.url(name, port=proxy.port, query="timeout_seconds=2")
    keep = "SET GLOBAL innodb_flush_log_at_trx_commit = 2"
    return ServerStore(url, server.server, proxy, b"COMMIT", read, lambda: server._execute(keep))


def _of_mongodb(server: Server, proxy: FaultProxy) -> ServerStore:
    name = f"chest_{uuid.uuid4().hex[:12]}"

    def read() -> list[Stored]:
        with pymongo.MongoClient(HOST, server.port, serverSelectionTimeoutMS=5000) as client:
            return [_stored({"id": str(found["_id"]), **found}) for found in client[name]["chest_records"].find()]

    url = f"mongodb://{HOST}:{proxy.port}/{name}?timeout_seconds=2&journal=true"
    return ServerStore(url, server, proxy, b"INSERT", read)


_SERVERS: Final[dict[StoreKind, Callable[[], Any]]] = {
    StoreKind.POSTGRESQL: postgresql,
    StoreKind.MARIADB: mariadb,
    StoreKind.MYSQL57: mysql57,
    StoreKind.MONGODB: mongodb,
}
_MAKERS: Final[dict[StoreKind, Callable[[Any, FaultProxy], ServerStore]]] = {
    StoreKind.POSTGRESQL: _of_postgresql,
    StoreKind.MARIADB: _of_mysql,
    StoreKind.MYSQL57: _of_mysql,
    StoreKind.MONGODB: _of_mongodb,
}
