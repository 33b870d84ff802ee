"""``Writing``: one batch on its way into one chest, halved around the records that the chest refuses."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from chest.chests.base import Chest
from chest.errors import RecordRejected
from chest.record import Record

Reject = Callable[[Sequence[Record], RecordRejected], None]
"""Told of the records that a chest will never take, and why."""


class Writing:
    """What of a batch is still to be written. After a failure it goes on where it was, so that nothing is written twice.

    :param records: of one batch, not changed.
    """

    def __init__(self, records: Sequence[Record]) -> None:
        self._pieces: list[Sequence[Record]] = [records] if records else []

    def go_on(self, chest: Chest, wrote: Callable[[int], object], reject: Reject) -> None:
        """Write what is left, but for the records that are refused: those the chest names, else what halving finds.

        Raises what the chest raises, but for ``RecordRejected``.

        :param wrote: told how many records the chest took, each time that it did.
        """
        while self._pieces:
            piece = self._pieces[-1]
            try:
                chest.write(piece)
            except RecordRejected as error:
                self._pieces[-1:] = self._around(piece, error, reject)
            else:
                self._pieces.pop()
                wrote(len(piece))

    def left(self) -> list[Record]:
        """The records that are neither written nor refused."""
        return [record for piece in reversed(self._pieces) for record in piece]

    @staticmethod
    def _around(piece: Sequence[Record], error: RecordRejected, reject: Reject) -> list[Sequence[Record]]:
        """What is to be written instead of a piece that was refused, the first part last."""
        named = set(error.ids)
        refused = [record for record in piece if record.id in named]
        if not refused and len(piece) > 1:
            middle = len(piece) // 2
            return [piece[middle:], piece[:middle]]
        reject(refused or piece, error)
        others = [record for record in piece if record.id not in named] if refused else []
        return [others] if others else []
