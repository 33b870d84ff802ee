"""``refused_of``: which records of a batch a table refuses, found by trying them in a transaction that is undone."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, TypeAlias

from chest.errors import ChestError, ChestUnavailable, RecordRejected
from chest.record.record import Outcome, Record

__all__ = ["TryStore", "plain_record", "refused_of", "unholdable"]

TryStore: TypeAlias = Callable[[Sequence[Record]], bool]
"""True if the table takes these records now; they stay in the transaction. Raises ``TypeError``, ``ValueError`` or
``OverflowError`` for a value that the driver or the encoder cannot take, and the store's own error if that has failed."""

_HOPELESS_AFTER: Final = 30
"""Records refused one by one, and none taken: the store refuses everything, and the others need not be tried."""


def refused_of(
    records: Sequence[Record],
    try_store: TryStore,
    known_good: Record | None,
    is_over: Callable[[], bool] = lambda: False,
) -> list[str]:
    """The ids of the records that are refused while the table takes another one in the same transaction.

    A rule of the user's may refuse a row with any code: a trigger, row-level security, a deferred constraint. So may a
    store that takes nothing at all: no rights, a column that nothing fills. The code does not tell them apart; that another
    record is taken does. If none is, the failure is not a record's.

    :param known_good: a record that the table has taken before; it is tried again under another id.
    :param is_over: asked before each try; True ends the search with what was found: the others are left for another one.
    """
    return _Trial(try_store, is_over).refused(records, known_good)


def unholdable(chest: str, error: Exception, refused: Sequence[str]) -> ChestError:
    """What to raise for a batch with a value that the driver or the encoder cannot take.

    :param refused: the ids of the records with such a value, as :func:`refused_of` finds them.
    """
    if refused:
        return RecordRejected(f"{chest} cannot hold a record: {error}", refused)
    return ChestUnavailable(f"{chest} refused the batch, but none of its records alone: {error}")


def plain_record(service: str = "", release: str = "", host: str = "") -> Record:
    """A record with nothing in it that a store could object to."""
    return Record(
        id=_random_id(), request_id=_random_id(), time_ns=time.time_ns(), duration_ns=0, method="GET",
        path="/", route=None, status=200, outcome=Outcome.OK, error=None, variables={}, attributes={}, service=service,
        release=release, host=host,
    )  # fmt: skip


class _Trial:
    """One search by halves, which costs a batch with one refused record as many inserts as its length has binary digits."""

    def __init__(self, try_store: TryStore, is_over: Callable[[], bool]) -> None:
        self._try_store, self._is_over = try_store, is_over
        self._takes_another = False
        self._encodable: list[str] = []
        self._not_encodable: list[str] = []

    def refused(self, records: Sequence[Record], known_good: Record | None) -> list[str]:
        one = records[0]
        controls = [plain_record(one.service, one.release, one.host)]
        if known_good is not None:
            controls.insert(0, known_good._replace(id=_random_id()))
        for control in controls:
            with suppress(OverflowError, TypeError, ValueError):  # of the service's name, say
                self._takes_another = self._takes_another or self._try_store([control])
        self._search(records)
        return self._not_encodable + (self._encodable if self._takes_another else [])

    def _search(self, records: Sequence[Record]) -> None:
        if self._is_over() or (not self._takes_another and len(self._encodable) >= _HOPELESS_AFTER):
            return
        try:
            if self._try_store(records):
                self._takes_another = True
                return
            blamed = self._encodable
        except (OverflowError, TypeError, ValueError):
            blamed = self._not_encodable
        if len(records) == 1:
            blamed.append(records[0].id)
            return
        middle = len(records) // 2
        self._search(records[:middle])
        self._search(records[middle:])


def _random_id() -> str:
    return os.urandom(16).hex()
