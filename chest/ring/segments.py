"""``SegmentFile``: the file of a ring, format 1: a header, and segments of JSON lines followed by NUL bytes.

Layout (little-endian)::

    0     magic "CHESTRNG", version u32, header length u32, segments u32, in-flight slots u32,
          segment length u64, in-flight slot length u32, length of the description u32
    64    a state byte for each segment: free, active, retired, drained
    128   committed u64 for each segment: how far its lines are in every chest
    1024  description as JSON: service, release, host, recorder, process part of record ids and those of its parents, pid, created_ns, boot id
    4096  the in-flight area: slots for requests that are being served, see chest/ring/in_flight.py
    then, at a multiple of the page size, the segments

JSON text holds neither NUL nor a raw newline, so a torn line, a lost page and bytes that were never written are recognised
without a checksum: a reader goes from ``committed`` to the first NUL and cuts after the last newline.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from chest.encoding import decode, encode
from chest.native import sleep
from chest.speedups import Segment

MAGIC: Final = b"CHESTRNG"
VERSION: Final = 1
READABLE_VERSIONS: Final = frozenset({1})
"""This one and the one before it, so that a rolling deploy can adopt what the release before it left."""
SEGMENTS: Final = 16
FREE, ACTIVE, RETIRED, DRAINED = 0, 1, 2, 3

_FIXED: Final = struct.Struct("<8sIIIIQII")
_U64: Final = struct.Struct("<Q")
_STATES: Final = 64
_COMMITTED: Final = 128
_DESCRIPTION: Final = 1024
_IN_FLIGHT: Final = 4096
_IN_FLIGHT_SLOTS: Final = 256
_IN_FLIGHT_SLOT_BYTES: Final = 512
_MOST_SEGMENTS: Final = 64
_ZEROS: Final = bytes(64 * 1024)


_abandoned: Final[list[SegmentFile]] = []
"""Kept for the life of the process, for a mapping closes its descriptor when it is collected, too."""


class UnreadableRingError(Exception):
    """A file that is no ring of a version this release can read. Stays inside the ring's room."""


class LaterFormatError(UnreadableRingError):
    """A ring of a later format: for the release that wrote it, or one that is newer."""


class SegmentFile:
    """A mapped ring file, or the same in anonymous memory where no file can be had.

    Every segment is a mapping of its own, because ``write`` keeps a position in each: bounds check, copy and new position are
    one C call. ``states`` and ``committed`` live in the header, so a reader in another process sees them.
    """

    def __init__(self, header: mmap.mmap, segments: list[Segment], description: Mapping[str, Any]) -> None:
        self._header = header
        self.segments = segments
        self.segment_bytes = len(segments[0])
        self.description = description

    @classmethod
    def create(cls, path: Path, ring_bytes: int, description: Mapping[str, Any]) -> SegmentFile:
        """Make the file with its space reserved. Raises OSError, with ENOSPC where the disk is full.

        A sparse file on a full disk would kill the process with SIGBUS at some later write; ``posix_fallocate`` refuses
        here and now, and writing does where that is missing. The file gets its name last, so nobody ever finds half of one.
        """
        header_bytes, segment_bytes = _lengths(ring_bytes)
        draft = path.with_suffix(".new")
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            _reserve(descriptor, header_bytes + SEGMENTS * segment_bytes)
            file = cls._map(descriptor, header_bytes, segment_bytes, SEGMENTS, description)
            file._write_header()
            os.rename(draft, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(draft)
            raise
        finally:
            os.close(descriptor)
        return file

    @classmethod
    def in_memory(cls, ring_bytes: int, description: Mapping[str, Any]) -> SegmentFile:
        """The same in anonymous memory: lives and dies with the process."""
        header_bytes, segment_bytes = _lengths(ring_bytes)
        segments = [Segment(-1, segment_bytes) for _ in range(SEGMENTS)]
        file = cls(mmap.mmap(-1, header_bytes), segments, description)
        file._write_header()
        return file

    @classmethod
    def open(cls, path: Path) -> SegmentFile:
        """Map the file that another process left. Raises UnreadableRingError or OSError.

        Of this user, or of the directory's, as where root looks after somebody's: where the directory is shared, as ``/tmp``
        is, anybody could leave records in a name that is not theirs.
        """
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            owner = os.fstat(descriptor).st_uid
            if owner not in (os.geteuid(), path.parent.stat().st_uid):
                raise PermissionError(errno.EPERM, f"belongs to user {owner}, and is left alone")
            header_bytes, segment_bytes, segments, description = _read_header(descriptor)
            return cls._map(descriptor, header_bytes, segment_bytes, segments, description)
        except (ValueError, RecursionError) as error:
            raise UnreadableRingError(str(error)) from error
        finally:
            os.close(descriptor)

    @classmethod
    def _map(
        cls, descriptor: int, header_bytes: int, segment_bytes: int, count: int, description: Mapping[str, Any]
    ) -> SegmentFile:
        header = mmap.mmap(descriptor, header_bytes)
        offsets = range(header_bytes, header_bytes + count * segment_bytes, segment_bytes)
        return cls(header, [Segment(descriptor, segment_bytes, offset=at) for at in offsets], description)

    def _write_header(self) -> None:
        text = encode(dict(self.description))
        room = _IN_FLIGHT - _DESCRIPTION
        if len(text) > room:
            raise ValueError(f"the description of the ring takes {len(text)} bytes and may take {room}")
        self._header[_DESCRIPTION : _DESCRIPTION + len(text)] = text
        self._header[: _FIXED.size] = _FIXED.pack(
            MAGIC, VERSION, len(self._header), len(self.segments), _IN_FLIGHT_SLOTS, self.segment_bytes,
            _IN_FLIGHT_SLOT_BYTES, len(text),
        )  # fmt: skip

    @property
    def in_flight_area(self) -> tuple[mmap.mmap, int, int, int]:
        """The mapping in which it lies, where it begins, how many slots it has, and how many bytes each."""
        _, _, header_bytes, _, slots, _, slot_bytes, _ = _FIXED.unpack_from(self._header)
        fitting = (header_bytes - _IN_FLIGHT) // slot_bytes if slot_bytes else 0
        return self._header, _IN_FLIGHT, min(slots, fitting), slot_bytes

    def state(self, index: int) -> int:
        """FREE, ACTIVE, RETIRED or DRAINED."""
        return self._header[_STATES + index]

    def states(self) -> bytes:
        """The state of every segment."""
        return self._header[_STATES : _STATES + len(self.segments)]

    def set_state(self, index: int, state: int) -> None:
        self._header[_STATES + index] = state

    def committed(self, index: int) -> int:
        """Up to which byte of the segment every line is in every chest."""
        return int(_U64.unpack_from(self._header, _COMMITTED + 8 * index)[0])

    def set_committed(self, index: int, position: int) -> None:
        _U64.pack_into(self._header, _COMMITTED + 8 * index, position)

    def clear(self, index: int, used_bytes: int) -> None:
        """Zero what was written and rewind; every line of the segment must be committed.

        In pieces, so that requests get their turn in between, and through the mapping: a descriptor's number may have become
        that of a file of the application (programs that become daemons close all they find).
        ``committed`` goes back to 0 only when nothing of the old lines is left to be read again.
        """
        segment = self.segments[index]
        for start in range(0, used_bytes, len(_ZEROS)):
            size = min(len(_ZEROS), used_bytes - start)
            segment[start : start + size] = _ZEROS[:size]
            sleep(0)
        segment.seek(0)
        self.set_committed(index, 0)

    def abandon(self) -> None:
        """Never close: somebody else closed the descriptors that the mappings hold, and the numbers may be others' by now."""
        _abandoned.append(self)

    def close(self) -> None:
        """Unmap and close; the file stays where it is. Calling it twice is harmless."""
        if self in _abandoned:
            return
        for mapping in (*self.segments, self._header):
            mapping.close()


def _reserve(descriptor: int, length: int) -> None:
    """Have the file system give the whole space to the empty file now. Raises OSError."""
    try:
        os.posix_fallocate(descriptor, 0, length)
    except (AttributeError, OSError) as error:
        # macOS has none, and musl's says so where a file system has none (glibc's writes by itself).
        if isinstance(error, OSError) and error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise
        for start in range(0, length, len(_ZEROS)):
            os.pwrite(descriptor, _ZEROS[: length - start], start)


def _lengths(ring_bytes: int) -> tuple[int, int]:
    """Bytes of the header and of one segment, both multiples of what ``mmap`` takes as an offset."""
    page = mmap.ALLOCATIONGRANULARITY
    header = _IN_FLIGHT + _IN_FLIGHT_SLOTS * _IN_FLIGHT_SLOT_BYTES
    return -(-header // page) * page, max(1, ring_bytes // SEGMENTS // page) * page


def _read_header(descriptor: int) -> tuple[int, int, int, Mapping[str, Any]]:
    """Lengths, number of segments and description, each checked against the file. Raises ValueError."""
    head = os.pread(descriptor, _IN_FLIGHT, 0)
    if len(head) < _IN_FLIGHT:
        raise ValueError("shorter than a header")
    magic, version, header_bytes, count, _, segment_bytes, _, text_bytes = _FIXED.unpack_from(head)
    if magic != MAGIC:
        raise ValueError("does not begin as a ring file does")
    if version > VERSION:
        raise LaterFormatError(f"ring format {version}, and this release reads up to {VERSION}")
    if version not in READABLE_VERSIONS:
        raise ValueError(f"ring format {version}, which this release does not read")
    page = mmap.ALLOCATIONGRANULARITY
    if not 0 < count <= _MOST_SEGMENTS or header_bytes < _IN_FLIGHT or segment_bytes == 0:
        raise ValueError("impossible lengths in the header")
    if header_bytes % page or segment_bytes % page or text_bytes > _IN_FLIGHT - _DESCRIPTION:
        raise ValueError("impossible lengths in the header")
    if os.fstat(descriptor).st_size < header_bytes + count * segment_bytes:
        raise ValueError("shorter than its header says")
    description = decode(head[_DESCRIPTION : _DESCRIPTION + text_bytes])
    if not isinstance(description, dict):
        raise ValueError("no description in the header")
    return header_bytes, segment_bytes, count, description
