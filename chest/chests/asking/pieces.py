"""A cube and a sample of a store that counts its records by itself: in pieces, the newest first, as far as the budget goes.

Places are whole numbers that count up in the order of storing. What the budget leaves is estimated from records at random places.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TypeVar

from chest.chests.asking.conditions import Name
from chest.chests.asking.cube import Basis, Cell, Cube, CubeQuestion, Sample, Step
from chest.chests.asking.tally import CubeTally, cell_of
from chest.record.record import Record

if TYPE_CHECKING:
    from chest.chests.contract import StoredRecord
    from chest.chests.query import Query

__all__ = [
    "BudgetOver",
    "Extent",
    "Pieces",
    "cube_by_pieces",
    "drawn_from",
    "extent_within",
    "records_at",
    "sample_by_pieces",
    "seconds_left",
]

T = TypeVar("T")

_FIRST_PIECE: Final = 16
"""The first piece is this part of the whole: it tells how quick the store is."""
_SAMPLED: Final = 5000
_PROBES: Final = 5000
_TRIAL: Final = 500
"""Records at random places, to see which share matches."""
_MOST_PROBES: Final = 50_000
_READ_AT_ONCE: Final = 1000
_FEW: Final = 0.2
"""If a smaller share of the records at random places matches, the store is asked for the places of those that match."""
_KEPT_FOR_ESTIMATE: Final = 0.1
"""Of the budget: what reading records at random places needs."""


class BudgetOver(Exception):
    """The store was stopped, as the budget for the question is over."""


class Extent(NamedTuple):
    """Where the records of a time range are."""

    first: int
    last: int
    """Places between which all of them are."""
    records: int
    """How many they are."""


class Pieces(Protocol):
    """A store that counts. Each method stops after so many seconds with :exc:`BudgetOver`; None: it does not."""

    def time_range(self, query: Query) -> tuple[int, int] | None:
        """When the first and the last request of the query's time range began."""

    def extent(self, query: Query, seconds: float | None) -> Extent | None:
        """The span of the records in the query's time range; None: no record. Other conditions are ignored."""

    def cells(
        self, query: Query, first: int, last: int, by: Sequence[Name], step: Step | None, seconds: float | None
    ) -> Iterable[Cell]:
        """The cells of the records between these places that match; one may come more than once."""

    def places(
        self, query: Query, first: int, last: int, seconds: float | None, limit: int | None = None
    ) -> Sequence[int]:
        """The places of the records between these that match; at most so many, the first ones."""

    def stored_at(self, places: Sequence[int]) -> list[StoredRecord]:
        """The records at these places; at some there may be none."""

    def drawn(self, first: int, last: int, count: int) -> list[Record]:
        """Records between these places, drawn at random, none twice; about so many, all if there are no more."""


def cube_by_pieces(store: Pieces, question: CubeQuestion) -> Cube:
    """The cube: exact if the budget is enough."""
    query, by, step, groups, seconds = question
    begin = time.monotonic()
    tally = CubeTally(groups)
    extent = extent_within(store, query, seconds)
    if extent is None:
        return tally.cube(by, step, Basis(True, 0, 0, time.monotonic() - begin))
    span, last = extent.last - extent.first + 1, extent.last
    size = span if seconds is None else max(1, span // _FIRST_PIECE)
    while last >= extent.first:
        left = seconds_left(begin, seconds)
        first, asked_at = max(extent.first, last - size + 1), time.monotonic()
        if left is not None and left <= 0:
            break
        piece = CubeTally(groups)
        try:
            for cell in store.cells(query, first, last, by, step, left):
                piece.add(cell)
        except BudgetOver:
            break
        tally = tally.with_all(piece)
        took = max(1e-3, time.monotonic() - asked_at)
        if left is not None:
            size = max(1, int((last - first + 1) * (left - took) / took))
        last = first - 1
    read = extent.records * (extent.last - last) // span
    is_exact = last < extent.first
    if not is_exact:
        read += _estimate(store, question, Extent(extent.first, last, extent.records - read), tally)
    return tally.cube(by, step, Basis(is_exact, read, extent.records, time.monotonic() - begin))


def sample_by_pieces(store: Pieces, query: Query, size: int, seconds: float | None, *, is_exact: bool) -> Sample:
    """The sample: whole if no more match.

    :param is_exact: True if the store can look at all of the query's conditions.
    """
    begin = time.monotonic()
    extent = extent_within(store, query, seconds)
    if extent is None:
        return Sample((), 0, True, Basis(True, 0, 0, time.monotonic() - begin))
    has_conditions = query != type(query)(since_ns=query.since_ns, until_ns=query.until_ns)
    enough = max(size, _PROBES) if has_conditions else size
    is_trial = has_conditions and extent.records > enough
    tried, asked_at = _TRIAL if is_trial else enough, time.monotonic()
    read, found = _probe(store, query, extent, tried)
    took = (time.monotonic() - asked_at) / tried
    is_all = read >= extent.records
    share = len(found) / read if read else 0.0
    matching = round(extent.records * share)
    if is_exact and not is_all and share < _FEW:
        try:
            places = store.places(query, extent.first, extent.last, seconds_left(begin, seconds))
        except BudgetOver:
            pass  # what was found at random places is also an answer
        else:
            found = records_at(store, drawn_from(places, size))
            basis = Basis(True, extent.records, extent.records, time.monotonic() - begin)
            return Sample(found, len(places), len(places) <= size, basis)
    span, left = extent.last - extent.first + 1, seconds_left(begin, seconds)
    wanted = min(_MOST_PROBES, size / share) if share else _MOST_PROBES
    if not is_all and len(found) < size and span <= wanted and (left is None or span * took <= left):
        # Each once is no more than what would be read at random places, many of them twice.
        read, found = _probe(store, query, extent, span)
        matching, is_all = len(found), True
    kept, matched = {record.id: record for record in found}, len(found)
    while not is_all and len(kept) < size and read < _MOST_PROBES and seconds_left(begin, seconds) != 0:
        more, again = _probe(store, query, extent, _PROBES)
        if not more:
            break
        kept.update((record.id, record) for record in again)
        read, matched = read + more, matched + len(again)
        matching = round(extent.records * matched / read)
    basis = Basis(is_all, min(read, extent.records), extent.records, time.monotonic() - begin)
    return Sample(drawn_from(list(kept.values()), size), matching, is_all and len(kept) <= size, basis)


def extent_within(store: Pieces, query: Query, seconds: float | None) -> Extent | None:
    """Of all records, if the store cannot tell those of the time range within the budget."""
    try:
        return store.extent(query, seconds)
    except BudgetOver:
        return store.extent(replace(query, since_ns=None, until_ns=None), None)


def seconds_left(begin: float, seconds: float | None) -> float | None:
    """What is left to count exactly."""
    if seconds is None:
        return None
    return max(0.0, begin + seconds * (1 - _KEPT_FOR_ESTIMATE) - time.monotonic())


def _estimate(store: Pieces, question: CubeQuestion, rest: Extent, tally: CubeTally) -> int:
    """Add the cells of the rest, each record at a random place for as many as were not read; returns how many were read."""
    read, found = _probe(store, question.query, rest, _SAMPLED)
    for record in found:
        tally.add(cell_of(record, question.by, question.step, max(1.0, rest.records / read)))
    return read


def _probe(store: Pieces, query: Query, extent: Extent, count: int) -> tuple[int, list[Record]]:
    """How many of the records at random places lie in the time range, and those that match; all, if there are few."""
    records = store.drawn(extent.first, extent.last, count)
    since, until = query.since_ns, query.until_ns
    within = [
        record
        for record in records
        if (since is None or record.time_ns >= since) and (until is None or record.time_ns < until)
    ]
    return len(within), [record for record in within if query.matches(record)]


def records_at(store: Pieces, places: Sequence[int]) -> list[Record]:
    """The records at these places, some at a time."""
    places = sorted(places)
    found: list[Record] = []
    for start in range(0, len(places), _READ_AT_ONCE):
        found += [stored.record for stored in store.stored_at(places[start : start + _READ_AT_ONCE])]
    return found


def drawn_from(items: Sequence[T], size: int) -> Sequence[T]:
    """So many of them, at random; all if there are no more."""
    from random import sample  # a heavy import that only askers need

    return items if len(items) <= size else sample(items, size)
