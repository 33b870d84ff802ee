"""The lines of a ring, read back as records."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from chest.encoding import decode
from chest.record import Record
from chest.record_id import is_tail
from chest.row import ALL_FIELDS, CHECK, SHORT_FIELDS, STREAMED_FIELDS, record_of


class Resource(NamedTuple):
    """What is the same for every record of a process, kept once in the ring's header (OpenTelemetry's word for it)."""

    service: str
    release: str
    host: str


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
    shapes = _SHAPES.get(len(row)) if isinstance(row, list) else None
    if shapes is None or row[2].__class__ is not int or row[2] < 0:
        return None
    if not all(type(value) in types for value, types in zip(row, shapes, strict=True)):
        return None
    return record_of(row, resource) if is_tail(row[0], process) and row[2] % CHECK == row[3] else None


_TEXT = (str,)
_NUMBER = (int,)
_TEXT_OR_NONE = (str, type(None))
_SHORT: tuple[tuple[type, ...], ...] = (
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
)
_SHAPES = {
    SHORT_FIELDS: _SHORT,
    STREAMED_FIELDS: (*_SHORT, _NUMBER),
    ALL_FIELDS: (*_SHORT, _TEXT_OR_NONE, _TEXT_OR_NONE, _TEXT_OR_NONE, (dict,)),  # route, outcome, error, attributes
}
