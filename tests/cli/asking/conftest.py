"""A chest with some records whose figures are known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chest.chests.memory import MemoryChest
from chest.record.record import Record

NOON_NS = 1_767_268_800 * 10**9
MINUTE_NS = 60 * 10**9


@pytest.fixture
def url(shelf: MemoryChest, record: Callable[..., Record]) -> str:
    """400 requests in an hour; those of plan pro under release v2 take ten times as long, and /pay fails one time of ten."""
    records = []
    for place in range(400):
        plan, release = "pro" if place % 2 else "free", "v2" if place % 4 > 1 else "v1"
        is_slow, is_payment = (plan, release) == ("pro", "v2"), place % 5 == 0
        fails = is_payment and place % 50 == 0
        fields: dict[str, Any] = {
            "time_ns": NOON_NS + place * 9 * 10**9,
            "duration_ns": (200_000_000 if is_slow else 20_000_000) + place * 1000,
            "route": "/pay" if is_payment else "/cart/<id>",
            "status": 500 if fails else 200,
            "outcome": "error" if fails else "ok",
            "release": release,
            "variables": {"plan": plan, "user_id": place % 40, "note": "\x1b[31m"},
        }
        records.append(record(**fields))
    shelf.write(records)
    return shelf.name
