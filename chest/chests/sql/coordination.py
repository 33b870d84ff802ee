"""``SQLCoordinationStore``: notes and locks in the database of an SQL chest, for all its readers, on any host."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from hashlib import blake2b

from sqlalchemy import BigInteger, Column, MetaData, String, Table, Text, insert, inspect, select, update
from sqlalchemy.dialects.mysql import LONGTEXT
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.schema import CreateTable

from chest.chests.sql.columns import LEDGER_TABLE, ledger_key
from chest.chests.sql.dialect import Database
from chest.chests.sql.schema import TABLE_OPTIONS
from chest.chests.upkeep import CoordinationStore, VersionedValue
from chest.system.fork_safe_connection import ForkSafeConnection

__all__ = ["SQLCoordinationStore"]


class SQLCoordinationStore(CoordinationStore):
    """Notes as rows of the table ``chest_ledger``, made when the first is written; locks by what the database has.

    PostgreSQL's lock is held by a transaction on a connection of its own, which comes through a connection pooler too;
    MySQL's by a connection.

    :param database: the chest's.
    :param table: the chest's table, to which the names belong.
    """

    def __init__(self, database: Database, table: str) -> None:
        self._database, self._owner = database, table
        self._table = _ledger_table()
        self._writing = ForkSafeConnection(database, self._connect_to_write, database.prepare)
        self._reading = ForkSafeConnection(database, database.connect_to_read)
        self._locking = ForkSafeConnection(database, database.connect_to_write)

    def value(self, name: str) -> VersionedValue | None:
        columns = self._table.c
        with self._database.explained(), self._reading.use() as connection:
            if not inspect(connection).has_table(LEDGER_TABLE):
                return None
            wanted = select(columns.text, columns.version).where(columns.name == self._key(name))
            row = connection.execute(wanted).one_or_none()
        return None if row is None else VersionedValue(row.text, row.version)

    def compare_and_set(self, name: str, text: str, replaces: VersionedValue | None) -> VersionedValue | None:
        with self._database.explained(), self._writing.use() as connection:
            is_ours = self._insert(connection, name, text) if replaces is None else self._update(
                connection, name, text, replaces
            )  # fmt: skip
            connection.commit()
        return VersionedValue(text, 1 if replaces is None else replaces.version + 1) if is_ours else None

    def lock(self, name: str) -> AbstractContextManager[bool]:
        return self._server_lock(self._key(name))

    def close(self) -> None:
        for connection in (self._writing, self._reading, self._locking):
            connection.close()

    def _key(self, name: str) -> str:
        return ledger_key(self._owner, name)

    def _insert(self, connection: Connection, name: str, text: str) -> bool:
        try:
            connection.execute(insert(self._table).values(name=self._key(name), version=1, text=text))
        except IntegrityError:
            connection.rollback()
            return False
        return True

    def _update(self, connection: Connection, name: str, text: str, replaces: VersionedValue) -> bool:
        columns = self._table.c
        same = (columns.name == self._key(name), columns.version == replaces.version)
        changed = connection.execute(update(self._table).where(*same).values(version=replaces.version + 1, text=text))
        return changed.rowcount == 1

    @contextmanager
    def _server_lock(self, key: str) -> Iterator[bool]:
        with ExitStack() as held_on:
            held_on.callback(self._locking.close)
            with self._database.explained():
                is_ours = _take(
                    held_on.enter_context(self._locking.use()), key, self._database.target.url.database or ""
                )
            yield is_ours
            # A lock that was lost on the way cannot be given back; what was done is done all the same.
            with suppress(DBAPIError):
                held_on.close()

    def _connect_to_write(self) -> Connection:
        connection = self._database.connect_to_write()
        try:
            if not inspect(connection).has_table(LEDGER_TABLE):
                connection.rollback()
                with self._database.exclusive_write(connection, LEDGER_TABLE):
                    connection.execute(CreateTable(self._table, if_not_exists=True))
                    connection.commit()
            connection.rollback()
        except BaseException:
            connection.close()
            raise
        return connection


def _take(connection: Connection, key: str, database: str) -> bool:
    """Take the lock, which ends with the connection at the latest. MySQL's belong to the server, so they name the database."""
    is_postgresql = connection.dialect.name == "postgresql"
    text = key if is_postgresql else f"{database.lower()}:{key}"
    digest = blake2b(text.encode(), digest_size=8, person=b"chest")
    if is_postgresql:
        number = int.from_bytes(digest.digest(), "big", signed=True)
        return bool(connection.exec_driver_sql("SELECT pg_try_advisory_xact_lock(%s)", (number,)).scalar_one())
    return bool(connection.exec_driver_sql("SELECT GET_LOCK(%s, 0)", (f"chest-{digest.hexdigest()}",)).scalar_one())


def _ledger_table() -> Table:
    long_text = Text().with_variant(LONGTEXT(), "mysql", "mariadb")
    return Table(
        LEDGER_TABLE,
        MetaData(),
        Column("name", String(255), primary_key=True),
        Column("version", BigInteger, nullable=False),
        Column("text", long_text, nullable=False),
        **TABLE_OPTIONS,
    )
