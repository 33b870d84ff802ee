"""``MongoPieces``: a collection that counts its documents: what a cube and a sample need, as aggregations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import pymongo
from pymongo.collection import Collection
from pymongo.errors import PyMongoError

from chest.chests.asking.conditions import Name
from chest.chests.asking.cube import Cell, Step, group_text, weight_of_rate
from chest.chests.asking.pieces import BudgetOver, Extent
from chest.chests.contract import StoredRecord
from chest.chests.mongodb.documents import STORED_NAMES, filter_of, plain_value, stored_record_of
from chest.chests.mongodb.expressions import BUCKETS, CLASSES, conditions_of, group_of
from chest.chests.query import Query
from chest.record.record import Record

__all__ = ["MongoPieces"]

Document = dict[str, Any]
_SPARSE: Final = 4
"""If a draw from all documents brings less than one of so many that were asked for, the draw is from the range alone."""


class MongoPieces:
    """The documents of a collection, by ``seq``; only asked, by stages that do not write.

    :param records: the collection.
    :param timeout_seconds: the longest that any question may take.
    """

    def __init__(self, records: Collection[Document], timeout_seconds: float) -> None:
        self._records, self._timeout_seconds = records, timeout_seconds

    def time_range(self, query: Query) -> tuple[int, int] | None:
        """When the first and the last request of the time range began."""
        times = _times(query)
        ends = [self._records.find_one(times, {"time_ns": 1}, sort=[("time_ns", order)]) for order in (1, -1)]
        first, last = ends
        return None if first is None or last is None else (int(first["time_ns"]), int(last["time_ns"]))

    def extent(self, query: Query, seconds: float | None) -> Extent | None:
        count = {"_id": None, "first": {"$min": "$seq"}, "last": {"$max": "$seq"}, "count": {"$sum": 1}}
        found = list(self._asked([{"$match": {**_times(query), "seq": {"$gt": 0}}}, {"$group": count}], seconds))
        return Extent(int(found[0]["first"]), int(found[0]["last"]), int(found[0]["count"])) if found else None

    def cells(
        self, query: Query, first: int, last: int, by: Sequence[Name], step: Step | None, seconds: float | None
    ) -> Iterator[Cell]:
        sums = {
            "_id": group_of(by, step),
            "records": {"$sum": 1},
            "total": {"$sum": "$duration_ns"},
            "longest": {"$max": "$duration_ns"},
        }
        for found in self._asked([{"$match": self._match(query, first, last)}, {"$group": sums}], seconds):
            key, records = found["_id"], int(found["records"])
            rest, bucket = divmod(int(key["key"]), BUCKETS)
            rest, is_failed = divmod(rest, 2)
            column, status_class = divmod(rest, CLASSES)
            group = tuple(group_text(plain_value(key.get(f"by{place}"))) for place in range(len(by)))
            weight = weight_of_rate(key.get("rate"))
            yield Cell(
                column, group, status_class, bool(is_failed), bucket, records, records * weight,
                float(found["total"]) * weight, int(found["longest"]),
            )  # fmt: skip

    def places(self, query: Query, first: int, last: int, seconds: float | None, limit: int | None = None) -> list[int]:
        ended: list[Document] = [] if limit is None else [{"$sort": {"seq": 1}}, {"$limit": limit}]
        stages = [{"$match": self._match(query, first, last)}, *ended, {"$project": {"_id": 0, "seq": 1}}]
        return [int(found["seq"]) for found in self._asked(stages, seconds)]

    def stored_at(self, places: Sequence[int]) -> list[StoredRecord]:
        return _stored(self._records.find({"seq": {"$in": list(places)}}, dict.fromkeys(STORED_NAMES, 1)))

    def drawn(self, first: int, last: int, count: int) -> list[Record]:
        within = {"$match": {"seq": {"$gte": first, "$lte": last}}}
        stages: list[Document] = [{"$sample": {"size": count}}, within, {"$project": dict.fromkeys(STORED_NAMES, 1)}]
        found = _records(self._asked(stages, None))
        if len(found) * _SPARSE >= count:
            return list({record.id: record for record in found}.values())
        return _records(self._asked([within, stages[0], stages[2]], None))

    def _match(self, query: Query, first: int, last: int) -> Document:
        conditions = conditions_of(query) or []
        exact: Document = {"$expr": {"$and": conditions}} if conditions else {}
        return {**filter_of(query), "seq": {"$gte": first, "$lte": last}, **exact}

    def _asked(self, stages: Sequence[Document], seconds: float | None) -> Iterator[Document]:
        with _within(self._timeout_seconds if seconds is None else max(0.001, seconds)):
            yield from self._records.aggregate(list(stages), allowDiskUse=True)


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    try:
        with pymongo.timeout(seconds):
            yield
    except PyMongoError as error:
        if error.timeout:
            raise BudgetOver from None
        raise


def _times(query: Query) -> Document:
    return filter_of(Query(since_ns=query.since_ns, until_ns=query.until_ns))


def _stored(documents: Any) -> list[StoredRecord]:
    return [stored for stored in map(stored_record_of, documents) if stored is not None]


def _records(documents: Any) -> list[Record]:
    return [stored.record for stored in _stored(documents)]
