"""``MongoChest``: one document a request, in a collection of MongoDB."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, Final, NamedTuple

from pymongo import MongoClient, ReplaceOne
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import BulkWriteError, ConnectionFailure, OperationFailure
from pymongo.read_preferences import ReadPreference

from chest.chests.asking.conditions import Name
from chest.chests.asking.counting_chest import CountingChest
from chest.chests.contract import Cursor, StoredRecord
from chest.chests.mongodb.collection import check_rights, make_indexes
from chest.chests.mongodb.coordination import MongoCoordinationStore
from chest.chests.mongodb.documents import STORED_NAMES, documents_of, filter_of, rejection_of, stored_record_of
from chest.chests.mongodb.expressions import conditions_of
from chest.chests.mongodb.failures import asking, failure_of, is_unauthorized
from chest.chests.mongodb.indexes import MongoVariableIndexes
from chest.chests.mongodb.pieces import MongoPieces
from chest.chests.mongodb.sequence import StoringOrder
from chest.chests.mongodb.url import MongoTarget
from chest.chests.query import EVERYTHING, Query
from chest.errors import ChestError, ChestUnavailable, RecordRejected, SchemaMismatch
from chest.record.record import Outcome, Record
from chest.system.threads import socket_home

__all__ = ["MongoChest"]

Document = dict[str, Any]

_SCANNED_AT_ONCE: Final = 1000
"""Documents a query if variables have to be compared here: how many will match is not known."""
_REMOVED_AT_ONCE: Final = 1000
_COUNTS_SINCE: Final = 5


class _Opened(NamedTuple):
    """A client of this process and what it writes to."""

    client: MongoClient[Document]
    records: Collection[Document]
    order: StoringOrder


class MongoChest(CountingChest):
    """One document a request in a collection of MongoDB (4.4 or later), for stores that several hosts share.

    ``_id`` is the record's id: a record that comes again is there already, and that is success. A batch is one unordered
    insert, with the write concern of the URL: what is refused does not keep the rest from being stored. Beside the
    record's fields stand ``time``, the request's as a date; ``stored_at``; and ``seq``, which grows in the order of
    storing, whatever is written at once: see :mod:`chest.chests.mongodb.sequence`. For that there is one more collection,
    ``chest_sequences``, with a small document for each collection of records.

    Reading asks the primary, whatever the URL prefers: a server that lags behind would hide records from a reader that follows.
    When a writer was killed while it wrote, what came later can be read after some 20 seconds only.

    :param url: ``mongodb://host:27017/database`` or ``mongodb+srv://host/database``, with the options of MongoDB's
        connection strings, and of the chest's own: ``collection=chest_records``; ``ttl_days=30`` has the server remove
        records 30 days after they were stored (what the server was told once stays until told otherwise);
        ``index=request_id`` for an index on it; ``timeout_seconds=10`` for one batch, or one page that is read.
    :raises SettingsError: invalid chest URL, or one that asks for writes without acknowledgement (``w=0``).
    """

    def __init__(self, url: str) -> None:
        target = MongoTarget.of(url)
        self.name = target.name
        self._target = target
        self._opened: dict[tuple[int, int], _Opened] = {}
        self._ready_homes: set[tuple[int, int]] = set()
        self._server_counts: bool | None = None

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
        """Ask for each of a writer's commands in a form that changes nothing: permission and the server's state come first."""
        opened = self._new()
        try:
            with self._asking(opened):
                self._refuse_other_kinds(opened.records.database)
                check_rights(opened.records)
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
        # Text that is not Unicode (a byte of a command line) cannot be asked for, and no record has it.
        with suppress(UnicodeEncodeError):
            for page in self._pages(query, after, limit):
                found += page
                if len(found) >= limit:
                    break
        return found[:limit]

    def _can_count(self, query: Query, by: Sequence[Name] = ()) -> bool:
        """False on servers before MongoDB 5, which cannot speak of names with dots."""
        if conditions_of(query) is None:
            return False
        if self._server_counts is None:
            with self._asking(opened := self._here()):
                self._server_counts = opened.client.server_info()["versionArray"][0] >= _COUNTS_SINCE
        return self._server_counts

    @contextmanager
    def _pieces(self) -> Iterator[MongoPieces]:
        with self._asking(opened := self._here()):
            self._require_collection()
            yield MongoPieces(opened.records, self._target.timeout_seconds)

    def newest(self) -> Cursor | None:
        with self._asking(opened := self._here()):
            self._require_collection()
            end = opened.order.end()
            seq: Document = {"$gt": 0} if end is None else {"$gt": 0, "$lt": end}
            newest = opened.records.find_one({"seq": seq}, {"seq": 1}, sort=[("seq", -1)])
        return None if newest is None else int(newest["seq"])

    @property
    def is_in_order(self) -> bool:
        """Reading ends before a batch that is still on its way: see :mod:`chest.chests.mongodb.sequence`."""
        return True

    def coordination(self) -> MongoCoordinationStore:
        return MongoCoordinationStore(self._target)

    def variable_indexes(self) -> MongoVariableIndexes:
        return MongoVariableIndexes(self._target)

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
            failure = self._store(opened.records, records, documents_of(records, ticket.first, ticket.stored_at))
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
        opened.order.settle(ticket, () if failure else ids)
        if failure:
            raise failure

    def _store(
        self, collection: Collection[Document], records: Sequence[Record], documents: Sequence[Document]
    ) -> ChestError | None:
        """Insert the documents of these records; returns the failure without the duplicates, which are no failure."""
        try:
            collection.insert_many(documents, ordered=False)
        except BulkWriteError as error:
            failure = failure_of(self.name, error, records, self._target.without_secrets)
            again = [each["index"] for each in error.details["writeErrors"]]
            return failure or self._replace_notes(
                collection, [records[place] for place in again], [documents[place] for place in again]
            )
        return None

    def _replace_notes(
        self, collection: Collection[Document], records: Sequence[Record], documents: Sequence[Document]
    ) -> ChestError | None:
        """Of documents whose ``_id`` is there, put those in the place of notes of killed requests that may take it.

        One that takes it has its own ``seq``, so that a reader that has seen the note also sees the record. A log-in that may not
        read or update keeps the notes.
        """
        finished = [place for place, record in enumerate(records) if record.outcome != Outcome.KILLED]
        ids = [records[place].id for place in finished]
        try:
            there = collection.find({"_id": {"$in": ids}, "outcome": Outcome.KILLED}, {"_id": 1})
            notes = {each["_id"] for each in there} if ids else set()
            taking = [place for place in finished if records[place].id in notes]
            if taking:
                # One step for a document. The condition again: another process may have put the record there.
                replacements: list[ReplaceOne[Document]] = [
                    ReplaceOne({"_id": records[place].id, "outcome": Outcome.KILLED}, documents[place])
                    for place in taking
                ]
                collection.bulk_write(replacements, ordered=False)
        except BulkWriteError as error:
            return failure_of(self.name, error, [records[place] for place in taking], self._target.without_secrets)
        except OperationFailure as error:
            if not is_unauthorized(error):
                raise
        return None

    def _pages(self, query: Query, after: Cursor | None, limit: int) -> Iterator[list[StoredRecord]]:
        """What matches, in order of ``seq`` and page after page until the end."""
        has_conditions = bool(query.conditions or query.variables)
        exact = conditions_of(query) if not has_conditions or self._can_count(query) else None
        size = _SCANNED_AT_ONCE if exact is None else limit
        seq, wanted = int(after or 0), filter_of(query)
        if exact:
            wanted["$expr"] = {"$and": exact}
        with self._asking(opened := self._here()):
            self._require_collection()
            end = opened.order.end()
        while True:
            bounds: Document = {"$gt": seq} if end is None else {"$gt": seq, "$lt": end}
            with self._asking(opened):
                found = opened.records.find({**wanted, "seq": bounds}, dict.fromkeys(STORED_NAMES, 1))
                documents = list(found.sort("seq", 1).limit(size))
            stored = [each for each in map(stored_record_of, documents) if each is not None]
            yield [each for each in stored if query.matches(each.record)]
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
        """Make the indexes, and with them the collection, unless what is there is of a kind that cannot be written to."""
        if socket_home() not in self._ready_homes:
            self._refuse_other_kinds(self._here().records.database)
            make_indexes(self._here().records, self._target)
            self._ready_homes.add(socket_home())

    def _require_collection(self) -> None:
        """Nothing is created for a reader."""
        if socket_home() not in self._ready_homes and not self._listed(self._here().records.database):
            raise ChestUnavailable(
                f"{self.name} has no collection {self._target.collection}: nothing was recorded here yet, or it was under"
                " another name (?collection=)."
            )

    def _refuse_other_kinds(self, database: Database[Document]) -> None:
        """A view takes no documents, and in a time series ``_id`` is not unique, so a record that comes again would be there twice."""
        for each in self._listed(database):
            if each["type"] != "collection":
                raise SchemaMismatch(
                    f"{self.name}: {each['name']} is a {each['type']}, which cannot hold each record once. Give the URL"
                    " another ?collection=."
                )

    def _listed(self, database: Database[Document]) -> list[Document]:
        """The collection, if it is there; asked in the way that needs no permission beyond its own."""
        name = {"name": self._target.collection}
        return [
            dict(each) for each in database.list_collections(filter=name, nameOnly=True, authorizedCollections=True)
        ]

    def _asking(self, opened: _Opened) -> AbstractContextManager[None]:
        return asking(opened.client, self._target)
