"""``ClickHouseRetentionBackend``: whole partitions dropped, and the rest by one delete; each delete writes parts anew."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime
from typing import Any, Final

from chest.chests.clickhouse.asking import WORDS, bound
from chest.chests.clickhouse.server import ClickHouseServer, literal
from chest.chests.clickhouse.url import ClickHouseTarget
from chest.chests.upkeep import RetentionBackend

__all__ = ["ClickHouseRetentionBackend"]

_BY_DAY: Final = "toDate(time)"


class ClickHouseRetentionBackend(RetentionBackend):
    """A day of a table that is partitioned by day is dropped if each of its records is to go.

    Other rows go by one lightweight ``DELETE``, which a reader notices at once; their room is free after the next merge.

    :param server: the chest's.
    :param target: the chest's.
    """

    def __init__(self, server: ClickHouseServer, target: ClickHouseTarget) -> None:
        self._server, self._target = server, target
        self._table = target.quoted_table

    def rows(self) -> int:
        return self._count("1")

    def newest_ns(self) -> int | None:
        ((newest_ns, count),) = self._server.rows(f"SELECT max({WORDS.field('time_ns')}), count() FROM {self._table}")  # noqa: S608
        return int(newest_ns) if count else None

    def used_bytes(self) -> int:
        """What the rows take on disk; of rows that were deleted and not merged yet nothing, as if they were gone."""
        where = f"database = {literal(self._target.database)} AND table = {literal(self._target.table)} AND active"
        ((size, rows),) = self._server.rows(f"SELECT sum(bytes_on_disk), sum(rows) FROM system.parts WHERE {where}")  # noqa: S608
        return int(size) * self.rows() // int(rows) if int(rows) else 0

    def remove_at_once(self, most: float, before_ns: int | None = None) -> int:
        removed = 0
        over = datetime.fromtimestamp((time.time_ns() if before_ns is None else before_ns) // 10**9, UTC)
        for day, rows in self._days():
            if removed + rows > most or day >= f"{over:%Y%m%d}":
                break  # none that comes meanwhile may be dropped with the others
            self._server.run(f"ALTER TABLE {self._table} DROP PARTITION ID {literal(day)}")
            removed += rows
        return removed + self._delete(most - removed, before_ns)

    def remove_oldest(self, limit: int, before_ns: int | None = None) -> int:
        return self._delete(limit, before_ns)

    def reclaim(self, limit_bytes: int) -> int:
        """Nothing: the server merges what was deleted by itself."""
        return 0

    def close(self) -> None:
        """Close the connections that were made here."""
        self._server.close()

    def _days(self) -> list[list[Any]]:
        """The partitions, each with how many records it has; none if the table is not partitioned by day."""
        where = f"database = {literal(self._target.database)} AND name = {literal(self._target.table)}"
        key = self._server.rows(f"SELECT partition_key FROM system.tables WHERE {where}")  # noqa: S608
        if key != [[_BY_DAY]]:
            return []
        return self._server.rows(f"SELECT _partition_id, count() FROM {self._table} GROUP BY 1 ORDER BY 1")  # noqa: S608

    def _delete(self, most: float, before_ns: int | None) -> int:
        where = "1" if before_ns is None else bound(WORDS.time_bound("<"), [before_ns])
        count = self._count(where)
        if count > most:
            places = f"SELECT `seq` FROM {self._table} WHERE {where} ORDER BY `seq` LIMIT 1 OFFSET {math.floor(most)}"  # noqa: S608
            ((place,),) = self._server.rows(places)
            where = f"{where} AND `seq` < {int(place)}"
            count = self._count(where)
        if count:
            self._server.run(f"DELETE FROM {self._table} WHERE {where}")  # noqa: S608
        return count

    def _count(self, where: str) -> int:
        ((count,),) = self._server.rows(f"SELECT count() FROM {self._table} WHERE {where}")  # noqa: S608
        return int(count)
