"""One row as one line of JSON: how it lies in the ring, and how it is read back as a record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

from chest.encoding import decode, encode_with_json
from chest.record import Record
from chest.record_id import is_tail
from chest.row import ALL_FIELDS, CHECK, SHORT_FIELDS, Row, record_of, row_of

orjson: Any
try:
    import orjson
except ImportError:  # no build for this interpreter: the standard library's encoder writes the same text, slower
    orjson = None


class Resource(NamedTuple):
    """What is the same for every record of a process, kept once in the ring's header (OpenTelemetry's word for it)."""

    service: str
    release: str
    host: str


def _dumps_line(value: Row, default: None, option: int) -> bytes:
    """``orjson.dumps`` with its option for a newline, by the standard library."""
    # Another thread may write to the variables while Python code encodes them; a copy is made in one step.
    row = [field.copy() if isinstance(field, dict) else field for field in value]
    return encode_with_json(row) + b"\n"


dumps: Callable[[Row, None, int], bytes] = _dumps_line if orjson is None else orjson.dumps
APPEND_NEWLINE: Final = 0 if orjson is None else orjson.OPT_APPEND_NEWLINE


def encode_line(record: Record) -> bytes:
    """The record as one line; raises TypeError or ValueError for a value that JSON cannot hold."""
    return dumps(row_of(record), None, APPEND_NEWLINE)


def decode_lines(data: bytes, resource: Resource) -> list[Record]:
    """The records of whole lines that this process wrote itself.

    One call for the whole piece is three times as fast as one a line; a raw newline cannot stand inside JSON text.
    """
    rows: list[list[Any]] = decode(b"[" + data[:-1].replace(b"\n", b",") + b"]")
    return [record_of(row, resource) for row in rows]


def decode_foreign_lines(data: bytes, resource: Resource, process: str) -> tuple[list[Record], int]:
    """The records of lines from another process's file, and how many lines were damaged and left out."""
    records: list[Record] = []
    damaged = 0
    for line in _lines(data):
        record = _checked(line, resource, process)
        if record is None:
            damaged += 1
        else:
            records.append(record)
    return records, damaged


def _lines(data: bytes) -> Iterable[bytes]:
    return (line for line in data.split(b"\n") if line)


def _checked(line: bytes, resource: Resource, process: str) -> Record | None:
    try:
        row = decode(line)
    except (ValueError, RecursionError):
        return None
    if not (isinstance(row, list) and len(row) in (SHORT_FIELDS, ALL_FIELDS) and _fits(row)):
        return None
    return record_of(row, resource) if is_tail(row[0], process) and row[2] % CHECK == row[3] else None


_TEXT = (str,)
_NUMBER = (int,)
_TEXT_OR_NONE = (str, type(None))
_SHAPES: Sequence[tuple[type, ...]] = (
    _TEXT,  # tail
    _TEXT,  # request_id
    _NUMBER,  # time_ns
    _NUMBER,  # check
    _NUMBER,  # duration_ns
    _TEXT,  # method
    _TEXT,  # path
    (str, int, type(None)),  # status
    _NUMBER,  # body_bytes
    (dict,),  # variables
    _TEXT_OR_NONE,  # route
    _TEXT_OR_NONE,  # outcome
    _TEXT_OR_NONE,  # error
    (dict,),  # attributes
)


def _fits(row: list[Any]) -> bool:
    return all(type(value) in types for value, types in zip(row, _SHAPES, strict=False)) and row[2] >= 0
