"""``SQLTarget``: what the URL of an SQL chest says, checked: the database, the table and the chest's own options."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Self

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from chest.errors import SettingsError

DEFAULT_TABLE: Final = "chest_records"
DEFAULT_BUSY_TIMEOUT_MS: Final = 1000
"""Short of the exporter's deadline at shutdown (3 s), and long beside any transaction of ours (some ms)."""

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_OPTIONS: Final = ("busy_timeout_ms", "index", "table")
_LONGEST_BUSY_TIMEOUT_MS: Final = 60_000


class SQLTarget(NamedTuple):
    """Where an SQL chest writes."""

    url: URL
    """The URL without the options below."""
    table: str
    """A valid SQL identifier; the only piece of SQL that comes from outside, and only from configuration."""
    has_request_id_index: bool
    busy_timeout_ms: int

    @classmethod
    def of(cls, text: str) -> Self:
        """What the URL says.

        :raises SettingsError: it cannot be meant as it stands.
        """
        try:
            url = make_url(text)
        except (ArgumentError, ValueError):
            raise SettingsError(
                f"This {text.partition(':')[0]}: URL cannot be read. It looks like sqlite:///file.sqlite3; a character"
                " of a password that means something in URLs is written as its %-code."
            ) from None
        _refuse_unknown(url.query)
        return cls(
            url=url.set(query={}),
            table=_table(url.query.get("table", DEFAULT_TABLE)),
            has_request_id_index=_has_request_id_index(url.query.get("index")),
            busy_timeout_ms=_busy_timeout_ms(url.query.get("busy_timeout_ms", str(DEFAULT_BUSY_TIMEOUT_MS))),
        )

    @property
    def name(self) -> str:
        """A label for messages, without secrets; with the table where it is not the usual one."""
        label = self.url.render_as_string(hide_password=True)
        return label if self.table == DEFAULT_TABLE else f"{label}?table={self.table}"


def _refuse_unknown(query: Mapping[str, Any]) -> None:
    for option in query:
        if option not in _OPTIONS:
            nearest = difflib.get_close_matches(option, _OPTIONS, n=1)
            hint = f" Did you mean {nearest[0]}?" if nearest else ""
            raise SettingsError(f"An SQL chest has no option ?{option}=.{hint} There are: {', '.join(_OPTIONS)}.")


def _table(value: str | tuple[str, ...]) -> str:
    if isinstance(value, str) and _IDENTIFIER.fullmatch(value):
        return value
    raise SettingsError(f"?table={value!r}: a name of letters, digits and _, not beginning with a digit, at most 63.")


def _has_request_id_index(value: str | tuple[str, ...] | None) -> bool:
    if value in (None, "request_id"):
        return value is not None
    raise SettingsError(f"?index={value!r}: the index that can be had is ?index=request_id; without it, none is made.")


def _busy_timeout_ms(value: str | tuple[str, ...]) -> int:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,5}", value) and int(value) <= _LONGEST_BUSY_TIMEOUT_MS:
        return int(value)
    raise SettingsError(f"?busy_timeout_ms={value!r}: whole milliseconds, 0 to {_LONGEST_BUSY_TIMEOUT_MS}.")
