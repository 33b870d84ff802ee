"""``record_fields``: a stored record as ``chest find --json`` and the page write it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from chest.chests.contract import StoredRecord
from chest.record.record import Record

__all__ = ["record_fields", "time_of", "utc_text"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def record_fields(stored: StoredRecord) -> dict[str, Any]:
    """The fields of the record, and ``seq``, ``stored_at`` and ``time`` (UTC)."""
    return {
        "seq": stored.cursor,
        "stored_at": utc_text(stored.stored_at),
        "time": utc_text(time_of(stored.record)),
        **stored.record._asdict(),
    }


def utc_text(moment: datetime) -> str:
    """ISO 8601 in UTC, with microseconds and a ``Z``."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"


def time_of(record: Record) -> datetime:
    """When the request began; 1970 if no date can say it."""
    try:
        return _EPOCH + timedelta(microseconds=record.time_ns // 1000)
    except OverflowError:
        return _EPOCH
