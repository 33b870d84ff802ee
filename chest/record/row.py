"""``Row``: what the end of a request leaves in the ring, as it was seen, and the ``Record`` that is made of it later.

A request pays for what it writes down, the delivery thread for what can be derived from it afterwards: the code of a status
line, the id in its full length, a path as decoded text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

from chest import native
from chest.native import IS_NATIVE
from chest.record.decoding import FIELD_TYPES, Types, completed, has_types
from chest.record.encoded import EncodedRecord
from chest.record.encoding import NEWLINE, decode, encode_line
from chest.record.record import Outcome, Record
from chest.record.record_id import first_id
from chest.record.text import storable_text

Row: TypeAlias = tuple[Any, ...]
"""In this order. A short row ends with the variables. The usual one, of a request by ``http``, has its time to the first byte
(nanoseconds) behind them, or 0 if its response was complete. A long one has all fields:

========== =============================================================================================================
tail       the second half of the record's id; the first is ``time_ns`` in hex
request_id clean
time_ns    Unix time
check      ``time_ns % CHECK``
duration_ns
method     as it came
path       as the server handed it over, in Latin-1 (PEP 3333), without a password
status     the status line that was sent, its code, or None
body_bytes 0 if nothing was counted; of a response that is sent without its body, what the application made
variables  clean
route      clean, or None
outcome    None if the status says it
error      the name of a class, or None
attributes clean, without the size of the body
========== =============================================================================================================
"""

SHORT_FIELDS: Final = 10
HTTP_FIELDS: Final = 11
ALL_FIELDS: Final = 14
CHECK: Final = 65_521
"""A prime: no single changed digit of a time keeps its remainder, and of other damage one in so many does."""

PATH_CHARACTERS: Final = 2048
METHOD_CHARACTERS: Final = 32
_FIRST_FIELDS: Final = 15
"""How many fields a record had in version 1; a long row has those that were added since behind its own."""
_ADDED: Final[tuple[str, ...]] = Record._fields[_FIRST_FIELDS:]
_NOT_ADDED: Final = (None,) * len(_ADDED)
_TEXT, _NUMBER, _MAYBE_TEXT, _MAPPING = (str,), (int,), (str, type(None)), (dict,)
_LONG_TYPES: Final[tuple[Types, ...]] = (
    _TEXT, _TEXT, _NUMBER, _NUMBER, _NUMBER, _TEXT, _TEXT, (str, int, type(None)), _NUMBER, _MAPPING,
    _MAYBE_TEXT, _MAYBE_TEXT, _MAYBE_TEXT, _MAPPING, *(FIELD_TYPES[name] for name in _ADDED),
)  # fmt: skip
_TYPES: Final = {
    SHORT_FIELDS: _LONG_TYPES[:SHORT_FIELDS],
    HTTP_FIELDS: (*_LONG_TYPES[:SHORT_FIELDS], _NUMBER),
}
"""Of the rows that are not long, by how many values they have."""
_CHECKED_FIELDS: Final = 4
"""Of a row at least so many are there: those that tell whether it is damaged."""
BODY_SIZE: Final = "http.response.body.size"
TIME_TO_FIRST_BYTE: Final = "chest.time_to_first_byte_ns"
URL_SCHEME: Final = "url.scheme"
KNOWN_METHODS: Final = frozenset(
    ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "QUERY")
)
_CODES: Final[dict[Any, int | None]] = {}
"""Status lines seen, with their codes: an application has few, and a bound keeps it so."""
_MOST_CODES: Final = 256
_new = tuple.__new__
native.agree(
    CHECK=CHECK, SHORT_FIELDS=SHORT_FIELDS, ALL_FIELDS=ALL_FIELDS, RECORD_FIELDS=_FIRST_FIELDS, PATH_CHARACTERS=PATH_CHARACTERS,
    TIME_TO_FIRST_BYTE=TIME_TO_FIRST_BYTE, URL_SCHEME=URL_SCHEME, HTTP_FIELDS=HTTP_FIELDS,
)  # fmt: skip


def record_of(row: Sequence[Any], resource: tuple[str, str, str]) -> Record:
    """The record of a row, as it was or as JSON gave it back.

    :param resource: service, release and host, the same for every row of a process.
    """
    if len(row) == SHORT_FIELDS:
        tail, request_id, time_ns, _, duration_ns, method, path, status, body_bytes, variables = row
        route = outcome = error = None
        attributes: dict[str, Any] = {}
        added: tuple[Any, ...] = _NOT_ADDED
    elif len(row) == HTTP_FIELDS:
        tail, request_id, time_ns, _, duration_ns, method, path, status, body_bytes, variables, first_byte_ns = row
        route = outcome = error = None
        attributes = {URL_SCHEME: "http"}
        if first_byte_ns:
            attributes[TIME_TO_FIRST_BYTE] = first_byte_ns
        added = _NOT_ADDED
    else:
        (
            tail, request_id, time_ns, _, duration_ns, method, path, status, body_bytes, variables,
            route, outcome, error, attributes, *told,
        ) = row  # fmt: skip
        added = (*told, *_NOT_ADDED[len(told) :])
    code = code_of(status)
    if body_bytes and has_body(method, code):
        attributes[BODY_SIZE] = body_bytes
    if outcome is None:
        outcome = outcome_of_code(code)
    if method not in KNOWN_METHODS:
        method = storable_text(str(method), METHOD_CHARACTERS)  # a server's that is no text
    if not path.isascii() or not path.isprintable() or len(path) > PATH_CHARACTERS:
        path = storable_text(utf8_path(path), PATH_CHARACTERS)
    # A named tuple's own constructor is a Python call.
    return _new(
        Record,
        (
            first_id(time_ns) + tail, request_id, time_ns, duration_ns, method, path, route, code, outcome, error,
            variables, attributes, *resource, *added,
        ),
    )  # fmt: skip


def records_of(rows: list[Any], resource: tuple[str, str, str]) -> list[Record]:
    """:func:`record_of` each of the rows that JSON gave back."""
    if IS_NATIVE:
        return native.records_of(
            rows, resource, Record, _CODES, KNOWN_METHODS, BODY_SIZE, Outcome.OK, Outcome.ERROR, record_of
        )
    return [record_of(row, resource) for row in rows]


def encoded_records_of(lines: bytes, resource: tuple[str, str, str]) -> list[EncodedRecord]:
    """The records of whole lines that this process wrote, with their JSON encoded; for the compiled part."""
    return native.encoded_records_of(
        lines, resource, EncodedRecord, _CODES, KNOWN_METHODS, BODY_SIZE, Outcome.OK, Outcome.ERROR, encoded_record_of
    )


def encoded_record_of(line: bytes, resource: tuple[str, str, str]) -> EncodedRecord:
    """:func:`record_of` a line, with its JSON encoded."""
    return EncodedRecord.of(record_of(decode(line), resource))


def checked_row(row: object) -> list[Any] | None:
    """The row that a line of any release gave back, with as many values as this release writes; None if it is damaged.

    A row that is neither short nor usual is long: one that an older release wrote is completed, of a newer one the rest is left out.
    """
    if not isinstance(row, list) or len(row) < _CHECKED_FIELDS:
        return None
    types = _TYPES.get(len(row), _LONG_TYPES)
    if len(row) != len(types):
        row = completed(row, types)
    return row if has_types(row, types) and row[2] >= 0 and row[2] % CHECK == row[3] else None


def row_of(record: Record) -> Row:
    """The row of a record that was made elsewhere; its id must come from ``RecordIds`` and from the record's time."""
    return (
        record.id[16:], record.request_id, record.time_ns, record.time_ns % CHECK, record.duration_ns, record.method,
        latin1_path(record.path), record.status, 0, record.variables,
        record.route, record.outcome, record.error, record.attributes, *record[_FIRST_FIELDS:],
    )  # fmt: skip


def line_of(row: Row) -> bytes | None:
    """The row as a line; without variables, and marked so, if they cannot be encoded; None if the rest cannot either."""
    try:
        return encode_line(row, None, NEWLINE)
    except Exception:  # noqa: BLE001 - whatever an encoder raises
        sanitized = {"chest.sanitized": {"variables": "not_encodable"}}
        told = row[SHORT_FIELDS : ALL_FIELDS - 1] if len(row) >= ALL_FIELDS else (None, None, None)
        bare = (*row[: SHORT_FIELDS - 1], {}, *told, sanitized, *row[ALL_FIELDS:])
    try:
        return encode_line(bare, None, NEWLINE)
    except Exception:  # noqa: BLE001
        return None


def code_of(status: Any) -> int | None:
    """:func:`status_code`, of a status line that was seen before by one look."""
    return _CODES[status] if status in _CODES else status_code(status)


def status_code(status: object) -> int | None:
    """The code of a status line, or of a code; None if it has none."""
    if isinstance(status, int):
        return status
    if not isinstance(status, str) or not (status[:3].isascii() and status[:3].isdigit() and len(status) >= 3):
        return None
    code = int(status[:3])
    if len(_CODES) < _MOST_CODES and len(status) < _MOST_CODES:
        _CODES[status] = code
    return code


def outcome_of_code(code: int | None) -> str:
    """How a request ended, if nothing else is known of it."""
    return Outcome.ERROR if code is None or code >= 500 else Outcome.OK


def has_body(method: object, code: int | None) -> bool:
    """True if a response is sent with its body (RFC 9110, 6.4.1); an application may return one all the same."""
    return method != "HEAD" and code not in (204, 304) and (code is None or code >= 200)


def utf8_path(path: str) -> str:
    """PEP 3333 hands the path over as Latin-1 whatever it was; on the wire it was most likely UTF-8."""
    try:
        return path.encode("latin-1").decode("utf-8", "replace")
    except UnicodeEncodeError:
        return path


def latin1_path(path: str) -> str:
    """The other way round: as a server would hand it over."""
    return path if path.isascii() else path.encode("utf-8", "replace").decode("latin-1")
