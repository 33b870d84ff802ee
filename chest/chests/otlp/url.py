"""``OtlpTarget``: what the URL of an OTLP chest says, checked: the collector, the signal, the log-in and headers."""

from __future__ import annotations

import os
from typing import Final, NamedTuple, Self
from urllib.parse import unquote, urlencode

import httpx

from chest.chests.http_client import basic_authorization
from chest.chests.proxy import Proxy
from chest.chests.registry import refuse_ambiguous_login, safe_url
from chest.chests.url_options import refuse_unknown, timeout_seconds_of, yes_no_of
from chest.errors import SettingsError

_PORT: Final = 4318
_OPTIONS: Final = ("ca_file", "gzip", "headers_env", "signal", "timeout_seconds")
_PATHS: Final = {"traces": "/v1/traces", "logs": "/v1/logs"}


class OtlpTarget(NamedTuple):
    """Where an OTLP chest sends, and how."""

    name: str
    """A label for messages, without secrets."""
    url: httpx.URL
    """The address of the signal, without the log-in."""
    signal: str
    authorization: str | None
    headers: dict[str, str]
    """Those of ``headers_env``."""
    is_gzipped: bool
    ca_file: str | None
    """Certificates to trust in the place of the system's."""
    timeout_seconds: float
    secrets: tuple[str, ...]
    """Texts of the URL that no message may hold."""

    @classmethod
    def of(cls, text: str) -> Self:
        """What the URL says.

        :raises SettingsError: invalid chest URL.
        """
        refuse_ambiguous_login(text)
        url = _parsed(text)
        refuse_unknown(url.params.keys(), _OPTIONS, "An OTLP chest")
        signal = url.params.get("signal", "traces")
        if signal not in _PATHS:
            raise SettingsError(f"?signal={signal!r}: there are {' and '.join(_PATHS)}.")
        protocol = "https" if url.scheme.endswith("+https") else "http"
        if protocol == "http" and "ca_file" in url.params:
            raise SettingsError("?ca_file=: nothing is encrypted over otlp://; write otlp+https://.")
        host, path = url.netloc.decode(), url.path.rstrip("/").removesuffix(_PATHS[signal])
        if path.endswith(tuple(_PATHS.values())):
            raise SettingsError(
                f"{safe_url(text)!r} ends in the path of another signal: leave the path out, or write ?signal=."
            )
        if url.port is None:
            host = f"{host}:{_PORT}"
        login = safe_url(text).partition("://")[2].rpartition("@")
        shown = {"headers_env": url.params.get("headers_env"), "signal": signal if signal != "traces" else None}
        query = urlencode({name: value for name, value in shown.items() if value is not None})
        return cls(
            name=f"{url.scheme}://{''.join(login[:2])}{host}{path}{'?' * bool(query)}{query}",
            url=httpx.URL(f"{protocol}://{host}").copy_with(path=path + _PATHS[signal]),
            signal=signal,
            authorization=basic_authorization(url),
            headers=_headers_of(url.params.get("headers_env")),
            is_gzipped=yes_no_of("gzip", url.params.get("gzip", "1")),
            ca_file=url.params.get("ca_file"),
            timeout_seconds=timeout_seconds_of(url.params.get("timeout_seconds")),
            secrets=(url.password or url.username,),
        )

    def proxy(self) -> Proxy | None:
        """The proxy that the environment names for this address."""
        return Proxy.for_address(self.url.scheme, self.url.host, self.url.port)


def _parsed(text: str) -> httpx.URL:
    try:
        url = httpx.URL(text)
        if url.host and "%" not in url.host and "#" not in text and (url.port is None or 0 < url.port < 2**16):
            return url
    except (httpx.InvalidURL, TypeError, UnicodeError):
        pass
    raise SettingsError(
        f"{safe_url(text)!r} names no collector: write otlp://host:4318, or otlp+https://host:443/path without /v1/traces."
    )


def _headers_of(variable: str | None) -> dict[str, str]:
    """The headers that an environment variable holds, in the form of ``OTEL_EXPORTER_OTLP_HEADERS``."""
    if variable is None:
        return {}
    text = os.environ.get(variable)
    if text is None:
        raise SettingsError(f"?headers_env={variable}: there is no environment variable of this name.")
    headers = {}
    for entry in filter(None, map(str.strip, text.split(","))):
        name, mark, value = entry.partition("=")
        if not (mark and name.strip()):
            raise SettingsError(f"The environment variable {variable} has to hold headers as name=value,name=value.")
        headers[name.strip()] = unquote(value.strip())
    return headers
