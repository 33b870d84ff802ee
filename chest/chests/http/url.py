"""``HttpTarget``: what the URL of an HTTP chest says, checked: the address, the log-in and the chest's own options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Self

import httpx

from chest.chests.http_client import basic_authorization
from chest.chests.proxy import Proxy
from chest.chests.registry import refuse_ambiguous_login, safe_url
from chest.chests.url_options import timeout_seconds_of, yes_no_of
from chest.errors import SettingsError
from chest.record.secret_names import is_secret_parameter

_OWN_PARAMETERS: Final = ("format", "gzip", "timeout_seconds")
_FORMATS: Final = ("json", "ndjson")


class HttpTarget(NamedTuple):
    """Where an HTTP chest sends, and how."""

    name: str
    """A label for messages, without secrets."""
    url: httpx.URL
    """The address without the log-in, and without the parameters that are the chest's own."""
    authorization: str | None
    """The header for the log-in of the URL (RFC 7617)."""
    format: str
    is_gzipped: bool
    timeout_seconds: float
    secrets: tuple[str, ...]
    """Texts of the URL that no message may hold."""

    @classmethod
    def of(cls, text: str, params: Mapping[str, Any]) -> Self:
        """What the URL says, with more parameters for it.

        :raises SettingsError: invalid chest URL.
        """
        refuse_ambiguous_login(str(text))
        url = _parsed(text)
        own = {name: url.params.get(name) for name in _OWN_PARAMETERS}
        sent = httpx.QueryParams([pair for pair in url.params.multi_items() if pair[0] not in own]).merge(params)
        bare = url.copy_with(userinfo=b"", query=None, fragment=None)
        return cls(
            name=safe_url(text),
            url=bare.copy_with(params=sent) if sent else bare,
            authorization=basic_authorization(url),
            format=format_of(own["format"]),
            is_gzipped=yes_no_of("gzip", own["gzip"]),
            timeout_seconds=timeout_seconds_of(own["timeout_seconds"]),
            secrets=(
                url.password or url.username,
                *(value for name, value in sent.multi_items() if is_secret_parameter(name)),
            ),
        )

    def proxy(self, proxies: str | Mapping[str, str] | None) -> Proxy | None:
        """The proxy for this address; see :meth:`Proxy.for_address` for the parameter."""
        return Proxy.for_address(self.url.scheme, self.url.host, self.url.port, proxies)


def format_of(text: str | None) -> str:
    """The form of the body: ``json``, unless another is asked for."""
    if text is None or text in _FORMATS:
        return text or "json"
    raise SettingsError(f"format={text!r}: there are {' and '.join(_FORMATS)}.")


def _parsed(text: str) -> httpx.URL:
    try:
        url = httpx.URL(text)
        if url.scheme in ("http", "https") and url.host and "%" not in url.host:
            return url
    except (httpx.InvalidURL, TypeError, UnicodeError):
        pass
    raise SettingsError(
        f"{safe_url(str(text))!r} is not an address to send records to: it looks like https://host/path; a character of a"
        " password that means something in URLs is written as its %-code."
    )
