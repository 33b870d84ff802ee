"""``NatsConnection``: one connection to a NATS server: log-in, messages sent and taken, and what its errors mean.

The client protocol is lines and payloads (https://docs.nats.io/reference/reference-protocols/nats-protocol). Nothing is read
between two uses, so a connection that was idle answers the server's PING when it is next used.
"""

from __future__ import annotations

import json
import os
import re
import ssl
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple, NoReturn

from chest.chests.http_status import unreachable
from chest.chests.nats.dialling import dialled
from chest.chests.nats.url import NatsTarget
from chest.errors import ChestError, ChestUnavailable, LoginRefused, TLSRefused
from chest.record.messages import masked, one_line
from chest.system.threads import is_readable

__all__ = ["Message", "NatsConnection", "NoResponders"]

_READ_BYTES: Final = 256 * 1024
_LONGEST_LINE_BYTES: Final = 1 << 20
_STATUS: Final = re.compile(rb"NATS/1\.0 +(\d{3}) ?([^\r\n]*)")
_NO_RESPONDERS: Final = 503
_LOGIN: Final = ("authorization", "authentication", "permissions violation", "account")


class NoResponders(ChestUnavailable):
    """Nothing takes what was published: there is no such stream, or JetStream is off."""


class Message(NamedTuple):
    """A message of the server."""

    subject: bytes
    reply: bytes
    """Where it is answered; empty: nowhere."""
    status: int
    """0: it is no status but holds a payload."""
    said: bytes
    """What the status says."""
    payload: bytes


class NatsConnection:
    """A connection that is logged in, with an inbox of its own. Used by one thread at a time.

    :param target: where to, and as whom.
    :param seconds: for connecting, and for each later call unless :meth:`begin` says otherwise.
    :param first: the place of the host that is tried first; :attr:`host` is that of the one that answered.
    :raises ChestUnavailable: no host could be connected to.
    """

    def __init__(self, target: NatsTarget, seconds: float, first: int = 0) -> None:
        self._target = target
        self._buffer, self._at = bytearray(), 0
        self._socket: Any = None
        self.begin(seconds)
        self.host = first
        self.info = self._connect_to_any()
        self._inbox = b"_INBOX.%b." % os.urandom(11).hex().encode()
        self._asked = 0
        self._send_all(b"SUB %b* 1\r\n" % self._inbox)

    @property
    def version(self) -> tuple[int, ...]:
        """The server's."""
        return tuple(int(part) for part in re.findall(r"\d+", str(self.info.get("version")))[:2])

    @property
    def most_bytes(self) -> int:
        """Of a message with its headers."""
        return int(self.info.get("max_payload") or 1 << 20)

    def begin(self, seconds: float) -> None:
        """The calls from here on end within so many seconds in all."""
        self._deadline, self._seconds = time.monotonic() + seconds, seconds

    def revive(self) -> bool:
        """Answer what the server sent while the connection was idle; False if the server has ended it."""
        try:
            while is_readable(self._socket.fileno()):
                if not self._fill():
                    return False
                while self._buffer.find(b"\r\n", self._at) >= 0:
                    self._control(self._line())
        except (OSError, ChestError, ValueError):
            return False
        return True

    def new_inbox(self) -> bytes:
        """A subject for answers that no message before was to be answered to."""
        self._asked += 1
        return self._inbox + b"%d" % self._asked

    def request(self, subject: str, body: bytes = b"") -> Message:
        """The answer to one message.

        :raises NoResponders: there is nothing that would answer.
        """
        inbox = self.new_inbox()
        self.send([b"PUB %b %b %d\r\n%b\r\n" % (subject.encode(), inbox, len(body), body)])
        while (message := self.receive()).subject != inbox:
            pass  # an answer that nothing waits for any more
        if message.status == _NO_RESPONDERS:
            raise NoResponders(f"{self._target.name}: nothing answers to {subject}.")
        return message

    def send(self, frames: Sequence[bytes]) -> None:
        """Send what is framed already."""
        try:
            self._send_all(b"".join(frames))
        except OSError as error:
            self._fail(error)

    def receive(self) -> Message:
        """The next message; raises LoginRefused for what this user may not do."""
        try:
            while True:
                line = self._line()
                kind = line[:5].upper()
                if kind.startswith((b"MSG ", b"HMSG ")):
                    return self._message(line)
                self._control(line)
        except (OSError, ValueError) as error:
            self._fail(error)

    def settle(self) -> None:
        """Return when the server has taken all that was sent, and what was under way to here was passed over."""
        try:
            self._send_all(b"PING\r\n")
            while (line := self._line()) != b"PONG":
                if line[:5].upper().startswith((b"MSG ", b"HMSG ")):
                    self._message(line)
                elif not line.startswith(b"-ERR"):
                    self._control(line)
        except (OSError, ValueError) as error:
            self._fail(error)

    def close(self) -> None:
        """Close the socket alone: that of a parent process goes on for the parent."""
        if self._socket is not None:
            with suppress(OSError):
                self._socket.close()

    def _connect_to_any(self) -> dict[str, Any]:
        failures: list[ChestUnavailable] = []
        end, hosts = self._deadline, self._target.hosts
        share = (end - time.monotonic()) / len(hosts)
        first = self.host
        for place in range(first, first + len(hosts)):
            self.host = place % len(hosts)
            self._deadline = min(end, time.monotonic() + share)
            try:
                info = self._connect(*hosts[self.host])
                self._deadline = end
                return info
            except (OSError, ValueError, ChestUnavailable) as error:
                self.close()
                failures.append(error if isinstance(error, ChestUnavailable) else self._failure(error))
            except BaseException:
                self.close()
                raise
        raise failures[0] from None

    def _connect(self, host: str, port: int) -> dict[str, Any]:
        """Connect and log in; what the server says of itself."""
        target = self._target
        self._buffer, self._at = bytearray(), 0
        self._socket = dialled(host.strip("[]"), port, self._deadline)
        if target.is_tls_first:
            self._encrypt(host)
        line = self._line()
        if not line.startswith(b"INFO "):
            raise ChestUnavailable(f"{target.name} is no NATS server: it began with {one_line(repr(line[:40]))}.")
        info: dict[str, Any] = json.loads(line[5:])
        if target.is_encrypted and not target.is_tls_first:
            if not (info.get("tls_required") or info.get("tls_available")):
                raise TLSRefused(f"{target.name}: the server speaks no TLS on this port: check the scheme of the URL.")
            self._encrypt(host)
        elif info.get("tls_required") and not target.is_encrypted:
            raise TLSRefused(f"{target.name}: the server wants TLS: write nats+tls://.")
        if not info.get("headers"):
            raise ChestUnavailable(f"{target.name}: the server knows no headers: NATS 2.2 or later is needed.")
        self._send_all(b"CONNECT %b\r\nPING\r\n" % json.dumps(self._login(info)).encode())
        while (line := self._line()) != b"PONG":
            self._control(line)
        return info

    def _encrypt(self, host: str) -> None:
        target = self._target
        try:
            context = ssl.create_default_context(cafile=target.ca_file)
            if target.cert_file:
                context.load_cert_chain(target.cert_file)
        except OSError as error:
            file = target.cert_file if target.ca_file is None else target.ca_file
            raise TLSRefused(f"{target.name}: the file of certificates {file} cannot be used: {error}.") from error
        self._buffer, self._at = bytearray(), 0  # what came unencrypted is not believed
        self._socket = context.wrap_socket(self._socket, server_hostname=host.strip("[]"))

    def _login(self, info: dict[str, Any]) -> dict[str, Any]:
        target = self._target
        said: dict[str, Any] = {
            "verbose": False, "pedantic": False, "lang": "python", "version": "1", "name": "wsgi-chest", "protocol": 0,
            "headers": True, "no_responders": True, "echo": False, "tls_required": target.is_encrypted,
        }  # fmt: skip
        if target.credentials is not None:
            return said | target.credentials.answer(str(info.get("nonce", "")))
        if target.password:
            return said | {"user": target.user, "pass": target.password}
        return said | {"auth_token": target.user} if target.user else said

    def _message(self, line: bytes) -> Message:
        """``MSG subject sid [reply] bytes``, ``HMSG subject sid [reply] header-bytes bytes``."""
        parts = line.split()
        has_headers = len(parts[0]) == 4
        size = int(parts[-1])
        headers = int(parts[-2]) if has_headers else 0
        reply = parts[3] if len(parts) == 5 + has_headers else b""
        body = self._bytes(size)
        status = _STATUS.match(body) if has_headers else None
        code, said = (int(status[1]), status[2]) if status else (0, b"")
        return Message(parts[1], reply, code, said, body[headers:])

    def _control(self, line: bytes) -> None:
        """Handle a line of the protocol that is not a message: PING, an error, or what needs no answer."""
        if line == b"PING":
            self._send_all(b"PONG\r\n")
        elif line.startswith(b"-ERR"):
            said = line[4:].strip().strip(b"'").decode("utf-8", "replace")
            if said.lower().startswith(_LOGIN) or "authentication" in said.lower():
                raise LoginRefused(f"{self._target.name}: the server refuses this log-in: {self._clean(said)}")
            raise ChestUnavailable(f"{self._target.name}: {self._clean(said)}")
        elif not line.startswith((b"INFO ", b"PONG", b"+OK")):
            raise ValueError("the server sent a line that is not of the NATS protocol")

    def _line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n", self._at)) < 0:
            if len(self._buffer) - self._at > _LONGEST_LINE_BYTES:
                raise ValueError("the server sent a line without an end")
            if not self._fill():
                raise ConnectionError("the server closed the connection")
        line = bytes(self._buffer[self._at : end])
        self._at = end + 2
        return line

    def _bytes(self, size: int) -> bytes:
        """A payload, without the line end behind it."""
        while len(self._buffer) - self._at < size + 2:
            if not self._fill():
                raise ConnectionError("the server closed the connection")
        found = bytes(self._buffer[self._at : self._at + size])
        self._at += size + 2
        return found

    def _fill(self) -> bool:
        """Read more; False at the end."""
        if self._at:
            del self._buffer[: self._at]
            self._at = 0
        self._socket.settimeout(self._left())
        piece = self._socket.recv(_READ_BYTES)
        self._buffer += piece
        return bool(piece)

    def _send_all(self, content: bytes) -> None:
        self._socket.settimeout(self._left())
        self._socket.sendall(content)

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        return left

    def _fail(self, error: Exception) -> NoReturn:
        raise self._failure(error) from None

    def _failure(self, error: Exception) -> ChestUnavailable:
        if isinstance(error, TimeoutError):
            return ChestUnavailable(f"{self._target.name} did not answer within {self._seconds:g} s.")
        return unreachable(self._target.name, error, self._clean(f"{type(error).__name__}: {error}"))

    def _clean(self, text: str) -> str:
        secrets = [secret for secret in (self._target.password, self._target.user) if secret]
        return one_line(masked(text, secrets if not self._target.password else secrets[:1]))
