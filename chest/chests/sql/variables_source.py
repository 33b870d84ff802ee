"""``VariablesSource``: a table of variables read as records, one a row, for what exports it."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, func, inspect, select
from sqlalchemy.engine import Connection

from chest.chests.contract import Cursor, StoredRecord
from chest.chests.sql.coordination import SQLCoordinationStore
from chest.chests.sql.variables import VariablesChest
from chest.chests.variables import VariableRow, VariablesSourceTable
from chest.errors import ChestUnavailable
from chest.system.fork_safe_connection import ForkSafeConnection

__all__ = ["VariablesSource"]


class VariablesSource(VariablesChest, VariablesSourceTable):
    __doc__ = VariablesSourceTable.__doc__

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._reading = ForkSafeConnection(self._database, self._connect_to_read)

    def coordination(self) -> SQLCoordinationStore:
        return SQLCoordinationStore(self._database, self._table.name)

    def page(self, after: int, limit: int) -> Sequence[VariableRow]:
        columns = self._table.c
        page = select(columns.unique_id, columns.request_id, columns.name, columns.value)
        page = page.where(columns.unique_id > after).order_by(columns.unique_id).limit(limit)
        with self._database.explained(), self._reading.use() as connection:
            return [tuple(row) for row in connection.execute(page)]

    def newest(self) -> Cursor | None:
        with self._database.explained(), self._reading.use() as connection:
            newest: int | None = connection.execute(select(func.max(self._table.c.unique_id))).scalar()
        return newest

    def remove(self, stored: Sequence[StoredRecord]) -> int:
        if not stored:
            return 0
        places = [row.cursor for row in stored]
        with self._database.explained(), self.writing.use() as connection:
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
