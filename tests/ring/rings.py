"""What tests ask of a ring that is open."""

from __future__ import annotations

from typing import Final

from chest.record.record import Record
from chest.ring.line import Resource, decode_lines
from chest.ring.reader import RingReader
from chest.ring.segments.pool import SegmentPool
from chest.ring.writer import RingWriter

RESOURCE: Final = Resource("shop", "1.0", "test")
MIB: Final = 1024 * 1024


def drain(reader: RingReader) -> list[Record]:
    records: list[Record] = []
    while (chunk := reader.take(64 * 1024)) is not None:
        records += decode_lines(chunk.data, reader.resource)
        reader.commit_to(chunk.segment, chunk.end)
    return records


def pool_of(ring: RingWriter) -> SegmentPool:
    assert ring.pool is not None
    return ring.pool
