"""The header of a ring's file: its layout, and which headers are valid. ``segments.py`` explains the layout."""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from chest.record.encoding import decode

MAGIC: Final = b"CHESTRNG"
VERSION: Final = 1
READABLE_VERSIONS: Final = frozenset({1})
"""This one and the one before it, so that a rolling deploy can adopt what the release before it left."""
SEGMENTS: Final = 16

FIXED: Final = struct.Struct("<8sIIIIQII")
STATES: Final = 64
COMMITTED: Final = 128
DESCRIPTION: Final = 1024
IN_FLIGHT: Final = 4096
IN_FLIGHT_SLOTS: Final = 256
IN_FLIGHT_SLOT_BYTES: Final = 512
BATCH_NOTES: Final = 8
"""More batches than are under way at once: up to four a chest, see ``delivery/workers.py``."""
BATCH_SLOT_BYTES: Final = 512
_MOST_SEGMENTS: Final = 64
_LARGEST_HEADER: Final = 1 << 24
_LARGEST_SEGMENT: Final = 1 << 28
"""Of a damaged file more is not believed: memory is taken for it."""


class UnreadableRingError(Exception):
    """A file that is no ring of a version this release can read. Stays inside the ring's room."""


class LaterFormatError(UnreadableRingError):
    """A ring of a later format: for the release that wrote it, or one that is newer."""


def lengths_of(ring_bytes: int) -> tuple[int, int]:
    """Bytes of the header and of one segment, both multiples of what ``mmap`` takes as an offset."""
    page = mmap.ALLOCATIONGRANULARITY
    header = IN_FLIGHT + IN_FLIGHT_SLOTS * IN_FLIGHT_SLOT_BYTES + BATCH_NOTES * BATCH_SLOT_BYTES
    return -(-header // page) * page, max(1, ring_bytes // SEGMENTS // page) * page


@contextlib.contextmanager
def opened(path: Path, how: int) -> Iterator[int]:
    descriptor = os.open(path, how | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        owner = os.fstat(descriptor).st_uid
        if owner not in (os.geteuid(), path.parent.stat().st_uid):
            raise PermissionError(errno.EPERM, f"belongs to user {owner}, and is left alone")
        yield descriptor
    finally:
        os.close(descriptor)


def opened_to_read(path: Path) -> contextlib.AbstractContextManager[int]:
    """The descriptor of a ring's file; raises OSError, as :meth:`SegmentFile.open` does."""
    return opened(path, os.O_RDONLY)


def header_of(head: bytes) -> tuple[tuple[int, int, int] | None, bytes]:
    """Of a file that may be damaged: bytes of the header and of a segment and how many, None if they make no sense; the description's text."""
    magic, version, header_bytes, count, _, segment_bytes, _, text_bytes = FIXED.unpack_from(head)
    text = head[DESCRIPTION : DESCRIPTION + text_bytes].partition(b"\0")[0]
    page = mmap.ALLOCATIONGRANULARITY
    is_possible = (
        magic == MAGIC
        and version in READABLE_VERSIONS
        and 0 < count <= _MOST_SEGMENTS
        and IN_FLIGHT <= header_bytes <= _LARGEST_HEADER
        and 0 < segment_bytes <= _LARGEST_SEGMENT
        and not header_bytes % page
        and not segment_bytes % page
    )
    return (header_bytes, segment_bytes, count) if is_possible else None, text


def read_header(descriptor: int) -> tuple[int, int, int, Mapping[str, Any]]:
    """Lengths, number of segments and description, each checked against the file. Raises ValueError."""
    head = os.pread(descriptor, IN_FLIGHT, 0)
    if len(head) < IN_FLIGHT:
        raise ValueError("shorter than a header")
    magic, version, header_bytes, count, _, segment_bytes, _, text_bytes = FIXED.unpack_from(head)
    if magic != MAGIC:
        raise ValueError("does not begin as a ring file does")
    if version > VERSION:
        raise LaterFormatError(f"ring format {version}, and this release reads up to {VERSION}")
    if version not in READABLE_VERSIONS:
        raise ValueError(f"ring format {version}, which this release does not read")
    page = mmap.ALLOCATIONGRANULARITY
    if not 0 < count <= _MOST_SEGMENTS or header_bytes < IN_FLIGHT or segment_bytes == 0:
        raise ValueError("impossible lengths in the header")
    if header_bytes % page or segment_bytes % page or text_bytes > IN_FLIGHT - DESCRIPTION:
        raise ValueError("impossible lengths in the header")
    if os.fstat(descriptor).st_size < header_bytes + count * segment_bytes:
        raise ValueError("shorter than its header says")
    description = decode(head[DESCRIPTION : DESCRIPTION + text_bytes])
    if not isinstance(description, dict):
        raise ValueError("no description in the header")
    return header_bytes, segment_bytes, count, description
