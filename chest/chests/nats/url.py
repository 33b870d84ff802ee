"""``NatsTarget``: what the URL of a NATS chest says, checked: hosts, log-in, stream and options."""

from __future__ import annotations

import re
from typing import Final, NamedTuple, Self
from urllib.parse import quote

from chest.chests.nats.credentials import Credentials
from chest.chests.registry import safe_url
from chest.chests.url_options import ServersUrl, refuse_unknown, timeout_seconds_of, yes_no_of
from chest.errors import SettingsError

__all__ = ["NatsTarget"]

_DEFAULT_STREAM: Final = "chest"
_PORT: Final = 4222
_SHOWN_OF_ACCOUNT: Final = 16
"""Of 56 characters, so many tell an account from every other."""
_OPTIONS: Final = (
    "atomic", "ca_file", "cert_file", "credentials", "duplicate_window_seconds", "max_age_days", "replicas", "subject",
    "timeout_seconds", "tls_first",
)  # fmt: skip
_OF_TLS: Final = ("ca_file", "cert_file", "tls_first")
_STREAM: Final = re.compile(r"[A-Za-z0-9_-]{1,100}")
_SUBJECT: Final = re.compile(r"[^\s.*>$\x00-\x20\x7f][^\s.*>\x00-\x20\x7f]*(\.[^\s.*>\x00-\x20\x7f]+)*")
_DEFAULT_WINDOW_SECONDS: Final = 3600
_MOST_SECONDS: Final = 366 * 86_400


class NatsTarget(NamedTuple):
    """Where a NATS chest writes."""

    name: str
    """A label for messages, without secrets."""
    hosts: tuple[tuple[str, int], ...]
    """The first that answers is used."""
    is_encrypted: bool
    is_tls_first: bool
    """The server speaks TLS from the first byte on (``handshake_first``)."""
    ca_file: str | None
    """Certificates to trust in the place of the system's."""
    cert_file: str | None
    """The client's own certificate, with its key in the same file."""
    user: str
    password: str
    """Empty with a user: that is a token."""
    credentials: Credentials | None
    stream: str
    subject: str
    is_atomic: bool
    duplicate_window_seconds: int
    max_age_days: int | None
    replicas: int
    timeout_seconds: float

    @classmethod
    def of(cls, text: str) -> Self:
        """What the URL says; the file of credentials is read.

        :raises SettingsError: invalid chest URL, or a file of credentials that cannot be used.
        :raises MissingDependencyError: credentials are to be signed with, and PyNaCl is not installed.
        """
        url = ServersUrl.of(text)
        is_encrypted = url.scheme.endswith("+tls")
        stream = url.path.rstrip("/") or _DEFAULT_STREAM
        places, options = url.places(_PORT), url.options
        if not places or "#" in text or not _STREAM.fullmatch(stream):
            raise SettingsError(_no_url(text))
        refuse_unknown(options, _OPTIONS, "A NATS chest")
        for name in _OF_TLS:
            if name in options and not is_encrypted:
                raise SettingsError(f"?{name}=: nothing is encrypted over nats://; write nats+tls://.")
        subject = options.get("subject", f"{stream}.records")
        if not _SUBJECT.fullmatch(subject) or len(subject) > 255:
            raise SettingsError(f"?subject={subject!r}: names with dots between them, without wildcards: shop.records")
        if url.user and "credentials" in options:
            raise SettingsError("?credentials=: the URL has a user, too; leave one of them out.")
        shown_hosts = ",".join(f"{host}:{port}" for host, port in places)
        credentials = Credentials.of_file(options["credentials"]) if "credentials" in options else None
        # Another account behind the same address has other streams, which may have the same names.
        shown = [] if credentials is None else [f"account={credentials.account[:_SHOWN_OF_ACCOUNT]}"]
        shown += [] if subject == f"{stream}.records" else [f"subject={quote(subject)}"]
        return cls(
            name=f"{url.shown_at(shown_hosts)}{stream}{'?' * bool(shown)}{'&'.join(shown)}",
            hosts=tuple(places),
            is_encrypted=is_encrypted,
            is_tls_first=yes_no_of("tls_first", options.get("tls_first")),
            ca_file=options.get("ca_file"),
            cert_file=options.get("cert_file"),
            user=url.user,
            password=url.password,
            credentials=credentials,
            stream=stream,
            subject=subject,
            is_atomic=yes_no_of("atomic", options.get("atomic")),
            duplicate_window_seconds=_number(options, "duplicate_window_seconds", _MOST_SECONDS)
            or _DEFAULT_WINDOW_SECONDS,
            max_age_days=_number(options, "max_age_days", 36_500),
            replicas=_number(options, "replicas", 5) or 1,
            timeout_seconds=timeout_seconds_of(options.get("timeout_seconds")),
        )


def _no_url(text: str) -> str:
    return (
        f"{safe_url(text)!r} names no stream: write nats://user:password@host:4222/stream, or nats+tls://, several hosts with"
        " commas between them. The name of a stream has letters, digits, _ and - only."
    )


def _number(options: dict[str, str], name: str, most: int) -> int | None:
    text = options.get(name)
    if text is None:
        return None
    if text.isascii() and text.isdigit() and 1 <= int(text[:12]) <= most:
        return int(text)
    raise SettingsError(f"?{name}={text!r}: a whole number, 1 to {most}.")
