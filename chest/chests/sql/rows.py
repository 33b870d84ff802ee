"""From records to the rows of an SQL table and back, and what a condition on variables asks of stored JSON text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import repeat
from operator import add
from typing import Any, Final

from chest.chests.encoded import EncodedRecord, EncodedRecords
from chest.chests.sql.columns import JSON_COLUMNS
from chest.record.encoding import encode
from chest.record.record import Outcome, Record

_JSON: Final = Record._fields.index("variables")
"""Index of the first of the two JSON texts, ``variables`` and ``attributes``."""

_WORD: Final = re.compile(r"[A-Za-z0-9_-]+")
_WHOLE: Final = re.compile(r"0|-?[1-9][0-9]{0,14}")


def rows_of(records: Sequence[Record], stored_at: Any) -> list[tuple[Any, ...]]:
    """The values of ``STORED_COLUMNS``, a row a record; all encoded, or none.

    :param stored_at: the moment, as the database takes it.
    :raises TypeError, ValueError: a record that JSON cannot hold.
    """
    last = (stored_at,)
    if isinstance(records, EncodedRecords):
        return [row[1:-1] + last for row in records.rows]
    if {*map(type, records)} == {EncodedRecord}:
        return list(map(add, records, repeat(last)))
    return [
        (
            *record[:_JSON], encode(record.variables).decode(), encode(record.attributes).decode(),
            *record[_JSON + len(JSON_COLUMNS) :], *last,
        )
        for record in records
    ]  # fmt: skip


def finished_rows(columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The rows that may take the place of the note of a killed request: all but such notes."""
    outcome = columns.index("outcome")
    return [row for row in rows if row[outcome] != Outcome.KILLED]


def is_word_of_json(typed: str) -> bool:
    """True if the JSON text of a value that a person typed so has the same characters in it, whatever its type.

    A plain word, which no JSON encoder escapes; and only a number that is written as it is typed: ``120`` stands in ``120``,
    ``120.0`` and ``"120"``, but ``1e2`` does not stand in ``100``.
    """
    return bool(_WORD.fullmatch(typed)) and (bool(_WHOLE.fullmatch(typed)) or not _is_number(typed))


def _is_number(typed: str) -> bool:
    try:
        float(typed)
    except ValueError:
        return False
    return True
