"""``SQLHousekeeping``: the oldest rows of an SQL chest removed in short transactions, and SQLite's file cut back."""

from __future__ import annotations

import sqlite3
from typing import Any, Final

from sqlalchemy import Select, Table, Text, cast, delete, func, inspect, select
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from chest.chests.sql_database import Database
from chest.chests.sql_ledger import LEDGER_TABLE
from chest.chests.upkeep import Housekeeping
from chest.held_connection import HeldConnection

__all__ = ["SQLHousekeeping"]

_SAMPLED_ROWS: Final = 1000
_BYTES_BESIDE_TEXT: Final = 200
"""Of a row: its numbers, its header, and its entries in three indexes."""
_INCREMENTAL: Final = 2
_TEXTS: Final = ("id", "request_id", "path", "route", "variables", "attributes", "service", "release", "host")


class SQLHousekeeping(Housekeeping):
    """Which rows are meant is read first, outside of any lock; removing them by their key is short.

    :param database: the chest's.
    :param table: the chest's.
    """

    def __init__(self, database: Database, table: Table) -> None:
        self._database, self._table = database, table
        self._writing = HeldConnection(database, database.connect_to_write, database.prepare)
        self._reading = HeldConnection(database, database.connect_to_read)

    def rows(self) -> int:
        with self._database.explained(), self._reading.use() as connection:
            return int(connection.execute(select(func.count()).select_from(self._table)).scalar_one())

    def used_bytes(self) -> int:
        """Of a SQLite file of its own, the pages in use; else what the texts of the newest rows make of all of them."""
        with self._database.explained(), self._reading.use() as connection:
            if connection.dialect.name == "sqlite" and self._has_the_file_alone(connection):
                return (_pragma(connection, "page_count") - _pragma(connection, "freelist_count")) * _page(connection)
            average = connection.execute(self._average_row()).scalar_one()
        return int(self.rows() * (float(average or 0) + _BYTES_BESIDE_TEXT))

    def remove_oldest(self, limit: int, before_ns: int | None = None) -> int:
        columns = self._table.c
        oldest = select(columns.seq).order_by(columns.seq).limit(limit)
        if before_ns is not None:
            # By time, where there is an index: by seq, all that is younger and was stored earlier would be passed each time.
            oldest = select(columns.seq).where(columns.time_ns < before_ns).order_by(columns.time_ns).limit(limit)
        with self._database.explained(), self._reading.use() as connection:
            places = list(connection.execute(oldest).scalars())
        if not places:
            return 0
        with self._database.explained(), self._writing.use() as connection:
            removed = connection.execute(delete(self._table).where(columns.seq.in_(places))).rowcount
            connection.commit()
        return removed

    def reclaim(self, limit_bytes: int) -> int:
        """SQLite only: the others use the room again, and it is theirs to say when."""
        with self._database.explained(), self._writing.use() as connection:
            if connection.dialect.name != "sqlite" or _pragma(connection, "auto_vacuum") != _INCREMENTAL:
                return 0
            before, page = _pragma(connection, "freelist_count"), _page(connection)
            if not before:
                return 0
            connection.rollback()
            driver: Any = connection.connection.driver_connection
            try:
                # Stepped to its end by executescript; execute would free one page, as the pragma yields a row a page.
                driver.executescript(f"PRAGMA incremental_vacuum({max(1, limit_bytes // page)})")
            except sqlite3.Error as error:
                raise DBAPIError.instance("", None, error, sqlite3.Error) from error
            return (before - _pragma(connection, "freelist_count")) * page

    def close(self) -> None:
        self._writing.close()
        self._reading.close()

    def _average_row(self) -> Select[Any]:
        newest = select(self._table).order_by(self._table.c.seq.desc()).limit(_SAMPLED_ROWS).subquery()
        lengths = (func.coalesce(func.length(cast(newest.c[name], Text)), 0) for name in _TEXTS)
        return select(func.avg(sum(lengths)))

    def _has_the_file_alone(self, connection: Connection) -> bool:
        """Whether no other table stands in the file: its bytes are not to be made up for by removing records."""
        there = {name for name in inspect(connection).get_table_names() if not name.startswith("sqlite_")}
        return there <= {self._table.name, LEDGER_TABLE}


def _pragma(connection: Connection, name: str) -> int:
    return int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())


def _page(connection: Connection) -> int:
    return _pragma(connection, "page_size")
