"""``recover_directory``: what dead processes left in a directory, delivered by whoever asks, now."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from chest.chests.base import Chest
from chest.counters import Counters
from chest.delivery.lane import Lane
from chest.errors import DirectoryError
from chest.killed_request import cleaned_killed_request
from chest.native import sleep
from chest.record import Record
from chest.ring.recovery import SUFFIX, adopt_dead_rings


class Recovered(NamedTuple):
    """What :func:`recover_directory` did."""

    rings: int
    """Ring files that were delivered and removed."""
    records: int
    """Records delivered."""
    damaged: int
    """Lines that could not be read; their files are set aside as ``*.damaged``."""
    rejected: int
    """Records that a chest refused for good."""
    left: int
    """Ring files of living processes, or such that could not be delivered now."""


def recover_directory(directory: Path, chests: Sequence[Chest]) -> Recovered:
    """Deliver what dead processes left in a directory, of whatever service, into these chests.

    Records that were delivered before are not doubled where the chest knows ``id``.

    :raises DirectoryError: when the directory cannot be read.
    :raises ChestError: from a chest that takes nothing.
    """
    if not os.path.isdir(directory):  # Path.is_dir raises where a directory above may not be looked into
        raise DirectoryError(f"{directory} is no directory that can be read: name the one that holds the .ring files")
    counters = Counters()
    rings = 0
    for ring in adopt_dead_rings(directory, counters, clean=cleaned_killed_request):
        is_removed = False
        try:
            lanes = [Lane(chest, counters) for chest in chests]
            for chest in chests:
                chest.open()
            for records, segment, position in ring.pieces():
                for lane in lanes:
                    _deliver_patiently(lane, records)
                ring.commit(segment, position)
                counters.add("recovered", len(records))
            ring.remove()
            is_removed = True
            rings += 1
        finally:
            if not is_removed:
                ring.release()
    left = len([path for path in directory.iterdir() if path.suffix == SUFFIX])
    damaged, rejected = counters.get("dropped.damaged"), counters.get("dropped.rejected")
    return Recovered(rings, counters.get("recovered") - rejected, damaged, rejected, left)


def _deliver_patiently(lane: Lane, records: Sequence[Record], tries: int = 5) -> None:
    for _ in range(tries):
        if lane.deliver(records):
            return
        sleep(lane.seconds_to_wait())
    lane.chest.write(records)  # says why
