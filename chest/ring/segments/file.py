"""``SegmentFile``: the file of a ring, format 1: a header, and segments of JSON lines followed by NUL bytes.

Layout (little-endian)::

    0     magic "CHESTRNG", version u32, header length u32, segments u32, in-flight slots u32,
          segment length u64, in-flight slot length u32, length of the description u32
    64    a state byte for each segment: free, active, retired, drained
    128   committed u64 for each segment: how far its lines are in every chest
    1024  description as JSON: service, release, host, recorder, process part of record ids and those of its parents, pid, created_ns, boot id;
          version of the records, see chest/record/record.py
    4096  the in-flight area: slots for requests that are being served, see chest/ring/in_flight.py
          behind its slots which lines are in which batch, see chest/ring/segments/batch_notes.py
    then, at a multiple of the page size, the segments

JSON text holds neither NUL nor a raw newline, so a torn line, a lost page and bytes that were never written are recognised
without a checksum: a reader goes from ``committed`` to the first NUL and cuts after the last newline. Behind a lost page it goes
on with the next whole line.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from chest.native import Segment
from chest.record.encoding import encode
from chest.record.record import VERSION as RECORD_VERSION
from chest.ring.mapping import has_lasting_room, map_file
from chest.ring.segments.batch_notes import batch_slots
from chest.ring.segments.header import (
    COMMITTED,
    DESCRIPTION,
    FIXED,
    IN_FLIGHT,
    IN_FLIGHT_SLOT_BYTES,
    IN_FLIGHT_SLOTS,
    MAGIC,
    SEGMENTS,
    STATES,
    VERSION,
    UnreadableRingError,
    lengths_of,
    opened,
    read_header,
)
from chest.system.files import write_all
from chest.system.threads import sleep

FREE, ACTIVE, RETIRED, DRAINED = 0, 1, 2, 3
_U64: Final = struct.Struct("<Q")
_NEEDS_COMPILED_PART: Final = (
    "on such a file system (btrfs, ZFS) a ring takes Chest's compiled part: install it with a C compiler"
)
_ZEROS: Final = bytes(64 * 1024)


class SegmentFile:
    """A mapped ring file, or the same in anonymous memory if no file can be created.

    Every segment is a mapping of its own, because ``write`` keeps a position in each: bounds check, copy and new position are
    one C call. ``states`` and ``committed`` live in the header, so a reader in another process sees them.
    """

    def __init__(self, header_bytes: int, segment_bytes: int, count: int, description: Mapping[str, Any]) -> None:
        self._header = Segment(-1, header_bytes)
        self.segments = [Segment(-1, segment_bytes) for _ in range(count)]
        self.segment_bytes = segment_bytes
        self.description = description
        self._known_faults = 0

    @classmethod
    def create(cls, path: Path, ring_bytes: int, description: Mapping[str, Any]) -> SegmentFile:
        """Make the file with its space reserved. Raises OSError, with ENOSPC if the disk is full."""
        file = cls(*lengths_of(ring_bytes), SEGMENTS, description)
        file._make(path, keeps=False)
        return file

    @classmethod
    def in_memory(cls, ring_bytes: int, description: Mapping[str, Any]) -> SegmentFile:
        """The same in anonymous memory: lives and dies with the process."""
        file = cls(*lengths_of(ring_bytes), SEGMENTS, description)
        file._write_header()
        return file

    def move_to(self, path: Path) -> None:
        """Give it a file of its own, with all that it holds, while others write into it and read from it.

        Raises OSError, as :meth:`create` does; then all it holds is as before, in memory that no other process sees.
        """
        self._make(path, keeps=True)

    def move_to_memory(self) -> None:
        """The same in memory that no other process sees or writes to, not even one that had the file open. Raises OSError."""
        if hasattr(os, "memfd_create"):
            descriptor = os.memfd_create("chest")
            try:
                os.ftruncate(descriptor, self._bytes)
                self._map(descriptor, keeps=True)
            finally:
                os.close(descriptor)

    def _make(self, path: Path, *, keeps: bool) -> None:
        """A sparse file on a full disk would fail at some later write, by SIGBUS; ``posix_fallocate`` refuses here and now, and
        writing does if that call is missing. The file gets its name last, so no process ever finds half of one."""
        draft = path.with_suffix(".new")
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            if not has_lasting_room(descriptor):
                raise OSError(errno.ENOTSUP, _NEEDS_COMPILED_PART, str(path.parent))
            reserve(descriptor, self._bytes)
            self._map(descriptor, keeps=keeps)
            if not keeps:
                self._write_header()
            os.rename(draft, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(draft)
            raise
        finally:
            os.close(descriptor)

    @classmethod
    def open(cls, path: Path) -> SegmentFile:
        """Map the file that another process left. Raises UnreadableRingError or OSError.

        The file belongs to this user or to the owner of its directory (root may recover another user's). In a shared directory,
        such as ``/tmp``, any user could else leave records in the name of another.
        """
        with opened(path, os.O_RDWR) as descriptor:
            try:
                header_bytes, segment_bytes, segments, description = read_header(descriptor)
                file = cls(header_bytes, segment_bytes, segments, description)
                file._map(descriptor)
                return file
            except (ValueError, RecursionError) as error:
                raise UnreadableRingError(str(error)) from error

    def fill(self, content: bytes, *, keeps_header: bool) -> None:
        """Put what a damaged file has in the place of what is here; what it does not have stays NUL.

        :param keeps_header: whether its header is to be kept; else nothing of the file counts as committed.
        """
        start = len(self._header)
        if keeps_header:
            self._header[: len(content[:start])] = content[:start]
        else:
            self._write_header()
        for segment in self.segments:
            piece = content[start : start + self.segment_bytes]
            segment[: len(piece)] = piece
            start += self.segment_bytes

    @property
    def _bytes(self) -> int:
        return len(self._header) + len(self.segments) * self.segment_bytes

    def _map(self, descriptor: int, *, keeps: bool = False) -> None:
        """Every mapping of the file instead of what was there; the header last, which says what is in the segments."""
        for index, segment in enumerate(self.segments):
            map_file(segment, descriptor, len(self._header) + index * self.segment_bytes, keeps)
        map_file(self._header, descriptor, 0, keeps)
        self._known_faults = self.all_faults

    @property
    def all_faults(self) -> int:
        """How many pages its files no longer had, cut or on a full disk; lines that were written may have become NUL bytes."""
        return sum(getattr(mapping, "faults", 0) for mapping in (self._header, *self.segments))

    @property
    def faults(self) -> int:
        """Those of them that are memory of this process now, and in no file."""
        return self.all_faults - self._known_faults

    def _write_header(self) -> None:
        text = encode({"version": RECORD_VERSION, **self.description})
        room = IN_FLIGHT - DESCRIPTION
        if len(text) > room:
            raise ValueError(f"the description of the ring takes {len(text)} bytes and may take {room}")
        self._header[DESCRIPTION : DESCRIPTION + len(text)] = text
        self._header[: FIXED.size] = FIXED.pack(
            MAGIC, VERSION, len(self._header), len(self.segments), IN_FLIGHT_SLOTS, self.segment_bytes,
            IN_FLIGHT_SLOT_BYTES, len(text),
        )  # fmt: skip

    def restore_header(self, states: Sequence[int]) -> bool:
        """Write the header anew, with these states and nothing committed, if its page was lost; False if it was not."""
        if self._header[: len(MAGIC)] == MAGIC:
            return False
        self._write_header()
        self._header[STATES : STATES + len(states)] = bytes(states)
        return True

    @property
    def in_flight_area(self) -> tuple[mmap.mmap, int, int, int]:
        """Its mapping, its offset there, how many slots it has, and the bytes of a slot."""
        _, _, header_bytes, _, slots, _, slot_bytes, _ = FIXED.unpack_from(self._header)
        fitting = (header_bytes - IN_FLIGHT) // slot_bytes if slot_bytes else 0
        return self._header, IN_FLIGHT, min(slots, fitting), slot_bytes or IN_FLIGHT_SLOT_BYTES

    @property
    def batch_area(self) -> tuple[mmap.mmap, int, int]:
        """Where batches are noted: the mapping, the offset there, and how many slots it has; none if an earlier release made it."""
        _, area, slots, slot_bytes = self.in_flight_area
        begin = area + slots * slot_bytes
        return self._header, begin, batch_slots(len(self._header) - begin)

    def state(self, index: int) -> int:
        """FREE, ACTIVE, RETIRED or DRAINED."""
        return self._header[STATES + index]

    def states(self) -> bytes:
        """The state of every segment."""
        return self._header[STATES : STATES + len(self.segments)]

    def set_state(self, index: int, state: int) -> None:
        self._header[STATES + index] = state

    def committed(self, index: int) -> int:
        """Up to which byte of the segment every line is in every chest."""
        return int(_U64.unpack_from(self._header, COMMITTED + 8 * index)[0])

    def set_committed(self, index: int, position: int) -> None:
        _U64.pack_into(self._header, COMMITTED + 8 * index, position)

    def clear(self, index: int, used_bytes: int) -> None:
        """Zero what was written and rewind; every line of the segment must be committed.

        In pieces, so that requests get their turn in between, and through the mapping, which has no descriptor.
        ``committed`` goes back to 0 only when nothing of the old lines is left to be read again.
        """
        segment = self.segments[index]
        for start in range(0, used_bytes, len(_ZEROS)):
            size = min(len(_ZEROS), used_bytes - start)
            segment[start : start + size] = _ZEROS[:size]
            sleep(0)
        segment.seek(0)
        self.set_committed(index, 0)

    def close(self) -> None:
        """Unmap; the file stays. Idempotent.

        A mapping that counts users, as one does for good without the global interpreter lock when two came at once, stays until
        the process ends.
        """
        for mapping in (*self.segments, self._header):
            with contextlib.suppress(BufferError):
                mapping.close()


def reserve(descriptor: int, length: int) -> None:
    """Have the file system give the whole space to the empty file now. Raises OSError."""
    try:
        os.posix_fallocate(descriptor, 0, length)
    except (AttributeError, OSError) as error:
        # macOS lacks the call, and musl's fails if the file system lacks it (glibc's writes by itself).
        if isinstance(error, OSError) and error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise
        for start in range(0, length, len(_ZEROS)):
            write_all(descriptor, _ZEROS[: length - start])
