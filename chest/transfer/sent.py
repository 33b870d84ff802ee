"""``Sent``: the ids of records that were sent and will be read again, so that they are not sent twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from chest.chests.base import Cursor, StoredRecord

__all__ = ["PIECE_IDS", "Piece", "Sent"]

PIECE_IDS: Final = 2000
"""A piece that holds so many is full. The last piece is written down after every batch, a full one only once."""


class Piece:
    """Some of the ids, forgotten together.

    :param ids: of the records.
    :param highest: the highest of their places; None where those are no numbers.
    :param slot: where it is kept, if it is.
    """

    def __init__(self, ids: Iterable[str] = (), highest: int | None = None, slot: int | None = None) -> None:
        self.ids = set(ids)
        self.highest, self.slot = highest, slot

    @classmethod
    def of_json(cls, kept: Any, slot: int | None = None) -> Piece:
        """The piece that :meth:`as_json` was made of; ``TypeError`` or ``ValueError`` where it was none."""
        ids, highest = kept
        if not all(isinstance(each, str) for each in ids) or not isinstance(highest, int | None):
            raise TypeError("these are no ids")
        return cls(ids, highest, slot)

    def as_json(self) -> list[Any]:
        """What the piece is made of again."""
        return [sorted(self.ids), self.highest]

    def add(self, stored: StoredRecord) -> None:
        """Remember a record."""
        self.ids.add(stored.record.id)
        self.see(stored.cursor)

    def see(self, place: Cursor) -> None:
        """One of its records stands at this place, where it may not have stood before."""
        if isinstance(place, int) and (self.highest is None or place > self.highest):
            self.highest, self.slot = place, None

    def is_settled(self, place: Cursor) -> bool:
        """Whether nothing of it is read again after this place."""
        if not self.ids:
            return True
        return isinstance(place, int) and self.highest is not None and self.highest <= place


class Sent:
    """A set of ids in pieces: those that are full, in their order, and one that is being filled.

    :param full: the full ones.
    :param last: the one that is being filled.
    """

    def __init__(self, full: Iterable[Piece] = (), last: Piece | None = None) -> None:
        self.full = list(full)
        self.last = Piece() if last is None else last
        self._pieces = {each: piece for piece in self for each in piece.ids}

    def __iter__(self) -> Iterator[Piece]:
        yield from self.full
        yield self.last

    def __contains__(self, record_id: str) -> bool:
        return record_id in self._pieces

    def __len__(self) -> int:
        return len(self._pieces)

    def add(self, stored: StoredRecord) -> None:
        """Remember a record."""
        piece = self._pieces.get(stored.record.id)
        if piece is not None:
            piece.see(stored.cursor)
            return
        self._pieces[stored.record.id] = self.last
        self.last.add(stored)
        if len(self.last.ids) >= PIECE_IDS:
            self.full.append(self.last)
            self.last = Piece()

    def forget(self, settled: Sequence[StoredRecord]) -> None:
        """These are not read again, and where places are numbers nothing before the last of them is.

        :param settled: in the order of the source; at least one.
        """
        place = settled[-1].cursor
        if not isinstance(place, int):
            self._forget_ids({stored.record.id for stored in settled})
        over = [piece for piece in self if piece.is_settled(place)]
        if not over:
            return
        for piece in over:
            self._drop(piece.ids)
        self.full = [piece for piece in self.full if piece not in over]
        if self.last in over:
            self.last = Piece()

    def forget_oldest(self) -> None:
        """Make room where places are no numbers: records that were removed from such a source are never seen settled."""
        if self.full and self.full[0].highest is None:
            self._drop(self.full.pop(0).ids)

    def _forget_ids(self, ids: set[str]) -> None:
        self._drop(ids)
        for piece in self:
            if not piece.ids.isdisjoint(ids):
                piece.ids -= ids
                piece.slot = None

    def _drop(self, ids: Iterable[str]) -> None:
        for each in ids:
            self._pieces.pop(each, None)
