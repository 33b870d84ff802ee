"""The proxy that the environment names for a store: ``http_proxy``, ``https_proxy``, ``all_proxy`` and ``no_proxy``, as curl reads them."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple, Self
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

from chest.errors import ChestUnavailable
from chest.record.messages import one_line

__all__ = ["Proxy", "unusable_proxy"]


class Proxy(NamedTuple):
    """A proxy, with the log-in that its URL may hold kept apart."""

    url: str
    """With a scheme, and without the log-in."""
    login: tuple[str, str] | None
    """User and password."""

    @classmethod
    def of(cls, text: str) -> Self:
        """The proxy of a URL, ``host:port`` meaning ``http://host:port``."""
        parts = urlsplit(text if "://" in text else f"http://{text}")
        login, _, place = parts.netloc.rpartition("@")
        user, _, password = login.partition(":")
        url = urlunsplit((parts.scheme, place, "", "", ""))
        return cls(url, (unquote(user), unquote(password)) if login else None)

    @classmethod
    def for_address(
        cls, scheme: str, host: str, port: int | None, proxies: str | Mapping[str, str] | None = None
    ) -> Self | None:
        """The proxy on the way to this address; None: a direct connection.

        :param scheme: ``http`` or ``https``.
        :param host: a name, or an IP address without brackets.
        :param proxies: a proxy's URL; or URLs by scheme, as ``requests`` takes them; None asks the environment.
        """
        if isinstance(proxies, str):
            return cls.of(proxies)
        if proxies is None:
            proxies = getproxies()
            if _is_exempt(host, port or (443 if scheme == "https" else 80), proxies.get("no", "")):
                return None
        names = (scheme, f"{scheme}://", "all", "all://")
        return next((cls.of(proxies[name]) for name in names if proxies.get(name)), None)


def unusable_proxy(name: str, proxy: Proxy, error: BaseException) -> ChestUnavailable:
    """The error for a proxy that the client cannot use.

    :param name: the label of the chest.
    :param error: what the client raised.
    """
    return ChestUnavailable(
        f"{name}: cannot use the proxy {proxy.url} ({one_line(str(error))}). Correct http_proxy, https_proxy or all_proxy, or exempt the"
        " host in no_proxy."
    )


def _is_exempt(host: str, port: int, no_proxy: str) -> bool:
    """True if ``no_proxy`` exempts this address: by name or suffix, with a port or without, and by address or network."""
    if proxy_bypass(host) or proxy_bypass(f"{host}:{port}"):
        return True
    with suppress(ValueError):
        address = ipaddress.ip_address(host)
        return any(address in network for network in _networks(no_proxy))
    return False


def _networks(no_proxy: str) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    networks = []
    for entry in no_proxy.split(","):
        with suppress(ValueError):
            networks.append(ipaddress.ip_network(entry.strip().strip("[]"), strict=False))
    return networks
