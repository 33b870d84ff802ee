"""``CubeTally``: adds up cells in bounded memory; makes a cube or a sample of any readable chest, record by record."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from chest.chests.asking.conditions import Name
from chest.chests.asking.cube import (
    FAILED,
    OTHERS,
    STATUSES,
    Basis,
    Cell,
    Cube,
    CubeQuestion,
    Group,
    Sample,
    Step,
    group_text,
    weight_of,
)
from chest.chests.asking.durations import bucket_of
from chest.record.record import Record

if TYPE_CHECKING:
    from chest.chests.contract import Cursor, ReadableChest
    from chest.chests.query import Query

__all__ = ["CubeTally", "cell_of", "cube_by_reading", "sample_by_reading", "time_range_by_reading"]

_PAGE_RECORDS: Final = 1000
_SLACK: Final = 4
"""How many times the groups that are asked for are kept while counting, so that what is small at first may still grow."""

_Key = tuple[int, Group, int, bool, int]
_Sums = tuple[int, float, float, int]


class CubeTally:
    """Adds up cells. Beyond a multiple of ``groups``, the smallest groups are put together as :data:`OTHERS`.

    :param groups: how many groups are wanted.
    """

    def __init__(self, groups: int) -> None:
        self._groups = groups
        self._sums: dict[_Key, _Sums] = {}
        self._sizes: Counter[Group] = Counter()

    def add(self, cell: Cell) -> None:
        """Add the counts of one cell."""
        self._put(cell[:5], cell[5:])
        self._sizes[cell.group] += cell.records
        if len(self._sizes) > _SLACK * self._groups:
            self._shrink(2 * self._groups)

    def with_all(self, other: CubeTally) -> CubeTally:
        """What both have added, in the larger of the two, so that few cells are there twice."""
        larger, smaller = (self, other) if len(self._sums) >= len(other._sums) else (other, self)
        while smaller._sums:
            key, sums = smaller._sums.popitem()
            larger.add(Cell(*key, *sums))
        return larger

    def cube(self, by: tuple[Name, ...], step: Step | None, basis: Basis) -> Cube:
        """What was added, with as many groups as are wanted; afterwards the tally is empty."""
        self._shrink(self._groups)
        cells = []
        while self._sums:  # each is there once, however many there are
            key, sums = self._sums.popitem()
            cells.append(Cell(*key, *sums))
        return Cube(by, step, cells, basis, OTHERS in self._sizes)

    def _put(self, key: _Key, sums: _Sums) -> None:
        there = self._sums.get(key)
        if there is not None:
            sums = (there[0] + sums[0], there[1] + sums[1], there[2] + sums[2], max(there[3], sums[3]))
        self._sums[key] = sums

    def _shrink(self, groups: int) -> None:
        named = sorted((group for group in self._sizes if group is not OTHERS), key=self._sizes.__getitem__)
        dropped = set(named[: max(0, len(named) - groups)])
        if not dropped:
            return
        for key in [key for key in self._sums if key[1] in dropped]:
            self._put((key[0], OTHERS, *key[2:]), self._sums.pop(key))
        self._sizes[OTHERS] += sum(self._sizes.pop(group) for group in dropped)


def cell_of(record: Record, by: Sequence[Name], step: Step | None, scale: float = 1.0) -> Cell:
    """The cell of one record.

    :param scale: how many records that were not read it stands for, and itself.
    """
    requests = scale * weight_of(record)
    return Cell(
        0 if step is None else step.column_of(record.time_ns),
        tuple(group_text(name.value_in(record)) for name in by),
        record.status // 100 if record.status is not None and 0 <= record.status < STATUSES else 0,
        record.outcome in FAILED,
        bucket_of(record.duration_ns),
        1,
        requests,
        requests * record.duration_ns,
        record.duration_ns,
    )


def cube_by_reading(chest: ReadableChest, question: CubeQuestion) -> Cube:
    """A cube of any chest that can be read. If the time is over before all is read, the rest is left out: see the basis."""
    query, by, step, groups, seconds = question
    begin, tally, read, is_whole = time.monotonic(), CubeTally(groups), 0, True
    for page in _pages(chest, query):
        read += len(page)
        for record in page:
            tally.add(cell_of(record, by, step))
        if seconds is not None and time.monotonic() - begin > seconds:
            is_whole = len(page) < _PAGE_RECORDS
            break
    return tally.cube(by, step, Basis(is_whole, read, read, time.monotonic() - begin))


def sample_by_reading(chest: ReadableChest, query: Query, size: int, seconds: float | None) -> Sample:
    """A sample of any chest that can be read: each record that was read has the same chance."""
    from random import randrange  # a heavy import that only askers need

    begin, kept, read, is_whole = time.monotonic(), list[Record](), 0, True
    for page in _pages(chest, query):
        for record in page:
            read += 1
            if len(kept) < size:
                kept.append(record)
            elif (place := randrange(read)) < size:  # noqa: S311 - no secret
                kept[place] = record
        if seconds is not None and time.monotonic() - begin > seconds:
            is_whole = len(page) < _PAGE_RECORDS
            break
    basis = Basis(is_whole, read, read, time.monotonic() - begin)
    return Sample(kept, read, is_whole and read <= size, basis)


def time_range_by_reading(chest: ReadableChest, query: Query) -> tuple[int, int] | None:
    """When the first and the last request that match began."""
    first_ns = last_ns = None
    for page in _pages(chest, query):
        for record in page:
            first_ns = record.time_ns if first_ns is None else min(first_ns, record.time_ns)
            last_ns = record.time_ns if last_ns is None else max(last_ns, record.time_ns)
    return None if first_ns is None or last_ns is None else (first_ns, last_ns)


def _pages(chest: ReadableChest, query: Query) -> Iterator[list[Record]]:
    after: Cursor | None = None
    while True:
        page = chest.read(query, after=after, limit=_PAGE_RECORDS)
        yield [stored.record for stored in page]
        if len(page) < _PAGE_RECORDS:
            return
        after = page[-1].cursor
