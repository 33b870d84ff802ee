"""``Cube`` and ``Sample``: the two answers of a readable chest from which all others are made; ``Basis``: how far to trust them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from chest.chests.asking.conditions import ABSENT, Name
from chest.record.record import Outcome, Record

if TYPE_CHECKING:
    from chest.chests.query import Query

__all__ = [
    "FAILED",
    "OTHERS",
    "SAMPLE_RATE",
    "STATUSES",
    "Basis",
    "Cell",
    "Cube",
    "CubeQuestion",
    "Group",
    "Sample",
    "Step",
    "group_text",
    "weight_of",
    "weight_of_rate",
]

Group = tuple[str | None, ...]
"""The values of the names by which a cube is divided, as text; None: the record has no value."""

FAILED: Final = (Outcome.ERROR, Outcome.WORKER_TIMEOUT, Outcome.SHUTDOWN, Outcome.KILLED, Outcome.ABANDONED)
"""Outcomes of requests that failed by the application's or the server's fault."""
STATUSES: Final = 1000
"""A status is below it; what is not has the class 0."""
SAMPLE_RATE: Final = "chest.sample_rate"
"""The attribute that says which share of such requests was recorded."""


class Basis(NamedTuple):
    """What an answer rests on."""

    is_exact: bool
    """False if it is estimated from a part of the records."""
    read: int
    """How many records were counted, one by one."""
    of: int
    """How many there are in the time range; an estimate if the answer is one."""
    seconds: float
    """How long the store took."""

    def __str__(self) -> str:
        if self.is_exact:
            return f"exact, from {self.of:,} records"
        return f"estimated from {self.read:,} of {self.of:,} records"


class Step(NamedTuple):
    """Columns of time of one width."""

    begin_ns: int
    """Where column 0 begins, in Unix time."""
    width_ns: int

    def column_of(self, time_ns: int) -> int:
        """The column in which this time lies."""
        return (time_ns - self.begin_ns) // self.width_ns


class Cell(NamedTuple):
    """Requests that a cube does not tell apart."""

    column: int
    """Of time; 0 if the cube is not divided by time."""
    group: Group
    status_class: int
    """5 for 5xx; 0 without a status."""
    is_failed: bool
    """Its outcome is one of :data:`FAILED`."""
    bucket: int
    """Of durations; see :mod:`chest.chests.asking.durations`."""
    records: int
    """How many are stored, or were read of them."""
    requests: float
    """How many requests they stand for: sampling undone, by the recorder and by this answer."""
    total_ns: float
    """The sum of the durations of these requests."""
    longest_ns: int


class CubeQuestion(NamedTuple):
    """What a cube is asked for; see :meth:`chest.chests.contract.ReadableChest.cube`."""

    query: Query
    by: tuple[Name, ...] = ()
    step: Step | None = None
    groups: int = 1000
    seconds: float | None = None


@dataclass(frozen=True)
class Cube:
    """Counts of the requests that match, by column of time, group, status class and duration bucket.

    :param cells: each combination that occurs, once.
    :param has_others: True if some groups were put together as :data:`OTHERS`, since there are more than were asked for.
    """

    by: tuple[Name, ...]
    step: Step | None
    cells: Sequence[Cell]
    basis: Basis
    has_others: bool = False


@dataclass(frozen=True)
class Sample:
    """Some records that match, drawn at random, or all of them.

    :param matching: how many records match, as far as known; exact if the basis is.
    :param is_whole: True if these are all that match.
    """

    records: Sequence[Record]
    matching: int
    is_whole: bool
    basis: Basis


OTHERS: Final[Group] = ("(others)",)
"""The group of all groups beyond those that were asked for."""


def group_text(value: Any) -> str | None:
    """A value as the name of a group: texts as they are, numbers and JSON as a person types them, None if there is no value."""
    if value is None or type(value) is str:
        return value
    if value is ABSENT:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def weight_of(record: Record) -> float:
    """How many requests a record stands for: more than 1 if the recorder kept a share of them only."""
    return weight_of_rate(record.attributes.get(SAMPLE_RATE))


def weight_of_rate(rate: Any) -> float:
    """How many requests a record stands for whose :data:`SAMPLE_RATE` is this; 1 if it is none."""
    try:
        share = 1.0 if rate is None else float(rate)
    except (TypeError, ValueError):
        return 1.0
    return 1 / share if 0 < share <= 1 else 1.0
