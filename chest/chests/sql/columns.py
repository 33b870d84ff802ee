"""A table of records: its names, the kinds of its columns, and how to do without a column that may be NULL.

A table that an earlier release made may lack a column; a user whose rights name the columns may lack the right to write a new one. A
table that a later release made has more columns than this release knows.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Container, Sequence
from types import NoneType
from typing import Any, Final

from chest.errors import SettingsError
from chest.record.decoding import FIELD_TYPES
from chest.record.record import Record

__all__ = [
    "DEFAULT_TABLE",
    "INTEGER_COLUMNS",
    "JSON_COLUMNS",
    "LEDGER_TABLE",
    "NULLABLE_COLUMNS",
    "SIZED_ROWS",
    "STORED_COLUMNS",
    "TEXT_COLUMNS",
    "MissingColumns",
    "estimated_bytes",
    "ledger_key",
    "missing_from",
    "table_of",
    "values_of",
    "view_name",
]

DEFAULT_TABLE: Final = "chest_records"
LEDGER_TABLE: Final = "chest_ledger"

_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")

STORED_COLUMNS: Final = (*Record._fields, "stored_at")
"""The columns that Chest writes, in the order of a row's values."""
INTEGER_COLUMNS: Final = tuple(name for name, types in FIELD_TYPES.items() if int in types)
JSON_COLUMNS: Final = tuple(name for name, types in FIELD_TYPES.items() if dict in types)
NULLABLE_COLUMNS: Final = tuple(name for name, types in FIELD_TYPES.items() if NoneType in types)
"""A table may lack these, and every field that a later release adds."""

TEXT_COLUMNS: Final = ("id", "request_id", "path", "variables", "attributes", "service", "release", "host")
"""The columns whose texts make most of a row's size."""
SIZED_ROWS: Final = 1000
"""How many of the newest rows are measured, to estimate the size of all."""
_BYTES_BESIDE_TEXT: Final = 200
"""Of a row: its numbers, its header, and its entries in three indexes."""

_log: Final = logging.getLogger("chest.chests.sql")


def missing_from(names: Container[str]) -> list[str]:
    """The columns that a table with these names lacks, of those that it may lack."""
    return [name for name in NULLABLE_COLUMNS if name not in names]


def estimated_bytes(rows: int, text_length: float | None) -> int:
    """The size of a table of so many rows.

    :param text_length: the mean length of a row's :data:`TEXT_COLUMNS`, in characters; None if there is no row.
    """
    return int(rows * (float(text_length or 0) + _BYTES_BESIDE_TEXT))


def values_of(rows: list[tuple[Any, ...]], columns: Sequence[str]) -> list[tuple[Any, ...]]:
    """Of rows of ``STORED_COLUMNS``, the values of these columns."""
    if len(columns) == len(STORED_COLUMNS):
        return rows
    places = [STORED_COLUMNS.index(name) for name in columns]
    return [tuple(row[place] for place in places) for row in rows]


def table_of(value: str | tuple[str, ...]) -> str:
    """``table=``: a valid SQL identifier; the only piece of SQL that comes from outside, and only from configuration."""
    if isinstance(value, str) and _IDENTIFIER.fullmatch(value):
        return value
    raise SettingsError(f"?table={value!r}: a name of letters, digits and _, not beginning with a digit, at most 63.")


def view_name(table: str) -> str:
    """The view of one row a variable beside the table."""
    return "chest_variables" if table == DEFAULT_TABLE else f"{table}_variables"


def ledger_key(table: str, name: str) -> str:
    """Under which a note or lock of this table's readers is kept in the ledger, which all tables share."""
    return f"{table}:{name}"[:255]


class MissingColumns:
    """The columns that one chest does without, and the log lines about them.

    :param chest: the chest's label.
    """

    def __init__(self, chest: str, table: str) -> None:
        self._chest, self._table = chest, table
        self._is_told = False
        self._is_told_of_rights = False
        self.written: tuple[str, ...] = STORED_COLUMNS
        """The columns to write."""
        self.notices: Sequence[str] = ()
        """For ``chest check``."""

    def note(self, names: Container[str], statements: Sequence[str], refusal: str = "") -> None:
        """Note what a table that has ``names`` still lacks; if adding it was refused, log it once.

        :param statements: SQL that adds the columns.
        :param refusal: why they could not be added.
        """
        missing = missing_from(names)
        self.written = tuple(name for name in STORED_COLUMNS if name not in missing)
        if not missing:
            self.notices = ()
            return
        lacks = f"{self._chest}: the table {self._table} has no column {', '.join(missing)}"
        run = f"Run as the owner of the table: {'; '.join(statements)}"
        self.notices = [
            f"{lacks}. Chest adds it with the next record if it may, and stores records without it if it may not. {run}"
        ]
        if refusal and not self._is_told:
            self._is_told = True
            _log.warning(
                "chest: %s, and adding it was refused (%s). Records are stored without it. %s", lacks, refusal, run
            )

    def note_denied(self, denied: Sequence[str], refusal: str) -> None:
        """Note columns that the table has and that this user may not write; log it once.

        :param refusal: why the database refused them.
        """
        if not denied:
            return
        self.written = tuple(name for name in self.written if name not in denied)
        message = (
            f"{self._chest}: the user may not write the column {', '.join(denied)} of the table {self._table} ({refusal})."
            " Records are stored without it. Grant the user INSERT on the column, or on the whole table."
        )
        self.notices = [*self.notices, message]
        if not self._is_told_of_rights:
            self._is_told_of_rights = True
            _log.warning("chest: %s", message)
