"""Records that go from one database to another without their JSON being decoded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, Protocol, TypeAlias, overload, runtime_checkable

from chest.chests.contract import Cursor, StoredRecord
from chest.chests.query import EVERYTHING, Query
from chest.record.encoded import EncodedRecord
from chest.record.encoding import decode
from chest.record.record import Record

__all__ = [
    "EncodedPage",
    "EncodedRecord",
    "EncodedRecords",
    "EncodedSource",
    "EncodedTarget",
    "Row",
    "encoded_record",
    "moment_of",
    "records_of",
    "stored_record",
    "takes_own_json",
]

Row: TypeAlias = tuple[Any, ...]
"""Of a database: the cursor, the fields of a record with JSON as text, when it was stored."""

_VARIABLES: Final = Record._fields.index("variables")
_ATTRIBUTES: Final = Record._fields.index("attributes")


@runtime_checkable
class EncodedSource(Protocol):
    """A readable chest that can also give records as it stores them, with their JSON encoded."""

    def read_encoded(
        self, query: Query = EVERYTHING, *, after: Cursor | None = None, limit: int = 1000
    ) -> Sequence[StoredRecord]:
        """``read``, for a caller that only hands the records on."""


@runtime_checkable
class EncodedTarget(Protocol):
    """A chest that may also write :class:`EncodedRecord`."""

    @property
    def takes_encoded(self) -> bool:
        """False if the store would not notice invalid JSON."""


def takes_own_json(chest: object) -> bool:
    """True if the chest's ``write`` also takes :class:`EncodedRecord` of this process, whose JSON is known to be valid.

    Its very class says so: a subclass of the user's may change records before it writes them, and so may a ``write`` of the object's own.
    """
    return "takes_own_json" in vars(type(chest)) and "write" not in vars(chest)


class EncodedRecords(Sequence[Record]):
    """Rows as records, each made when it is looked at.

    Decoding JSON and encoding it again, and the objects that are made for it, are more than half of what a record costs
    between two SQL databases.
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, place: int) -> EncodedRecord: ...
    @overload
    def __getitem__(self, place: slice) -> EncodedRecords: ...
    def __getitem__(self, place: int | slice) -> EncodedRecord | EncodedRecords:
        return EncodedRecords(self.rows[place]) if isinstance(place, slice) else encoded_record(self.rows[place])


class EncodedPage(Sequence[StoredRecord]):
    """A page of a database's rows; each stored record is made when it is used.

    :param moment_of: from the database's value to when a record was stored.
    """

    def __init__(self, rows: Sequence[Row], moment_of: Callable[[Any], datetime]) -> None:
        self._rows, self._moment_of = rows, moment_of

    @property
    def records(self) -> EncodedRecords:
        """The records alone."""
        return EncodedRecords(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, place: int) -> StoredRecord: ...
    @overload
    def __getitem__(self, place: slice) -> EncodedPage: ...
    def __getitem__(self, place: int | slice) -> StoredRecord | EncodedPage:
        if isinstance(place, slice):
            return EncodedPage(self._rows[place], self._moment_of)
        row = self._rows[place]
        return StoredRecord(row[0], self._moment_of(row[-1]), encoded_record(row))


def records_of(stored: Sequence[StoredRecord]) -> Sequence[Record]:
    """The records alone, as a chest that takes them encoded writes them quickest."""
    return stored.records if isinstance(stored, EncodedPage) else [each.record for each in stored]


def encoded_record(row: Row) -> EncodedRecord:
    """The record of a row."""
    return tuple.__new__(EncodedRecord, row[1:-1])


def stored_record(row: Row) -> StoredRecord:
    """The record of a row: its ``seq``, the fields of the record, when it was stored."""
    begin, end = 1 + _VARIABLES, 2 + _ATTRIBUTES
    values = *row[1:begin], *map(_plain, row[begin:end]), *row[end:-1]
    return StoredRecord(row[0], moment_of(row[-1]), Record._make(values))


def _plain(value: Any) -> Any:
    """JSON as a value; psycopg has made one of it already if the type of the column is JSON."""
    return decode(value) if isinstance(value, str | bytes) else value


@lru_cache(maxsize=16)
def moment_of(stored_at: datetime | str) -> datetime:
    """In UTC, whether the database has a type for moments or keeps them as text; remembered: a batch shares one."""
    moment = datetime.fromisoformat(stored_at) if isinstance(stored_at, str) else stored_at
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
