"""``Reply``: an answer as JSON, and as CSV if it is a table."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from chest.chests.asking.cube import Basis
from chest.request.wsgi import WSGIAnswer

__all__ = ["Reply", "basis_of", "milliseconds"]

_NOT_STORED: Final = {"Cache-Control": "no-store"}
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""How a cell begins that a spreadsheet takes for a formula."""


class Reply(NamedTuple):
    """What an endpoint answers.

    :param value: as JSON.
    :param rows: as a table, the same columns in each row; None if it is none.
    """

    value: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]] | None = None

    def json(self) -> WSGIAnswer:
        """As JSON."""
        try:
            body = _json(self.value, allow_nan=False)
        except ValueError:  # of a store that holds NaN, which no browser reads
            body = _json(json.loads(_json(self.value, allow_nan=True), parse_constant=lambda _: None), allow_nan=False)
        return WSGIAnswer(200, "application/json", body.encode("utf-8", "replace"), _NOT_STORED)

    def csv(self) -> WSGIAnswer:
        """As CSV, with a line of headings; a text that a spreadsheet would take for a formula has a ``'`` in front of it."""
        text = io.StringIO()
        writer = csv.writer(text)
        if self.rows:
            writer.writerow(self.rows[0])
            writer.writerows([_cell(value) for value in row.values()] for row in self.rows)
        return WSGIAnswer(200, "text/csv; charset=utf-8", text.getvalue().encode("utf-8", "replace"), _NOT_STORED)


def _json(value: Any, *, allow_nan: bool) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str, allow_nan=allow_nan)


def basis_of(basis: Basis) -> dict[str, Any]:
    """What an answer rests on, as the page says it."""
    is_complete = basis.is_exact or basis.read < basis.of
    if basis.is_exact:
        text = "exact"
    elif is_complete:
        text = f"estimated from {basis.read:,} of {basis.of:,}"
    else:
        text = f"of the first {basis.read:,} records only"
    return {
        "exact": basis.is_exact,
        "seen": basis.read,
        "of": basis.of,
        "text": text,
        "complete": is_complete,
        "seconds": basis.seconds,
    }


def milliseconds(nanoseconds: float | None) -> float | None:
    """A duration, or a moment, in milliseconds."""
    return None if nanoseconds is None else nanoseconds / 1e6


def _cell(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict | list | tuple):
        value = json.dumps(value, ensure_ascii=False, default=str)
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
