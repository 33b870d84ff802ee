"""``SQLiteRetentionBackend``: the oldest rows of a SQLite chest removed in short transactions, and its file cut back."""

from __future__ import annotations

from typing import Final

from chest.chests.sql.columns import LEDGER_TABLE, SIZED_ROWS, TEXT_COLUMNS, estimated_bytes
from chest.chests.sql.sqlite.database import SQLiteDatabase
from chest.chests.sql.sqlite.table import delete
from chest.chests.upkeep import RetentionBackend
from chest.system.fork_safe_connection import ForkSafeConnection
from chest.system.sqlite_file import FileConnection

__all__ = ["SQLiteRetentionBackend"]

_INCREMENTAL: Final = 2
_LENGTHS: Final = " + ".join(f"coalesce(length({name}), 0)" for name in TEXT_COLUMNS)


class SQLiteRetentionBackend(RetentionBackend):
    """It reads first which rows to remove, without a lock; removing them by their key is short.

    :param database: the chest's.
    :param table: the chest's.
    """

    def __init__(self, database: SQLiteDatabase, table: str) -> None:
        self._database, self._table = database, table
        self._writing = ForkSafeConnection(database, database.connect_to_write, database.prepare)
        self._reading = ForkSafeConnection(database, database.connect_to_read)

    def rows(self) -> int:
        with self._database.explained(), self._reading.use() as connection:
            return int(connection.execute(f'SELECT count(*) FROM "{self._table}"').fetchone()[0])  # noqa: S608

    def newest_ns(self) -> int | None:
        with self._database.explained(), self._reading.use() as connection:
            newest: int | None = connection.execute(f'SELECT max(time_ns) FROM "{self._table}"').fetchone()[0]  # noqa: S608
        return newest

    def used_bytes(self) -> int:
        """Of a file of its own, the pages in use; else what the texts of the newest rows make of all of them."""
        newest = f'SELECT * FROM "{self._table}" ORDER BY seq DESC LIMIT {SIZED_ROWS}'  # noqa: S608
        with self._database.explained(), self._reading.use() as connection:
            if self._has_the_file_alone(connection):
                return (_pragma(connection, "page_count") - _pragma(connection, "freelist_count")) * _page(connection)
            average = connection.execute(f"SELECT avg({_LENGTHS}) FROM ({newest})").fetchone()[0]  # noqa: S608
        return estimated_bytes(self.rows(), average)

    def remove_oldest(self, limit: int, before_ns: int | None = None) -> int:
        # By time, if there is a bound, for there is an index: by seq, all that is younger and was stored earlier would be
        # passed each time.
        where, order = ("", "seq") if before_ns is None else ("WHERE time_ns < ?", "time_ns")
        values = (limit,) if before_ns is None else (before_ns, limit)
        oldest = f'SELECT seq FROM "{self._table}" {where} ORDER BY {order} LIMIT ?'  # noqa: S608
        with self._database.explained(), self._reading.use() as connection:
            places = [seq for (seq,) in connection.execute(oldest, values)]
        if not places:
            return 0
        with self._database.explained(), self._writing.use() as connection:
            return delete(connection, self._table, "seq", places)

    def reclaim(self, limit_bytes: int) -> int:
        with self._database.explained(), self._writing.use() as connection:
            if _pragma(connection, "auto_vacuum") != _INCREMENTAL:
                return 0
            before, page = _pragma(connection, "freelist_count"), _page(connection)
            if not before:
                return 0
            # Stepped to its end by executescript; execute would free one page, as the pragma yields a row a page.
            connection.executescript(f"PRAGMA incremental_vacuum({max(1, limit_bytes // page)})")
            return (before - _pragma(connection, "freelist_count")) * page

    def close(self) -> None:
        self._writing.close()
        self._reading.close()

    def _has_the_file_alone(self, connection: FileConnection) -> bool:
        """True if no other table stands in the file: its bytes are not to be made up for by removing records."""
        tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite~_%' ESCAPE '~'"
        return {name for (name,) in connection.execute(tables)} <= {self._table, LEDGER_TABLE}


def _pragma(connection: FileConnection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def _page(connection: FileConnection) -> int:
    return _pragma(connection, "page_size")
