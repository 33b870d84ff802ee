"""``pieces``: records into a target, around those that it refuses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from chest.chests.base import Chest
from chest.errors import RecordRejected
from chest.record import Record

__all__ = ["Piece", "pieces"]


class Piece(NamedTuple):
    """Some of the records, and what became of them."""

    records: Sequence[Record]
    refusal: RecordRejected | None
    """Why the target will never take them; None: it has them."""


def pieces(target: Chest, records: Sequence[Record]) -> Iterator[Piece]:
    """Write the records; what the target has and what it refuses comes out as soon as it is known.

    A target that does not tell which of the records it refuses gets halves, until those that are refused stand alone.

    :raises ChestUnavailable: from the target; what did not come out was not written.
    """
    try:
        target.write(records)
    except RecordRejected as refusal:
        yield from _around(target, records, refusal)
    else:
        yield Piece(records, None)


def _around(target: Chest, records: Sequence[Record], refusal: RecordRejected) -> Iterator[Piece]:
    refused = [record for record in records if record.id in refusal.ids]
    if refused or len(records) == 1:
        yield Piece(refused or records, refusal)
        rest = [record for record in records if record.id not in refusal.ids] if refused else []
        if rest:
            yield from pieces(target, rest)
        return
    middle = len(records) // 2
    yield from pieces(target, records[:middle])
    yield from pieces(target, records[middle:])
