"""The endpoints about single requests."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from chest.chests.asking.conditions import Condition, Name
from chest.chests.asking.cube import Basis
from chest.chests.contract import Cursor, Latest, Query, ReadableChest, StoredRecord
from chest.dashboard.parameters import ParameterError, Parameters
from chest.dashboard.reply import Reply, basis_of, milliseconds
from chest.query.nearby import neighbours, record_with
from chest.query.record_fields import record_fields
from chest.record.record import Record

__all__ = ["record", "records"]

_MOST_RECORDS: Final = 1000
_MOST_RELATED: Final = 200
_MOST_CHARACTERS: Final = 2_000_000
_KINDS: Final = ("user", "host", "worker")
"""Whose neighbours are shown."""
_RECORD_ID: Final = re.compile(r"[0-9a-f]{32}")
_NUMBER: Final = re.compile(r"[0-9]{1,18}")


def records(chest: ReadableChest, parameters: Parameters, seconds: float) -> Reply:
    """The records stored last, newest first; or, behind ``after_id``, those that have come since. ``newest`` is where to go on."""
    query, limit = parameters.query(), parameters.whole("limit", 100, _MOST_RECORDS)
    newest = chest.newest()
    after, before = (_cursor(chest, newest, parameters, name, seconds) for name in ("after_id", "before_id"))
    if after is not None:
        came = chest.following(query, after=after, limit=limit, seconds=seconds)
        rows = _first([fields_of(stored) for stored in came.records])
        newest = came.after if len(rows) == len(came.records) else came.records[len(rows) - 1].cursor
        rows.reverse()
        return Reply({"basis": basis_of(came.basis), "records": rows, "next": None, "newest": newest}, rows)
    found, newest = _latest(chest, query, newest, before, limit, seconds)
    rows = _first([fields_of(stored) for stored in found.records])
    more = rows[-1]["seq"] if len(rows) < len(found.records) else found.before
    return Reply({"basis": _seen(found.basis), "records": rows, "next": more, "newest": newest}, rows)


def record(chest: ReadableChest, wanted: str, seconds: float) -> Reply:
    """Everything about one record, told by its id or its request's, or by the beginning of one.

    :raises RecordNotFound: there is none.
    """
    found = record_with(chest, wanted, seconds)
    of_request = chest.latest(Query(request_id=found.record.request_id), limit=_MOST_RELATED, seconds=seconds)
    others = [stored for stored in reversed(of_request.records) if stored.record.id != found.record.id]
    children = [stored for stored in others if _is_part(stored.record, found.record)]
    around = {by: neighbours(chest, found.record.id, by=by, seconds=seconds / len(_KINDS)) for by in _KINDS}
    return Reply(
        {
            "record": fields_of(found),
            "children": [fields_of(stored) for stored in children],
            "related": [fields_of(stored) for stored in others if stored not in children],
            "previous": {by: _id_of(each.before) for by, each in around.items()},
            "next": {by: _id_of(each.after) for by, each in around.items()},
        }
    )


def _latest(
    chest: ReadableChest, query: Query, newest: Cursor | None, before: Cursor | None, limit: int, seconds: float
) -> tuple[Latest, Cursor | None]:
    """The records stored last, and where to go on: behind that place no record comes that is among these, and none is missed.

    So what was stored since ``newest`` was read is left for later. In MongoDB, that is also what lies behind a batch on its way.
    """
    if newest is None:
        return Latest((), Basis(True, 0, 0, 0.0)), None
    is_first = before is None
    if is_first and isinstance(newest, int):
        before = newest + 1
    found = chest.latest(query, before=before, limit=limit, seconds=seconds)
    if is_first and isinstance(newest, str) and found.records and found.basis.is_exact:
        newest = found.records[0].cursor  # a place that is text names no bound, as there is no next one
    return found, newest


def _is_part(other: Record, record: Record) -> bool:
    """True if it was left by the same service since the request began: a part of it, its job, its event."""
    return other.service == record.service and other.time_ns >= record.time_ns


def _id_of(nearest: Sequence[StoredRecord]) -> str | None:
    return nearest[0].record.id if nearest else None


def fields_of(stored: StoredRecord) -> dict[str, Any]:
    """As ``chest find --json`` writes it, and its time and duration in milliseconds, which JavaScript can hold."""
    record = stored.record
    times = {"time_ms": milliseconds(record.time_ns), "duration_ms": milliseconds(record.duration_ns)}
    return {**record_fields(stored), **times}


def _first(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As many as a browser likes to get at once, at least one: a record may have 10,000 variables."""
    size = 0
    for place, row in enumerate(rows):
        size += len(str(row["variables"])) + len(str(row["attributes"]))
        if size > _MOST_CHARACTERS and place:
            return rows[:place]
    return rows


def _seen(basis: Basis) -> dict[str, Any]:
    """Nothing is estimated: there may be more records before."""
    if basis.is_exact:
        return basis_of(basis)
    return basis_of(basis) | {"text": f"of the last {basis.read:,} of {basis.of:,} records", "complete": False}


def _with_id(chest: ReadableChest, wanted: str, seconds: float) -> StoredRecord | None:
    if not _RECORD_ID.fullmatch(wanted):
        return None
    query = Query(conditions=(Condition(Name("field", "id"), "equals", (wanted,)),))
    return next(iter(chest.latest(query, limit=1, seconds=seconds).records), None)


def _cursor(
    chest: ReadableChest, newest: Cursor | None, parameters: Parameters, name: str, seconds: float
) -> Cursor | None:
    """A place: a record's ``seq``, its ``id``, or 0, which is before all. It is written as the chest writes ``newest``."""
    text = parameters.text(name)
    if not text:
        return None
    if _RECORD_ID.fullmatch(text):
        found = _with_id(chest, text, seconds)
        if found is None:
            raise ParameterError(name, f"no record has the id {text}")
        return found.cursor
    if text == "0" or newest is None:
        return 0
    if _NUMBER.sub("0", text) != _NUMBER.sub("0", str(newest)):
        raise ParameterError(name, "expected the seq or the id of a record")
    return int(text) if isinstance(newest, int) else text
