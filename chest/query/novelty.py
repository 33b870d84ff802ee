"""``news``: which errors, statuses, routes, releases and values were first seen lately; ``ReleaseMark``: when a release was."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from chest.chests.asking.conditions import Condition, Name
from chest.chests.asking.cube import OTHERS, Basis, Cube, Step
from chest.chests.query import Query
from chest.errors import SettingsError
from chest.query.answer import Answer, Counts, counted
from chest.query.names import label_of, name_of
from chest.query.question import Filter, Question, Source, asked
from chest.query.typed import moment_ns

__all__ = ["NewValue", "News", "ReleaseMark", "news", "releases_of"]

RELEASE: Final = Name("field", "release")
_FIELDS: Final = (Name("field", "error"), Name("field", "status"), Name("field", "route"), RELEASE)
"""What is always looked at: they have few values, so that one pass tells them all."""
_GROUPS: Final = 3000
_MOST_MARKS: Final = 20
_LOOKED_AT: Final = 1000
"""Records of a value in a column of time that are read for the times at which it was first and last seen."""
_COLUMNS: Final = 60
"""Into which the time since then is divided, to tell when a value was seen."""
_COUNTING_SHARE: Final = 0.8
"""Of the budget, for telling which values are new; the rest is for when they were seen."""
_COLUMNS_SHARE: Final = 0.5
"""Of that rest, for the columns in which they were seen."""
_DAY_NS: Final = 86_400 * 10**9


class NewValue(NamedTuple):
    """A value that no request before had."""

    name: str
    value: str
    first_ns: int
    """When the first request with it began, in Unix time; if the basis is not exact, about when."""
    last_ns: int
    """When the last one began, likewise."""
    requests: float
    """How many have it since then: sampling undone."""


@dataclass(frozen=True)
class News(Answer):
    """The values first seen since ``since_ns``, the latest first.

    If the basis is not exact, not all records before were looked through, so a value may be older; or there were too many values
    to tell all of them apart, so that a new one of few requests may be missing; or there was no time to look up when each was seen.

    :param since_ns: new is what was first seen since then.
    :param names: what was looked at, as a person types it.
    :param values: the new ones.
    :param before: how many of the records that were looked through are older than ``since_ns``; with none everything is new.
    :param left_out: values that may be new and are not among them: they are beyond the limit, or the budget ended before this was known.
    """

    since_ns: int
    names: tuple[str, ...]
    values: tuple[NewValue, ...]
    before: int
    left_out: int

    def table(self) -> Sequence[dict[str, Any]]:
        return [value._asdict() for value in self.values]


def news(
    source: Source,
    filter: Filter = "",  # noqa: A002
    *,
    since: str | int = "1d",
    names: str | Sequence[str] = (),
    limit: int = 100,
    seconds: float | None = None,
) -> News:
    """The errors, statuses, routes and releases that were first seen lately, and the values of named variables.

    :param source: a chest, or the URL of one.
    :param filter: among which requests; its time range is where "before" begins.
    :param since: new is what was first seen since then: ``1d``, a date, or Unix time in nanoseconds.
    :param names: variables, attributes or fields to look at as well; a text with commas or several. Names with very many values,
        such as ids, take long, and most of their values are new.
    :param limit: the most values of each name.
    :param seconds: the budget; None: 10.
    :raises SettingsError: an argument is invalid.
    """
    texts = [name for name in (names.split(",") if isinstance(names, str) else names) if name]
    try:
        more = tuple(name for name in map(name_of, texts) if name not in _FIELDS)
        since_ns = moment_ns(since) if isinstance(since, str) else since
    except ValueError as error:
        raise SettingsError(f"{error}.") from None
    found: list[NewValue] = []
    basis, before, left_out = Basis(True, 0, 0, 0.0), 0, 0
    with asked(source, filter, seconds) as question:
        width_ns = max(question.end_ns - since_ns, since_ns - question.begin_ns, 0) + 1
        step = Step(since_ns - width_ns, width_ns)  # column 0 ends, and column 1 begins, at since_ns
        passes = [_FIELDS, *((name,) for name in more)]
        for place, group_of in enumerate(passes):
            part = _part(question, 1 / (len(passes) - place))
            cube = _part(part, _COUNTING_SHARE).cube(group_of, step, _GROUPS)
            is_exact = cube.basis.is_exact and not cube.has_others
            basis = _with(basis if place else cube.basis, cube.basis._replace(is_exact=is_exact))
            before = max(before, sum(cell.records for cell in cube.cells if cell.column < 1))
            for position, name in enumerate(group_of):
                fresh = _fresh(cube, position)
                seen, left, is_seen = _seen_of(part, name, fresh, since_ns, limit, is_checked=cube.has_others)
                found += seen
                left_out += left
                basis = basis._replace(is_exact=basis.is_exact and is_seen)
    found.sort(key=lambda value: value.first_ns, reverse=True)
    labels = tuple(map(label_of, (*_FIELDS, *more)))
    return News(basis, question.begin_ns, question.end_ns, since_ns, labels, tuple(found), before, left_out)


class ReleaseMark(NamedTuple):
    """When the first request of a release began that is within the range."""

    time_ns: int
    release: str


def releases_of(question: Question, cube: Cube) -> tuple[ReleaseMark, ...]:
    """The releases of a cube by release and time, but for the one that the range begins with, in the order in which they came.

    A range may begin with requests that have no release: if they come in an earlier column than any release, the first
    release is marked too.
    When the budget is over, a mark stands where its column begins.
    """
    step = cube.step
    if step is None:
        return ()
    columns: dict[str, int] = {}
    sizes: dict[str, float] = {}
    without = None
    for cell in cube.cells:
        if cell.group is OTHERS:
            continue
        if not (release := cell.group[0]):
            without = cell.column if without is None else min(without, cell.column)
        else:
            columns[release] = min(columns.get(release, cell.column), cell.column)
            sizes[release] = sizes.get(release, 0.0) + cell.requests
    is_first_new = bool(columns) and without is not None and without < min(columns.values())
    if len(columns) < 2 and not is_first_new:
        return ()
    marks = []
    for release in sorted(columns, key=lambda each: -sizes[each])[:_MOST_MARKS]:
        begin_ns = step.begin_ns + columns[release] * step.width_ns
        query = replace(question.query, since_ns=max(begin_ns, question.begin_ns), until_ns=begin_ns + step.width_ns)
        is_over = time.monotonic() >= question.deadline
        times = [] if is_over else _times(question, query, RELEASE, release)[0]
        marks.append(ReleaseMark(times[0] if times else query.since_ns or begin_ns, release))
    return tuple(sorted(marks)[0 if is_first_new else 1 :])


def _part(question: Question, share: float) -> Question:
    """The same question, with a share of the budget that is left."""
    return replace(question, deadline=time.monotonic() + question.seconds_left() * share)


def _fresh(cube: Cube, position: int) -> list[tuple[str, Counts]]:
    """The values of one name that stand only in column 1, those of most requests first."""
    old: set[str | None] = {None}
    for cell in cube.cells:
        if cell.column < 1 and cell.group is not OTHERS:
            old.add(cell.group[position])
    values = counted(
        (cell for cell in cube.cells if cell.group is not OTHERS and cell.group[position] not in old),
        lambda cell: cell.group[position] or "",
    )
    return sorted(values.items(), key=lambda item: -item[1].requests)


def _seen_of(
    question: Question, name: Name, fresh: Sequence[tuple[str, Counts]], since_ns: int, limit: int, *, is_checked: bool
) -> tuple[list[NewValue], int, bool]:
    """The new values of one name with their times, how many are left out, and whether the budget was enough for the times.

    One more cube tells in which column of time each was first and last seen; what is then looked at is as short as a column.

    :param is_checked: leave out those that were there before: the cube has put groups together, and may have forgotten them.
    """
    found: list[NewValue] = []
    left_out, is_exact = max(0, len(fresh) - limit), True
    step = Step(since_ns, max(1, -(-(question.end_ns - since_ns) // _COLUMNS)))
    columns = _columns_of(question, name, step) if fresh else {}
    for value, counts in fresh[:limit]:
        is_over = time.monotonic() >= question.deadline
        if is_checked and (is_over or _is_old(question, name, value, since_ns)):
            left_out += is_over
            continue
        within = (step, *columns[value]) if value in columns else (Step(since_ns, step.width_ns * _COLUMNS), 0, 0)
        first_ns, last_ns, is_seen = _seen(question, name, value, *within)
        is_exact = is_exact and is_seen
        found.append(NewValue(label_of(name), value, first_ns, last_ns, counts.requests))
    return found, left_out, is_exact


def _columns_of(question: Question, name: Name, step: Step) -> dict[str, tuple[int, int]]:
    """The first and the last column of time with each value; none if the cube has not told all of them."""
    since = replace(question, query=replace(question.query, since_ns=step.begin_ns))
    cube = _part(since, _COLUMNS_SHARE).cube((name,), step, _GROUPS)
    found: dict[str, tuple[int, int]] = {}
    if cube.has_others or not cube.basis.is_exact:
        return found
    for cell in cube.cells:
        if (value := cell.group[0]) is not None:
            first, last = found.get(value, (cell.column, cell.column))
            found[value] = min(first, cell.column), max(last, cell.column)
    return found


def _is_old(question: Question, name: Name, value: str, since_ns: int) -> bool:
    """True if a request with this value was found that began before."""
    query = _only(replace(question.query, until_ns=since_ns), name, value)
    return bool(question.chest.latest(query, limit=1, seconds=question.seconds_left()).records)


def _seen(question: Question, name: Name, value: str, step: Step, first: int, last: int) -> tuple[int, int, bool]:
    """When the first and the last request with this value began, of these columns; the columns' ends, and False, if the budget is over."""
    begin_ns, end_ns = step.begin_ns + first * step.width_ns, step.begin_ns + (last + 1) * step.width_ns
    times = begin_ns, min(end_ns, question.end_ns) - 1
    if time.monotonic() >= question.deadline:
        return *times, False
    query = _within(question.query, begin_ns, begin_ns + step.width_ns)
    begun, is_exact = _times(question, query, name, value)
    if first == last and is_exact and len(begun) < _LOOKED_AT:
        return min(begun, default=times[0]), max(begun, default=times[1]), True
    query = _only(_within(question.query, end_ns - step.width_ns, end_ns), name, value)
    latest = question.chest.latest(query, limit=_LOOKED_AT, seconds=question.seconds_left())
    ended = [stored.record.time_ns for stored in latest.records]
    is_exact = is_exact and latest.basis.is_exact
    return min(begun, default=times[0]), max(ended, default=times[1]), is_exact


def _within(query: Query, begin_ns: int, end_ns: int) -> Query:
    return replace(query, since_ns=begin_ns, until_ns=end_ns if query.until_ns is None else min(end_ns, query.until_ns))


def _times(question: Question, query: Query, name: Name, value: str) -> tuple[list[int], bool]:
    """The times of the requests with this value that were stored first, in their order, and whether the budget was enough."""
    found = question.chest.following(_only(query, name, value), limit=_LOOKED_AT, seconds=question.seconds_left())
    return sorted(stored.record.time_ns for stored in found.records), found.basis.is_exact


def _only(query: Query, name: Name, value: str) -> Query:
    condition = (
        Condition(name, "between", ((int(value), int(value) + 1),))
        if name == _FIELDS[1]
        else Condition(name, "equals", (value,))
    )
    return replace(query, conditions=(*query.conditions, condition))


def _with(one: Basis, other: Basis) -> Basis:
    """What an answer rests on that was made of several passes over the same records."""
    return Basis(
        one.is_exact and other.is_exact, min(one.read, other.read), max(one.of, other.of), one.seconds + other.seconds
    )
