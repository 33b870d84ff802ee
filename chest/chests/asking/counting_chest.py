"""``CountingChest``: a chest whose store answers cubes and samples itself."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from chest.chests.asking.conditions import Name
from chest.chests.asking.cube import Basis, Cube, CubeQuestion, Sample
from chest.chests.asking.following import FollowedRecords, following_by_pieces
from chest.chests.asking.latest import Latest, latest_by_pieces
from chest.chests.asking.pieces import BudgetOver, Pieces, cube_by_pieces, sample_by_pieces
from chest.chests.asking.record_by_record import RecordByRecord
from chest.chests.contract import Cursor, ReadableChest
from chest.chests.query import EVERYTHING, Query
from chest.errors import ChestUnavailable

__all__ = ["CountingChest"]


class CountingChest(ReadableChest):
    """What its store cannot say (a name with a quote in it, a number beyond 2**53) is asked of its records, within the same budget."""

    @abstractmethod
    def _pieces(self) -> AbstractContextManager[Pieces]:
        """The store, on a connection that cannot write if there is such a thing."""

    @abstractmethod
    def _can_count(self, query: Query, by: Sequence[Name] = ()) -> bool:
        """True if the store can say all of it."""

    def _answer(self, question: CubeQuestion) -> Cube:
        with self._pieces_for(question.query, question.by) as pieces:
            return cube_by_pieces(pieces, question)

    def sample(self, query: Query = EVERYTHING, *, size: int = 5000, seconds: float | None = None) -> Sample:
        is_exact = self._can_count(query)
        with self._answering() as pieces:
            return sample_by_pieces(pieces, query, size, seconds, is_exact=is_exact)

    def latest(
        self,
        query: Query = EVERYTHING,
        *,
        before: Cursor | None = None,
        limit: int = 100,
        seconds: float | None = None,
    ) -> Latest:
        with self._pieces_for(query) as pieces:
            return latest_by_pieces(pieces, query, None if before is None else int(before), limit, seconds)

    def following(
        self,
        query: Query = EVERYTHING,
        *,
        after: Cursor | None = None,
        limit: int = 100,
        seconds: float | None = None,
    ) -> FollowedRecords:
        newest = self.newest()
        if newest is None:
            return FollowedRecords((), Basis(True, 0, 0, 0.0), after)
        with self._pieces_for(query) as pieces:
            place = int(after or 0) or None  # before all: there may be no place near 0
            return following_by_pieces(pieces, query, place, int(newest), limit, seconds)

    def time_range(self, query: Query = EVERYTHING) -> tuple[int, int] | None:
        with self._answering() as pieces:
            return pieces.time_range(query)

    @contextmanager
    def _pieces_for(self, query: Query, by: Sequence[Name] = ()) -> Iterator[Pieces]:
        with self._answering() as pieces:
            yield pieces if self._can_count(query, by) else RecordByRecord(pieces)

    @contextmanager
    def _answering(self) -> Iterator[Pieces]:
        """A store may have a longest time of its own, which also ends a question without a budget."""
        try:
            with self._pieces() as pieces:
                yield pieces
        except BudgetOver:
            raise ChestUnavailable(
                f"{self.name} did not answer in time: ask about a shorter time range, or give it longer with ?timeout_seconds=."
            ) from None
