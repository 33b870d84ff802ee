"""``MongoCoordinationStore``: notes and locks in the database of a MongoDB chest, for all its readers, on any host."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final
from uuid import uuid4

from pymongo import MongoClient, ReturnDocument
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError
from pymongo.read_preferences import ReadPreference

from chest.chests.mongodb.failures import asking
from chest.chests.mongodb.url import MongoTarget
from chest.chests.upkeep import CoordinationStore, VersionedValue
from chest.errors import ChestUnavailable
from chest.system.threads import Lock, new_lock, socket_home, start_thread

__all__ = ["LEASE_SECONDS", "LEDGER_COLLECTION", "MongoCoordinationStore"]

LEDGER_COLLECTION: Final = "chest_ledger"
LEASE_SECONDS: Final = 3.0
"""How long a lock outlasts a process that was killed; by the server's clock. The server has no lock that ends with a
connection. A holder that is stopped for longer loses it, and is not told: a note only goes one way all the same."""
_RENEWALS: Final = 4
"""In the time of a lease."""

Document = dict[str, Any]


class MongoCoordinationStore(CoordinationStore):
    """Notes as documents of the collection ``chest_ledger``, made when the first is written; locks as leases there.

    :param target: the chest's.
    """

    def __init__(self, target: MongoTarget) -> None:
        self._target = target
        self._clients: dict[tuple[int, int], MongoClient[Document]] = {}

    def value(self, name: str) -> VersionedValue | None:
        with self._asked() as documents:
            found = documents.find_one({"_id": self._key(name)})
        return None if found is None else VersionedValue(str(found["text"]), int(found["version"]))

    def compare_and_set(self, name: str, text: str, replaces: VersionedValue | None) -> VersionedValue | None:
        new = VersionedValue(text, 1 if replaces is None else replaces.version + 1)
        with self._asked() as documents:
            if replaces is not None:
                old = {"_id": self._key(name), "version": replaces.version}
                is_ours = documents.update_one(old, {"$set": new._asdict()}).matched_count == 1
            else:
                is_ours = _try_insert(documents, {"_id": self._key(name), **new._asdict()})
        return new if is_ours else None

    @contextmanager
    def lock(self, name: str) -> Iterator[bool]:
        key, holder = f"lock {self._key(name)}", uuid4().hex
        with self._asked() as documents:
            is_ours = _try_acquire(documents, key, holder)
        if not is_ours:
            yield False
            return
        renewal = _Renewal(self, key, holder)
        try:
            yield True
        finally:
            renewal.end()
            # It ends by itself if the server cannot be asked.
            with suppress(ChestUnavailable), self._asked() as documents:
                documents.delete_one({"_id": key, "holder": holder})

    def renew(self, key: str, holder: str) -> None:
        """Have a lock outlast us from now on for as long as it lasts at first."""
        with self._asked() as documents:
            documents.update_one({"_id": key, "holder": holder}, [{"$set": {"until": _UNTIL}}])

    def close(self) -> None:
        client = self._clients.pop(socket_home(), None)
        if client is not None:
            client.close()

    def _key(self, name: str) -> str:
        return f"{self._target.collection}:{name}"

    @contextmanager
    def _asked(self) -> Iterator[Collection[Document]]:
        """The collection, through a client for here; see :class:`~chest.chests.mongodb.chest.MongoChest`."""
        home = socket_home()
        client = self._clients.get(home) or self._clients.setdefault(home, self._target.new_client())
        with asking(client, self._target):
            yield client[self._target.database].get_collection(
                LEDGER_COLLECTION, read_preference=ReadPreference.PRIMARY
            )


_UNTIL: Final = {"$add": ["$$NOW", round(1000 * LEASE_SECONDS)]}


def _try_acquire(documents: Collection[Document], key: str, holder: str) -> bool:
    """Take the lock if it is free or its holder no longer renews it; True if it is ours then."""
    is_free = {"$lte": [{"$ifNull": ["$until", "$$NOW"]}, "$$NOW"]}
    # One stage: in it, $until is the value from before.
    taken = {name: {"$cond": [is_free, ours, f"${name}"]} for name, ours in (("holder", holder), ("until", _UNTIL))}
    try:
        after = documents.find_one_and_update(
            {"_id": key}, [{"$set": taken}], upsert=True, return_document=ReturnDocument.AFTER
        )
    except DuplicateKeyError:  # another process made it at the same moment
        return False
    return after is not None and after["holder"] == holder


def _try_insert(documents: Collection[Document], document: Document) -> bool:
    try:
        documents.insert_one(document)
    except DuplicateKeyError:
        return False
    return True


class _Renewal:
    """A thread that renews a lock until it is given back; it ends with the process, and does not come through a fork."""

    def __init__(self, coordination: MongoCoordinationStore, key: str, holder: str) -> None:
        self._coordination, self._key, self._holder = coordination, key, holder
        self._over: Lock = new_lock()
        self._over.acquire()
        self._ended: Lock = new_lock()
        self._ended.acquire()
        self._home = socket_home()
        start_thread(self._run)

    def end(self) -> None:
        """Renew no more."""
        self._over.release()
        self._ended.acquire()

    def _run(self) -> None:
        try:
            while not self._over.acquire(timeout=LEASE_SECONDS / _RENEWALS):
                with suppress(Exception):  # whatever the driver raises: there is another try before the lock is lost
                    self._coordination.renew(self._key, self._holder)
            if socket_home() != self._home:  # under gevent it had a client of its own
                self._coordination.close()
        finally:
            self._ended.release()  # else the caller that gives the lock back would wait for ever
