"""``top``: one row a group: how many requests, how many failed, how long they took, and when."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from chest.chests.asking.cube import OTHERS, Basis, Cube, Group
from chest.errors import SettingsError
from chest.query.answer import Answer, Counts, counted
from chest.query.names import label_of, name_of
from chest.query.question import Filter, Question, Source, asked
from chest.query.typed import duration_ns

__all__ = ["SORTS", "Top", "TopRow", "top"]


@dataclass(frozen=True)
class TopRow:
    """The requests of one group. Times are in nanoseconds; shares go from 0 to 1."""

    group: Group
    """A value for each name of ``by``; None if a request has none."""
    requests: float
    """How many: sampling undone."""
    per_second: float
    failed_share: float
    """Share of those whose outcome is an error, a time-out of the worker, a shutdown, killed or abandoned."""
    p50_ns: float | None
    p95_ns: float | None
    p99_ns: float | None
    longest_ns: int
    total_ns: float
    """The time that all of them took together."""
    over_time: tuple[float, ...]
    """Requests by column of time."""
    before: TopRow | None = None
    """The same group in the period before, if that was asked for."""


SORTS: Final[dict[str, Callable[[TopRow], float]]] = {
    "total": lambda row: row.total_ns,
    "count": lambda row: row.requests,
    "errors": lambda row: row.failed_share,
    "p50": lambda row: row.p50_ns or 0,
    "p95": lambda row: row.p95_ns or 0,
    "p99": lambda row: row.p99_ns or 0,
    "max": lambda row: row.longest_ns,
}
"""What rows are sorted by, the largest first."""


@dataclass(frozen=True)
class Top(Answer):
    """One row a group, the largest first.

    :param by: the names that divide the requests, as a person types them.
    :param rows: the first of them.
    :param groups: how many groups there are in all, as far as they were told apart.
    :param others: the groups beyond that, put together; None if nothing is left.
    :param everything: all requests.
    :param step_ns: the width of a column of ``over_time``.
    """

    by: tuple[str, ...]
    rows: tuple[TopRow, ...]
    groups: int
    others: TopRow | None
    everything: TopRow
    step_ns: int

    def table(self) -> Sequence[dict[str, Any]]:
        return [
            {
                **dict(zip(self.by, row.group, strict=True)),
                "requests": row.requests,
                "per_second": row.per_second,
                "failed_share": row.failed_share,
                "p50_ns": row.p50_ns,
                "p95_ns": row.p95_ns,
                "p99_ns": row.p99_ns,
                "longest_ns": row.longest_ns,
                "total_ns": row.total_ns,
                **(self._before(row.before) if self.everything.before else {}),
            }
            for row in self.rows
        ]

    @staticmethod
    def _before(row: TopRow | None) -> dict[str, Any]:
        return {
            "requests_before": row.requests if row else 0.0,
            "failed_share_before": row.failed_share if row else None,
            "p95_ns_before": row.p95_ns if row else None,
        }


def top(
    source: Source,
    filter: Filter = "",  # noqa: A002
    *,
    by: str | Sequence[str] = "route",
    sort: str = "total",
    limit: int = 20,
    columns: int = 24,
    against: str | int | None = None,
    seconds: float | None = None,
) -> Top:
    """Which routes (hosts, releases, users, ...) cost the most time, fail most often, are slowest.

    :param source: a chest, or the URL of one.
    :param filter: which requests, such as ``status>=500 since=2h``.
    :param by: names to divide by: fields, variables, ``attr.`` attributes; several, or a text with commas.
    :param sort: one of :data:`SORTS`.
    :param limit: the most rows.
    :param columns: the most columns of ``over_time``.
    :param against: also the period so much earlier, such as ``1d``: :attr:`TopRow.before`.
    :param seconds: the budget; None: 10.
    :raises FilterError: the filter cannot be understood.
    :raises SettingsError: another argument is invalid.
    """
    names = by.split(",") if isinstance(by, str) else list(by)
    if sort not in SORTS:
        raise SettingsError(f"sort={sort!r}: there are {', '.join(SORTS)}.")
    try:
        shift_ns = duration_ns(against) if isinstance(against, str) else against
        meant = tuple(map(name_of, names))
    except ValueError as error:
        raise SettingsError(f"{error}.") from None
    with asked(source, filter, seconds) as question:
        step = question.step(columns)
        cube = question.cube(meant, step)
        basis = cube.basis
        rows = _rows(question, cube, columns=len(question.columns(step)))
        everything = _row(question, (), _all(cube), cube, len(question.columns(step)))
        if shift_ns is not None:
            earlier = question.moved(shift_ns)
            earlier_cube = earlier.cube(meant)
            before = _rows(earlier, earlier_cube, columns=0)
            rows = {group: replace(row, before=before.get(group)) for group, row in rows.items()}
            everything = replace(everything, before=_row(earlier, (), _all(earlier_cube), earlier_cube, 0))
            basis = _of_both(basis, earlier_cube.basis)
    others = rows.pop(OTHERS, None)
    ranked = sorted(rows.values(), key=SORTS[sort], reverse=True)
    return Top(
        basis, question.begin_ns, question.end_ns, tuple(map(label_of, meant)), tuple(ranked[:limit]), len(ranked), others,
        everything, step.width_ns,
    )  # fmt: skip


def _rows(question: Question, cube: Cube, columns: int) -> dict[Group, TopRow]:
    found = counted(cube.cells, lambda cell: cell.group)
    over_time: dict[Group, list[float]] = {group: [0.0] * columns for group in found}
    for cell in cube.cells:
        if 0 <= cell.column < columns:
            over_time[cell.group][cell.column] += cell.requests
    return {group: _row_of(question, group, counts, over_time[group]) for group, counts in found.items()}


def _of_both(one: Basis, other: Basis) -> Basis:
    """What an answer rests on that is made of two."""
    exact = one.is_exact and other.is_exact
    return Basis(exact, one.read + other.read, one.of + other.of, one.seconds + other.seconds)


def _all(cube: Cube) -> Counts:
    return counted(cube.cells, lambda _: None).get(None) or Counts()


def _row(question: Question, group: Group, counts: Counts, cube: Cube, columns: int) -> TopRow:
    over_time = [0.0] * columns
    for cell in cube.cells:
        if 0 <= cell.column < columns:
            over_time[cell.column] += cell.requests
    return _row_of(question, group, counts, over_time)


def _row_of(question: Question, group: Group, counts: Counts, over_time: Sequence[float]) -> TopRow:
    return TopRow(
        group=group,
        requests=counts.requests,
        per_second=question.per_second(counts.requests, question.begin_ns, question.end_ns),
        failed_share=counts.failed_share,
        p50_ns=counts.percentile_ns(0.5),
        p95_ns=counts.percentile_ns(0.95),
        p99_ns=counts.percentile_ns(0.99),
        longest_ns=counts.longest_ns,
        total_ns=counts.total_ns,
        over_time=tuple(over_time),
    )
