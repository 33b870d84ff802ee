"""``make_record``: a record as a request leaves it."""

from __future__ import annotations

import time
from typing import Any

from chest.record.record import Record
from chest.record.record_id import RecordIds


def make_record(**changes: Any) -> Record:
    """A record as a request leaves it, with these fields changed; its ``id`` is its own."""
    fields: dict[str, Any] = {
        "id": changes.get("id") or RecordIds().new(time.time_ns()),
        "request_id": "6b2b7d2e-1c6f-4a2c-9d0b-111122223333",
        "time_ns": time.time_ns(),
        "duration_ns": 1_234_567,
        "method": "GET",
        "path": "/items/1",
        "route": "/items/<int:id>",
        "status": 200,
        "outcome": "ok",
        "error": None,
        "variables": {"user_id": "123", "plan": "premium", "items": 5, "beta": True, "render_ms": 1.25},
        "attributes": {"http.response.body.size": 512},
        "service": "shop",
        "release": "1.0",
        "host": "web-1",
    }
    return Record(**fields | changes)
