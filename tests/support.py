"""What several test files need: records made by hand, a process's state without files, waiting for a condition."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from chest.counters import Counters
from chest.record import Record
from chest.record_id import RecordIds
from chest.request.request_id import RequestIds
from chest.ring.line import Resource

_ids = RecordIds()


def make_record(ids: RecordIds | None = None, **changes: Any) -> Record:
    """A record as a request leaves it, with these fields changed."""
    time_ns = changes.get("time_ns", time.time_ns())
    fields: dict[str, Any] = {
        "id": (ids or _ids).new(time_ns),
        "request_id": "6b2b7d2e-1c6f-4a2c-9d0b-111122223333",
        "time_ns": time_ns,
        "duration_ns": 1_234_567,
        "method": "GET",
        "path": "/items/1",
        "route": "/items/<int:id>",
        "status": 200,
        "outcome": "ok",
        "error": None,
        "variables": {"user_id": "123", "plan": "premium", "items": 5, "beta": True, "render_ms": 1.25},
        "attributes": {},
        "service": "shop",
        "release": "1.0",
        "host": "test",
    }
    return Record(**fields | changes)


def wait_until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Return as soon as the condition holds; fail when it does not within ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not true within {seconds} s: {condition}"
        time.sleep(0.005)


class ReadyProcess:
    """What ``RequestMiddleware`` asks of a process, always ready, with nothing behind it."""

    def __init__(self) -> None:
        self.mark = bytearray(b"\1")
        self.in_flight = None
        self.counters = Counters()
        self.request_ids = RequestIds()
        self.resource = Resource("shop", "1.0", "test")
        self.record_ids = RecordIds()

    def prepare(self) -> None:
        raise AssertionError("a process that is ready is not prepared again")
