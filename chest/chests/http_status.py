"""What a store's HTTP answer means for the records that were sent: taken, try again later, or never."""

from __future__ import annotations

import re
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

from chest.errors import (
    ChestError,
    ChestUnavailable,
    LoginRefused,
    RecordRejected,
    TLSRefused,
    UnknownDatabase,
    UnknownHost,
)
from chest.record.messages import one_line

_LONGEST_RETRY_SECONDS: Final = 3600.0
"""A store that asks for more is tried again after an hour: the records wait in a bounded place."""

_CONFIGURATION: Final[dict[int, tuple[type[ChestUnavailable], str]]] = {
    401: (LoginRefused, "check the log-in: the token, or user and password"),
    403: (LoginRefused, "this log-in may not write: check its permissions"),
    404: (UnknownDatabase, "nothing is at this address: check the URL and the names in it"),
    405: (ChestUnavailable, "this address accepts no POST: check the URL"),
    407: (LoginRefused, "the proxy asks for a log-in: check the URL of the proxy"),
    415: (
        ChestUnavailable,
        "it takes no body of this kind: if bodies are compressed, try ?gzip=0; else check the format",
    ),
}
"""Answers that say nothing about the records: delivery goes on after the configuration was corrected."""
_PASSING: Final = frozenset((408, 421, 425, 429))


class NoAnswer(ChestUnavailable):
    """A request was sent, and no answer came in time: it may be carried out all the same."""


def error_of(name: str, status: int, said: str = "", headers: Mapping[str, str] | None = None) -> ChestError:
    """The error for an answer other than success.

    :param name: the label of the chest.
    :param status: the status code (RFC 9110, section 15; RFC 6585).
    :param said: what the store said about it, without secrets; shortened here, and cleaned of control characters.
    :param headers: those of the answer, by names in any case that it takes itself; read are ``Retry-After`` and ``Date``.
    :return: ``ChestUnavailable`` for everything that may pass or be corrected, ``RecordRejected`` if the store refuses
        what was sent.
    """
    shown = one_line(said)
    says = f"{name} answered {status}" + (f" ({shown})" if shown else "")
    if status in _CONFIGURATION:
        kind, cure = _CONFIGURATION[status]
        return kind(f"{says}: {cure}")
    if 300 <= status < 400:
        return ChestUnavailable(f"{says}: it redirects; put the address that it redirects to into the URL")
    if status in _PASSING or status >= 500:
        return ChestUnavailable(f"{says}: it takes nothing now", seconds_to_retry(headers or {}))
    return RecordRejected(f"{says}: it refuses what was sent")


def unreachable(name: str, error: BaseException, why: str) -> ChestUnavailable:
    """The error for no answer at all.

    :param error: what the client raised, with what was below it.
    :param why: its reason, without secrets.
    """
    below = list(_chain(error))
    if any(isinstance(each, socket.gaierror) for each in below):
        return UnknownHost(f"{name}: the host name cannot be resolved: check it in the URL ({one_line(why)}).")
    if any(isinstance(each, ssl.SSLError) for each in below):
        return TLSRefused(
            f"{name}: no encrypted connection can be made: check the scheme of the URL, and the server's certificate"
            f" ({one_line(why)})."
        )
    return ChestUnavailable(f"{name} cannot be reached: {one_line(why)}.")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The exception, and those that it was raised because of, or with."""
    while error is not None:
        yield error
        yield from (each for each in error.args if isinstance(each, BaseException))
        error = error.__cause__ or error.__context__


def seconds_to_retry(headers: Mapping[str, str]) -> float | None:
    """The ``Retry-After`` header (RFC 9110, section 10.2.3: seconds or a date) as seconds; None if it says nothing.

    A date is counted from the answer's own ``Date``: this host's clock may run ahead of the server's.
    """
    text = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", text):
        return min(float(text), _LONGEST_RETRY_SECONDS)
    until = _unix_time(text)
    if until is None:
        return None
    now = _unix_time(headers.get("Date", ""))
    return min(max(0.0, until - (time.time() if now is None else now)), _LONGEST_RETRY_SECONDS)


def _unix_time(date: str) -> float | None:
    """An HTTP date in Unix seconds, read as UTC even if it names no zone; None if the text is not a date."""
    try:
        parsed = parsedate_to_datetime(date)
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
