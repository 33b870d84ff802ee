"""What MongoDB or its driver raises, as errors of Chest, with what to do about it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import pymongo
from pymongo import MongoClient
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ConfigurationError,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)

from chest.chests.mongodb.url import MongoTarget
from chest.errors import (
    ChestError,
    ChestUnavailable,
    LoginRefused,
    RecordRejected,
    SchemaMismatch,
    TLSRefused,
    UnknownHost,
)
from chest.record.messages import one_line
from chest.record.record import Record

DUPLICATE_KEY: Final = 11000
_UNAUTHORIZED: Final = 13
_LOGIN_FAILED: Final = 18
_ATLAS_ERROR: Final = 8000
"""Atlas's own, for a log-in that failed as well as for a quota that is used up."""
_NO_ADDRESS: Final = re.compile(r"\[Errno -\d+\]|getaddrinfo|nodename nor servname|DNS query name does not exist", re.I)
"""How the driver repeats what a resolver said; the codes of ``getaddrinfo`` are below 0."""
_NO_LOGIN: Final = re.compile(r"Authentication failed|bad auth", re.I)
"""After a refused log-in the driver reports the whole server as failed for that reason."""
_NO_TLS: Final = re.compile(r"\bSSL\b|certificate", re.I)
_NO_PLACE: Final = (26, 73, 166)
"""NamespaceNotFound, InvalidNamespace, CommandNotSupportedOnView."""
_NEVER: Final = (10334, 17419, 17420, 22)
"""Of a whole command: a document is too large, or cannot be read. The driver has a third way to say so, an exception of its own;
none should come, as documents are encoded and measured before."""
_TRANSIENT: Final = frozenset(
    (6, 7, 24, 50, 64, 79, 89, 91, 112, 134, 189, 202, 234, 262, 290, 317, 365, 9001, 10107, 11600, 11602, 13388, 13435,
     13436, 14031, 6000, 8000)
)  # fmt: skip
"""Of one document: not the document is to blame, but a server that steps down, has no room or no time."""


@contextmanager
def asking(client: MongoClient[dict[str, Any]], target: MongoTarget) -> Iterator[None]:
    """Errors of the driver as errors of Chest, and an end to every wait.

    If no server is known that takes writes, the call waits for one first: inside the timeout the driver would wait for
    one all of that time.
    """
    try:
        if not client.topology_description.has_writable_server():
            client.admin.command("ping")
        with pymongo.timeout(target.timeout_seconds):
            yield
    except PyMongoError as error:
        raise error_of(target.name, error, target.timeout_seconds, target.without_secrets) from None


def error_of(name: str, error: PyMongoError, timeout_seconds: float, cleaned: Callable[[str], str]) -> ChestError:
    """The error of Chest that this one of the driver is. The driver's own is left out: it may hold whole documents.

    :param name: the label of the chest.
    :param timeout_seconds: after which the chest gives up.
    :param cleaned: takes the secrets out of a text.
    """
    said = one_line(cleaned(_said(error)))
    if isinstance(error, OperationFailure) and error.code == _LOGIN_FAILED:
        return _login_refused(name, said)
    if isinstance(error, OperationFailure):
        return _refusal(name, error, said, timeout_seconds)
    if _NO_LOGIN.search(said):
        return _login_refused(name, said)
    is_unreachable = isinstance(
        error, AutoReconnect | ConfigurationError
    )  # the latter is a name server's answer for +srv
    if error.timeout and not isinstance(error, ServerSelectionTimeoutError):
        return ChestUnavailable(_too_slow(name, timeout_seconds))
    if is_unreachable and _NO_ADDRESS.search(said):
        return UnknownHost(f"{name}: the host name cannot be resolved: check it in the URL ({said}).")
    if is_unreachable and _NO_TLS.search(said):
        return TLSRefused(
            f"{name}: no encrypted connection can be made: check ?tls= and ?tlsCAFile= of the URL ({said})."
        )
    if is_unreachable:
        return ChestUnavailable(f"{name} cannot be reached: {said}.")
    return ChestUnavailable(f"{name} failed: {type(error).__name__}: {said}.")


def _refusal(name: str, error: OperationFailure, said: str, timeout_seconds: float) -> ChestError:
    if error.code == _ATLAS_ERROR and "auth" in said:
        return _login_refused(name, said)
    if error.code == _UNAUTHORIZED:
        return LoginRefused(f"{name}: this log-in may not do that ({said}): give it the role readWrite here.")
    if error.code in _NO_PLACE:
        return SchemaMismatch(
            f"{name} is not a collection that can be written ({said}): check ?collection= of the URL."
        )
    if error.code in _NEVER:
        return RecordRejected(f"{name} cannot hold a record: {said}")
    if error.timeout:
        return ChestUnavailable(_too_slow(name, timeout_seconds))
    return ChestUnavailable(f"{name} failed (code {error.code}): {said}.")


def _login_refused(name: str, said: str) -> LoginRefused:
    return LoginRefused(f"{name} refused the log-in ({said}): check user, password and ?authSource= of the URL.")


def is_unauthorized(error: OperationFailure) -> bool:
    """True if the log-in lacks the right."""
    return error.code == _UNAUTHORIZED


def failure_of(
    name: str, error: BulkWriteError, records: Sequence[Record], cleaned: Callable[[str], str]
) -> ChestError | None:
    """The failure of a batch without the records that are there already, which are not a failure.

    :return: ``ChestUnavailable``: some could not be stored now, or not as safely as the URL asks. ``RecordRejected``:
        some never will be; ``ids`` names them, and the others are stored. None: all are there.
    """
    failures = [each for each in error.details["writeErrors"] if not _is_there(each)]
    passing = [each for each in failures if each.get("code") in _TRANSIENT] + error.details["writeConcernErrors"]
    for each in passing or failures:
        said = f"(code {each.get('code')}): {one_line(cleaned(str(each.get('errmsg'))))}"
        if passing:
            return ChestUnavailable(f"{name} could not store a record safely now {said}.")
        ids = [records[failure["index"]].id for failure in failures]
        return RecordRejected(f"{name} refused a record {said}", ids)
    return None


def _is_there(failure: dict[str, Any]) -> bool:
    """True if the record was stored before. A unique index of the user's on another field is another matter."""
    return failure.get("code") == DUPLICATE_KEY and set(failure.get("keyPattern", {"_id": 1})) == {"_id"}


def _too_slow(name: str, timeout_seconds: float) -> str:
    return (
        f"{name} did not answer within {timeout_seconds:g} s: check the server, or allow more time (?timeout_seconds=)."
    )


def _said(error: PyMongoError) -> str:
    """The reason, without the driver's description of all that it knows of the servers."""
    if isinstance(error, OperationFailure) and error.details:
        return str(error.details.get("errmsg", error.details.get("codeName", "")))
    return (
        str(error)
        .partition(", full error:")[0]
        .partition(" (configured timeouts:")[0]
        .partition(", Timeout:")[0]
        .rstrip(".")
    )
