"""Adopting the ring files of processes that are gone: exactly one adopter each, delivered, then removed.

A ring whose owner's lock can be had has no owner any more: the kernel lets go of record locks when a process ends, however
it ended. A file that is damaged never raises here, and nothing is made of it that was not offered: each line is checked
against its own id (:mod:`chest.record.record_id`).
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from chest.record.counters import Counters
from chest.ring.lock_file import DRAIN, OWNER, LockFile, locks_are_available
from chest.ring.orphaned_ring import Clean, OrphanedRing, Wreck, set_aside
from chest.ring.segments.file import SegmentFile
from chest.ring.segments.header import LaterFormatError, UnreadableRingError
from chest.ring.unused_room import give_back_unused_room, has_unused_room

SUFFIX: Final = ".ring"
LOCK_SUFFIX: Final = ".lock"
_SUFFIXES: Final = (SUFFIX, SUFFIX, LOCK_SUFFIX)
_STRAY_SECONDS: Final = 60.0
"""Age from which a lock file without a ring is litter: between making the two a living process takes milliseconds."""
_LOOK_SECONDS: Final = 0.01
"""How long a look for rings keeps a thread that has to deliver meanwhile."""
_MANY: Final = 1000


def adopt_orphaned_rings(
    directory: Path,
    counters: Counters,
    service: str | None = None,
    recorder: str | None = None,
    clean: Clean = lambda record: record,
) -> Iterator[OrphanedRing]:
    """The rings in a directory whose owners are gone, each locked by this process until it is removed or released.

    :param service: only rings of this service; None takes all.
    :param recorder: only rings of the recorder of this name; None takes all.
    :param clean: of the record of a request that was being served: what the server handed over was noted as it was.
    """
    return (ring for ring in look_for_orphaned_rings(directory, counters, service, recorder, clean) if ring is not None)


def look_for_orphaned_rings(
    directory: Path,
    counters: Counters,
    service: str | None = None,
    recorder: str | None = None,
    clean: Clean = lambda record: record,
) -> Iterator[OrphanedRing | None]:
    """:func:`adopt_orphaned_rings`, for a thread that has more to do: None each 10 ms in which none was found.

    A directory may hold any number of files that are no rings. Those with a lock beside them come first.
    """
    if not locks_are_available():
        return

    def is_wanted(description: Mapping[str, Any]) -> bool:
        """Set even if a damaged file does not name its service."""
        return all(
            wanted is None or description.get(name, wanted) == wanted
            for name, wanted in (("service", service), ("recorder", recorder))
        )

    names = _names_in(directory)
    pause = _Pause()
    # First of all rings, as the delivery of one may take long: a store is down, and processes are killed one after another.
    for name in names.locked:
        _give_back_unused_room(directory / name)
        if pause.begin_if_due():
            yield None
    for name in itertools.chain(names.locked, names.others):
        ring = _adopt(directory / name, counters, clean, is_wanted)
        if ring is not None:
            yield ring
            pause.begin()
        elif pause.begin_if_due():
            yield None
    for name in names.locks:
        _sweep(directory / name)
        if pause.begin_if_due():
            yield None


def give_back_unused_rooms(directory: Path) -> None:
    """Shrink orphaned rings on disk to their records; for a process that delivers none of them."""
    if locks_are_available():
        for name in _names_in(directory).locked:
            _give_back_unused_room(directory / name)


class _Pause:
    """When a long look is to let others have their turn."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        self._at = time.monotonic() + _LOOK_SECONDS

    def begin_if_due(self) -> bool:
        """Begin the next if it is due; True if it was."""
        if time.monotonic() < self._at:
            return False
        self.begin()
        return True


class RingNames(NamedTuple):
    """Names of files in a directory, as text: there may be any number."""

    locked: list[str]
    """Those of rings with a lock beside them."""
    others: list[str]
    """Those of rings without one."""
    locks: list[str]

    @classmethod
    def of(cls, directory: Path) -> Self:
        """Those first that were last written the longest ago; if there are many, in another order each time. Raises OSError.

        So no ring is always the last, even if short-lived processes adopt and leave new rings all the time.
        """
        rings: set[str] = set()
        locks: set[str] = set()
        with os.scandir(directory) as entries:
            for entry in entries:
                stem, dot, suffix = entry.name.rpartition(".")
                if dot and (suffix == SUFFIX[1:] or suffix == LOCK_SUFFIX[1:]) and entry.is_file(follow_symlinks=False):
                    (rings if suffix == SUFFIX[1:] else locks).add(stem)
        found = [list(rings & locks), list(rings - locks), list(locks)]
        for names in found:
            random.shuffle(names) if len(names) > _MANY else names.sort(key=lambda stem: _written_at(directory, stem))
        return cls(*([stem + suffix for stem in names] for names, suffix in zip(found, _SUFFIXES, strict=True)))


def _written_at(directory: Path, stem: str) -> tuple[int, str]:
    try:
        return os.lstat(directory / (stem + SUFFIX)).st_mtime_ns, stem
    except OSError:  # a lock without a ring, or gone
        return 0, stem


def _names_in(directory: Path) -> RingNames:
    try:
        return RingNames.of(directory)
    except OSError:
        return RingNames([], [], [])


def _give_back_unused_room(path: Path) -> None:
    with contextlib.suppress(OSError):
        if has_unused_room(path.lstat()):
            lock = _locked(path)
            if lock is not None:
                if lock.is_linked():
                    give_back_unused_room(path)
                lock.close()


def _adopt(
    path: Path, counters: Counters, clean: Clean, is_wanted: Callable[[Mapping[str, Any]], bool]
) -> OrphanedRing | None:
    lock = _locked(path)
    if lock is None:
        return None
    try:
        if lock.is_linked() and path.exists():
            give_back_unused_room(path)
            file, damage = _read(path, counters, is_wanted)
            if file is not None and is_wanted(file.description):
                return OrphanedRing(path, file, lock, counters, clean, damage)
            if file is not None:
                file.close()
    except OSError as error:
        counters.fault("the ring file %s could not be taken over: %s", path, error.strerror or error)
    lock.close()
    return None


def _read(
    path: Path, counters: Counters, is_wanted: Callable[[Mapping[str, Any]], bool]
) -> tuple[SegmentFile | None, str]:
    """The ring, of a damaged one what can be read, and what is wrong with it. Raises OSError."""
    try:
        return SegmentFile.open(path), ""
    except LaterFormatError as error:
        counters.fault("%s: %s; left for a release that reads it", path, error)
        return None, ""
    except UnreadableRingError as error:
        wreck = Wreck(path)
        if not is_wanted(wreck.description):
            return None, ""
        file = wreck.salvaged()
        if file is None:
            counters.add("rings_unreadable")
            aside = set_aside(path, "unreadable")
            counters.fault("%s: %s; nothing of it could be read, and it is set aside as %s", path, error, aside.name)
        return file, str(error)


def _locked(path: Path) -> LockFile | None:
    """The lock of a ring whose owner is gone, with both bytes; None when it is another's."""
    lock_path = path.with_suffix(LOCK_SUFFIX)
    if not lock_path.exists():
        # The lock of a ring was removed. Its owner, if it lives, makes itself another ring within seconds, and renews the
        # times of this one until then; age and process id have to tell.
        if _age_seconds(path) < _STRAY_SECONDS or _owner_may_live(path):
            return None
        with contextlib.suppress(OSError):
            return LockFile.create(lock_path, DRAIN)
        return None
    lock = LockFile.open(lock_path)
    if lock is None or lock.try_lock(OWNER, DRAIN):
        return lock
    lock.close()
    return None


def _owner_may_live(path: Path) -> bool:
    try:
        file = SegmentFile.open(path)
    except (UnreadableRingError, OSError):
        return False
    pid = file.description.get("pid")
    file.close()
    return isinstance(pid, int) and Path(f"/proc/{pid}").exists()


def _sweep(path: Path) -> None:
    """Remove what a process that died while opening its ring left: a lock without a ring, a draft without a name."""
    if path.with_suffix(SUFFIX).exists() or _age_seconds(path) < _STRAY_SECONDS:
        return
    lock = LockFile.open(path)
    if lock is None:
        return
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
