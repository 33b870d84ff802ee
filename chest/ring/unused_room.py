"""``give_back_unused_room``: cuts a ring file that is no longer written down to what its records need on disk."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from chest.ring.segments.file import SegmentFile
from chest.ring.segments.header import UnreadableRingError
from chest.ring.segments.lines import next_written

_KEPT_BYTES: Final = 256 * 1024
"""A file that takes no more of the disk is left as it is: its room was given back before, or there is little to gain."""
_NUL: Final = 0


def has_unused_room(status: os.stat_result) -> bool:
    """True if a file takes so much of the disk that :func:`give_back_unused_room` may gain something."""
    return getattr(status, "st_blocks", 0) * 512 > _KEPT_BYTES


def give_back_unused_room(path: Path, *, keeps_delivered: bool = False) -> None:
    """Give back to the disk what a ring file has reserved and does not need for records that wait. Never raises.

    The file keeps its length and its layout, so that any release reads it. What was given back reads as NUL bytes, as
    all does behind the last line. A file system that has no holes in files keeps the file as it is.

    :param path: of a ring that is written no more; the caller holds its lock.
    :param keeps_delivered: whether another process may be delivering it, which zeroes by itself what it has delivered.
    """
    if not hasattr(mmap, "MADV_REMOVE"):  # Linux only
        return
    with suppress(OSError, UnreadableRingError, ValueError):
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            status = os.fstat(descriptor)
            if has_unused_room(status):
                ring = SegmentFile.open(path)
                try:
                    ranges = list(_unused(ring, keeps_delivered))
                finally:
                    ring.close()
                with mmap.mmap(descriptor, status.st_size) as whole:
                    for begin, end in ranges:
                        _remove(whole, begin, end)
        finally:
            os.close(descriptor)


def _unused(ring: SegmentFile, keeps_delivered: bool) -> Iterator[tuple[int, int]]:
    """Begin and end, in the file, of what no reader needs."""
    header, area, slots, slot_bytes = ring.in_flight_area
    if slot_bytes and all(header[slot] == _NUL for slot in range(area, area + slots * slot_bytes, slot_bytes)):
        yield area, area + slots * slot_bytes
    for index, segment in enumerate(ring.segments):
        begin = len(header) + index * ring.segment_bytes
        committed = ring.committed(index)
        if not (0 < committed <= len(segment) and segment[committed - 1 : committed] == b"\n"):
            committed = 0  # a reader also begins at the start if this is invalid
        written = segment.find(b"\0", committed)
        while written >= 0 and (more := next_written(segment, written)) < len(segment):
            written = segment.find(b"\0", more)  # a lost page, and lines behind it
        if committed and not keeps_delivered:
            yield begin, begin + committed - 1  # the newline before it is what a reader knows the position by
        if written >= 0:
            yield begin + written, begin + ring.segment_bytes


def _remove(whole: mmap.mmap, begin: int, end: int) -> None:
    """Give the whole pages of a range back; those that it shares with what is kept stay."""
    first = -(-begin // mmap.PAGESIZE) * mmap.PAGESIZE
    last = end // mmap.PAGESIZE * mmap.PAGESIZE
    if first < last:
        whole.madvise(mmap.MADV_REMOVE, first, last - first)
