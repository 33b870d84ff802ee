"""When records go to disk: all thresholds of delivery, and pure functions of ages and of how full a ring is.

A ring's fill is a share of its bytes, from 0 to 1. A batch that waits for its chest stays in the ring for as long as it can:
the ring survives the process as well as the spool does, and what was spooled is written twice.
"""

from __future__ import annotations

from typing import Final, NamedTuple

DUE_SHARE: Final = 1 / 4
"""Fill from which a ring is emptied, however young its records are."""
PRESSED_SHARE: Final = 1 / 2
"""Fill above which a late chest's batches go to disk soon: as much room is left for what comes meanwhile."""
NEARLY_FULL_SHARE: Final = 3 / 4
"""Fill above which a batch behind a write that is under way goes to disk; without a disk, a late chest loses it so that the
other chests lose nothing."""
SPOOL_AFTER_SECONDS: Final = 5.0
"""Age from which a batch goes to disk: a restart or a failover of a store is mostly over by then."""
SPOOL_SOON_SECONDS: Final = 1.0
"""The same if others have to wait for it: the chests beside it, or requests for room in the ring. Not at once: a chest that
is only slower than the others is not to have every burst written to disk twice."""
SLOW_WRITE_SECONDS: Final = 0.5
"""Duration of a write from which a chest gets a thread of its own."""
DEADLINE_SLACK_SECONDS: Final = 0.25
"""How far beyond a deadline a chest may wait before it is told a new limit: being told, it connects anew."""


class WorkerState(NamedTuple):
    """What decides whether the batches of one chest go to disk."""

    waiting: int
    """Batches that wait for the chest."""
    oldest_seconds: float | None
    """Age of the oldest unsettled batch, also if it is being written; None: every batch is settled."""
    is_writing: bool
    """True if a batch is under way into the chest."""
    is_backing_off: bool
    """True if the chest is left alone after a failure."""
    is_spooling: bool
    """True if batches went to disk since the chest last took one."""
    has_room: bool
    """True if another batch may wait in memory."""


def is_urgent(fill: float, have_room: list[bool]) -> bool:
    """True if others wait because of a late chest.

    :param fill: of the ring.
    :param have_room: of each chest, whether it has room for another batch.
    """
    return fill > PRESSED_SHARE or (any(have_room) and not all(have_room))


def should_spool(worker: WorkerState, is_urgent: bool) -> bool:
    """True if what waits for a chest is to go to disk now."""
    if not worker.waiting:
        return False
    if worker.is_spooling:  # one batch may wait for the next step of the thread, to try the chest with
        return worker.waiting > 1 or worker.is_writing or worker.is_backing_off
    patience_seconds = SPOOL_SOON_SECONDS if is_urgent else SPOOL_AFTER_SECONDS
    return worker.oldest_seconds is not None and worker.oldest_seconds >= patience_seconds


def should_spool_at_once(worker: WorkerState) -> bool:
    """True if a batch goes to disk instead of waiting for its chest: the queue is full, or batches before it went to disk."""
    is_free = not worker.waiting and not worker.is_writing and not worker.is_backing_off
    return not worker.has_room or (worker.is_spooling and not is_free)


def is_nearly_full(fill: float) -> bool:
    """True if room has to be made in a ring: to disk, else at the cost of the late chests alone."""
    return fill > NEARLY_FULL_SHARE
