"""``SQLTarget``: what the URL of a chest on an SQL server says, checked: the database, the table and the chest's own options."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple, Self
from urllib.parse import quote, unquote

import sqlalchemy
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from chest.chests.registry import refuse_ambiguous_login
from chest.chests.sql.columns import DEFAULT_TABLE, table_of
from chest.chests.url_options import has_request_id_index_of, refuse_unknown, timeout_seconds_of
from chest.errors import SettingsError

_BACKENDS: Final = {
    "postgresql": "postgresql",
    "postgresql+psycopg": "postgresql",
    "postgres": "postgresql",
    "mysql": "mysql",
    "mysql+pymysql": "mysql",
    "mariadb": "mysql",
    "mariadb+pymysql": "mysql",
}
_OWN_OPTIONS: Final = ("index", "table", "timeout_seconds")
_DRIVER_OPTIONS: Final = {
    # libpq's names: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
    "postgresql": (
        "application_name", "channel_binding", "gssencmode", "host", "port", "sslcert", "sslcrl", "sslkey", "sslmode",
        "sslnegotiation", "sslrootcert", "target_session_attrs",
    ),
    # Those of the mysql command, with _ for -.
    "mysql": ("ssl_ca", "ssl_cert", "ssl_key", "ssl_mode", "unix_socket"),
}  # fmt: skip

_DECODES_DATABASE: Final = not sqlalchemy.__version__.startswith("2.0.")
"""SQLAlchemy does so since 2.1."""


class SQLTarget(NamedTuple):
    """Where an SQL chest writes."""

    url: URL
    """The URL as SQLAlchemy takes it, without the options below."""
    backend: str
    """``postgresql`` or ``mysql``, which is MariaDB too."""
    name: str
    """A label for messages, without secrets; with the table if it is not the usual one."""
    table: str
    """A valid SQL identifier; the only piece of SQL that comes from outside, and only from configuration."""
    has_request_id_index: bool
    timeout_seconds: float
    """For each answer of the server."""
    driver_options: Mapping[str, str]
    """Options of the driver, under its own names or those of the database's tools."""

    @classmethod
    def of(cls, text: str) -> Self:
        """What the URL says.

        :raises SettingsError: invalid chest URL.
        """
        url = _read(text)
        backend = _backend(url)
        query = {name.replace("-", "_") if backend == "mysql" else name: value for name, value in url.query.items()}
        refuse_unknown(query, (*_OWN_OPTIONS, *_DRIVER_OPTIONS[backend]), f"A {backend} chest")
        table = table_of(query.get("table", DEFAULT_TABLE))
        driver_options = {name: _one(name, value) for name, value in query.items() if name in _DRIVER_OPTIONS[backend]}
        return cls(
            url=url.set(query={}, drivername=backend),
            backend=backend,
            name=_name(url, table, _place(url, driver_options)),
            table=table,
            has_request_id_index=has_request_id_index_of(query.get("index")),
            timeout_seconds=timeout_seconds_of(query.get("timeout_seconds")),
            driver_options=driver_options,
        )


def _read(text: str) -> URL:
    refuse_ambiguous_login(text)
    try:
        url = make_url(text)
        return url if _DECODES_DATABASE or not url.database else url.set(database=unquote(url.database))
    except (ArgumentError, ValueError):
        raise SettingsError(
            f"This {text.partition(':')[0]}: URL cannot be read. It looks like"
            " postgresql://user:password@host/database; a character of a password that has a meaning in URLs is"
            " written as its %-code."
        ) from None


def _backend(url: URL) -> str:
    backend = _BACKENDS.get(url.drivername.lower())
    if backend is None:
        raise SettingsError(
            f"No SQL chest has the scheme {url.drivername}: write postgresql: (psycopg) or mysql: (PyMySQL)."
        )
    return backend


def _place(url: URL, options: Mapping[str, str]) -> str | None:
    """The server's address if an option gives it: a socket's path, or PostgreSQL's hosts, each with its port."""
    hosts = options.get("unix_socket") or options.get("host") or ""
    ports = options.get("port", str(url.port or ""))
    if not re.fullmatch(r"([0-9]{1,5}(,[0-9]{1,5})*)?", ports) or ports.count(",") not in (0, hosts.count(",")):
        raise SettingsError(f"?port={ports!r}: one port, or one for each host of ?host=, with commas between.")
    if not hosts and "port" not in options:
        return None
    names = (hosts or url.host or "").split(",")
    numbers = ports.split(",") if "," in ports else [ports] * len(names)
    return ",".join(
        quote(name, safe="") if name.startswith("/") or not number else f"{name}:{number}"
        for name, number in zip(names, numbers, strict=True)
    )


def _name(url: URL, table: str, place: str | None) -> str:
    label = url.set(query={}).render_as_string(hide_password=True)
    if place is not None:
        login = URL.create(url.drivername, url.username, url.password, "-").render_as_string(hide_password=True)
        label = f"{login.removesuffix('-')}{place}/{url.database or ''}"
    return label if table == DEFAULT_TABLE else f"{label}?table={table}"


def _one(name: str, value: str | tuple[str, ...]) -> str:
    if isinstance(value, str):
        return value
    raise SettingsError(f"?{name}= is given {len(value)} times: give it once.")
