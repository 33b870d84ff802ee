"""``Row``: what the end of a request leaves in the ring, as it was seen, and the ``Record`` that is made of it later.

A request pays for what it writes down, the exporter for what can be found out from it afterwards: the code of a status
line, the id in its full length, a path as the text it was meant to be.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

from chest import speedups
from chest.encoding import NEWLINE, encode_line
from chest.record import Outcome, Record
from chest.speedups import IS_NATIVE
from chest.text import text

Row: TypeAlias = tuple[Any, ...]
"""In this order. A short row ends with the variables, a streamed one with its time to first byte (nanoseconds) behind them;
a long one has all fields:

========== =============================================================================================================
tail       the second half of the record's id; the first is ``time_ns`` in hex
request_id clean
time_ns    Unix time
check      ``time_ns % CHECK``
duration_ns
method     as it came
path       as the server handed it over, in Latin-1 (PEP 3333), without a password
status     the status line that was sent, its code, or None
body_bytes 0 where nothing was counted
variables  clean
route      clean, or None
outcome    None where the status says it
error      the name of a class, or None
attributes clean, without the size of the body
========== =============================================================================================================
"""

SHORT_FIELDS: Final = 10
STREAMED_FIELDS: Final = 11
ALL_FIELDS: Final = 14
CHECK: Final = 65_521
"""A prime: no single changed digit of a time keeps its remainder, and of other damage one in so many does."""

PATH_CHARACTERS: Final = 2048
METHOD_CHARACTERS: Final = 32
BODY_SIZE: Final = "http.response.body.size"
TIME_TO_FIRST_BYTE: Final = "chest.time_to_first_byte_ns"
_KNOWN_METHODS: Final = frozenset(
    ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "QUERY")
)
_CODES: Final[dict[Any, int | None]] = {}
"""Status lines seen, with their codes: an application has few, and a bound keeps it so."""
_MOST_CODES: Final = 256
_new = tuple.__new__


def record_of(row: Sequence[Any], resource: tuple[str, str, str]) -> Record:
    """The record of a row, as it was or as JSON gave it back.

    :param resource: service, release and host, the same for every row of a process.
    """
    if len(row) == SHORT_FIELDS:
        tail, request_id, time_ns, _, duration_ns, method, path, status, body_bytes, variables = row
        route = outcome = error = None
        attributes: dict[str, Any] = {}
    elif len(row) == STREAMED_FIELDS:
        tail, request_id, time_ns, _, duration_ns, method, path, status, body_bytes, variables, first_byte_ns = row
        route = outcome = error = None
        attributes = {TIME_TO_FIRST_BYTE: first_byte_ns}
    else:
        (
            tail, request_id, time_ns, _, duration_ns, method, path, status, body_bytes, variables,
            route, outcome, error, attributes,
        ) = row  # fmt: skip
    if body_bytes:
        attributes[BODY_SIZE] = body_bytes
    code = _CODES[status] if status in _CODES else status_code(status)
    if outcome is None:
        outcome = Outcome.ERROR if code is None or code >= 500 else Outcome.OK
    if method not in _KNOWN_METHODS:
        method = text(str(method), METHOD_CHARACTERS)  # a server's that is no text
    if not path.isascii() or not path.isprintable() or len(path) > PATH_CHARACTERS:
        path = text(utf8_path(path), PATH_CHARACTERS)
    # A named tuple's own constructor is a Python call.
    return _new(
        Record,
        (
            f"{time_ns:016x}{tail}", request_id, time_ns, duration_ns, method, path, route, code, outcome, error,
            variables, attributes, *resource,
        ),
    )  # fmt: skip


def records_of(rows: list[Any], resource: tuple[str, str, str]) -> list[Record]:
    """:func:`record_of` each of the rows that JSON gave back."""
    if IS_NATIVE:
        return speedups.records_of(
            rows, resource, Record, _CODES, _KNOWN_METHODS, BODY_SIZE, Outcome.OK, Outcome.ERROR, record_of
        )
    return [record_of(row, resource) for row in rows]


def row_of(record: Record) -> Row:
    """The row of a record that was made elsewhere; its id must come from ``RecordIds`` and from the record's time."""
    return (
        record.id[16:], record.request_id, record.time_ns, record.time_ns % CHECK, record.duration_ns, record.method,
        latin1_path(record.path), record.status, 0, record.variables,
        record.route, record.outcome, record.error, record.attributes,
    )  # fmt: skip


def line_of(row: Row) -> bytes | None:
    """The row as a line; where its variables cannot be encoded, without them, marked; None where nothing of it can be."""
    try:
        return encode_line(row, None, NEWLINE)
    except Exception:  # noqa: BLE001 - whatever an encoder raises
        sanitized = {"chest.sanitized": {"variables": "not_encodable"}}
        bare = (*row[: SHORT_FIELDS - 1], {}, *(row[SHORT_FIELDS:-1] or (None, None, None)), sanitized)
    try:
        return encode_line(bare, None, NEWLINE)
    except Exception:  # noqa: BLE001
        return None


def status_code(status: object) -> int | None:
    """The code of a status line, or of a code; None where there is none."""
    if isinstance(status, int):
        return status
    if not isinstance(status, str) or not (status[:3].isascii() and status[:3].isdigit() and len(status) >= 3):
        return None
    code = int(status[:3])
    if len(_CODES) < _MOST_CODES and len(status) < _MOST_CODES:
        _CODES[status] = code
    return code


def utf8_path(path: str) -> str:
    """PEP 3333 hands the path over as Latin-1 whatever it was; on the wire it was most likely UTF-8."""
    try:
        return path.encode("latin-1").decode("utf-8", "replace")
    except UnicodeEncodeError:
        return path


def latin1_path(path: str) -> str:
    """The other way round: as a server would hand it over."""
    return path if path.isascii() else path.encode("utf-8", "replace").decode("latin-1")
