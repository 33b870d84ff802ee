"""``ClickHouseTarget``: what the URL of a ClickHouse chest says, checked: hosts, log-in, database, table and options."""

from __future__ import annotations

import re
from typing import Final, NamedTuple, Self
from urllib.parse import quote, unquote

from chest.chests.registry import safe_url
from chest.chests.url_options import ServersUrl, refuse_unknown, timeout_seconds_of, ttl_days_of, yes_no_of
from chest.errors import SettingsError

DEFAULT_TABLE: Final = "chest_records"
_DEFAULT_DATABASE: Final = "default"
_PORTS: Final = {"http": 8123, "https": 8443}
_OPTIONS: Final = ("ca_file", "gzip", "table", "timeout_seconds", "ttl_days")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_MOST_TTL_DAYS: Final = 36_500


class ClickHouseTarget(NamedTuple):
    """Where a ClickHouse chest writes."""

    name: str
    """A label for messages, without secrets."""
    addresses: tuple[str, ...]
    """``http://host:8123`` of each host; the first that answers is used."""
    user: str
    password: str
    database: str
    table: str
    is_gzipped: bool
    ca_file: str | None
    """Certificates to trust in the place of the system's."""
    ttl_days: int | None
    timeout_seconds: float

    @classmethod
    def of(cls, text: str) -> Self:
        """What the URL says.

        :raises SettingsError: invalid chest URL.
        """
        url = ServersUrl.of(text)
        protocol = "https" if url.scheme.endswith("+https") else "http"
        database = unquote(url.path) or _DEFAULT_DATABASE
        places = [f"{host}:{port}" for host, port in url.places(_PORTS[protocol])]
        if not places or "#" in text or not _NAME.fullmatch(database):
            raise SettingsError(_no_url(text))
        options = url.options
        _refuse_asynchronous(options)
        refuse_unknown(options, _OPTIONS, "A ClickHouse chest")
        if protocol == "http" and "ca_file" in options:
            raise SettingsError("?ca_file=: nothing is encrypted over clickhouse://; write clickhouse+https://.")
        table = options.get("table", DEFAULT_TABLE)
        if not _NAME.fullmatch(table):
            raise SettingsError(
                f"?table={table!r}: a name of letters, digits and _, not beginning with a digit, at most 100."
            )
        ttl_days = ttl_days_of(options.get("ttl_days"), _MOST_TTL_DAYS, in_whole_days=True)
        shown_table = "" if table == DEFAULT_TABLE else f"?table={table}"
        return cls(
            name=f"{url.shown_at(','.join(places))}{quote(database)}{shown_table}",
            addresses=tuple(f"{protocol}://{each}" for each in places),
            user=url.user or "default",
            password=url.password,
            database=database,
            table=table,
            is_gzipped=yes_no_of("gzip", options.get("gzip", "1")),
            ca_file=options.get("ca_file"),
            ttl_days=None if ttl_days is None else int(ttl_days),
            timeout_seconds=timeout_seconds_of(options.get("timeout_seconds")),
        )

    @property
    def quoted_table(self) -> str:
        """The table as SQL names it."""
        return f"`{self.database}`.`{self.table}`"


def _no_url(text: str) -> str:
    return (
        f"{safe_url(text)!r} names no ClickHouse: write clickhouse://user:password@host:8123/database, or"
        " clickhouse+https://, several hosts with commas between them."
    )


def _refuse_asynchronous(options: dict[str, str]) -> None:
    for name in options:
        if name.startswith(("async_insert", "wait_for_async_insert")):
            raise SettingsError(
                f"?{name}=: an insert that is answered before it is stored can be lost without a sign, so each batch is"
                " written with async_insert=0. Leave it out; for fewer and larger inserts set batch_records."
            )
