"""``recover_directory``: what dead processes left in a directory, delivered by whoever asks, now."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

from chest.chests.base import Chest
from chest.counters import Counters
from chest.delivery.lane import Lane
from chest.delivery.lanes import lanes_for
from chest.delivery.spool import SUFFIX as SPOOL_SUFFIX
from chest.delivery.spool import Spool
from chest.errors import DirectoryError
from chest.killed_request import cleaned_killed_request
from chest.native import sleep
from chest.record import Record
from chest.ring.recovery import SUFFIX, DeadRing, adopt_dead_rings

_SPOOL_BYTES: Final = 1 << 40
"""Nothing is put there but dead letters."""


class Recovered(NamedTuple):
    """What :func:`recover_directory` did."""

    rings: int
    """Ring files that were delivered and removed."""
    records: int
    """Records delivered, of rings and of spools."""
    damaged: int
    """Lines that could not be read; their files are set aside as ``*.damaged``."""
    rejected: int
    """Records that a chest refused for good, and which are dead letters now."""
    left: int
    """Ring files of living processes, or such that could not be delivered now."""
    spools_left: int
    """Spools of other chests than these, or such that another process delivers."""


def recover_directory(directory: Path, chests: Sequence[Chest], spooled_for: str | None = None) -> Recovered:
    """Deliver what dead processes left in a directory, of whatever service, and what is spooled for these very chests.

    Records that were delivered before are not doubled where the chest knows ``id``.

    :param spooled_for: part of another chest's label, such as the host that a store had before it moved: what is spooled for
        that one is delivered to these, too.
    :raises DirectoryError: when the directory, or such a spool, cannot be read.
    :raises ChestError: from a chest that takes nothing.
    """
    if not os.path.isdir(directory):  # Path.is_dir raises where a directory above may not be looked into
        raise DirectoryError(f"{directory} is no directory that can be read: name the one that holds the .ring files")
    counters = Counters()
    lanes = lanes_for(chests, counters, directory, _SPOOL_BYTES)
    rings = 0
    for ring in adopt_dead_rings(directory, counters, clean=cleaned_killed_request):
        _deliver_ring(ring, lanes, counters)
        rings += 1
    for lane in lanes:
        _deliver_spool(lane.spool, [lane], counters)
    if spooled_for:
        for spool in _spools_of(spooled_for, directory, counters):
            _deliver_spool(spool, lanes, counters)
    left = sum(path.suffix == SUFFIX for path in directory.iterdir())
    spools_left = sum(_holds_records(path) for path in directory.glob("*" + SPOOL_SUFFIX))
    damaged = counters.get("dropped.damaged")
    rejected = counters.get("dropped.rejected") + sum(counters.snapshot().get("dead_letters", {}).values())
    return Recovered(rings, counters.get("recovered") - rejected, damaged, rejected, left, spools_left)


def _deliver_ring(ring: DeadRing, lanes: Sequence[Lane], counters: Counters) -> None:
    is_removed = False
    try:
        for lane in lanes:
            lane.chest.open()
        for records, segment, position in ring.pieces():
            for lane in lanes:
                _deliver_patiently(lane, records)
            ring.commit(segment, position)
            counters.add("recovered", len(records))
        ring.remove()
        is_removed = True
    finally:
        if not is_removed:
            ring.release()


def _deliver_spool(spool: Spool | None, lanes: Sequence[Lane], counters: Counters) -> None:
    if spool is None:
        return
    try:
        while spool.begin() and (piece := spool.oldest()) is not None:
            for lane in lanes:
                _deliver_patiently(lane, piece.records)
            spool.remove(piece)
            counters.add("recovered", len(piece.records))
    finally:
        spool.close()


def _spools_of(text: str, directory: Path, counters: Counters) -> list[Spool]:
    from chest.delivery.spool_file import SpoolError, SpoolFile

    found = []
    for path in sorted(directory.glob("*" + SPOOL_SUFFIX)):
        with closing(SpoolFile(path)) as file:
            try:
                label = file.chest()
            except SpoolError as error:
                raise DirectoryError(f"{path} cannot be read: {error}") from error
        if text in label:
            found.append(Spool(path, label, _SPOOL_BYTES, counters))
    return found


def _holds_records(path: Path) -> bool:
    from chest.delivery.spool_file import SpoolError, SpoolFile  # loads SQLite, which not every program needs

    with closing(SpoolFile(path)) as file:
        try:
            return file.size().records > 0
        except SpoolError:
            return True


def _deliver_patiently(lane: Lane, records: Sequence[Record], tries: int = 5) -> None:
    for _ in range(tries):
        if lane.deliver(records):
            return
        sleep(lane.seconds_to_wait())
    lane.chest.write(records)  # says why
