"""``SQLiteCoordinationStore``: notes in the file of a SQLite chest, and locks next to it, for all its readers on this host."""

from __future__ import annotations

import sqlite3
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from chest.chests.sql.columns import LEDGER_TABLE, ledger_key
from chest.chests.sql.sqlite.columns import column_names
from chest.chests.sql.sqlite.database import SQLiteDatabase, closed_on_error
from chest.chests.sql.sqlite.table import make_once
from chest.chests.upkeep import CoordinationStore, VersionedValue
from chest.system.file_lock import held
from chest.system.fork_safe_connection import ForkSafeConnection
from chest.system.sqlite_file import FileConnection

__all__ = ["SQLiteCoordinationStore"]

_TABLE: Final = (
    f'CREATE TABLE IF NOT EXISTS "{LEDGER_TABLE}" (\n\tname VARCHAR(255) NOT NULL, \n\tversion BIGINT NOT NULL,'
    " \n\ttext TEXT NOT NULL, \n\tPRIMARY KEY (name)\n)"
)


class SQLiteCoordinationStore(CoordinationStore):
    """Notes as rows of the table ``chest_ledger``, made when the first is written.

    SQLite has no lock that ends with a process, so a lock is a file beside the database.

    :param database: the chest's.
    :param table: the chest's table, to which the names belong.
    """

    def __init__(self, database: SQLiteDatabase, table: str) -> None:
        self._database, self._owner = database, table
        self._writing = ForkSafeConnection(database, self._connect_to_write, database.prepare)
        self._reading = ForkSafeConnection(database, database.connect_to_read)

    def value(self, name: str) -> VersionedValue | None:
        wanted = f'SELECT text, version FROM "{LEDGER_TABLE}" WHERE name = ?'  # noqa: S608
        with self._database.explained(), self._reading.use() as connection:
            if not column_names(connection, LEDGER_TABLE):
                return None
            row = connection.execute(wanted, (ledger_key(self._owner, name),)).fetchone()
        return None if row is None else VersionedValue(*row)

    def compare_and_set(self, name: str, text: str, replaces: VersionedValue | None) -> VersionedValue | None:
        key = ledger_key(self._owner, name)
        with self._database.explained(), self._writing.use() as connection:
            is_ours = _insert(connection, key, text) if replaces is None else _update(connection, key, text, replaces)
        return VersionedValue(text, 1 if replaces is None else replaces.version + 1) if is_ours else None

    def lock(self, name: str) -> AbstractContextManager[bool]:
        from hashlib import blake2b  # loads OpenSSL: a command that asks needs none of it

        digest = blake2b(ledger_key(self._owner, name).encode(), digest_size=4).hexdigest()
        return held(Path(f"{self._database.file}-{digest}.lock"))

    def close(self) -> None:
        self._writing.close()
        self._reading.close()

    def _connect_to_write(self) -> FileConnection:
        connection = self._database.connect_to_write()
        with closed_on_error(connection):
            make_once(connection, LEDGER_TABLE, _TABLE)
        return connection


def _insert(connection: FileConnection, key: str, text: str) -> bool:
    try:
        connection.execute(f'INSERT INTO "{LEDGER_TABLE}" (name, version, text) VALUES (?, 1, ?)', (key, text))  # noqa: S608
    except sqlite3.IntegrityError:
        return False
    return True


def _update(connection: FileConnection, key: str, text: str, replaces: VersionedValue) -> bool:
    changed = connection.execute(
        f'UPDATE "{LEDGER_TABLE}" SET version = ?, text = ? WHERE name = ? AND version = ?',  # noqa: S608
        (replaces.version + 1, text, key, replaces.version),
    )
    return changed.rowcount == 1
