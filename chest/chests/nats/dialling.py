"""``dialled``: a socket to a host, on whichever of its addresses answers, within a deadline for all of them."""

from __future__ import annotations

import socket
import time
from typing import Final

__all__ = ["dialled"]

_CONNECT_SECONDS: Final = 5.0
"""Of an address that drops packets nothing more is heard."""


def dialled(host: str, port: int, deadline: float) -> socket.socket:
    """A connected socket, without a delay for small pieces.

    Each address that the host's name leads to gets an equal share of the time that is left, and at most some seconds:
    ``socket.create_connection`` would give each all of it.

    :param host: a name or an address; one of IPv6 without brackets.
    :param deadline: as of ``time.monotonic()``; asking for the addresses is not bounded by it.
    :raises OSError: the host has no address, or none of them could be connected to.
    """
    failure: OSError | None = None
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for place, (family, kind, protocol, _, address) in enumerate(addresses):
        share = (deadline - time.monotonic()) / (len(addresses) - place)
        if share <= 0:
            raise TimeoutError("timed out")
        made = None
        try:
            made = socket.socket(family, kind, protocol)
            made.settimeout(min(_CONNECT_SECONDS, share))
            made.connect(address)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return made
        except OSError as error:
            failure = failure or error
            if made is not None:
                made.close()
    raise failure or OSError("the name leads to no address")
