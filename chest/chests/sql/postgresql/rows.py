"""Rows for PostgreSQL: one array a column, and the statement that takes them apart again."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from sqlalchemy import Table
from sqlalchemy.engine import Dialect

__all__ = ["array_text", "insert_text", "same_columns"]

_MOSTLY_SAME: Final = ("service", "release", "host", "stored_at")


def same_columns(columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> frozenset[str]:
    """Of those that are mostly the same for a whole batch, the columns that are: they are sent once."""
    first = rows[0]
    return frozenset(
        name
        for place, name in enumerate(columns)
        if name in _MOSTLY_SAME and all(row[place] == first[place] for row in rows)
    )


def array_text(values: Sequence[Any], are_numbers: bool) -> str:
    """The text of an array. A value of another type than the column's raises TypeError or ValueError."""
    if are_numbers:
        return f"{{{','.join('NULL' if value is None else int.__repr__(value) for value in values)}}}"
    if None in values:
        return f"{{{','.join('NULL' if value is None else _quoted([value]) for value in values)}}}"
    return f"{{{_quoted(values)}}}"


def _quoted(texts: Sequence[str]) -> str:
    """The texts in quotes and with commas between; all in one go, and NUL, which PostgreSQL does not take, between them."""
    joined = "\0".join(texts)
    if joined.count("\0") >= len(texts):
        raise ValueError("PostgreSQL takes no text with a NUL")
    inner = joined.replace("\\", "\\\\").replace('"', '\\"').replace("\0", '","')
    return f'"{inner}"'


@cache
def insert_text(table: Table, columns: tuple[str, ...], same: frozenset[str], dialect: Dialect) -> str:
    """SQL that stores the rows of arrays, in their order; ``same`` are not arrays."""
    types = {column: table.c[column].type.compile(dialect) for column in columns}
    names = ", ".join(f'"{column}"' for column in columns)
    chosen = ", ".join(f"%s::{types[column]}" if column in same else f'r."{column}"' for column in columns)
    arrays = [column for column in columns if column not in same]
    quoted_arrays = ", ".join(f'"{column}"' for column in arrays)
    return (
        f'INSERT INTO "{table.name}" ({names}) SELECT {chosen}'  # noqa: S608
        f" FROM unnest({', '.join(f'%s::{types[column]}[]' for column in arrays)})"
        f" AS r ({quoted_arrays})"
    )
