"""``FaultProxy``: a TCP proxy on a free loopback port that does to a connection what a bad network does.

It stands between a client and a real server and knows no protocol, but can tell when a marker (``COMMIT``) is sent: so a
connection is cut before what carries the marker has reached the server, or after the server has done it and before its
answer has come: the "reply lost" case, in which the records are there and the client saw an error.
"""

from __future__ import annotations

import enum
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from tests.servers.process import HOST

_CHUNK_BYTES: Final = 65536
_SLOW_SECONDS: Final = 1.0
_RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER for a close that sends a reset."""


class Fault(enum.Enum):
    """What the proxy does instead of passing bytes on."""

    NONE = "pass everything on"
    REFUSE = "reset every new connection; those that are there go on"
    RESET = "reset every connection, at once"
    BLACKHOLE = "take connections and bytes, and never answer"
    SLOW = "pass what holds the marker on, one a second over all connections"
    CUT_BEFORE = "reset the connection instead of passing on what holds the marker"
    REPLY_LOST = "pass on what holds the marker, wait for the server's answer, and reset instead of passing it back"


class _Link:
    """One connection of a client, and the one to the server behind it."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client, self.server = client, server
        self.is_reply_unwanted = False
        self._is_cut = False

    def cut(self) -> None:
        """Reset the client's connection, and end the server's."""
        self._is_cut = True  # first: the thread that waits for the client wakes, and would end the connection in order
        _reset(self.client)
        _close(self.server)

    def end(self) -> None:
        """End both connections as they end by themselves."""
        if not self._is_cut:
            _close(self.client)
        _close(self.server)


class FaultProxy:
    """The proxy of :func:`fault_proxy`.

    :param port: where the real server answers.
    :param listen: the address on which clients find the proxy.
    """

    def __init__(self, port: int, listen: str = HOST) -> None:
        self._server_port = port
        self._fault = Fault.NONE
        self._marker = b""
        self._links: set[_Link] = set()
        self._changed = threading.Condition()
        self._is_ended = False
        self._next_turn = 0.0
        self.cuts = 0
        """How often a connection was cut by ``CUT_BEFORE`` or ``REPLY_LOST``."""
        self.connections = 0
        """How many connections came."""
        self.change_answer: Callable[[bytes], bytes] = bytes
        """What is done to what the server answers, of which each piece keeps its length."""
        self._listener = socket.create_server((listen, 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def set(self, fault: Fault, marker: bytes = b"") -> None:
        """From now on, do this.

        :param marker: bytes of a request, in any case of letters, for the faults that cut, or hold up, what carries it; they
            cut once, and pass everything on afterwards, so that the retry comes through. Empty: whatever comes first.
        """
        with self._changed:
            self._fault, self._marker = fault, marker.upper()
            self._next_turn = 0.0
            self._changed.notify_all()
        if fault is Fault.RESET:
            self._cut_all()

    def heal(self) -> None:
        """Pass everything on again, also what was held back."""
        self.set(Fault.NONE)

    def close(self) -> None:
        """End the proxy and all its connections."""
        with self._changed:
            self._is_ended = True
            self._changed.notify_all()
        _close(self._listener)
        self._cut_all()

    def _accept(self) -> None:
        while not self._is_ended:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._link(client)

    def _link(self, client: socket.socket) -> None:
        try:
            if self._fault in (Fault.REFUSE, Fault.RESET):
                raise ConnectionRefusedError
            server = socket.create_connection((HOST, self._server_port), timeout=5)
        except OSError:
            _reset(client)
            return
        server.settimeout(None)
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link = _Link(client, server)
        self._links.add(link)
        threading.Thread(target=self._pump, args=(self._pass_on, link), daemon=True).start()
        threading.Thread(target=self._pump, args=(self._pass_back, link), daemon=True).start()

    def _pump(self, pump: Callable[[_Link], None], link: _Link) -> None:
        with suppress(OSError):
            pump(link)
        self._links.discard(link)
        link.end()

    def _pass_on(self, link: _Link) -> None:
        seen = b""
        while sent := link.client.recv(_CHUNK_BYTES):
            self._wait_while_swallowing()
            # A marker may come in two pieces.
            seen = (seen + sent.upper())[-(len(sent) + len(self._marker)) :]
            if self._takes(Fault.CUT_BEFORE, seen):
                link.cut()
                return
            if self._fault is Fault.SLOW and self._marker in seen:
                seen = b""
                self._wait_for_turn()
            link.is_reply_unwanted = link.is_reply_unwanted or self._takes(Fault.REPLY_LOST, seen)
            link.server.sendall(sent)

    def _pass_back(self, link: _Link) -> None:
        while answer := link.server.recv(_CHUNK_BYTES):
            self._wait_while_swallowing()
            if link.is_reply_unwanted:
                link.cut()
                return
            link.client.sendall(self.change_answer(answer))

    def _takes(self, fault: Fault, seen: bytes) -> bool:
        with self._changed:
            if self._fault is not fault or self._marker not in seen:
                return False
            self._fault = Fault.NONE
            self.cuts += 1
            return True

    def _wait_for_turn(self) -> None:
        with self._changed:
            now = time.monotonic()
            turn = self._next_turn = max(now, self._next_turn + _SLOW_SECONDS)
            self._changed.wait_for(lambda: self._fault is not Fault.SLOW or self._is_ended, turn - now)

    def _wait_while_swallowing(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._fault is not Fault.BLACKHOLE or self._is_ended)

    def _cut_all(self) -> None:
        for link in list(self._links):
            link.cut()


@contextmanager
def fault_proxy(port: int) -> Iterator[FaultProxy]:
    """A proxy for the block, in front of the server that answers on ``port``."""
    proxy = FaultProxy(port)
    try:
        yield proxy
    finally:
        proxy.close()


def _reset(end: socket.socket) -> None:
    # SHUT_RD wakes who waits for bytes and sends nothing, so that closing sends the reset.
    with suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        end.shutdown(socket.SHUT_RD)
    end.close()


def _close(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
