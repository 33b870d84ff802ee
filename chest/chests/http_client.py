"""``HttpClient``: requests to one host and their answers, over connections of this process that are kept alive.

It uses httpx's transport and not its client. The client would follow no redirect or every one, keep cookies, and log each
URL with the token that may be in it.
"""

from __future__ import annotations

import base64
import ssl
import time
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from types import MappingProxyType
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

import httpcore  # noqa: F401 - httpx loads it with its first transport, which each forked child of a server would do anew
import httpx

from chest.chests.http_status import NoAnswer, unreachable
from chest.chests.proxy import Proxy, unusable_proxy
from chest.errors import ChestUnavailable, SettingsError, TLSRefused
from chest.record.messages import masked
from chest.record.secret_names import is_secret_parameter, sounds_secret
from chest.system.threads import socket_home

_CONNECT_SECONDS: Final = 5.0
"""Of a host that drops packets nothing more is heard: waiting longer only keeps the other chests waiting."""
_MOST_REDIRECTS: Final = 3
_MOST_ANSWER_BYTES: Final = 64 * 1024
"""An answer is read so that its connection can be used again; a longer one costs the connection."""
_KEPT_HEADERS: Final = frozenset(("date", "location", "retry-after"))
_KEEPALIVE_SECONDS: Final = 30.0
_MOST_KEPT: Final = 4
"""Connections kept for the next request."""


class HttpReply(NamedTuple):
    """What an endpoint answered."""

    status: int
    content: bytes
    """As it came: what is read from a store may hold what is a secret elsewhere. Not for messages."""
    said: str
    """Its first 64 KiB as text without secrets, for messages."""
    headers: httpx.Headers
    """Of its headers those of :data:`_KEPT_HEADERS`."""


class HttpClient:
    """Asks one endpoint. Any number of threads may; a fork's child makes connections of its own.

    :param name: the label for messages.
    :param url: the address, without a log-in.
    :param headers: sent with every request; they win over those of one request.
    :param proxy: the proxy to go through.
    :param verify: True if certificates are verified, or a file of those to trust.
    :param timeout_seconds: for each step of a request; twice as long for all of it.
    :param secrets: texts that an endpoint, or an error, may repeat, and no message may.
    """

    def __init__(
        self,
        name: str,
        url: httpx.URL,
        headers: httpx.Headers,
        *,
        proxy: Proxy | None,
        verify: bool | str,
        timeout_seconds: float,
        secrets: tuple[str, ...],
    ) -> None:
        self._name = name
        self._url = url
        self._headers = headers
        self._proxy, self._verify = proxy, verify
        self._timeout_seconds = timeout_seconds
        if proxy is not None and proxy.login is not None:
            secrets += (proxy.login[1],)
        self._secrets = sorted({secret for secret in secrets if secret}, key=len, reverse=True)
        self._transports: dict[tuple[int, int], httpx.HTTPTransport] = {}
        # A socket that is collected open is warned of; and at the interpreter's exit nothing of this matters.
        weakref.finalize(self, _close_own, self._transports).atexit = False

    def ask(
        self,
        method: str,
        headers: httpx.Headers | None = None,
        content: bytes = b"",
        *,
        params: Mapping[str, str] | None = None,
        most_bytes: int = _MOST_ANSWER_BYTES,
        timeout_seconds: float | None = None,
    ) -> HttpReply:
        """The endpoint's answer, whatever it is, behind redirects on this host.

        :param params: more parameters for the URL.
        :param most_bytes: of an answer; what is longer is cut.
        :param timeout_seconds: for each step after connecting; None: the client's.
        :raises ChestUnavailable: there was none; :exc:`NoAnswer` if it was waited for.
        """
        sent = httpx.Headers(headers)
        sent.update(self._headers)
        url = self._url.copy_merge_params(params) if params else self._url
        seconds = self._timeout_seconds if timeout_seconds is None else timeout_seconds
        deadline = time.monotonic() + 2 * seconds
        for _ in range(_MOST_REDIRECTS + 1):
            with self._explained(seconds):
                request = httpx.Request(method, url, headers=sent, content=content)
                response = self._answer_to(request, seconds, deadline, most_bytes)
            location = self._redirect_of(response)
            if location is None:
                break
            url = location
        said = self.without_secrets(response.content[:_MOST_ANSWER_BYTES].decode("utf-8", "replace"))
        return HttpReply(response.status_code, response.content, said, response.headers)

    def prepare(self) -> None:
        """Read the certificates to trust, which takes some milliseconds; connects to nothing."""
        self._transport()

    def wait_at_most(self, seconds: float) -> None:
        """Have no request take longer than so long in all."""
        self._timeout_seconds = min(self._timeout_seconds, seconds / 2)

    def close(self) -> None:
        """Close the connections that were made here; the next request makes others."""
        transport = self._transports.pop(socket_home(), None)
        if transport is not None:
            transport.close()

    def without_secrets(self, text: str) -> str:
        """The text for a message."""
        return masked(text, self._secrets)

    def _answer_to(self, request: httpx.Request, seconds: float, deadline: float, most_bytes: int) -> httpx.Response:
        response = self._response_to(request, seconds, deadline)
        content = bytearray()
        try:
            for piece in response.iter_raw():
                content += piece
                if len(content) > most_bytes:
                    break
                if time.monotonic() > deadline:
                    raise httpx.ReadTimeout("the answer has no end")
        finally:
            response.close()
        kept = [pair for pair in response.headers.multi_items() if pair[0] in _KEPT_HEADERS]
        return httpx.Response(response.status_code, headers=kept, content=bytes(content))

    def _response_to(self, request: httpx.Request, seconds: float, deadline: float) -> httpx.Response:
        """What the endpoint begins to answer.

        It may close a kept connection at any moment, also while a request is on its way into it. So a request on a
        connection that breaks before an answer is sent again, on another; on a new connection it is a failure, and so it
        is if there is no time for another try.
        """
        connect_seconds = min(_CONNECT_SECONDS, self._timeout_seconds)
        timeout = httpx.Timeout(seconds, connect=connect_seconds).as_dict()
        for _ in range(_MOST_KEPT):
            events: list[str] = []
            request.extensions = {"timeout": timeout, "trace": lambda event, _, events=events: events.append(event)}
            try:
                return self._transport().handle_request(request)
            except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
                is_new = "connection.connect_tcp.complete" in events
                if is_new or time.monotonic() + seconds > deadline:
                    raise
        request.extensions = {"timeout": timeout}
        return self._transport().handle_request(request)

    def _redirect_of(self, response: httpx.Response) -> httpx.URL | None:
        """The target of a redirect, if it is followed: only one that keeps the method and stays on this host."""
        if response.status_code not in (307, 308) or "Location" not in response.headers:
            return None
        try:
            location = self._url.join(response.headers["Location"])
        except httpx.InvalidURL:
            return None
        is_here = (location.scheme, location.host, location.port) == (self._url.scheme, self._url.host, self._url.port)
        return location.copy_with(userinfo=b"") if is_here else None

    @contextmanager
    def _explained(self, seconds: float) -> Iterator[None]:
        """What httpx raises, as errors of Chest. Its own error is left out: it may repeat headers and URLs."""
        try:
            yield
        except httpx.TimeoutException as error:
            kind = NoAnswer if isinstance(error, httpx.ReadTimeout) else ChestUnavailable
            raise kind(f"{self._name} did not answer within {seconds:g} s ({type(error).__name__}).") from None
        except httpx.TransportError as error:
            why = self.without_secrets(f"{type(error).__name__}: {error}")
            raise unreachable(self._name, error, why) from None

    def _transport(self) -> httpx.HTTPTransport:
        """The connections for here. Those of a parent process stay as they are: closing them might wait for a lock of its."""
        home = socket_home()
        transport = self._transports.get(home)
        if transport is None:
            limits = httpx.Limits(max_keepalive_connections=_MOST_KEPT, keepalive_expiry=_KEEPALIVE_SECONDS)
            try:
                proxy = None if self._proxy is None else httpx.Proxy(self._proxy.url, auth=self._proxy.login)
                made = httpx.HTTPTransport(verify=self._trusted(proxy), proxy=proxy, limits=limits)
            except (ImportError, ValueError, httpx.InvalidURL) as error:
                if self._proxy is None:
                    raise
                raise unusable_proxy(self._name, self._proxy, error) from None
            transport = self._transports.setdefault(home, made)
        return transport

    def _trusted(self, proxy: httpx.Proxy | None) -> bool | ssl.SSLContext:
        """The certificates to trust; none are read if nothing is encrypted: it takes more time than all else before a request."""
        if self._url.scheme == "http" and (proxy is None or proxy.url.scheme != "https"):
            return False
        if isinstance(self._verify, bool):
            return self._verify
        try:
            return ssl.create_default_context(cafile=self._verify)
        except OSError as error:
            raise TLSRefused(
                f"{self._name}: the file of certificates {self._verify} cannot be used: {error}."
            ) from error


def _close_own(transports: dict[tuple[int, int], httpx.HTTPTransport]) -> None:
    """Close what this process made: never what came through a fork."""
    own_pid, _ = socket_home()
    for (pid, _), transport in transports.items():
        if pid == own_pid:
            with suppress(Exception):
                transport.close()


def basic_authorization(url: httpx.URL) -> str | None:
    """The header for the log-in of a URL (RFC 7617)."""
    if not url.userinfo:
        return None
    login = f"{unquote(url.username)}:{unquote(url.password)}"
    return "Basic " + base64.b64encode(login.encode()).decode()


def request_headers(authorization: str | None, headers: Mapping[str, str]) -> httpx.Headers:
    """What is sent with every request.

    :param headers: the user's, which win.
    :raises SettingsError: a value is not ASCII text.
    """
    made = httpx.Headers({"User-Agent": f"wsgi-chest/{chest_version()}".rstrip("/"), "Accept": "*/*"})
    made["Accept-Encoding"] = "identity"
    if authorization is not None:
        made["Authorization"] = authorization
    for name, value in headers.items():
        if not (isinstance(value, str) and value.isascii() and value.isprintable()):
            raise SettingsError(f"headers: the value of {name!r} has to be ASCII text without a line end.")
        made[name] = value
    return made


def secret_headers(headers: httpx.Headers) -> list[str]:
    """The values that are a secret, and their parts: of ``Bearer abc`` an endpoint may repeat ``abc`` alone."""
    values = [value for name, value in headers.items() if sounds_secret(name)]
    return [part for value in values for part in (value, *value.split()[1:])]


def tenants_label(label: str, headers: Mapping[str, str], params: Mapping[str, Any] = MappingProxyType({})) -> str:
    """The label, with a short hash of what is sent beside the records: it may name the tenant that they are for.

    Two chests of one label share a spool, and each would deliver what was meant for the other. Values of names that sound secret are
    left out: records that wait for a right key are to find it.

    :param label: of the URL.
    :param headers: the user's.
    :param params: the user's, beside those of the URL.
    """
    if not (headers or params):
        return label
    sent = [
        sorted((name, "" if sounds_secret(name) else value) for name, value in httpx.Headers(headers).items()),
        sorted((name, "" if is_secret_parameter(name) else str(value)) for name, value in params.items()),
    ]
    address, mark, fragment = label.partition("#")
    told = sha256(repr(sent).encode()).hexdigest()[:8]
    return f"{address}{'&' if '?' in address else '?'}sent={told}{mark}{fragment}"


@cache
def chest_version() -> str:
    """The release of Chest; "" if it is run from a checkout."""
    try:
        return version("wsgi-chest")
    except PackageNotFoundError:
        return ""
