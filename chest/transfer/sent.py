"""``Sent``: the ids of records that were sent and will be read again, so that they are not sent twice.

By :func:`~chest.record.record.record_key`: the record that replaced the note of a killed request is sent after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from chest.chests.contract import Cursor, StoredRecord
from chest.record.record import record_key

__all__ = ["BLOCK_IDS", "IdBlock", "Sent"]

BLOCK_IDS: Final = 2000
"""A block that holds so many is full. The last block is written down after every batch, a full one only once."""


class IdBlock:
    """Some of the ids, forgotten together.

    :param ids: of the records.
    :param highest: the highest of their places; None if those are not numbers.
    :param slot: the slot that holds it, if one does.
    """

    def __init__(self, ids: Iterable[str] = (), highest: int | None = None, slot: int | None = None) -> None:
        self.ids = set(ids)
        self.highest, self.slot = highest, slot

    @classmethod
    def of_json(cls, kept: Any, slot: int | None = None) -> IdBlock:
        """The block that :meth:`as_json` was made of; raises ``TypeError`` or ``ValueError`` if it is damaged."""
        ids, highest = kept
        if not all(isinstance(each, str) for each in ids) or not isinstance(highest, int | None):
            raise TypeError("these are no ids")
        return cls(ids, highest, slot)

    def as_json(self) -> list[Any]:
        """What the block is made of again."""
        return [sorted(self.ids), self.highest]

    def add(self, stored: StoredRecord) -> None:
        """Remember a record."""
        self.ids.add(record_key(stored.record))
        self.see(stored.cursor)

    def see(self, place: Cursor) -> None:
        """Add a place, which may be new, of one of its records."""
        if isinstance(place, int) and (self.highest is None or place > self.highest):
            self.highest, self.slot = place, None

    def is_settled(self, place: Cursor) -> bool:
        """True if all its records stand before this place, so none is read again."""
        if not self.ids:
            return True
        return isinstance(place, int) and self.highest is not None and self.highest <= place


class Sent:
    """A set of ids in blocks: those that are full, in their order, and one that is being filled.

    :param full: the full ones.
    :param last: the one that is being filled.
    """

    def __init__(self, full: Iterable[IdBlock] = (), last: IdBlock | None = None) -> None:
        self.full = list(full)
        self.last = IdBlock() if last is None else last
        self._blocks = {each: block for block in self for each in block.ids}

    def __iter__(self) -> Iterator[IdBlock]:
        yield from self.full
        yield self.last

    def __contains__(self, key: str) -> bool:
        return key in self._blocks

    def __len__(self) -> int:
        return len(self._blocks)

    def add(self, stored: StoredRecord) -> None:
        """Remember a record."""
        key = record_key(stored.record)
        block = self._blocks.get(key)
        if block is not None:
            block.see(stored.cursor)
            return
        self._blocks[key] = self.last
        self.last.add(stored)
        if len(self.last.ids) >= BLOCK_IDS:
            self.full.append(self.last)
            self.last = IdBlock()

    def forget(self, settled: Sequence[StoredRecord]) -> None:
        """These are not read again, and if places are numbers nothing before the last of them is.

        :param settled: in the order of the source; at least one.
        """
        place = settled[-1].cursor
        if not isinstance(place, int):
            self._forget_ids({record_key(stored.record) for stored in settled})
        over = [block for block in self if block.is_settled(place)]
        if not over:
            return
        for block in over:
            self._drop(block.ids)
        self.full = [block for block in self.full if block not in over]
        if self.last in over:
            self.last = IdBlock()

    def forget_oldest(self) -> None:
        """Make room if places are not numbers: records that were removed from such a source are never seen settled."""
        if self.full and self.full[0].highest is None:
            self._drop(self.full.pop(0).ids)

    def _forget_ids(self, ids: set[str]) -> None:
        self._drop(ids)
        for block in self:
            if not block.ids.isdisjoint(ids):
                block.ids -= ids
                block.slot = None

    def _drop(self, ids: Iterable[str]) -> None:
        for each in ids:
            self._blocks.pop(each, None)
