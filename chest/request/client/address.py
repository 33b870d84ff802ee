"""``client_address``: the address of the client, by what trusted proxies say."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from ipaddress import ip_address
from typing import Final

from chest.errors import SettingsError
from chest.request.context import ENVIRON_KEY, RequestContext
from chest.request.wsgi import StartResponse, WSGIApplication, WSGIEnvironment, value_in
from chest.settings.trusted_proxies import Address, Given, TrustedProxies

ADDRESS: Final = "client.address"
"""OpenTelemetry's name, and the attribute of the record."""
FORWARDED_FOR: Final = "X-Forwarded-For"

_FORWARDED: Final = "HTTP_FORWARDED"
_UNIX_PEERS: Final = frozenset(("", "0.0.0.0", "localhost", "<local>", "unix:"))  # noqa: S104 - nothing is bound
"""``REMOTE_ADDR`` through a unix socket: of gunicorn, cheroot and Granian, of uWSGI, of waitress, of Werkzeug; of nginx."""
_PROXY_FIX_KEY: Final = "werkzeug.proxy_fix.orig"
"""Under this key Werkzeug's ``ProxyFix`` keeps what the server said."""
_MOST_HOPS: Final = 32
_MOST_PIECES: Final = 8
"""Commas inside the quoted strings of one element, and one; a proxy writes none."""
_ELEMENT_CHARACTERS: Final = 1024
_ADDRESS_CHARACTERS: Final = 45
_AFTER_BRACKET: Final = re.compile(r"(?::[0-9A-Za-z._-]*)?")
# RFC 7239, section 4, but that a bare value may hold a colon, as proxies write it. For PyPy `x++` would be `x*+`.
_PAIR: Final = re.compile(
    r"""[ \t]*+(?:(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-][!#$%&'*+.^_`|~0-9A-Za-z-]*+)=(?:"(?P<quoted>(?:[^"\\]|\\.)*+)"|(?P<bare>[^\s",;\\]*+)))?+[ \t]*+(?:;|\Z)"""
)
_ESCAPED: Final = re.compile(r"\\(.)")


class ClientAddress:
    """Finds the address of the client of each request; it raises for no ``environ``.

    The walk begins at the server's peer and goes on through one header from the right, where each proxy has written its client. It
    ends at the first address that is not trusted, and before what is no address: anything to the left may be the client's own invention.

    :param trusted: the proxies that are believed.
    :param header: the header that they write; ``Forwarded`` is read by RFC 7239. No other header is looked at.
    """

    def __init__(self, trusted: TrustedProxies, header: str = FORWARDED_FOR) -> None:
        self._trusted = trusted
        self._key = "HTTP_" + header.upper().replace("-", "_")

    def of(self, environ: WSGIEnvironment) -> str | None:
        """The address, without port, brackets and zone, an IPv4-mapped one as IPv4; None if it is invalid."""
        trusted = self._trusted
        server = environ if trusted.plain in ((), 0) else value_in(environ, _PROXY_FIX_KEY) or environ
        peer = value_in(server, "REMOTE_ADDR") or ""
        address = _address_in(peer)
        left = trusted.hops
        is_believed = left > 0 if left is not None else trusted.trust(address, is_unix=peer in _UNIX_PEERS)
        for hop in self._hops(environ) if is_believed else ():
            said = _address_in(hop)
            if said is None:
                break
            address = said
            if left is None and not trusted.trust(said):
                break
            if left is not None:
                left -= 1
                if not left:
                    break
        return None if address is None else str(address)

    def _hops(self, environ: WSGIEnvironment) -> Iterable[str | None]:
        """Who asked each proxy, from the last one on; None ends what can be read."""
        said = value_in(environ, self._key)
        if not isinstance(said, str) or not said.strip():
            return ()
        if self._key == _FORWARDED:
            return _forwarded(said)
        return reversed(said.rsplit(",", _MOST_HOPS)[-_MOST_HOPS:])


def client_address(environ: WSGIEnvironment, trusted_proxies: Given = (), header: str = FORWARDED_FOR) -> str | None:
    """The address of the client of a request, as far as trusted proxies say it; None if unknown.

    Nothing is trusted by default: the address is then that of the server's peer. An address is told without port, brackets and
    zone, an IPv4-mapped one as IPv4. Raises for no header.

    Example::

        client_address(environ, ["10.0.0.0/8"])  # proxies in this network write X-Forwarded-For
        client_address(environ, ["unix"], "X-Real-IP")  # nginx on this host, through a unix socket
        client_address(environ, 2)  # exactly two proxies, whose addresses are not known

    :param environ: the request's.
    :param trusted_proxies: networks, and ``unix`` for a peer behind a unix socket; or the number of proxies that each request
        passes. If a request can pass fewer, its client chooses the address: networks are safer.
    :param header: the one header that the proxies write. It must be one that they set or append to themselves.
    :raises SettingsError: ``trusted_proxies`` has an entry that is not a network.
    """
    given = trusted_proxies if isinstance(trusted_proxies, int | str) else tuple(trusted_proxies)
    return _prepared(given, header).of(environ)


def with_address(app: WSGIApplication, address: ClientAddress) -> WSGIApplication:
    """The application, for which the record of each request has the client's address."""

    def addressed(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        context = value_in(environ, ENVIRON_KEY)
        found = address.of(environ) if isinstance(context, RequestContext) and context.is_being_recorded else None
        if found is not None:
            context.attributes[ADDRESS] = found
        return app(environ, start_response)

    return addressed


@lru_cache(maxsize=64, typed=True)
def _prepared(trusted_proxies: int | str | tuple[str, ...], header: str) -> ClientAddress:
    try:
        return ClientAddress(TrustedProxies(trusted_proxies), header)
    except ValueError as error:
        raise SettingsError(f"trusted_proxies: {error}") from None


def _address_in(hop: object) -> Address | None:
    """The address in what a proxy wrote: perhaps with a port, in brackets, with a zone."""
    if not isinstance(hop, str):
        return None
    text = hop.strip()
    if text.startswith("["):
        text, bracket, rest = text[1:].partition("]")
        if not bracket or not _AFTER_BRACKET.fullmatch(rest):
            return None
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    text = text.partition("%")[0]
    if len(text) > _ADDRESS_CHARACTERS:
        return None
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if address.is_unspecified:  # no host has it
        return None
    return (address.version == 6 and address.ipv4_mapped) or address


def _forwarded(header: str) -> Iterator[str | None]:
    """The ``for`` of each element of RFC 7239's header, from the right.

    From the right, since what a client wrote stands on the left, and may open a quoted string that swallows what follows it.
    """
    for _ in range(_MOST_HOPS):
        begin = len(header)
        who: str | None = None
        for _ in range(_MOST_PIECES):
            begin = header.rfind(",", 0, begin)
            if len(header) - begin > _ELEMENT_CHARACTERS:
                return
            pairs = _pairs_in(header[begin + 1 :])
            if pairs is not None or begin < 0:
                who = None if pairs is None else pairs.get("for")
                break
        yield who
        if who is None or begin < 0:
            return
        header = header[:begin]


def _pairs_in(element: str) -> dict[str, str] | None:
    """The parameters of one element; None if it is none, or says one twice."""
    pairs: dict[str, str] = {}
    position = 0
    while position < len(element):
        match = _PAIR.match(element, position)
        if match is None:
            return None
        position = match.end()
        if match["name"] is not None:
            name = match["name"].lower()
            if name in pairs:
                return None
            quoted = match["quoted"]
            pairs[name] = match["bare"] if quoted is None else _ESCAPED.sub(r"\1", quoted)
    return pairs
