"""``SQLiteTarget``: what the URL of a SQLite chest says, checked."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final, NamedTuple, Self
from urllib.parse import parse_qsl, quote, unquote

from chest.chests.sql.columns import DEFAULT_TABLE, table_of
from chest.chests.url_options import has_request_id_index_of, refuse_unknown
from chest.errors import SettingsError

DEFAULT_BUSY_TIMEOUT_MS: Final = 1000
"""Shorter than the deadline at shutdown (3 s), and long compared to any transaction of ours (some ms)."""

_OPTIONS: Final = ("busy_timeout_ms", "index", "table")
_LONGEST_BUSY_TIMEOUT_MS: Final = 60_000


class SQLiteTarget(NamedTuple):
    """Where a SQLite chest writes."""

    path: Path
    """The file, absolute: the working directory may change later."""
    name: str
    """A label for messages; with the table if it is not the usual one."""
    table: str
    """A valid SQL identifier."""
    has_request_id_index: bool
    busy_timeout_ms: int
    """How long to wait for a lock of another connection."""

    @classmethod
    def of(cls, url: str) -> Self:
        """What the URL says.

        :raises SettingsError: invalid chest URL.
        """
        address, _, options = url.partition("?")
        scheme, _, place = address.partition(":")
        file = unquote(_file(place))
        query = _options(options)
        refuse_unknown(query, _OPTIONS, "A sqlite chest")
        table = table_of(query.get("table", DEFAULT_TABLE))
        label = f"{scheme.lower()}:///{quote(file, safe=' +/')}"
        return cls(
            path=Path(os.path.abspath(file)),
            name=label if table == DEFAULT_TABLE else f"{label}?table={table}",
            table=table,
            has_request_id_index=has_request_id_index_of(query.get("index")),
            busy_timeout_ms=_busy_timeout_ms(query.get("busy_timeout_ms", str(DEFAULT_BUSY_TIMEOUT_MS))),
        )


def _file(place: str) -> str:
    file = place.removeprefix("///")
    if file == place or not file or file.startswith(":memory:"):
        raise SettingsError(
            "A SQLite chest is a file: sqlite:///file.sqlite3 in the working directory, sqlite:////absolute/path with"
            " four slashes. For a chest in memory use memory:."
        )
    if file.startswith("file:"):
        raise SettingsError("A SQLite chest takes a path, not a file: URI: write sqlite:///file.sqlite3.")
    return file


def _options(text: str) -> dict[str, str | tuple[str, ...]]:
    options: dict[str, str | tuple[str, ...]] = {}
    for name, value in parse_qsl(text):
        before = options.get(name, ())
        options[name] = (*((before,) if isinstance(before, str) else before), value) if before else value
    return options


def _busy_timeout_ms(value: str | tuple[str, ...]) -> int:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,5}", value) and int(value) <= _LONGEST_BUSY_TIMEOUT_MS:
        return int(value)
    raise SettingsError(f"?busy_timeout_ms={value!r}: whole milliseconds, 0 to {_LONGEST_BUSY_TIMEOUT_MS}.")
