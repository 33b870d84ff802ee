"""``BatchWrite``: one batch on its way into one chest, split around the records that the chest refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar

from chest.errors import RecordRejected

T = TypeVar("T")


class WriteResult(NamedTuple, Generic[T]):
    """What became of some of the records."""

    records: Sequence[T]
    refusal: RecordRejected | None
    """Why the chest will never take them; None: it has them."""


class BatchWrite(Generic[T]):
    """The rest of a batch that is still to be written. After a failure it goes on from the same place, so that nothing is written twice.

    :param records: of one batch, not changed.
    :param id_of: gives a record's ``id``.
    """

    def __init__(self, records: Sequence[T], id_of: Callable[[T], str]) -> None:
        self._id_of = id_of
        self._pieces: list[Sequence[T]] = [records] if records else []

    def results(self, write: Callable[[Sequence[T]], object]) -> Iterator[WriteResult[T]]:
        """Write what is left, and tell what was written and what was refused as soon as that is known.

        Refused are the records that the chest names; if it names none, the batch is halved until those that it refuses
        stand alone. Raises what ``write`` raises, except ``RecordRejected``.
        """
        while self._pieces:
            piece = self._pieces[-1]
            try:
                write(piece)
            except RecordRejected as refusal:
                refused, rest = self._split(piece, refusal)
                if refused:
                    yield WriteResult(refused, refusal)
                self._pieces[-1:] = rest  # after it was told: a caller that raised is told again
            else:
                self._pieces.pop()
                yield WriteResult(piece, None)

    def left(self) -> list[T]:
        """The records that are neither written nor refused."""
        return [record for piece in reversed(self._pieces) for record in piece]

    def pieces(self) -> list[Sequence[T]]:
        """The same, in the pieces in which they will be written."""
        return self._pieces[::-1]

    def _split(self, piece: Sequence[T], refusal: RecordRejected) -> tuple[Sequence[T], list[Sequence[T]]]:
        """What is refused of a piece, and the pieces to be written instead of it, the first one last."""
        named = set(refusal.ids)
        refused = [record for record in piece if self._id_of(record) in named]
        if refused:
            others = [record for record in piece if self._id_of(record) not in named]
            return refused, [others] if others else []
        if len(piece) == 1:
            return piece, []
        middle = len(piece) // 2
        return [], [piece[middle:], piece[:middle]]


def batch_id(ids: Sequence[str]) -> str:
    """The same for the same records in the same order, whenever they are sent: what ``Idempotency-Key`` carries."""
    if len(ids) == 1:
        return ids[0]
    import hashlib  # which few programs need that use batches

    return hashlib.sha256("\n".join(ids).encode()).hexdigest()[:32]
