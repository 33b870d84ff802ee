"""A stored record as text: one line, whole, or JSON. Control characters of a request are shown, and do not reach the terminal."""

from __future__ import annotations

import json
import os
import re
import sys
from typing import Any, Final

import click

from chest.chests.contract import StoredRecord
from chest.query.record_fields import record_fields, time_of, utc_text
from chest.record.messages import cut, printable
from chest.record.record import Outcome, Record

_LONGEST_PATH: Final = 120
_LONGEST_VALUE: Final = 60
_LONGEST_ERROR: Final = 24
_SHORTEST_ROUTE: Final = 12
_SHORTEST_VARIABLES: Final = 6
_ID_CHARACTERS: Final = 8
_FEWEST_COLUMNS: Final = 80
_PLAIN: Final = re.compile(r"[^\s\"'\\{}\[\],=]+")


def json_line(stored: StoredRecord) -> str:
    """One JSON object on one line: the fields of the record, and ``seq``, ``stored_at`` and ``time`` (UTC)."""
    return json_text(record_fields(stored))


def json_text(value: Any) -> str:
    """Compact JSON, with the same characters escaped as by :func:`printable`; they can only stand inside of strings."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    return text if text.isprintable() else "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def line(stored: StoredRecord, columns: int | None = None, *, is_late: bool = False) -> str:
    """The record on one line, long paths and values cut.

    :param columns: how wide it may be; None: as wide as it is, as for a pipe.
    :param is_late: mark its time, since a later one stands above it.
    """
    text = _wide_line(stored) if columns is None else _narrow_line(stored, columns)
    time_ends = len("2026-01-31 12:00:00.000" if columns is None else "01-31 12:00:00")
    return f"{text[:time_ends]}+{text[time_ends + 1 :]}" if is_late else text


def _wide_line(stored: StoredRecord) -> str:
    record = stored.record
    parts = (
        f"{time_of(stored.record):%Y-%m-%d %H:%M:%S.%f}"[:-3],
        _status_text(stored),
        f"{record.duration_ns / 1e6:9.1f} ms",
        f"{printable(record.method)} {cut(printable(record.path), _LONGEST_PATH)}",
        cut(printable(record.error), _LONGEST_PATH) if record.error else "",
        click.style(printable(record.request_id), dim=True),
        _variables_text(record),
    )
    return "  ".join(part for part in parts if part).rstrip()


def terminal_columns() -> int | None:
    """How wide a line may be: as the terminal is, or COLUMNS says; None if the output is no terminal."""
    if not (sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit()):
        return None
    import shutil  # with its compressors behind it

    return max(shutil.get_terminal_size().columns, _FEWEST_COLUMNS)


def _narrow_line(stored: StoredRecord, columns: int) -> str:
    """Route and error class in the place of path and outcome, and as much of the rest as there is room for."""
    record = stored.record
    how = record.error or ("" if record.outcome == Outcome.OK else record.outcome)
    how = cut(printable(how), _LONGEST_ERROR)
    begin = f"{time_of(stored.record):%m-%d %H:%M:%S} "
    took = f" {_duration_text(record.duration_ns):>7} "
    request_id = _cut_id(printable(record.request_id))
    room = columns - len(begin) - 3 - len(took) - len(request_id) - 1 - (len(how) + 1 if how else 0)
    what = cut(printable(f"{record.method} {record.route or record.path}"), max(room, _SHORTEST_ROUTE))
    variables = f" {_variables_text(record)}" if record.variables else ""
    left = columns - len(begin) - 3 - len(took) - len(request_id) - 1 - len(what) - (len(how) + 1 if how else 0)
    colour = _colour_of(record)
    return "".join(
        (
            begin,
            click.style("---" if record.status is None else f"{record.status:>3}", fg=colour),
            took,
            click.style(request_id, dim=True),
            f" {what}",
            f" {click.style(how, fg=colour)}" if how else "",
            cut(variables, left) if left > _SHORTEST_VARIABLES else "",
        )
    ).rstrip()


def _duration_text(duration_ns: int) -> str:
    """In the largest unit of which it is at least one, in at most seven characters up to 27 hours."""
    milliseconds = duration_ns / 1e6
    if milliseconds < 10_000:
        return f"{milliseconds:.1f}ms" if milliseconds < 1000 else f"{milliseconds:.0f}ms"
    return f"{milliseconds / 1000:.0f}s"


def _variables_text(record: Record) -> str:
    return " ".join(f"{printable(name)}={_short(value)}" for name, value in record.variables.items())


def _cut_id(request_id: str) -> str:
    """The beginning of an id, which ``chest show`` takes as well."""
    return request_id if len(request_id) <= _ID_CHARACTERS else request_id[:_ID_CHARACTERS]


def whole(stored: StoredRecord) -> str:
    """Every field of the record on a line of its own, variables and attributes below."""
    record = stored.record
    rows: list[tuple[str, str]] = [
        ("request_id", record.request_id),
        ("time", utc_text(time_of(stored.record))),
        ("duration", f"{record.duration_ns / 1e6:.3f} ms"),
        ("request", f"{record.method} {record.path}"),
        ("route", record.route or "-"),
        ("status", "-" if record.status is None else str(record.status)),
        ("outcome", record.outcome if record.error is None else f"{record.outcome} ({record.error})"),
        ("service", f"{record.service} {record.release}".strip() or "-"),
        ("host", record.host or "-"),
        ("stored_at", f"{utc_text(stored.stored_at)} (seq {stored.cursor})"),
        ("id", record.id),
    ]
    lines = [f"{click.style(f'{name:<10}', bold=True)}  {printable(text)}" for name, text in rows]
    for title, values in (("variables", record.variables), ("attributes", record.attributes)):
        lines.append(click.style(title, bold=True))
        lines += [f"  {printable(name)} = {json_text(value)}" for name, value in values.items()] or ["  (none)"]
    return "\n".join(lines)


def _status_text(stored: StoredRecord) -> str:
    record = stored.record
    status = "---" if record.status is None else f"{record.status:>3}"
    text = status if record.outcome == Outcome.OK else f"{status} {printable(record.outcome)}"
    return click.style(text, fg=_colour_of(record))


def _colour_of(record: Record) -> str:
    if record.outcome == Outcome.ERROR or (record.status or 0) >= 500:
        return "red"
    return "yellow" if (record.status or 0) >= 400 or record.outcome != Outcome.OK else "green"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) and _PLAIN.fullmatch(value) and value.isprintable() else json_text(value)
    return cut(text, _LONGEST_VALUE)
