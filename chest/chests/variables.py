"""``VariablesTable``: one row a variable in an SQL table, in the shape in which Flask-Chest made its tables."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

from chest.chests.contract import Chest, Cursor, ReadableChest, StoredRecord
from chest.chests.query import EVERYTHING, Query
from chest.errors import RecordRejected, SchemaMismatch
from chest.record.encoding import encode
from chest.record.record import Outcome, Record

__all__ = [
    "VARIABLE_COLUMNS",
    "VariableRow",
    "VariablesSourceTable",
    "VariablesTable",
    "require_columns",
    "triple_rows",
]

VARIABLE_COLUMNS: Final = ("request_id", "name", "value")

VariableRow = tuple[int, str | None, str | None, str | None]
"""``unique_id``, and the columns."""


def triple_rows(triples: Iterable[tuple[str, Any, str]]) -> list[tuple[Any, ...]]:
    """The values of ``VARIABLE_COLUMNS``: of names, values and ids of requests. Raises ``ValueError`` for what cannot be JSON."""
    return [(request_id, name, _stored(value)) for name, value, request_id in triples]


class VariablesTable(Chest):
    """One row a variable: ``unique_id``, which counts up, ``request_id``, ``name`` and ``value``, all text.

    For a table that Flask-Chest made, and the programs that read it. What else is known of a request is not kept, and a
    batch that is written again, because its end was not seen, is stored twice: for anything new take the SQL chest.

    A text is stored as it is, other plain values as text (true and false as 1 and 0), nested ones as JSON, None as NULL.
    A batch is one transaction. The table is made if it is not there, and never altered.

    :param url: as the SQL chest's; the table is its ``?table=``.
    :raises SettingsError: invalid chest URL.
    """

    is_idempotent: ClassVar[bool] = False

    def write(self, records: Sequence[Record]) -> None:
        self.write_triples(
            (name, value, record.request_id) for record in records for name, value in record.variables.items()
        )

    def write_triples(self, triples: Iterable[tuple[str, Any, str]]) -> None:
        """Store variables, all or none: each a name, a value that JSON can hold, and the id of its request.

        :raises ChestUnavailable, RecordRejected: as :meth:`write`.
        """
        try:
            if rows := triple_rows(triples):
                self.insert(rows)
        except (OverflowError, TypeError, ValueError) as error:
            raise RecordRejected(f"{self.name} cannot hold a variable: {error}") from error

    @abstractmethod
    def insert(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Store the values of ``VARIABLE_COLUMNS`` in one transaction; at least one row."""


class VariablesSourceTable(VariablesTable, ReadableChest):
    """The rows of a :class:`VariablesTable` as records, one a row, in the order of ``unique_id``, for what exports them.

    A row says neither when its request was nor how it went: the time of a record is when it was read, its ``id`` follows
    from ``unique_id``, and the rest is empty.
    """

    @property
    def is_in_order(self) -> bool:
        """True: writers through Chest take turns, and Flask-Chest itself writes to SQLite."""
        return True

    def read(self, query: Query = EVERYTHING, *, after: Cursor | None = None, limit: int = 1000) -> list[StoredRecord]:
        found: list[StoredRecord] = []
        last = int(after or 0)
        while len(found) < limit:
            rows = self.page(last, limit)
            found += [stored for row in rows if query.matches((stored := _stored_record(row)).record)]
            if len(rows) < limit:
                break
            last = rows[-1][0]
        return found[:limit]

    @abstractmethod
    def page(self, after: int, limit: int) -> Sequence[VariableRow]:
        """So many rows behind this ``unique_id``, in its order."""


def require_columns(chest: str, table: str, there: Iterable[str]) -> None:
    """Refuse a table that does not hold variables.

    :raises SchemaMismatch: a column is missing.
    """
    known = set(there)
    missing = [column for column in VARIABLE_COLUMNS if column not in known]
    if missing:
        raise SchemaMismatch(
            f"{chest}: the table {table} has no column {', '.join(missing)}, so it does not hold variables: name another"
            " table, or rename this one (a new one is made)."
        )


def _stored(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(int(value))
    return repr(value) if isinstance(value, int | float) else encode(value).decode()


def _stored_record(row: VariableRow) -> StoredRecord:
    unique_id, request_id, name, value = row
    record = Record(
        id=f"{unique_id:032x}", request_id=request_id or "", time_ns=time.time_ns(), duration_ns=0, method="", path="",
        route=None, status=None, outcome=Outcome.OK, error=None, variables={name or "": value}, attributes={},
        service="", release="", host="",
    )  # fmt: skip
    return StoredRecord(unique_id, datetime.now(UTC), record)
