"""``neighbours``: the requests of the same user, host or worker that began just before a request, and just after it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from chest.chests.asking.conditions import ABSENT, Condition, Name
from chest.chests.asking.cube import Basis, group_text
from chest.chests.asking.latest import Latest
from chest.chests.asking.reading import Reading
from chest.chests.contract import ReadableChest, StoredRecord
from chest.chests.query import EVERYTHING, Query
from chest.errors import RecordNotFound, SettingsError
from chest.query.answer import Answer
from chest.query.names import label_of, name_of
from chest.query.question import Filter, Question, Source, asked
from chest.query.record_fields import record_fields
from chest.record.record import Record

__all__ = ["MOST_NEIGHBOURS", "Neighbours", "neighbours", "record_with", "records_with"]

_USER: Final = (Name("attribute", "enduser.id"), Name("variable", "user_id"))
"""Of the names of a request's user, the first that the record has."""
_ID: Final = Name("field", "id")
_PROCESS: Final = slice(16, 24)
"""Where in a record's id the part of its process stands; see :mod:`chest.record.record_id`."""
_FIRST_WIDTH_NS: Final = 60 * 10**9
_GROWS: Final = 8
MOST_NEIGHBOURS: Final = 500
"""Neighbours on each side, and records that are read at once."""


@dataclass(frozen=True)
class Neighbours(Answer):
    """A request, and those of the same user, host or worker around it, in the order in which they began.

    :param record: the one that was asked about.
    :param by: the name that they share, as a person types it, or ``worker``.
    :param value: what they share; None if the record has no such value, and so no neighbours.
    :param before: the last of them is nearest.
    :param after: the first of them is nearest.
    """

    record: StoredRecord
    by: str
    value: str | None
    before: tuple[StoredRecord, ...]
    after: tuple[StoredRecord, ...]

    def table(self) -> list[dict[str, Any]]:
        return [record_fields(stored) for stored in (*self.before, self.record, *self.after)]


def neighbours(
    source: Source,
    record_id: str,
    filter: Filter = "",  # noqa: A002
    *,
    by: str = "user",
    before: int = 1,
    after: int = 1,
    seconds: float | None = None,
) -> Neighbours:
    """What the same user did before a request, and after it; or what happened in the same worker or on the same host.

    Other records of the same request, such as its jobs, are no neighbours. If the budget ends, those that were found until
    then are the answer, and its basis is not exact.

    :param source: a chest, or the URL of one.
    :param record_id: a record's id, or a request's, or at least four characters of the beginning.
    :param filter: only such neighbours.
    :param by: ``user`` (the attribute ``enduser.id``, else the variable ``user_id``), ``host``, ``worker`` (the process), or
        any other name, such as ``session``.
    :param before: how many, from 0 to 500.
    :param after: how many, from 0 to 500.
    :param seconds: the budget; None: 10.
    :raises RecordNotFound: no record has this id.
    :raises SettingsError: another argument is invalid.
    """
    if not (0 <= before <= MOST_NEIGHBOURS and 0 <= after <= MOST_NEIGHBOURS):
        raise SettingsError(f"before={before}, after={after}: give numbers from 0 to {MOST_NEIGHBOURS}.")
    begin = time.monotonic()
    with asked(source, filter, seconds) as question:
        stored = record_with(question.chest, record_id, question.seconds_left())
        label, value, conditions, is_same = _kinship(stored.record, by)
        here, there = _Side(question, stored, is_same, -1), _Side(question, stored, is_same, 1)
        if value is not None:
            query = replace(question.query, conditions=(*question.query.conditions, *conditions))
            here.find(query, before)
            there.find(query, after)
    found = (*here.nearest(before), *there.nearest(after))
    basis = Basis(here.is_exact and there.is_exact, len(found), len(found), time.monotonic() - begin)
    return Neighbours(
        basis, question.begin_ns, question.end_ns, stored, label, value,
        tuple(reversed(here.nearest(before))), tuple(there.nearest(after)),
    )  # fmt: skip


def records_with(chest: ReadableChest, wanted: str, scope: Query = EVERYTHING, seconds: float | None = None) -> Latest:
    """The records that have this id, or belong to the request with this id, or with one that begins so: the first of these that are
    there, at most 500. If the budget ends, the answer is not exact.

    :param scope: only of these records.
    """
    reading, begin = Reading(chest, seconds), time.monotonic()
    is_exact, read, of = True, 0, 0
    for kind, least in (("equals", 1), ("starts", _FEWEST_CHARACTERS)):
        for field in ("id", "request_id") if len(wanted) >= least else ():
            condition = Condition(Name("field", field), kind, (wanted,))  # type: ignore[arg-type]
            query = replace(scope, conditions=(*scope.conditions, condition))
            found = chest.latest(query, limit=MOST_NEIGHBOURS, seconds=reading.seconds_left())
            if found.records:
                return found
            if is_exact and not found.basis.is_exact:
                is_exact, read, of = found.basis[:3]
    return Latest((), Basis(is_exact, read, of, time.monotonic() - begin))


def record_with(chest: ReadableChest, wanted: str, seconds: float | None = None) -> StoredRecord:
    """The record that has this id, or belongs to the request with this id, or with one that begins so; of several the one that
    was stored first.

    :raises RecordNotFound: there is none, or several requests begin so, or it was not found within the budget.
    """
    found = records_with(chest, wanted, seconds=None if seconds is None else max(_LEAST_SECONDS, seconds))
    if len({stored.record.request_id for stored in found.records}) > 1:
        raise RecordNotFound(f"{chest.name} has several requests whose id begins with {wanted}; give more of it.")
    if found.records:
        return found.records[-1]
    if found.basis.is_exact:
        raise RecordNotFound(f"{chest.name} has no record whose id is {wanted}, or begins so.")
    raise RecordNotFound(
        f"{chest.name} has no record whose id is {wanted}, or begins so, among the last {found.basis.read:,} of"
        f" {found.basis.of:,}; then the budget ended."
    )


_FEWEST_CHARACTERS: Final = 4
_LEAST_SECONDS: Final = 1.0
"""To find the one record without which there is no answer, however short the budget is."""


def _kinship(record: Record, by: str) -> tuple[str, str | None, tuple[Condition, ...], Callable[[Record], bool]]:
    """What is shared with the neighbours: its label, the value, its conditions, and whether another record shares it."""
    if by == "worker":
        process = record.id[_PROCESS]
        condition = Condition(_ID, "contains", (process,))
        return by, process, (condition,), lambda other: other.id[_PROCESS] == process
    try:
        names = _USER if by == "user" else (name_of(by),)
    except ValueError as error:
        raise SettingsError(f"by={by!r}: {error}.") from None
    name = next((each for each in names if each.value_in(record) not in (None, ABSENT)), names[0])
    value = group_text(name.value_in(record))
    conditions = () if value is None else (Condition(name, "equals", (value,)),)
    return label_of(name), value, conditions, lambda _: True


class _Side:
    """Finds the nearest records on one side of a record: in windows of time, each longer than the one before."""

    def __init__(
        self, question: Question, stored: StoredRecord, is_same: Callable[[Record], bool], direction: int
    ) -> None:
        self._question = question
        self._record = stored.record
        self._is_same = is_same
        self._direction = direction
        self._found: list[StoredRecord] = []
        self.is_exact = True

    def nearest(self, count: int) -> list[StoredRecord]:
        """So many of what was found, the nearest first."""
        return self._found[:count]

    def find(self, query: Query, count: int) -> None:
        """Look until there are so many, the time range of the store ends, or the budget does."""
        extent = self._question.chest.time_range(Query(service=query.service)) if count else None
        if extent is None:
            return
        first_ns, last_ns = extent
        farthest_ns = max(1, self._record.time_ns - first_ns if self._direction < 0 else last_ns - self._record.time_ns)
        too_few_ns, enough_ns = 0, farthest_ns
        width_ns = min(_FIRST_WIDTH_NS, farthest_ns)
        while True:
            is_full = self._look(query, width_ns)
            if is_full and width_ns - too_few_ns > 1:  # some of the nearest may be missing
                enough_ns = width_ns
                next_ns = (too_few_ns + enough_ns) // 2
            elif len(self._found) >= count or width_ns >= farthest_ns or not self.is_exact:
                return
            else:
                too_few_ns = width_ns
                next_ns = width_ns * _GROWS if enough_ns == farthest_ns else (too_few_ns + enough_ns) // 2
            if time.monotonic() > self._question.deadline:
                self.is_exact = False
                return
            width_ns = min(next_ns, farthest_ns)

    def _look(self, query: Query, width_ns: int) -> bool:
        """Find what lies so near; True if there are more than are read at once."""
        time_ns, own = self._record.time_ns, (self._record.time_ns, self._record.id)
        since_ns, until_ns = (
            (time_ns - width_ns, time_ns + 1) if self._direction < 0 else (time_ns, time_ns + width_ns + 1)
        )
        window = replace(
            query,
            since_ns=since_ns if query.since_ns is None else max(since_ns, query.since_ns),
            until_ns=until_ns if query.until_ns is None else min(until_ns, query.until_ns),
        )
        latest = self._question.chest.latest(window, limit=2 * MOST_NEIGHBOURS, seconds=self._question.seconds_left())
        self.is_exact = latest.basis.is_exact
        self._found = sorted(
            (
                each
                for each in latest.records
                if (_place(each) > own) == (self._direction > 0)
                and each.record.request_id != self._record.request_id
                and self._is_same(each.record)
            ),
            key=_place,
            reverse=self._direction < 0,
        )
        return len(latest.records) == 2 * MOST_NEIGHBOURS


def _place(stored: StoredRecord) -> tuple[int, str]:
    return stored.record.time_ns, stored.record.id
