"""The lines of a ring, read back as records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Self

from chest.native import IS_NATIVE
from chest.record.encoding import decode
from chest.record.record import Record
from chest.record.record_id import is_tail
from chest.record.row import checked_row, encoded_records_of, record_of, records_of

_MOST_PARENTS: Final = 8
"""Forks within forks during one request: the description of a ring has no room for an endless list."""


class Resource(NamedTuple):
    """What is the same for every record of a process, kept once in the ring's header (OpenTelemetry's word for it)."""

    service: str
    release: str
    host: str


def decode_lines(data: bytes, resource: Resource, *, as_encoded: bool = False) -> Sequence[Record]:
    """The records of whole lines that this process wrote itself.

    :param as_encoded: whether they may be :class:`EncodedRecord`, for a store that keeps JSON; only the compiled part makes them.
    """
    if as_encoded and IS_NATIVE:
        return encoded_records_of(data, resource)
    return records_of(_decoded_together(data), resource)


class Lineage(NamedTuple):
    """The process parts of the ids in a ring: whose it is, and from which processes that one was forked.

    A process that was forked during a request ends that request as its parent does, under the id that the parent gave it. Of
    two records with one id a store keeps one, and that might be the child's. So the child's is stored under an id of its own.
    """

    process: str
    parents: tuple[str, ...] = ()

    @classmethod
    def of(cls, description: Mapping[str, Any]) -> Self:
        """What a ring's description says."""
        process, parents = description.get("process"), description.get("parents")
        return cls(
            process if isinstance(process, str) else "",
            tuple(each for each in parents if isinstance(each, str)) if isinstance(parents, list) else (),
        )

    def child_of(self, process: str) -> Self:
        """That of a process that was forked from this one."""
        return self._replace(process=process, parents=(self.process, *self.parents)[:_MOST_PARENTS])

    def own(self, record: Record) -> Record:
        """The record under an id of this process: the same one wherever it is asked for."""
        id_ = record.id
        return record._replace(id=id_[:16] + self.process + id_[24:]) if id_[16:24] in self.parents else record


def decode_foreign_lines(data: bytes, resource: Resource, lineage: Lineage) -> tuple[list[Record], int]:
    """The records of lines from another process's file, and how many lines were damaged and left out.

    Lines that are all whole and that process's own are decoded in one call, as :func:`decode_lines` does it.
    """
    rows = _own_rows(data, lineage.process)
    if rows is not None:
        return records_of(rows, resource), 0
    records: list[Record] = []
    damaged = 0
    for line in _lines(data):
        record = _checked(line, resource, lineage)
        if record is None:
            damaged += 1
        else:
            records.append(record)
    return records, damaged


def _own_rows(data: bytes, process: str) -> list[Any] | None:
    """The rows of these lines; None if one of them is damaged or a parent's, so that each has to be looked at alone."""
    lines = data.count(b"\n")
    # So that no line is taken for two, and no two for one.
    if not (data.startswith(b"[") and data.endswith(b"]\n") and data.count(b"]\n[") == lines - 1):
        return None
    try:
        rows = [checked_row(row) for row in _decoded_together(data)]
    except (ValueError, RecursionError):
        return None
    is_own = len(rows) == lines and all(row is not None and is_tail(row[0], process) for row in rows)
    return rows if is_own else None


def _decoded_together(data: bytes) -> list[Any]:
    """What whole lines hold. One call is three times as fast as one a line; a raw newline cannot stand inside JSON text."""
    values: list[Any] = decode(b"[" + data[:-1].replace(b"\n", b",") + b"]")
    return values


def _lines(data: bytes) -> Iterable[bytes]:
    return (line for line in data.split(b"\n") if line)


def _checked(line: bytes, resource: Resource, lineage: Lineage) -> Record | None:
    try:
        row = checked_row(decode(line))
    except (ValueError, RecursionError):
        return None
    if row is None:
        return None
    if is_tail(row[0], lineage.process):
        return record_of(row, resource)
    if any(is_tail(row[0], parent) for parent in lineage.parents):
        return lineage.own(record_of(row, resource))
    return None
