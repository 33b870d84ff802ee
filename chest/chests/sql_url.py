"""``SQLTarget``: what the URL of an SQL chest says, checked: the database, the table and the chest's own options."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, Self

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from chest.errors import SettingsError

DEFAULT_TABLE: Final = "chest_records"
DEFAULT_BUSY_TIMEOUT_MS: Final = 1000
"""Short of the exporter's deadline at shutdown (3 s), and long beside any transaction of ours (some ms)."""
DEFAULT_TIMEOUT_SECONDS: Final = 10.0

_BACKENDS: Final = {
    "sqlite": "sqlite",
    "postgresql": "postgresql",
    "postgresql+psycopg": "postgresql",
    "postgres": "postgresql",
    "mysql": "mysql",
    "mysql+pymysql": "mysql",
    "mariadb": "mysql",
    "mariadb+pymysql": "mysql",
}
_OWN_OPTIONS: Final = {
    "sqlite": ("busy_timeout_ms", "index", "table"),
    "postgresql": ("index", "table", "timeout_seconds"),
    "mysql": ("index", "table", "timeout_seconds"),
}
_DRIVER_OPTIONS: Final = {
    "sqlite": (),
    # libpq's names: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
    "postgresql": (
        "application_name", "channel_binding", "gssencmode", "host", "sslcert", "sslcrl", "sslkey", "sslmode",
        "sslnegotiation", "sslrootcert", "target_session_attrs",
    ),
    # Those of the mysql command, with _ for -.
    "mysql": ("ssl_ca", "ssl_cert", "ssl_key", "ssl_mode", "unix_socket"),
}  # fmt: skip

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_LONGEST_BUSY_TIMEOUT_MS: Final = 60_000
_LONGEST_TIMEOUT_SECONDS: Final = 600.0


class SQLTarget(NamedTuple):
    """Where an SQL chest writes."""

    url: URL
    """The URL as SQLAlchemy takes it, without the options below."""
    backend: str
    """``sqlite``, ``postgresql`` or ``mysql``, which is MariaDB too."""
    name: str
    """A label for messages, without secrets; with the table where it is not the usual one."""
    table: str
    """A valid SQL identifier; the only piece of SQL that comes from outside, and only from configuration."""
    has_request_id_index: bool
    busy_timeout_ms: int
    """SQLite's."""
    timeout_seconds: float
    """A server's: for each answer of it."""
    driver_options: Mapping[str, str]
    """What the driver is told, under its own names or those of the database's tools."""

    @classmethod
    def of(cls, text: str) -> Self:
        """What the URL says.

        :raises SettingsError: it cannot be meant as it stands.
        """
        url = _read(text)
        backend = _backend(url)
        query = {name.replace("-", "_") if backend == "mysql" else name: value for name, value in url.query.items()}
        _refuse_unknown(query, (*_OWN_OPTIONS[backend], *_DRIVER_OPTIONS[backend]), backend)
        table = _table(query.get("table", DEFAULT_TABLE))
        return cls(
            url=url.set(query={}, drivername=backend),
            backend=backend,
            name=_name(url, table),
            table=table,
            has_request_id_index=_has_request_id_index(query.get("index")),
            busy_timeout_ms=_busy_timeout_ms(query.get("busy_timeout_ms", str(DEFAULT_BUSY_TIMEOUT_MS))),
            timeout_seconds=_timeout_seconds(query.get("timeout_seconds", str(DEFAULT_TIMEOUT_SECONDS))),
            driver_options={
                name: _one(name, value) for name, value in query.items() if name in _DRIVER_OPTIONS[backend]
            },
        )


def _read(text: str) -> URL:
    try:
        return make_url(text)
    except (ArgumentError, ValueError):
        raise SettingsError(
            f"This {text.partition(':')[0]}: URL cannot be read. It looks like sqlite:///file.sqlite3 or"
            " postgresql://user:password@host/database; a character of a password that means something in URLs is"
            " written as its %-code."
        ) from None


def _backend(url: URL) -> str:
    backend = _BACKENDS.get(url.drivername.lower())
    if backend is None:
        raise SettingsError(
            f"No SQL chest has the scheme {url.drivername}: write postgresql: (psycopg), mysql: (PyMySQL) or sqlite:."
        )
    return backend


def _name(url: URL, table: str) -> str:
    label = url.set(query={}).render_as_string(hide_password=True)
    return label if table == DEFAULT_TABLE else f"{label}?table={table}"


def _refuse_unknown(query: Mapping[str, Any], options: Sequence[str], backend: str) -> None:
    for option in query:
        if option not in options:
            nearest = difflib.get_close_matches(option, options, n=1)
            hint = f" Did you mean {nearest[0]}?" if nearest else ""
            names = ", ".join(sorted(options))
            raise SettingsError(f"A {backend} chest has no option ?{option}=.{hint} There are: {names}.")


def _one(name: str, value: str | tuple[str, ...]) -> str:
    if isinstance(value, str):
        return value
    raise SettingsError(f"?{name}= is given {len(value)} times: give it once.")


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


def _timeout_seconds(value: str | tuple[str, ...]) -> float:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,3})?", value):
        seconds = float(value)
        if 0 < seconds <= _LONGEST_TIMEOUT_SECONDS:
            return seconds
    raise SettingsError(f"?timeout_seconds={value!r}: seconds, more than 0 and at most {_LONGEST_TIMEOUT_SECONDS:g}.")
