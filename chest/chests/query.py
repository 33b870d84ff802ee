"""``Query``: which records to find; every condition in one place, for chests, commands and pages alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from chest.chests.asking.conditions import Condition, Name, says, value_at
from chest.errors import SettingsError
from chest.record.record import Record

__all__ = ["EVERYTHING", "Query"]


@dataclass(frozen=True)
class Query:
    """Conditions on records: a record matches if all that are given hold. Without conditions every record matches.

    :param request_id: exactly this id of the user's.
    :param service: exactly this service.
    :param since_ns: requests that began at or after this Unix time in nanoseconds.
    :param until_ns: requests that began before it.
    :param route: exactly this template.
    :param statuses: the status lies in this range: ``range(500, 600)`` for ``5xx``.
    :param outcome: exactly this outcome, one of :class:`~chest.record.record.Outcome`.
    :param slower_than_ns: took longer than this, in nanoseconds.
    :param variables: names to values as a person types them, see :meth:`matches`.
    :param conditions: more of them, of every kind; ``chest.query.parse`` makes them of a filter's text.
    :raises SettingsError: a range of statuses with a step.
    """

    request_id: str | None = None
    service: str | None = None
    since_ns: int | None = None
    until_ns: int | None = None
    route: str | None = None
    statuses: range | None = None
    outcome: str | None = None
    slower_than_ns: int | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    conditions: tuple[Condition, ...] = ()

    def __post_init__(self) -> None:
        if self.statuses is not None and self.statuses.step != 1:
            raise SettingsError(f"statuses is {self.statuses!r}: use a range without a step, such as range(500, 600).")

    def matches(self, record: Record) -> bool:
        """True if the record matches.

        A variable that is text must equal what was typed; any other must equal what was typed, read as JSON. So
        ``123`` finds ``"123"``, ``123`` and ``123.0``; ``true`` finds ``true`` and ``"true"``, not ``1``. A name with
        dots (``cart.items``) looks into nested mappings, unless a variable has just this name.
        """
        return (
            self._matches_fields(record)
            and all(says(typed, value_at(record.variables, name)) for name, typed in self.variables.items())
            and all(condition.matches(record) for condition in self.conditions)
        )

    def all_conditions(self) -> Iterator[Condition]:
        """The conditions, and those that ``slower_than_ns``, ``statuses`` and ``variables`` stand for."""
        if self.slower_than_ns is not None:
            yield Condition(Name("field", "duration_ns"), "between", ((self.slower_than_ns + 1, None),))
        if self.statuses is not None:
            yield Condition(Name("field", "status"), "between", ((self.statuses.start, self.statuses.stop),))
        for name, typed in self.variables.items():
            yield Condition(Name("variable", name), "equals", (typed,))
        yield from self.conditions

    def _matches_fields(self, record: Record) -> bool:
        return (
            self.request_id in (None, record.request_id)
            and self.service in (None, record.service)
            and self.route in (None, record.route)
            and self.outcome in (None, record.outcome)
            and (self.since_ns is None or record.time_ns >= self.since_ns)
            and (self.until_ns is None or record.time_ns < self.until_ns)
            and (self.slower_than_ns is None or record.duration_ns > self.slower_than_ns)
            and (self.statuses is None or record.status in self.statuses)
        )


EVERYTHING: Final = Query()
"""The query without a condition."""
