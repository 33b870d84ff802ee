"""``StoringOrder``: the order in which records are stored, so that a reader that follows it misses none, however many write at once.

MongoDB has no number that grows with each document, and a time is not enough: of two batches that are written at the same
time, the one that began first may arrive last, and a reader that has seen the other would not look back. So a batch takes its
numbers from one small document before it is written, and that document notes that the batch is on its way. Readers go as far as
the first batch that is. A batch of a writer that died is forgotten after a while.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final, NamedTuple

from pymongo import ReturnDocument, WriteConcern
from pymongo.collection import Collection
from pymongo.errors import PyMongoError
from pymongo.read_preferences import ReadPreference

Document = dict[str, Any]

SEQUENCES: Final = "chest_sequences"
"""The collection of these documents, one for each collection of records."""
GRACE_SECONDS: Final = 10.0
"""How long after a writer's timeout what it sent may still arrive: the kernel goes on to deliver what a process left behind
that was killed. Longer would be safer, and would keep readers waiting longer for a writer that is gone."""
_MOST_UNSETTLED: Final = 64
_CLOCK: Final = {"$multiply": [{"$toLong": "$$NOW"}, 1000]}
"""The server's clock in microseconds. The numbers grow with it, so that they go on where they were if the document is lost."""


class Ticket(NamedTuple):
    """The numbers of one batch."""

    first: int
    stored_at: datetime
    """The server's clock when they were given out."""


class StoringOrder:
    """Gives out the numbers of one collection of records.

    :param records: the collection.
    :param timeout_seconds: after which the writing of a batch is given up.
    """

    def __init__(self, records: Collection[Document], timeout_seconds: float) -> None:
        # Acknowledged by one server: a number that a failover loses was given to records that it also loses.
        self._documents = records.database.get_collection(
            SEQUENCES, write_concern=WriteConcern(w=1), read_preference=ReadPreference.PRIMARY
        )
        self._key = {"_id": records.name}
        self._lifetime_ms = round(1000 * (timeout_seconds + GRACE_SECONDS))
        self._unsettled: dict[int, set[str]] = {}

    def take(self, count: int) -> Ticket:
        """Numbers for a batch that is on its way from now on, until it is settled."""
        first = {"$max": ["$next", _CLOCK]}
        still = {"$filter": {"input": {"$ifNull": ["$open", []]}, "cond": {"$gt": ["$$this.until", "$$NOW"]}}}
        own = {"first": first, "until": {"$add": ["$$NOW", self._lifetime_ms]}, "at": "$$NOW"}
        # One stage: in it, $next is the value from before.
        update = [{"$set": {"next": {"$add": [first, count]}, "open": {"$concatArrays": [still, [own]]}}}]
        after = self._documents.find_one_and_update(
            self._key, update, {"open": {"$slice": -1}}, upsert=True, return_document=ReturnDocument.AFTER
        )
        (taken,) = (after or {})["open"]
        return Ticket(int(taken["first"]), taken["at"])

    def settle(self, ticket: Ticket, ids: Iterable[str]) -> None:
        """The batch of the ticket is no longer on its way, and records of these ids are there or never will be.

        Earlier batches whose fate is unknown are also settled once all their records were written again: what of them
        is still on its way finds every ``_id`` taken. If this fails, readers wait for the ticket to expire.
        """
        self._unsettled[ticket.first] = set()
        for left in list(self._unsettled.values()):
            left.difference_update(ids)
        done = [first for first, left in list(self._unsettled.items()) if not left]
        try:
            self._documents.update_one(self._key, {"$pull": {"open": {"first": {"$in": done}}}})
        except PyMongoError:
            return
        for first in done:
            self._unsettled.pop(first, None)

    def leave(self, ticket: Ticket, ids: Iterable[str]) -> None:
        """The answer is missing, so the batch may still be on its way."""
        while len(self._unsettled) >= _MOST_UNSETTLED:
            self._unsettled.pop(next(iter(self._unsettled)), None)
        self._unsettled[ticket.first] = set(ids)

    def end(self) -> int | None:
        """The number before which every record is there that ever will be; None: all there are."""
        still = {"$filter": {"input": {"$ifNull": ["$open", []]}, "cond": {"$gt": ["$$this.until", "$$NOW"]}}}
        firsts = {"$map": {"input": still, "in": "$$this.first"}}
        end = {"$min": ["$next", {"$min": firsts}]}
        found = next(iter(self._documents.aggregate([{"$match": self._key}, {"$project": {"end": end}}])), None)
        return None if found is None or found.get("end") is None else int(found["end"])
