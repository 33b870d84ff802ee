"""What a store's HTTP answer means for the records that were sent: taken, try again later, or never."""

from __future__ import annotations

import re
import socket
import ssl
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Final

from chest.chests.store_text import shortened
from chest.errors import (
    ChestError,
    ChestUnavailable,
    LoginRefused,
    RecordRejected,
    TLSRefused,
    UnknownDatabase,
    UnknownHost,
)

_LONGEST_RETRY_SECONDS: Final = 3600.0
"""A store that asks for more is asked again after an hour all the same: the records wait in a bounded place."""

_CONFIGURATION: Final[dict[int, tuple[type[ChestUnavailable], str]]] = {
    401: (LoginRefused, "see to its log-in: the token, or user and password"),
    403: (LoginRefused, "this log-in may not write there: see to its permissions"),
    404: (UnknownDatabase, "there is nothing at this address: see to the URL, and to the names in it"),
    405: (ChestUnavailable, "it takes no POST at this address: see to the URL"),
    407: (LoginRefused, "the proxy asks for a log-in: see to the proxy's URL"),
}
"""Answers that say nothing about the records: delivery goes on once the configuration has been mended."""
_PASSING: Final = frozenset((408, 421, 425, 429))


def error_of(name: str, status: int, said: str = "", retry_after: str | None = None) -> ChestError:
    """The error for an answer that is no success.

    :param name: the label of the chest.
    :param status: the status code (RFC 9110, section 15; RFC 6585).
    :param said: what the store said about it, without secrets; shortened here, and cleaned of control characters.
    :param retry_after: the ``Retry-After`` header.
    :return: ``ChestUnavailable`` for everything that may pass or be mended, ``RecordRejected`` where the store refuses
        what was sent.
    """
    shown = shortened(said)
    says = f"{name} answered {status}" + (f" ({shown})" if shown else "")
    if status in _CONFIGURATION:
        kind, cure = _CONFIGURATION[status]
        return kind(f"{says}: {cure}")
    if 300 <= status < 400:
        return ChestUnavailable(f"{says}: it redirects; put the address that it redirects to into the URL")
    if status in _PASSING or status >= 500:
        return ChestUnavailable(f"{says}: it takes nothing now", seconds_of(retry_after))
    return RecordRejected(f"{says}: it refuses what was sent")


def unreachable(name: str, error: BaseException, why: str) -> ChestUnavailable:
    """The error for no answer at all.

    :param error: what the client raised, with what was below it.
    :param why: its reason, without secrets.
    """
    below = list(_chain(error))
    if any(isinstance(each, socket.gaierror) for each in below):
        return UnknownHost(f"{name}: the host name leads to no address: see to it in the URL ({shortened(why)}).")
    if any(isinstance(each, ssl.SSLError) for each in below):
        return TLSRefused(
            f"{name}: no encrypted connection can be made: see to the scheme of the URL, and to the server's certificate"
            f" ({shortened(why)})."
        )
    return ChestUnavailable(f"{name} cannot be reached: {shortened(why)}.")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The exception, and those that it was raised because of, or with."""
    while error is not None:
        yield error
        yield from (each for each in error.args if isinstance(each, BaseException))
        error = error.__cause__ or error.__context__


def seconds_of(retry_after: str | None, now: float | None = None) -> float | None:
    """A ``Retry-After`` header (RFC 9110, section 10.2.3: seconds or a date) as seconds; None where it says nothing.

    :param now: the time as Unix time in seconds; None takes the clock's.
    """
    if retry_after is None:
        return None
    text = retry_after.strip()
    if re.fullmatch(r"[0-9]{1,9}", text):
        return min(float(text), _LONGEST_RETRY_SECONDS)
    try:
        seconds = parsedate_to_datetime(text).timestamp() - (time.time() if now is None else now)
    except (ValueError, OverflowError):
        return None
    return min(max(0.0, seconds), _LONGEST_RETRY_SECONDS)
