"""``VariablesSource``: a table of variables read as records, one a row, for what exports it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, func, inspect, select
from sqlalchemy.engine import Connection

from chest.chests.base import Cursor, ReadableChest, StoredRecord
from chest.chests.query import EVERYTHING, Query
from chest.chests.sql_ledger import SQLLedger
from chest.chests.sql_sqlite import SQLiteDatabase
from chest.chests.sql_variables import VariablesChest
from chest.errors import ChestUnavailable
from chest.held_connection import HeldConnection
from chest.record import Outcome, Record

__all__ = ["VariablesSource"]


class VariablesSource(VariablesChest, ReadableChest):
    """The rows of a :class:`~chest.chests.sql_variables.VariablesChest`, in the order of ``unique_id``.

    A row says neither when its request was nor how it went: the time of a record is when it was read, its ``id`` follows
    from ``unique_id``, and the rest is empty.

    :param url: as the :class:`~chest.chests.sql_variables.VariablesChest`'s.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._reading = HeldConnection(self._database, self._connect_to_read)

    @property
    def is_in_order(self) -> bool:
        """Whoever writes through Chest has a turn of its own, and Flask-Chest itself writes to SQLite."""
        return True

    def ledger(self) -> SQLLedger:
        file = self._database.path if isinstance(self._database, SQLiteDatabase) else None
        return SQLLedger(self._database, self._table.name, file)

    def read(self, query: Query = EVERYTHING, *, after: Cursor | None = None, limit: int = 1000) -> list[StoredRecord]:
        columns, found = self._table.c, list[StoredRecord]()
        last = int(after or 0)
        while len(found) < limit:
            page = select(columns.unique_id, columns.request_id, columns.name, columns.value)
            page = page.where(columns.unique_id > last).order_by(columns.unique_id).limit(limit)
            with self._explained(), self._reading.use() as connection:
                rows = connection.execute(page).all()
            found += [stored for row in rows if query.matches((stored := _stored_record(row)).record)]
            if len(rows) < limit:
                break
            last = rows[-1].unique_id
        return found[:limit]

    def newest(self) -> Cursor | None:
        with self._explained(), self._reading.use() as connection:
            newest: int | None = connection.execute(select(func.max(self._table.c.unique_id))).scalar()
        return newest

    def remove(self, stored: Sequence[StoredRecord]) -> int:
        if not stored:
            return 0
        places = [row.cursor for row in stored]
        with self._explained(), self._writing.use() as connection:
            removed = connection.execute(delete(self._table).where(self._table.c.unique_id.in_(places))).rowcount
            connection.commit()
        return removed

    def close(self) -> None:
        super().close()
        self._reading.close()

    def _connect_to_read(self) -> Connection:
        connection = self._database.connect_to_read()
        try:
            if not inspect(connection).has_table(self._table.name):
                raise ChestUnavailable(f"{self.name} has no table {self._table.name}: nothing was written here yet.")
            self._require_columns(connection)
            connection.rollback()
        except BaseException:
            connection.close()
            raise
        return connection


def _stored_record(row: Any) -> StoredRecord:
    now_ns = time.time_ns()
    record = Record(
        id=f"{row.unique_id:032x}", request_id=row.request_id or "", time_ns=now_ns, duration_ns=0, method="", path="",
        route=None, status=None, outcome=Outcome.OK, error=None, variables={row.name or "": row.value}, attributes={},
        service="", release="", host="",
    )  # fmt: skip
    return StoredRecord(row.unique_id, datetime.now(UTC), record)
