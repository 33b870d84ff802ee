"""Adopting the ring files of processes that are gone: exactly one adopter each, delivered, then removed.

A ring whose owner's lock can be had has no owner any more: the kernel lets go of record locks when a process ends, however
it ended. A file that is damaged never raises here, and nothing is made of it that was not offered: each line is checked
against its own id (:mod:`chest.record_id`).
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from chest.counters import Counters
from chest.record import Record
from chest.ring.in_flight import clear_killed_requests, killed_requests
from chest.ring.line import Lineage, Resource, decode_foreign_lines
from chest.ring.lock_file import DRAIN, OWNER, LockFile, locks_are_available
from chest.ring.segments import LaterFormatError, SegmentFile, UnreadableRingError

SUFFIX: Final = ".ring"
LOCK_SUFFIX: Final = ".lock"
_STRAY_SECONDS: Final = 60.0
"""Age from which a lock file without a ring is litter: between making the two a living process takes milliseconds."""
_PIECE_BYTES: Final = 64 * 1024
_IN_FLIGHT: Final = -1
"""In the place of a segment: the piece with the requests that were being served."""

Clean = Callable[[Record], Record]
"""Makes the record of a request whose process was killed fit to be stored."""


class DeadRing:
    """The ring file of a process that is gone, while this process holds its locks."""

    def __init__(self, path: Path, file: SegmentFile, lock: LockFile, counters: Counters, clean: Clean) -> None:
        self.path = path
        self._file = file
        self._lock = lock
        self._counters = counters
        self._clean = clean
        self._damaged = 0
        text = {key: value for key, value in file.description.items() if isinstance(value, str)}
        self.resource = Resource(text.get("service", ""), text.get("release", ""), text.get("host", ""))
        self.recorder = text.get("recorder", "")
        self._lineage = Lineage.of(file.description)

    def pieces(self) -> Iterator[tuple[list[Record], int, int]]:
        """Records not yet committed, with the segment and position for :meth:`commit`, some hundred at a time.

        Last come the requests that were being served, less those that the ring has the record of: their process was killed
        between offering it and saying so.
        """
        killed = self._killed()
        for index, segment in enumerate(self._file.segments):
            position = self._begin(index, segment)
            while True:
                records, position, is_last = self._piece(segment, position)
                if records:
                    if killed:
                        for record in records:
                            killed.pop(record.id, None)
                    yield records, index, position
                if is_last:
                    break
        if killed:
            yield list(killed.values()), _IN_FLIGHT, len(killed)

    def _killed(self) -> dict[str, Record]:
        killed = killed_requests(self._file, self.resource, self._lineage.process)
        return {record.id: self._clean(record) for record in killed}

    def _begin(self, index: int, segment: Any) -> int:
        """Where the undelivered lines of a segment begin; from its start where the committed position makes no sense."""
        position = self._file.committed(index)
        if 0 < position <= len(segment) and segment[position - 1 : position] == b"\n":
            return position
        return 0

    def _piece(self, segment: Any, begin: int) -> tuple[list[Record], int, bool]:
        window = segment[begin : begin + _PIECE_BYTES]
        hole = window.find(b"\0")
        if hole < 0 and b"\n" not in window and len(window) == _PIECE_BYTES:
            window = segment[begin:]  # one line longer than a piece
            hole = window.find(b"\0")
        readable = window if hole < 0 else window[:hole]
        lines = readable[: readable.rfind(b"\n") + 1]
        records, damaged = decode_foreign_lines(lines, self.resource, self._lineage)
        if damaged:
            self._damaged += damaged
            self._counters.add("dropped.damaged", damaged)
        return records, begin + len(lines), hole >= 0 or not lines

    def commit(self, segment: int, position: int) -> None:
        """Every chest has the lines of the segment up to ``position``; the next adopter need not send them again."""
        if segment == _IN_FLIGHT:
            clear_killed_requests(self._file)
            self._counters.add("killed", position)
        else:
            self._file.set_committed(segment, position)

    def remove(self) -> None:
        """Everything was delivered: the ring first and its lock last, so that nobody finds a ring without its lock.

        A ring with lines that could not be read is not removed but set aside, for a person to look at.
        """
        self._file.close()
        with contextlib.suppress(OSError):
            if self._damaged:
                os.rename(self.path, self.path.with_name(self.path.name + ".damaged"))
            else:
                os.unlink(self.path)
        with contextlib.suppress(OSError):
            os.unlink(self._lock.path)
        self._lock.close()

    def release(self) -> None:
        """Leave the rest to the next adopter."""
        self._file.close()
        self._lock.close()


def adopt_dead_rings(
    directory: Path,
    counters: Counters,
    service: str | None = None,
    recorder: str | None = None,
    clean: Clean = lambda record: record,
) -> Iterator[DeadRing]:
    """The rings in a directory whose owners are gone, each locked by this process until it is removed or released.

    :param service: only rings of this service; None takes all.
    :param recorder: only rings of the recorder of this name; None takes all.
    :param clean: of the record of a request that was being served: what the server handed over was noted as it was.
    """
    if not locks_are_available():
        return
    for path in _files(directory, SUFFIX):
        ring = _adopt(path, counters, clean)
        if ring is None:
            continue
        if (service is None or ring.resource.service == service) and (recorder is None or ring.recorder == recorder):
            yield ring
        else:
            ring.release()
    _sweep(directory)


def _files(directory: Path, suffix: str) -> list[Path]:
    try:
        with os.scandir(directory) as entries:
            return sorted(
                Path(entry.path)
                for entry in entries
                if entry.name.endswith(suffix) and entry.is_file(follow_symlinks=False)
            )
    except OSError:
        return []


def _adopt(path: Path, counters: Counters, clean: Clean) -> DeadRing | None:
    lock = _lock_of(path)
    if lock is None:
        return None
    try:
        if lock.try_lock(OWNER) and lock.try_lock(DRAIN) and lock.is_linked() and path.exists():
            return DeadRing(path, SegmentFile.open(path), lock, counters, clean)
    except UnreadableRingError as error:
        _set_aside(path, error, counters)
    except OSError as error:
        counters.error(f"{path}: {error.strerror or error}")
    lock.close()
    return None


def _lock_of(path: Path) -> LockFile | None:
    lock_path = path.with_suffix(LOCK_SUFFIX)
    if not lock_path.exists():
        # Somebody removed the lock of a ring. Its owner, if it lives, holds the lock of a file that is gone, so this once
        # age and process id have to tell.
        if _age_seconds(path) < _STRAY_SECONDS or _owner_may_live(path):
            return None
        with contextlib.suppress(OSError):
            return LockFile.create(lock_path)
        return None
    return LockFile.open(lock_path)


def _owner_may_live(path: Path) -> bool:
    try:
        file = SegmentFile.open(path)
    except (UnreadableRingError, OSError):
        return False
    pid = file.description.get("pid")
    file.close()
    return isinstance(pid, int) and Path(f"/proc/{pid}").exists()


def _set_aside(path: Path, error: UnreadableRingError, counters: Counters) -> None:
    """A ring of a later format stays for the release that can read it; anything else is renamed, so as to be said once."""
    if isinstance(error, LaterFormatError):
        counters.error(f"{path}: {error}; left for a release that reads it")
        return
    counters.add("rings_unreadable")
    counters.error(f"{path}: {error}; set aside as {path.name}.unreadable")
    with contextlib.suppress(OSError):
        os.rename(path, path.with_name(path.name + ".unreadable"))


def _sweep(directory: Path) -> None:
    """Remove what a process that died while opening its ring left: a lock without a ring, a draft without a name."""
    for path in _files(directory, LOCK_SUFFIX):
        if path.with_suffix(SUFFIX).exists() or _age_seconds(path) < _STRAY_SECONDS:
            continue
        lock = LockFile.open(path)
        if lock is None:
            continue
        if lock.try_lock(OWNER) and lock.is_linked() and not path.with_suffix(SUFFIX).exists():
            for litter in (path.with_suffix(".new"), path):
                with contextlib.suppress(OSError):
                    os.unlink(litter)
        lock.close()


def _age_seconds(path: Path) -> float:
    try:
        return time.time() - path.lstat().st_mtime
    except OSError:
        return 0.0
