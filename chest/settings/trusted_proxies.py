"""``TrustedProxies``: the proxies whose word about the client is trusted, by network or by number."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final, TypeAlias

from chest.settings.types import OptionType

Address: TypeAlias = IPv4Address | IPv6Address
Given: TypeAlias = int | str | Iterable[str]
"""A number of proxies, or networks (a list, or a text with commas), with ``unix`` for a peer behind a unix socket."""

UNIX: Final = "unix"
_MOST_HOPS: Final = 32
_MAPPED_BITS: Final = 96
"""``::ffff:0:0/96`` holds IPv4's addresses (RFC 4291, section 2.5.5.2)."""


class TrustedProxies:
    """The proxies that are believed; none at all by default.

    :param given: networks such as ``10.0.0.0/8``, and ``unix``; or how many proxies each request passes.
    :raises ValueError: one of them is neither.
    """

    def __init__(self, given: Given = ()) -> None:
        if isinstance(given, str):
            given = int(given) if given.strip().isdecimal() else [each.strip() for each in given.split(",")]
        if isinstance(given, int):
            if isinstance(given, bool) or not 0 <= given <= _MOST_HOPS:
                raise ValueError(f"{given!r} is not a number of proxies from 0 to {_MOST_HOPS}")
            self.plain: int | tuple[str, ...] = given
            self.hops: int | None = given
            return
        self.hops = None
        """How many proxies a request passes; None: those of the networks."""
        names = [each for each in given if each != ""]
        self._networks = [_network(name) for name in names if name != UNIX]
        self._trusts_unix = UNIX in names
        self.plain = tuple(names)
        """What was given, as it can be compared and shown."""

    def trust(self, peer: Address | None, *, is_unix: bool = False) -> bool:
        """True if a proxy of this address is believed, without regard to :attr:`hops`."""
        if peer is None:
            return is_unix and self._trusts_unix
        return any(peer.version == network.version and peer in network for network in self._networks)


def trusted_proxies() -> OptionType:
    """The kind of option: networks, or a number."""

    def parse(given: object) -> int | tuple[str, ...]:
        if not isinstance(given, int | str | Iterable) or isinstance(given, bytes):
            raise ValueError
        return TrustedProxies(given).plain

    text = "networks such as 10.0.0.0/8, and `unix` (text: separated by commas); or how many proxies there are"
    return OptionType(text, parse, int | str | Iterable[str])


def _network(name: object) -> IPv4Network | IPv6Network:
    if not isinstance(name, str):
        raise ValueError(f"{name!r} is not a network such as 10.0.0.0/8")
    try:
        network = ip_network(name)
    except ValueError as error:
        raise ValueError(str(error)) from None
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    if mapped is None or network.prefixlen < _MAPPED_BITS:
        return network
    return IPv4Network((mapped, network.prefixlen - _MAPPED_BITS))
