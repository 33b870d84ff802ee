"""``lanes_for``: a lane for each chest, with a spool of its own where there is a directory for one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from chest.chests.base import Chest
from chest.counters import Counters
from chest.delivery.lane import Lane
from chest.delivery.spool import Spool, spool_path

_HELD_FOR_ONE: Final = 1
"""Batches in memory, decoded: the one that is being written. The others wait in the ring, where they cost no more."""
_HELD_FOR_SEVERAL: Final = 4
"""A chest that is late for a moment is not to hold up those beside it."""


def lanes_for(chests: Sequence[Chest], counters: Counters, directory: Path | None, spool_bytes: int) -> list[Lane]:
    """Lanes that have opened nothing yet.

    :param directory: where spools lie, found to be private; None where nothing can be kept on disk.
    :param spool_bytes: of records for each chest; 0 keeps none.
    """
    most_held = _HELD_FOR_SEVERAL if len(chests) > 1 else _HELD_FOR_ONE
    return [
        Lane(chest, counters, spool=_spool_for(chest, counters, directory, spool_bytes), most_held=most_held)
        for chest in chests
    ]


def _spool_for(chest: Chest, counters: Counters, directory: Path | None, spool_bytes: int) -> Spool | None:
    if directory is None or not spool_bytes:
        return None
    return Spool(spool_path(directory, chest.name), chest.name, spool_bytes, counters)
