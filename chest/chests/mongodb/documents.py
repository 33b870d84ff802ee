"""From a record to a document of MongoDB, from a ``Query`` to a filter, and back."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from bson import encode
from bson.datetime_ms import DatetimeMS
from bson.dbref import DBRef
from bson.int64 import Int64

from chest.chests.asking.conditions import Name
from chest.chests.contract import StoredRecord
from chest.chests.query import Query
from chest.errors import RecordRejected
from chest.record.decoding import record_of_fields
from chest.record.encoding import decode
from chest.record.record import Record
from chest.record.text import is_storable

_NAMES: Final = ("_id", *Record._fields[1:])
STORED_NAMES: Final = (*_NAMES, "seq", "stored_at")
"""What is read; ``time`` beside them is the request's as a date, for people and for tools."""
_WRITTEN_NAMES: Final = (*STORED_NAMES, "time")
_FIELD_OF: Final = {"_id": "id"}
_MOST_BYTES: Final = 16 * 1024 * 1024
"""``maxBsonObjectSize`` of every server there is."""
_ANY_TIME: Final = datetime(2000, 1, 1, tzinfo=UTC)
_NS_A_MS: Final = 1_000_000
_PLAIN_NAME: Final = re.compile(r"[^$.\0][^.\0]*")
"""A variable's name that a filter can speak of: to MongoDB, dots lead into what is nested."""
_LARGEST: Final = 2**63


def documents_of(records: Sequence[Record], first_seq: int, stored_at: datetime) -> list[dict[str, Any]]:
    """The records as documents, which the driver encodes; see :func:`rejection_of` for those that it cannot.

    :param first_seq: the ``seq`` of the first; each has one more than the one before.
    :param stored_at: when they are stored, by the server's clock.
    """
    moment = stored_at.astimezone(UTC).replace(tzinfo=None)  # encoded in half the time of one that knows its zone
    return [
        dict(zip(_WRITTEN_NAMES, (*record, seq, moment, DatetimeMS(record.time_ns // _NS_A_MS)), strict=True))
        for seq, record in enumerate(records, first_seq)
    ]


def rejection_of(records: Sequence[Record]) -> RecordRejected | None:
    """Which of the records no document can hold, each tried alone; None if each could be a document."""
    refused: list[str] = []
    why = ""
    for record in records:
        try:
            (document,) = documents_of([record], 0, _ANY_TIME)
            size = len(encode(document))
            if size > _MOST_BYTES:
                raise ValueError(f"{size} bytes are more than the {_MOST_BYTES} of a document")
        # BSONError, OverflowError, UnicodeError, RecursionError, what a user's mapping raises: it is this record.
        except Exception as error:  # noqa: BLE001
            refused.append(record.id)
            why = why or _reason_of(error)
    return RecordRejected(f"no document can be made of a record: {why}", refused) if refused else None


def _reason_of(error: Exception) -> str:
    """The driver's reason, without the value that it may end with."""
    return f"{type(error).__name__}: {re.split(r': <|, key was', str(error))[0]}"


def stored_record_of(document: Mapping[str, Any]) -> StoredRecord | None:
    """The record in the document; None if Chest did not write the document."""
    try:
        fields = {_FIELD_OF.get(name, name): plain_value(value) for name, value in document.items()}
        return StoredRecord(int(document["seq"]), document["stored_at"], record_of_fields(fields))
    except KeyError:
        return None


def plain_value(value: Any) -> Any:
    """The value as it was given to the driver, which gives some back as types of its own."""
    if isinstance(value, dict):
        return {name: plain_value(each) for name, each in value.items()}
    if isinstance(value, list):
        return [plain_value(each) for each in value]
    if isinstance(value, Int64):
        return int(value)
    return plain_value(dict(value.as_doc())) if isinstance(value, DBRef) else value


def filter_of(query: Query) -> dict[str, Any]:
    """What MongoDB can look at; whether conditions on variables hold is left to do, see :func:`_variable_filter`."""
    same = {
        "request_id": query.request_id,
        "service": query.service,
        "route": query.route,
        "outcome": query.outcome,
    }
    found: dict[str, Any] = {name: value for name, value in same.items() if value is not None}
    if query.slower_than_ns is not None:
        found["duration_ns"] = {"$gt": _within(query.slower_than_ns)}
    if query.statuses is not None:
        found["status"] = {"$gte": query.statuses.start, "$lt": query.statuses.stop}
    times = {"$gte": query.since_ns, "$lt": query.until_ns}
    if any(time is not None for time in times.values()):
        found["time_ns"] = {name: _within(time) for name, time in times.items() if time is not None}
    for name, typed in query.variables.items():
        if _PLAIN_NAME.fullmatch(name):
            found[f"variables.{name}"] = _variable_filter(typed)
    for condition in query.conditions:
        path = path_of(condition.name)
        if path is not None and condition.kind == "equals" and not condition.is_negated:
            wanted = _values_filter(condition.values)
            if wanted is not None:
                found.setdefault(path, wanted)
    return found


def path_of(name: Name) -> str | None:
    """A variable or an attribute as a filter names it; None if MongoDB would take the name for something else."""
    if name.place == "field" or not _PLAIN_NAME.fullmatch(name.name):
        return None
    return f"{name.place}s.{name.name}"


def _values_filter(values: Sequence[Any]) -> dict[str, Any] | None:
    """What at least holds of a value that is one of these, so that an index can be used; None: nothing can be said."""
    if not all(isinstance(value, str) and is_storable(value) for value in values):
        return None
    filters = [_variable_filter(value) for value in values]
    return (
        {"$in": [value for each in filters for value in each["$in"]]}
        if all("$in" in each for each in filters)
        else None
    )


def _within(number: int) -> int:
    """The number, or the nearest that a document can hold."""
    return max(-_LARGEST, min(number, _LARGEST - 1))


def _variable_filter(typed: str) -> dict[str, Any]:
    """What at least holds of a variable that a person typed so: ``123`` is a text or a number; see ``Query.matches``."""
    try:
        meant = decode(typed)
    except ValueError:
        return {"$in": [typed]}
    if isinstance(meant, dict | list) or (isinstance(meant, int) and abs(meant) >= _LARGEST):
        return {"$exists": True}
    return {"$in": [typed, meant]}
