"""``Question``: a chest and a filter, with the time range, its columns and what is left of the budget."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from chest.chests.asking.conditions import Name
from chest.chests.asking.cube import Cube, Sample, Step
from chest.chests.contract import ReadableChest
from chest.chests.query import Query
from chest.chests.registry import open_chest
from chest.errors import SettingsError
from chest.query.language import narrowed, parse
from chest.query.typed import duration_ns

__all__ = ["BUDGET_SECONDS", "Filter", "Question", "Source", "asked", "seconds_between"]

Source: TypeAlias = ReadableChest | str
"""A chest, or the URL of one, which is opened and closed."""
Filter: TypeAlias = str | Sequence[str] | Query
"""The text of a filter, the arguments of a command, or a query."""

BUDGET_SECONDS: Final = 10.0
"""How long an answer may take, unless it is said otherwise: longer than a person waits without a progress line."""
_SECOND_NS: Final = 10**9
_MOST_COLUMNS: Final = 10_000
_WIDTHS_SECONDS: Final = (
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800,
    1_209_600, 2_419_200,
)  # fmt: skip
"""Of columns of time: what a clock or a calendar divides by."""
_LONGEST_NS: Final = 60 * _WIDTHS_SECONDS[-1] * _SECOND_NS
"""Almost five years. A person who gives a longer time range, such as since=1970-01-01, means all records there are."""


@dataclass(frozen=True)
class Question:
    """What is asked of which chest.

    :param begin_ns: where the time range begins: as asked, else with the first record; of a range of five years and more with
        the first record in it.
    :param end_ns: where it ends: as asked, else now if a begin was asked for, else behind the last record; of such a long range
        behind the last record in it.
    :param deadline: when the budget ends, by ``time.monotonic()``.
    :param begins_with_record: whether the range begins where it does because of the first record.
    :param ends_with_record: whether it ends where it does because of the last record.
    :param asked_ns: when it was asked, in Unix time.
    """

    chest: ReadableChest
    query: Query
    begin_ns: int
    end_ns: int
    deadline: float
    begins_with_record: bool = False
    ends_with_record: bool = False
    asked_ns: int = 0

    def per_second(self, requests: float, begin_ns: int, end_ns: int, least_seconds: float = 1.0) -> float:
        """The rate of requests in a part of the range, in which they came.

        A record is no bound of it: a last step that ends with its only record would have a rate of thousands. Now is one.

        :param least_seconds: the shortest time that a rate is computed over.
        """
        if not self.begins_with_record:
            begin_ns = max(begin_ns, self.begin_ns)
        end_ns = min(end_ns, max(self.end_ns, self.asked_ns) if self.ends_with_record else self.end_ns)
        return requests / max(least_seconds, seconds_between(begin_ns, end_ns))

    def step(self, columns: int) -> Step:
        """At most so many columns over the range, of a width that a person can name."""
        width_ns = next((w for w in _WIDTHS_SECONDS if self._columns(w * _SECOND_NS) <= columns), None)
        return self.step_of(_WIDTHS_SECONDS[-1] * _SECOND_NS if width_ns is None else width_ns * _SECOND_NS)

    def step_of(self, width: int | str) -> Step:
        """Columns of this width: nanoseconds, or a text such as ``5m``."""
        try:
            width_ns = duration_ns(width) if isinstance(width, str) else width
        except ValueError:
            width_ns = 0
        if width_ns <= 0:
            raise SettingsError(f"a step of {width!r}: give a duration such as 5m")
        if self._columns(width_ns) > _MOST_COLUMNS:
            raise SettingsError(
                f"a step of {width!r} divides the time range into more than {_MOST_COLUMNS:,}: give a longer step or a later since"
            )
        return Step(self.begin_ns // width_ns * width_ns, width_ns)

    def columns(self, step: Step) -> range:
        """The columns that the range touches."""
        return range(step.column_of(self.end_ns - 1) + 1)

    def cube(self, by: Sequence[Name] = (), step: Step | None = None, groups: int = 1000) -> Cube:
        """The chest's cube, within what is left of the budget."""
        return self.chest.cube(self.query, by=by, step=step, groups=groups, seconds=self.seconds_left())

    def sample(self, size: int) -> Sample:
        """The chest's sample, within what is left of the budget."""
        return self.chest.sample(self.query, size=size, seconds=self.seconds_left())

    def with_filter(self, filter: Filter) -> Question:  # noqa: A002 - the word that is typed
        """The same question, narrowed by another filter."""
        return replace(self, query=narrowed(self.query, _query_of(filter)))

    def moved(self, by_ns: int) -> Question:
        """The same question about so much earlier."""
        begin_ns, end_ns = self.begin_ns - by_ns, self.end_ns - by_ns
        query = replace(self.query, since_ns=begin_ns, until_ns=end_ns)
        return replace(self, query=query, begin_ns=begin_ns, end_ns=end_ns)

    def seconds_left(self) -> float:
        """What is left of the budget, never nothing, so that each answer is an answer."""
        return max(0.05, self.deadline - time.monotonic())

    def _columns(self, width_ns: int) -> int:
        return (self.end_ns - 1) // width_ns - self.begin_ns // width_ns + 1


@contextmanager
def asked(source: Source, filter: Filter, seconds: float | None) -> Iterator[Question]:  # noqa: A002
    """The question that this filter is about this chest.

    :param seconds: the budget; None: :data:`BUDGET_SECONDS`.
    :raises FilterError: the filter cannot be understood.
    :raises ChestUnavailable: the chest cannot be read.
    """
    deadline = time.monotonic() + (BUDGET_SECONDS if seconds is None else seconds)
    query = _query_of(filter)
    with nullcontext(source) if isinstance(source, ReadableChest) else _opened(source) as chest:
        now_ns = time.time_ns()
        begin_ns, end_ns = query.since_ns, query.until_ns
        if end_ns is None and begin_ns is not None and begin_ns < now_ns:
            end_ns = now_ns
        if begin_ns is None or end_ns is None or end_ns - begin_ns > _LONGEST_NS:
            first_ns, last_ns = chest.time_range(query) or (begin_ns or now_ns, begin_ns or now_ns)
            begin_ns = first_ns if begin_ns is None else begin_ns
            end_ns = last_ns + 1 if end_ns is None else end_ns
            if end_ns - begin_ns > _LONGEST_NS:
                begin_ns, end_ns = max(begin_ns, first_ns), min(end_ns, last_ns + 1)
            begins_with_record, ends_with_record = begin_ns == first_ns, end_ns == last_ns + 1
        else:
            begins_with_record = ends_with_record = False
        end_ns = max(end_ns, begin_ns + 1)
        yield Question(chest, query, begin_ns, end_ns, deadline, begins_with_record, ends_with_record, now_ns)


def seconds_between(begin_ns: int, end_ns: int) -> float:
    """The length of a time range."""
    return (end_ns - begin_ns) / 1e9


@contextmanager
def _opened(url: str) -> Iterator[ReadableChest]:
    with open_chest(url) as chest:
        if not isinstance(chest, ReadableChest):
            raise SettingsError(f"{chest.name} can only be written; give the URL of a chest that can be read.")
        yield chest


def _query_of(filter: Filter) -> Query:  # noqa: A002
    return filter if isinstance(filter, Query) else parse(filter)
