"""What a collection of records needs: its indexes, made if they are missing, and the rights to write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pymongo import IndexModel
from pymongo.collection import Collection
from pymongo.errors import OperationFailure

from chest.chests.mongodb.sequence import SEQUENCES
from chest.chests.mongodb.url import MongoTarget

_OTHER_OPTIONS: Final = (85, 86)
"""IndexOptionsConflict, IndexKeySpecsConflict: there is such an index, with another time to live or another name."""
_NO_ID: Final[Mapping[str, Any]] = {"_id": []}
"""A document that every collection refuses, as an array is an invalid ``_id``: the server checks permissions first, and creates nothing."""
_BAD_VALUE: Final = 2
"""What the server says of a list of no indexes, after it has looked at permissions."""


def make_indexes(records: Collection[dict[str, Any]], target: MongoTarget) -> None:
    """The order of storing, and what the URL asks for; making them makes the collection. Those of the user's stay."""
    models = [IndexModel([("seq", 1)])]
    if target.has_request_id_index:
        models.append(IndexModel([("request_id", 1)]))
    records.create_indexes(models)
    if target.ttl_seconds is not None:
        _make_ttl(records, target.ttl_seconds)


def _make_ttl(records: Collection[dict[str, Any]], seconds: int) -> None:
    try:
        records.create_index([("stored_at", 1)], expireAfterSeconds=seconds)
    except OperationFailure as error:
        if error.code not in _OTHER_OPTIONS:
            raise
        index = {"keyPattern": {"stored_at": 1}, "expireAfterSeconds": seconds}
        records.database.command("collMod", records.name, index=index)


def check_rights(records: Collection[dict[str, Any]]) -> None:
    """See that records can be inserted, indexes made, and numbers taken.

    :param records: the collection of records, which need not be there.
    :raises OperationFailure: the log-in may not, or the server takes no writes now.
    """
    database = records.database
    for collection in (records.name, SEQUENCES):
        database.command("insert", collection, documents=[_NO_ID])
    database[SEQUENCES].find_one_and_update({"_id": ""}, {"$set": {"open": []}})
    try:
        database.command("createIndexes", records.name, indexes=[])
    except OperationFailure as error:
        if error.code != _BAD_VALUE:
            raise
