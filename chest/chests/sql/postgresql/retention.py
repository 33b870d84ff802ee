"""``PartitionedRetentionBackend``: drops whole partitions of a table that is partitioned by ``id``."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Final

from psycopg.errors import LockNotAvailable
from sqlalchemy import ColumnElement, or_
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from chest.chests.sql.dialect import LARGEST_BYTES_CHANGED
from chest.chests.sql.postgresql.connection import waiting_long
from chest.chests.sql.postgresql.partitions import Partition, partitions_of
from chest.chests.sql.retention import SQLRetentionBackend
from chest.record.record_id import first_id

__all__ = ["PartitionedRetentionBackend"]

_log: Final = logging.getLogger("chest.chests.postgresql")


class PartitionedRetentionBackend(SQLRetentionBackend):
    """As any SQL chest's; a partition that is too old is dropped whole, if this user owns it.

    A partition goes if no new record can belong to it, and if each of its records began before the limit, whatever their ids say.
    By age, the records of a day that will be dropped are left until then: so they live for up to a day longer.
    """

    def remove_at_once(self, most: float, before_ns: int | None = None) -> int:
        with self._database.explained(), self._reading.use() as connection, waiting_long(connection):
            limit = first_id(time.time_ns() if before_ns is None else before_ns)
            old = [each for each in self._droppable(connection) if each.end <= limit]
        removed = 0
        for partition in old:
            try:
                rows = self._drop(partition, most - removed, before_ns)
            except DBAPIError as error:
                _log.warning(
                    "chest: %s: the partition %s cannot be dropped, so its records are removed row by row: %s",
                    self._database.name,
                    partition.name,
                    self._database.explain(error),
                )
                if isinstance(error.orig, LockNotAvailable):
                    break  # who reads it may read all, and each wait holds writers up
                rows = None
            if rows is None and before_ns is None:
                break  # the oldest first
            removed += rows or 0
        return removed

    def _not_yet(self, connection: Connection, before_ns: int) -> Sequence[ColumnElement[bool]]:
        """Said by ``id``, so that the server need not look into those partitions."""
        limit, record_id = first_id(before_ns), self._table.c.id
        later = [each for each in self._droppable(connection) if each.is_of_a_day and each.end > limit]
        return [or_(record_id < each.first, record_id >= each.end) for each in later]

    def _droppable(self, connection: Connection) -> list[Partition]:
        found = partitions_of(connection, self._table.name)
        return [each for each in found if each.is_ours and not each.is_default]

    def _drop(self, partition: Partition, most: float, before_ns: int | None) -> int | None:
        """Drop it; returns how many records it had, or about how many if it is large; None if it has to stay."""
        with self._reading.use() as connection, waiting_long(connection):
            if not _is_old(connection, partition, before_ns):
                return None
            rows = _rows_of(connection, partition, is_exact=before_ns is None)
        if rows > most:
            return None
        if not rows and before_ns is None:
            return 0  # it may be meant for records that are to come
        with (
            self._writing.use() as connection,
            waiting_long(connection),
            self._database.exclusive_write(connection, self._table.name),
        ):
            if not _is_old(connection, partition, before_ns):  # one came meanwhile
                return None
            self._database.change_schema(connection, f"DROP TABLE {partition.name}")
            connection.commit()
        return rows


def _is_old(connection: Connection, partition: Partition, before_ns: int | None) -> bool:
    """By the index on ``time_ns``, however many records there are."""
    if before_ns is None:
        return True
    newest_ns = connection.exec_driver_sql(f"SELECT max(time_ns) FROM {partition.name}").scalar()  # noqa: S608
    return newest_ns is None or newest_ns < before_ns


def _rows_of(connection: Connection, partition: Partition, *, is_exact: bool) -> int:
    """How many records it has; if they are many and nothing depends on the number, what the planner expects."""
    size = connection.exec_driver_sql("SELECT pg_relation_size(%s::regclass)", (partition.name,)).scalar()
    if is_exact or (size or 0) <= LARGEST_BYTES_CHANGED:
        return int(connection.exec_driver_sql(f"SELECT count(*) FROM {partition.name}").scalar() or 0)  # noqa: S608
    plan = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) SELECT 1 FROM {partition.name}").scalar_one()  # noqa: S608
    return int(plan[0]["Plan"]["Plan Rows"])
