"""A stored record as text: one line, whole, or JSON. What requests brought is shown, never obeyed by the terminal."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import click

from chest.chests.base import StoredRecord
from chest.record import Outcome

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST_PATH: Final = 120
_LONGEST_VALUE: Final = 60
_PLAIN: Final = re.compile(r"[^\s\"'\\{}\[\],=]+")


def printable(text: str) -> str:
    """The text with all escaped that a terminal could obey or hide: controls, direction marks, line ends."""
    return text if text.isprintable() else "".join(c if c.isprintable() else _escaped(c) for c in text)


def json_line(stored: StoredRecord) -> str:
    """One JSON object on one line: the fields of the record, and ``seq``, ``stored_at`` and ``time`` (UTC)."""
    fields = {
        "seq": stored.cursor,
        "stored_at": utc_text(stored.stored_at),
        "time": utc_text(_time_of(stored)),
        **stored.record._asdict(),
    }
    return json_text(fields)


def json_text(value: Any) -> str:
    """Compact JSON, with the same characters escaped as by :func:`printable`; they can only stand inside of strings."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    return text if text.isprintable() else "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def line(stored: StoredRecord) -> str:
    """The record on one line, long paths and values cut."""
    record = stored.record
    variables = " ".join(f"{printable(name)}={_short(value)}" for name, value in record.variables.items())
    parts = (
        f"{_time_of(stored):%Y-%m-%d %H:%M:%S.%f}"[:-3],
        _status_text(stored),
        f"{record.duration_ns / 1e6:9.1f} ms",
        f"{printable(record.method)} {_cut(printable(record.path), _LONGEST_PATH)}",
        click.style(printable(record.request_id), dim=True),
        variables,
    )
    return "  ".join(parts).rstrip()


def whole(stored: StoredRecord) -> str:
    """Every field of the record on a line of its own, variables and attributes below."""
    record = stored.record
    rows: list[tuple[str, str]] = [
        ("request_id", record.request_id),
        ("time", utc_text(_time_of(stored))),
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


def utc_text(moment: datetime) -> str:
    """ISO 8601 in UTC, with microseconds and a ``Z``."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"


def _time_of(stored: StoredRecord) -> datetime:
    try:
        return _EPOCH + timedelta(microseconds=stored.record.time_ns // 1000)
    except OverflowError:
        return _EPOCH


def _status_text(stored: StoredRecord) -> str:
    record = stored.record
    status = "---" if record.status is None else f"{record.status:>3}"
    text = status if record.outcome == Outcome.OK else f"{status} {printable(record.outcome)}"
    if record.outcome == Outcome.ERROR or (record.status or 0) >= 500:
        return click.style(text, fg="red")
    return click.style(text, fg="yellow" if (record.status or 0) >= 400 or record.outcome != Outcome.OK else "green")


def _short(value: Any) -> str:
    text = value if isinstance(value, str) and _PLAIN.fullmatch(value) and value.isprintable() else json_text(value)
    return _cut(text, _LONGEST_VALUE)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
