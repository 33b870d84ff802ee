"""``MongoChest``: one document a request, in a collection of MongoDB."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any, Final, NamedTuple

from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import BulkWriteError, ConnectionFailure
from pymongo.read_preferences import ReadPreference

from chest.chests.base import Cursor, ReadableChest, StoredRecord
from chest.chests.mongo_asking import asking
from chest.chests.mongo_document import STORED_NAMES, documents_of, filter_of, rejection_of, stored_record_of
from chest.chests.mongo_failure import failure_of
from chest.chests.mongo_indexes import make_indexes
from chest.chests.mongo_ledger import MongoLedger
from chest.chests.mongo_order import SEQUENCES, StoringOrder
from chest.chests.mongo_target import MongoTarget
from chest.chests.query import EVERYTHING, Query
from chest.errors import ChestUnavailable, RecordRejected, SchemaMismatch
from chest.native import socket_home
from chest.record import Record

__all__ = ["MongoChest"]

Document = dict[str, Any]

_SCANNED_AT_ONCE: Final = 1000
"""Documents a question where variables have to be looked at: how many of them will match is not known."""
_REMOVED_AT_ONCE: Final = 1000


class _Opened(NamedTuple):
    """A client of this process and what it writes to."""

    client: MongoClient[Document]
    records: Collection[Document]
    order: StoringOrder


class MongoChest(ReadableChest):
    """One document a request in a collection of MongoDB (4.4 or later), for stores that several hosts share.

    ``_id`` is the record's id: a record that comes again is there already, and that is success. A batch is one unordered
    insert, with the write concern of the URL: what is refused does not keep the rest from being stored. Beside the
    record's fields stand ``time``, the request's as a date; ``stored_at``; and ``seq``, which grows in the order of
    storing, whatever is written at once: see :mod:`chest.chests.mongo_order`. For that there is one more collection,
    ``chest_sequences``, with a small document for each collection of records.

    Reading asks the primary, whatever the URL prefers: a server that lags behind would hide records from who follows.
    When a writer was killed while it wrote, what came later can be read after some 20 seconds only.

    :param url: ``mongodb://host:27017/database`` or ``mongodb+srv://host/database``, with the options of MongoDB's
        connection strings, and of the chest's own: ``collection=chest_records``; ``ttl_days=30`` has the server remove
        records 30 days after they were stored (what the server was told once stays until told otherwise);
        ``index=request_id`` for an index on it; ``timeout_seconds=10`` for one batch, or one page that is read.
    :raises SettingsError: the URL cannot be meant as it stands, or asks for writes that nobody acknowledges (``w=0``).
    """

    def __init__(self, url: str) -> None:
        target = MongoTarget.of(url)
        self.name = target.name
        self._target = target
        self._opened: dict[tuple[int, int], _Opened] = {}
        self._ready_homes: set[tuple[int, int]] = set()

    def open(self) -> None:
        with self._asking(self._here()):
            self._make_ready()

    def write(self, records: Sequence[Record]) -> None:
        """As the contract says. When some are refused, others of the batch may be stored; writing those again is harmless."""
        if not records:
            return
        with self._asking(opened := self._here()):
            self._make_ready()
            self._insert(opened, records)

    def check(self) -> None:
        """Change a document that there is not: the server looks at log-in, permission and its own state first."""
        opened = self._new()
        try:
            with self._asking(opened):
                self._refuse_views(opened.records.database)
                opened.records.database[SEQUENCES].update_one({"_id": ""}, {"$set": {"open": []}})
        finally:
            opened.client.close()

    def wait_at_most(self, seconds: float) -> bool:
        self.close()
        # That of each batch as a whole; another half for what stays to be asked of a server that is lost.
        longest = seconds / 2
        self._target = self._target._replace(timeout_seconds=min(self._target.timeout_seconds, longest))
        return True

    def close(self) -> None:
        home = socket_home()
        self._ready_homes.discard(home)
        opened = self._opened.pop(home, None)
        if opened is not None:
            opened.client.close()

    def read(self, query: Query = EVERYTHING, *, after: Cursor | None = None, limit: int = 1000) -> list[StoredRecord]:
        found: list[StoredRecord] = []
        # A text that is no Unicode (a byte of a command line) cannot be asked for, and no record has it.
        with suppress(UnicodeEncodeError):
            for page in self._pages(query, after, limit):
                found += page
                if len(found) >= limit:
                    break
        return found[:limit]

    def newest(self) -> Cursor | None:
        with self._asking(opened := self._here()):
            self._require_collection()
            end = opened.order.end()
            seq: Document = {"$gt": 0} if end is None else {"$gt": 0, "$lt": end}
            newest = opened.records.find_one({"seq": seq}, {"seq": 1}, sort=[("seq", -1)])
        return None if newest is None else int(newest["seq"])

    @property
    def is_in_order(self) -> bool:
        """Reading ends where a batch is still on its way: see :mod:`chest.chests.mongo_order`."""
        return True

    def ledger(self) -> MongoLedger:
        return MongoLedger(self._target)

    def remove(self, stored: Sequence[StoredRecord]) -> int:
        removed = 0
        for start in range(0, len(stored), _REMOVED_AT_ONCE):
            ids = [each.record.id for each in stored[start : start + _REMOVED_AT_ONCE]]
            with self._asking(opened := self._here()):
                removed += opened.records.delete_many({"_id": {"$in": ids}}).deleted_count
        return removed

    def _insert(self, opened: _Opened, records: Sequence[Record]) -> None:
        ticket = opened.order.take(len(records))
        ids = [record.id for record in records]
        try:
            opened.records.insert_many(documents_of(records, ticket.first, ticket.stored_at), ordered=False)
        except BulkWriteError as error:
            failure = failure_of(self.name, error, records, self._target.without_secrets)
            opened.order.settle(ticket, () if failure else ids)
            if failure:
                raise failure from None
        # For a value that cannot be encoded the driver raises what it likes, and for one that is too large three things.
        except Exception as error:
            if isinstance(error, ConnectionFailure):
                opened.order.leave(ticket, ids)
                raise
            opened.order.settle(ticket, ())
            rejection = rejection_of(records)
            if rejection is None:
                raise
            raise RecordRejected(f"{self.name}: {rejection}", rejection.ids) from None
        else:
            opened.order.settle(ticket, ids)

    def _pages(self, query: Query, after: Cursor | None, limit: int) -> Iterator[list[StoredRecord]]:
        """What matches, in order of ``seq`` and page after page until there is no more."""
        size = _SCANNED_AT_ONCE if query.variables else limit
        seq, wanted = int(after or 0), filter_of(query)
        with self._asking(opened := self._here()):
            self._require_collection()
            end = opened.order.end()
        while True:
            bounds: Document = {"$gt": seq} if end is None else {"$gt": seq, "$lt": end}
            with self._asking(opened):
                found = opened.records.find({**wanted, "seq": bounds}, dict.fromkeys(STORED_NAMES, 1))
                documents = list(found.sort("seq", 1).limit(size))
            stored = [each for each in map(stored_record_of, documents) if each is not None]
            yield [each for each in stored if query.matches_variables(each.record.variables)]
            if len(documents) < size:
                return
            seq = int(documents[-1]["seq"])

    def _here(self) -> _Opened:
        """The client for here; one that came through a fork is the parent's."""
        home = socket_home()
        return self._opened.get(home) or self._opened.setdefault(home, self._new())

    def _new(self) -> _Opened:
        client = self._target.new_client()
        database = client[self._target.database]
        records = database.get_collection(self._target.collection, read_preference=ReadPreference.PRIMARY)
        return _Opened(client, records, StoringOrder(records, self._target.timeout_seconds))

    def _make_ready(self) -> None:
        """Make the indexes, and with them the collection."""
        if socket_home() not in self._ready_homes:
            make_indexes(self._here().records, self._target)
            self._ready_homes.add(socket_home())

    def _require_collection(self) -> None:
        """What is not there is not made for a reader."""
        if socket_home() not in self._ready_homes and not self._listed(self._here().records.database):
            raise ChestUnavailable(
                f"{self.name} has no collection {self._target.collection}: nothing was recorded here yet, or it was under"
                " another name (?collection=)."
            )

    def _refuse_views(self, database: Database[Document]) -> None:
        for each in self._listed(database):
            if each["type"] != "collection":
                raise SchemaMismatch(
                    f"{self.name}: {each['name']} is a {each['type']}: see to ?collection= of the URL."
                )

    def _listed(self, database: Database[Document]) -> list[Document]:
        """The collection, if it is there; asked in the way that needs no permission beyond its own."""
        name = {"name": self._target.collection}
        return [
            dict(each) for each in database.list_collections(filter=name, nameOnly=True, authorizedCollections=True)
        ]

    def _asking(self, opened: _Opened) -> AbstractContextManager[None]:
        return asking(opened.client, self._target)
