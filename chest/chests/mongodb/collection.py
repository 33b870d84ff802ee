"""The indexes that a collection of records has, made if they are missing."""

from __future__ import annotations

from typing import Any, Final

from pymongo import IndexModel
from pymongo.collection import Collection
from pymongo.errors import OperationFailure

from chest.chests.mongo_target import MongoTarget

_OTHER_OPTIONS: Final = (85, 86)
"""IndexOptionsConflict, IndexKeySpecsConflict: there is such an index, with another time to live or another name."""


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
