"""``compare``: what is different about some requests: every field and variable, ranked by how much its values differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from chest.chests.asking.conditions import Condition, Name
from chest.chests.asking.cube import Basis, Sample
from chest.errors import SettingsError
from chest.query.answer import Answer, counted
from chest.query.difference import Difference, Side, differences
from chest.query.distribution import SAMPLE_RECORDS, names_in, until
from chest.query.names import label_of
from chest.query.question import Filter, Question, Source, asked
from chest.query.typed import duration_ns

__all__ = ["Compared", "compare"]

_PERCENTILE_SECONDS: Final = 0.25
"""How long the percentile of ``slower_than`` may take: some 250,000 records are counted in that time, which says it to the bucket."""


@dataclass(frozen=True)
class Compared(Answer):
    """What is different about a selection of requests.

    :param rows: the names whose values differ, the most different first; see :attr:`Difference.is_clear`.
    :param selected: how many records are in the selection, as far as known; and how many are in the rest.
    :param left_out: names that were not compared: the selection was made by them, or almost every request has a value of its own,
        or the budget was over, which leaves out those that the fewest requests have.
    :param slower_than_ns: the duration that the selection is above, if it was made so.
    """

    rows: tuple[Difference, ...]
    selected: int
    rest: int
    left_out: tuple[str, ...]
    slower_than_ns: int | None = None

    @property
    def clear(self) -> tuple[Difference, ...]:
        """The differences that are not chance."""
        return tuple(row for row in self.rows if row.is_clear)

    def table(self) -> Sequence[dict[str, Any]]:
        return [
            {
                "name": row.name,
                "score": row.score,
                "value": each.value,
                "selected_share": each.selected_share,
                "rest_share": each.rest_share,
                "low": each.low,
                "high": each.high,
            }
            for row in self.rows
            for each in row.values
        ]


def compare(
    source: Source,
    selection: Filter = "",
    *,
    filter: Filter = "",  # noqa: A002
    against: Filter | None = None,
    slower_than: str | int | None = None,
    size: int = SAMPLE_RECORDS,
    seconds: float | None = None,
) -> Compared:
    """What is different about the requests of a selection.

    :param source: a chest, or the URL of one.
    :param selection: which requests; its times hold for both sides.
    :param filter: what holds for both sides.
    :param against: what the other side is; None: all requests that are not in the selection.
    :param slower_than: the selection is also slower than this: ``200ms``, or a percentile of all requests such as ``p95``.
    :param size: how many records of each side to look at.
    :param seconds: the budget; None: 10.
    :raises SettingsError: no selection is given.
    """
    with asked(source, selection, seconds) as question:
        everything = replace(question, query=replace(question.query, conditions=())).with_filter(filter)
        selected = question.with_filter(filter)
        rest = everything if against is None else everything.with_filter(against)
        rest_sample, threshold_ns = None, None
        if slower_than is not None:
            if isinstance(slower_than, str) and slower_than.startswith("p"):
                rest_sample = everything.sample(size)
            threshold_ns = _threshold_ns(slower_than, everything, rest_sample)
            slower = Condition(Name("field", "duration_ns"), "between", ((threshold_ns + 1, None),))
            selected = replace(selected, query=replace(selected.query, conditions=(*selected.query.conditions, slower)))
        if selected.query.conditions == everything.query.conditions:
            raise SettingsError("compare needs a selection: a filter such as status>=500, or slower_than='p95'.")
        selected_sample = selected.sample(size)
        if rest_sample is None or against is not None:
            rest_sample = rest.sample(size)
    others_records = (
        rest_sample.records
        if against is not None
        else [record for record in rest_sample.records if not selected.query.matches(record)]
    )
    chosen, others = Side.of(selected_sample.records), Side.of(others_records)
    used = {condition.name for condition in (*selected.query.conditions, *rest.query.conditions)}
    names = iter([name for name in names_in([*chosen.records, *others.records]) if name not in used])
    rows, left_out = differences(chosen, others, until(question.deadline, names))
    return Compared(
        _basis(selected_sample, rest_sample),
        question.begin_ns,
        question.end_ns,
        tuple(rows),
        selected_sample.matching,
        _rest(selected_sample, rest_sample, len(others_records)) if against is None else rest_sample.matching,
        (*map(label_of, sorted(used)), *left_out, *map(label_of, names)),
        threshold_ns,
    )


def _threshold_ns(slower_than: str | int, everything: Question, sample: Sample | None) -> int:
    if isinstance(slower_than, int):
        return slower_than
    if sample is None:
        try:
            return duration_ns(slower_than)
        except ValueError as error:
            raise SettingsError(f"slower_than={slower_than!r}: {error}, or a percentile such as p95.") from None
    try:
        share = float(slower_than[1:]) / 100
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise SettingsError(
            f"slower_than={slower_than!r}: expected a duration such as 200ms, or a percentile such as p95."
        )
    if not sample.is_whole:
        cube = everything.chest.cube(everything.query, seconds=min(_PERCENTILE_SECONDS, everything.seconds_left()))
        found = counted(cube.cells, lambda _: None)
        return round(found[None].percentile_ns(share) or 0) if found else 0
    durations = sorted(record.duration_ns for record in sample.records)
    return durations[min(int(len(durations) * share), len(durations) - 1)] if durations else 0


def _rest(selected: Sample, everything: Sample, unselected: int) -> int:
    """How many records are not selected: the difference of what was counted; that of two estimates may be anything.

    :param unselected: how many records of the sample of everything are not.
    """
    if selected.basis.is_exact and everything.basis.is_exact:
        return max(0, everything.matching - selected.matching)
    return round(everything.matching * unselected / max(1, len(everything.records)))


def _basis(selected: Sample, rest: Sample) -> Basis:
    return Basis(
        selected.is_whole and rest.is_whole,
        len(selected.records) + len(rest.records),
        max(selected.basis.of, rest.basis.of),
        selected.basis.seconds + rest.basis.seconds,
    )
