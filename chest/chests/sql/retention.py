"""``SQLRetentionBackend``: the oldest rows of an SQL chest removed in short transactions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, Text, cast, delete, func, select
from sqlalchemy.engine import Connection

from chest.chests.sql.columns import SIZED_ROWS, TEXT_COLUMNS, estimated_bytes
from chest.chests.sql.dialect import Database
from chest.chests.upkeep import RetentionBackend
from chest.system.fork_safe_connection import ForkSafeConnection

__all__ = ["SQLRetentionBackend", "are_rows"]


class SQLRetentionBackend(RetentionBackend):
    """It reads first which rows to remove, without a lock; removing them by their key is short.

    :param database: the chest's.
    :param table: the chest's.
    """

    def __init__(self, database: Database, table: Table) -> None:
        self._database, self._table = database, table
        self._writing = ForkSafeConnection(database, database.connect_to_write, database.prepare)
        self._reading = ForkSafeConnection(database, database.connect_to_read)

    def rows(self) -> int:
        with self._database.explained(), self._reading.use() as connection:
            return int(connection.execute(select(func.count()).select_from(self._table)).scalar_one())

    def newest_ns(self) -> int | None:
        with self._database.explained(), self._reading.use() as connection:
            newest = connection.execute(select(func.max(self._table.c.time_ns))).scalar_one()
        return None if newest is None else int(newest)

    def used_bytes(self) -> int:
        """What the texts of the newest rows make of all of them."""
        with self._database.explained(), self._reading.use() as connection:
            average = connection.execute(self._average_row()).scalar_one()
        return estimated_bytes(self.rows(), average)

    def remove_oldest(self, limit: int, before_ns: int | None = None) -> int:
        columns = self._table.c
        oldest = select(columns.seq, columns.id).limit(limit)
        with self._database.explained(), self._reading.use() as connection:
            if before_ns is None:
                oldest = oldest.order_by(columns.seq)
            else:
                # By time if there is an index: by seq, all that is younger and was stored earlier would be passed each time.
                old = columns.time_ns < before_ns, *self._not_yet(connection, before_ns)
                oldest = oldest.where(*old).order_by(columns.time_ns)
            keys = [(seq, record_id) for seq, record_id in connection.execute(oldest)]
        if not keys:
            return 0
        with self._database.explained(), self._writing.use() as connection:
            removed = connection.execute(delete(self._table).where(*are_rows(self._table, keys))).rowcount
            connection.commit()
        return removed

    def _not_yet(self, connection: Connection, before_ns: int) -> Sequence[ColumnElement[bool]]:
        """Conditions that leave out what is old, but will go in another way."""
        return ()

    def reclaim(self, limit_bytes: int) -> int:
        """Nothing: a server uses the room again, and it is its administrator's to say when."""
        return 0

    def close(self) -> None:
        self._writing.close()
        self._reading.close()

    def _average_row(self) -> Select[Any]:
        columns = self._table.c
        newest = (
            select(*(columns[name] for name in TEXT_COLUMNS)).order_by(columns.seq.desc()).limit(SIZED_ROWS).subquery()
        )
        lengths = (func.coalesce(func.length(cast(newest.c[name], Text)), 0) for name in TEXT_COLUMNS)
        return select(func.avg(sum(lengths)))


def are_rows(table: Table, keys: Sequence[tuple[Any, str]]) -> Sequence[ColumnElement[bool]]:
    """Conditions that only these rows meet, each named by its ``seq`` and ``id``.

    Of a partitioned table several rows may have one ``seq``, and a note that gives way leaves its ``id`` to another row. As no
    two rows have one ``id``, the two lists need not be compared pair by pair.
    """
    places, ids = zip(*keys, strict=True)
    return table.c.seq.in_(places), table.c.id.in_(ids)
