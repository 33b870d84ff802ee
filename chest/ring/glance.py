"""``glance_at``: what a ring file holds, without taking anything from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from chest.record.encoding import decode
from chest.ring.in_flight import Noted, noted_in
from chest.ring.lock_file import OWNER, LockFile
from chest.ring.recovery import LOCK_SUFFIX
from chest.ring.segments.file import SegmentFile
from chest.ring.segments.header import UnreadableRingError
from chest.system.threads import sleep

_BETWEEN_LOOKS_SECONDS: Final = 0.05


class RingGlance(NamedTuple):
    """A ring as it was found."""

    path: Path
    service: str
    is_living: bool
    """True if the process that records into it is there."""
    records: int
    """Those that some chest has neither taken nor had put on disk."""
    oldest_ns: int | None
    """When the request of the oldest of them began; None if the ring is empty or cannot be read."""
    complaint: str
    """Why it cannot be read; empty if it can."""
    bytes: int = 0
    """The size of what waits."""
    in_flight: tuple[Noted, ...] = ()
    """The requests that are being served, and work that is under way; or were when the process was killed."""


def glance_at(paths: Sequence[Path], looks: int = 3) -> list[RingGlance]:
    """Look at ring files of this user's; raises nothing for those that cannot be read.

    :param looks: how often a lock is looked at: a process that looks for rings to adopt also holds one for a moment.
    """
    held = set(paths)
    for look in range(looks):
        if held and look:
            sleep(_BETWEEN_LOOKS_SECONDS)
        held = {path for path in held if _is_locked(path.with_suffix(LOCK_SUFFIX))}
    return [_glance_at(path, is_living=path in held) for path in paths]


def _glance_at(path: Path, *, is_living: bool) -> RingGlance:
    try:
        file = SegmentFile.open(path)
    except (UnreadableRingError, OSError) as error:
        return RingGlance(path, "", is_living, 0, None, getattr(error, "strerror", None) or str(error))
    try:
        records, size, times = 0, 0, []
        for index, segment in enumerate(file.segments):
            begin = file.committed(index)
            begin = begin if 0 < begin <= len(segment) and segment[begin - 1 : begin] == b"\n" else 0
            end = segment.find(b"\0", begin)
            lines = segment[begin : len(segment) if end < 0 else end]
            records += lines.count(b"\n")
            size += len(lines)
            times += _time_of(lines.partition(b"\n")[0])
        service = file.description.get("service")
        return RingGlance(
            path, str(service or ""), is_living, records, min(times, default=None), "", size, noted_in(file)
        )
    finally:
        file.close()


def _time_of(line: bytes) -> list[int]:
    try:
        row = decode(line)
    except (ValueError, RecursionError):
        return []
    return [row[2]] if isinstance(row, list) and len(row) > 2 and type(row[2]) is int else []


def _is_locked(path: Path) -> bool:
    lock = LockFile.open(path)
    if lock is None:
        return False
    is_free = lock.try_lock(OWNER)
    lock.close()
    return not is_free
