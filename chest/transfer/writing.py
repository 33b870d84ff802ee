"""``pieces``: stored records into a target, around those that it refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from chest.chests.base import Chest, StoredRecord
from chest.chests.encoded import records_of
from chest.errors import RecordRejected

__all__ = ["Piece", "pieces"]


class Piece(NamedTuple):
    """Some of the records, and what became of them."""

    stored: Sequence[StoredRecord]
    refusal: RecordRejected | None
    """Why the target will never take them; None: it has them."""


def pieces(
    target: Chest, stored: Sequence[StoredRecord], meanwhile: Callable[[], object] = lambda: None
) -> Iterator[Piece]:
    """Write the records; what the target has and what it refuses comes out as soon as it is known.

    A target that does not tell which of the records it refuses gets halves, until those that are refused stand alone.

    :param meanwhile: see :meth:`~chest.chests.base.Chest.write_new`.
    :raises ChestUnavailable: from the target; what did not come out was not written.
    """
    if not stored:
        return
    try:
        target.write_new(records_of(stored), meanwhile)
    except RecordRejected as refusal:
        yield from _around(target, stored, refusal)
    else:
        yield Piece(stored, None)


def _around(target: Chest, stored: Sequence[StoredRecord], refusal: RecordRejected) -> Iterator[Piece]:
    refused = [each for each in stored if each.record.id in refusal.ids]
    if refused or len(stored) == 1:
        yield Piece(refused or stored, refusal)
        yield from pieces(target, [each for each in stored if each.record.id not in refusal.ids] if refused else [])
        return
    middle = len(stored) // 2
    yield from pieces(target, stored[:middle])
    yield from pieces(target, stored[middle:])
