"""``MongoVariableIndexes``: an index on a member of ``variables`` or ``attributes``; writers go on while it is made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Final

from pymongo.collection import Collection
from pymongo.errors import PyMongoError

from chest.chests.asking.conditions import Name
from chest.chests.mongodb.documents import path_of
from chest.chests.mongodb.failures import error_of
from chest.chests.mongodb.url import MongoTarget
from chest.chests.upkeep import VariableIndex, VariableIndexes
from chest.errors import SettingsError

__all__ = ["MongoVariableIndexes"]

_MARK: Final = "chest "
"""Begins the name of an index that was made here."""


class MongoVariableIndexes(VariableIndexes):
    """Its name says what it is on: ``chest variable plan``.

    :param target: the chest's.
    """

    holds_up_writers: ClassVar[bool] = False

    def __init__(self, target: MongoTarget) -> None:
        self._target = target

    def found(self) -> Sequence[VariableIndex]:
        with self._records() as records:
            names = [str(name) for name in records.index_information() if str(name).startswith(_MARK)]
            stats = list(records.aggregate([{"$collStats": {"storageStats": {}}}])) if names else []
        sizes = stats[0]["storageStats"]["indexSizes"] if stats else {}
        found = []
        for each in names:
            place, _, name = each.removeprefix(_MARK).partition(" ")
            found.append(VariableIndex(Name("variable" if place == "variable" else "attribute", name), sizes.get(each)))
        return found

    def make(self, name: Name) -> None:
        path = path_of(name)
        if path is None:
            raise SettingsError(
                f"{self._target.name} cannot have an index on {name.name!r}: MongoDB takes the dots of a name for steps into a document."
            )
        with self._records() as records:
            records.create_index(path, name=_name(name), sparse=True)

    def drop(self, name: Name) -> bool:
        with self._records() as records:
            if _name(name) not in records.index_information():
                return False
            records.drop_index(_name(name))
        return True

    def close(self) -> None:
        """Nothing is kept open."""

    @contextmanager
    def _records(self) -> Iterator[Collection[dict[str, Any]]]:
        """On a client of its own, which waits as long as making an index takes."""
        timeouts = {**self._target.driver_timeouts, "socketTimeoutMS": None}
        try:
            with self._target._replace(driver_timeouts=timeouts).new_client() as client:
                yield client[self._target.database][self._target.collection]
        except PyMongoError as error:
            target = self._target
            raise error_of(target.name, error, target.timeout_seconds, target.without_secrets) from None


def _name(name: Name) -> str:
    return f"{_MARK}{name.place} {name.name}"
