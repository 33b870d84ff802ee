"""``ClickHouseRetentionBackend``: whole partitions dropped, and the rest by one delete; each delete writes parts anew."""

from __future__ import annotations

import math
import time
from typing import Any, Final

from chest.chests.clickhouse.asking import WORDS, bound
from chest.chests.clickhouse.server import ClickHouseServer, StatementFailed, literal
from chest.chests.clickhouse.url import ClickHouseTarget
from chest.chests.upkeep import RetentionBackend

__all__ = ["ClickHouseRetentionBackend"]

_BY_DAY: Final = "toDate(time)"
_ONE_S_NS: Final = 10**9
_LONGEST_SECONDS: Final = 3600.0
"""A delete writes parts anew, on all replicas, before it answers."""
_TOO_LARGE_TO_DROP: Final = 359
_UNKNOWN_SETTING: Final = (115, 452)
"""Not known to a statement of an older server, or not to be changed by this user."""


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
        limit_ns = time.time_ns() if before_ns is None else before_ns
        for day, rows, newest_ns, end in self._days():
            # By its end, so that none that comes meanwhile is dropped with the others; which is no such in a far future.
            if removed + rows > most or newest_ns >= limit_ns or end * _ONE_S_NS > limit_ns:
                break
            if self._try_drop(day):
                removed += rows
            elif before_ns is None:
                break  # the oldest first
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
        """The partitions, each with how many records it has, when the newest one began, and its end in Unix seconds.

        None if the table is not partitioned by day. Days are those of the time zone of its column.
        """
        where = f"database = {literal(self._target.database)} AND name = {literal(self._target.table)}"
        key = self._server.rows(f"SELECT partition_key FROM system.tables WHERE {where}")  # noqa: S608
        if key != [[_BY_DAY]]:
            return []
        newest, end = f"max({WORDS.field('time_ns')})", "toUnixTimestamp(addDays(toStartOfDay(max(`time`)), 1))"
        return self._server.rows(
            f"SELECT _partition_id, count(), {newest}, {end} FROM {self._table} GROUP BY 1 ORDER BY 1"  # noqa: S608
        )

    def _try_drop(self, day: str) -> bool:
        """False if the server drops no partition as large as this one: its rows can be deleted all the same."""
        statement = f"ALTER TABLE {self._table} DROP PARTITION ID {literal(day)}"
        for more in ("", " SETTINGS max_partition_size_to_drop = 0"):
            try:
                self._server.run(statement + more, timeout_seconds=_LONGEST_SECONDS)
            except StatementFailed as error:
                if error.code not in (_TOO_LARGE_TO_DROP, *_UNKNOWN_SETTING):
                    raise
            else:
                return True
        return False

    def _delete(self, most: float, before_ns: int | None) -> int:
        where = "1" if before_ns is None else bound(WORDS.time_bound("<"), [before_ns])
        count = self._count(where)
        if count > most:
            places = f"SELECT `seq` FROM {self._table} WHERE {where} ORDER BY `seq` LIMIT 1 OFFSET {math.floor(most)}"  # noqa: S608
            ((place,),) = self._server.rows(places)
            where = f"{where} AND `seq` < {int(place)}"
            count = self._count(where)
        if count:
            self._server.run(f"DELETE FROM {self._table} WHERE {where}", timeout_seconds=_LONGEST_SECONDS)  # noqa: S608
        return count

    def _count(self, where: str) -> int:
        ((count,),) = self._server.rows(f"SELECT count() FROM {self._table} WHERE {where}")  # noqa: S608
        return int(count)
