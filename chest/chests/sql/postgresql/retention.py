"""``PartitionedRetentionBackend``: drops whole partitions of a table that is partitioned by ``id``."""

from __future__ import annotations

import time

from sqlalchemy.engine import Connection

from chest.chests.sql.postgresql.partitions import Partition, partitions_of
from chest.chests.sql.retention import SQLRetentionBackend
from chest.record.record_id import first_id

__all__ = ["PartitionedRetentionBackend"]


class PartitionedRetentionBackend(SQLRetentionBackend):
    """As any SQL chest's; a partition that is too old is dropped whole, if this user owns it.

    A partition goes if no new record can belong to it, and if each of its records began before the limit, whatever their ids say.
    """

    def remove_at_once(self, most: float, before_ns: int | None = None) -> int:
        with self._database.explained(), self._reading.use() as connection:
            old = self._old_partitions(connection, before_ns)
        removed = 0
        for partition in old:
            rows = self._drop(partition, most - removed, before_ns)
            if rows is None and before_ns is None:
                break  # the oldest first
            removed += rows or 0
        return removed

    def _old_partitions(self, connection: Connection, before_ns: int | None) -> list[Partition]:
        limit = first_id(time.time_ns() if before_ns is None else before_ns)
        found = partitions_of(connection, self._table.name)
        return [each for each in found if each.is_ours and not each.is_default and each.end <= limit]

    def _drop(self, partition: Partition, most: float, before_ns: int | None) -> int | None:
        """Drop it; returns how many records it had, or None if it has to stay."""
        with self._database.explained(), self._reading.use() as connection:
            rows, newest_ns = connection.exec_driver_sql(f"SELECT count(*), max(time_ns) FROM {partition.name}").one()  # noqa: S608
        if not rows and before_ns is None:
            return 0  # it may be meant for records that are to come
        if rows > most or not _is_older(newest_ns, before_ns):
            return None
        with (
            self._database.explained(),
            self._writing.use() as connection,
            self._database.exclusive_write(connection, self._table.name),
        ):
            newest_ns = connection.exec_driver_sql(f"SELECT max(time_ns) FROM {partition.name}").scalar()  # noqa: S608
            if not _is_older(newest_ns, before_ns):  # one came meanwhile
                return None
            self._database.change_schema(connection, f"DROP TABLE {partition.name}")
            connection.commit()
        return int(rows)


def _is_older(newest_ns: int | None, before_ns: int | None) -> bool:
    return newest_ns is None or before_ns is None or newest_ns < before_ns
