"""``InfluxTarget``: what the URL of an InfluxDB chest says, checked: server, organization, bucket and the chest's options."""

from __future__ import annotations

import os
from typing import Final, NamedTuple, Self
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from chest.chests.influxdb.bucket import DEFAULT_MOST_VALUES
from chest.chests.influxdb.points import SHAPES
from chest.chests.proxy import Proxy
from chest.chests.registry import refuse_ambiguous_login, safe_url
from chest.chests.url_options import refuse_unknown, timeout_seconds_of, yes_no_of
from chest.errors import SettingsError

TOKEN_VARIABLE: Final = "INFLUXDB_TOKEN"  # noqa: S105 - its name
DEFAULT_PORT: Final = 8086
_MOST_VALUES: Final = 1_000_000
_OPTIONS: Final = ("gzip", "integers", "most_values", "shape", "timeout_seconds", "token")


class InfluxTarget(NamedTuple):
    """Where an InfluxDB chest writes."""

    name: str
    """A label for messages, without secrets."""
    address: str
    """``http://host:8086``."""
    org: str
    bucket: str
    token: str
    shape: str
    integers: frozenset[str]
    most_values: int
    is_gzipped: bool
    timeout_seconds: float

    @classmethod
    def of(cls, text: str) -> Self:
        """What the URL says; the token is the environment's if the URL has none.

        :raises SettingsError: invalid chest URL.
        """
        refuse_ambiguous_login(text)
        try:
            url = urlsplit(text)
            host, port = url.hostname, url.port or DEFAULT_PORT
        except ValueError:
            raise SettingsError(_no_url(text)) from None
        org, _, bucket = url.path.strip("/").partition("/")
        if not host or not org or not bucket or "/" in bucket or url.username or url.password:
            raise SettingsError(_no_url(text))
        options = dict(parse_qsl(url.query))
        refuse_unknown(options, _OPTIONS, "An InfluxDB chest")
        scheme = "https" if url.scheme.lower().endswith("+https") else "http"
        shape = _shape(options.get("shape", "request"))
        shown_host = f"[{host}]" if ":" in host else host
        shown_shape = "" if shape == "request" else f"?shape={shape}"
        return cls(
            name=f"influxdb{'+https' if scheme == 'https' else ''}://{shown_host}:{port}/{org}/{bucket}{shown_shape}",
            address=f"{scheme}://{shown_host}:{port}",
            org=unquote(org),
            bucket=unquote(bucket),
            token=options.get("token") or os.environ.get(TOKEN_VARIABLE, ""),
            shape=shape,
            integers=frozenset(filter(None, options.get("integers", "").split(","))),
            most_values=_most_values(options.get("most_values")),
            is_gzipped=yes_no_of("gzip", options.get("gzip")),
            timeout_seconds=timeout_seconds_of(options.get("timeout_seconds")),
        )

    def proxy(self) -> Proxy | None:
        """The proxy that the environment names for the server."""
        url = urlsplit(self.address)
        return Proxy.for_address(url.scheme, url.hostname or "", url.port)


def influx_url(address: str, *, org: str, bucket: str, shape: str) -> str:
    """The chest's URL, without a token, for a server's address (``http://host:8086``) and the names in it."""
    scheme, _, place = address.partition("://")
    if scheme not in ("http", "https"):
        raise SettingsError(f"{safe_url(address)!r} is not the address of an InfluxDB: it looks like http://host:8086")
    kind = "influxdb+https" if scheme == "https" else "influxdb"
    return f"{kind}://{place.rstrip('/')}/{quote(org, safe='')}/{quote(bucket, safe='')}?shape={shape}"


def _no_url(text: str) -> str:
    return (
        f"{safe_url(text)!r} names no bucket: write influxdb://host:8086/org/bucket, or influxdb+https://, the token as"
        f" ?token= or in {TOKEN_VARIABLE}; a / in a name is %2F."
    )


def _shape(text: str) -> str:
    if text in SHAPES:
        return text
    raise SettingsError(f"?shape={text!r}: there are {' and '.join(SHAPES)}.")


def _most_values(text: str | None) -> int:
    if text is None:
        return DEFAULT_MOST_VALUES
    if text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= _MOST_VALUES:
        return int(text)
    raise SettingsError(f"?most_values={text!r}: a whole number, 1 to {_MOST_VALUES}.")
