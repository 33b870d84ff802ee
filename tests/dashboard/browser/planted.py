"""``planted_records``: six hours of a shop in which one thing went wrong: since release 1.4.2 one payment provider is slow.

A person who looks at the page is to find it: the rectangle of slow requests has ``payment_provider=novapay``.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, Final

from chest.record.record import OutcomeName, Record
from chest.testing import make_record

MINUTE_NS: Final = 60 * 10**9
LENGTH_NS: Final = 360 * MINUTE_NS
DEPLOY_BEFORE_NS: Final = 70 * MINUTE_NS
"""The release changed so long before the end."""
CAUSE: Final = "novapay"
_ROUTES: Final = (
    ("/", 3.0, 30),
    ("/items/<int:item_id>", 6.0, 34),
    ("/search", 18.0, 18),
    ("/cart", 12.0, 10),
    ("/checkout", 40.0, 8),
)
_USERS: Final = [f"user-{number}" for number in range(40)]


def planted_records(end_ns: int, count: int = 16_000, seed: int = 7) -> Iterator[Record]:
    """So many records, the last of which began just before ``end_ns``; the same for the same seed."""
    chance = random.Random(seed)
    begins = sorted(end_ns - 1 - int(chance.random() * LENGTH_NS) for _ in range(count))
    for number, begin_ns in enumerate(begins):
        yield _record(chance, number, begin_ns, is_new=begin_ns >= end_ns - DEPLOY_BEFORE_NS)


def _record(chance: random.Random, number: int, begin_ns: int, *, is_new: bool) -> Record:
    route, middle_ms, _ = chance.choices(_ROUTES, [weight for *_, weight in _ROUTES])[0]
    user = chance.choice(_USERS)
    item_id = chance.randrange(1, 400)
    variables: dict[str, Any] = {
        "user_id": user,
        "plan": "pro" if int(user.removeprefix("user-")) % 4 == 0 else "free",
        "region": chance.choice(("eu", "us", "us", "asia")),
        "new_search": chance.random() < 0.5,
        "db_queries": chance.randrange(1, 9),
    }
    milliseconds = chance.lognormvariate(0, 0.35) * middle_ms
    status, outcome, error = 200, "ok", None
    if route == "/search":
        milliseconds *= 0.7 if variables["new_search"] else 1.3
    if route == "/checkout":
        provider = chance.choices(("cardly", "paypath", CAUSE), (5, 3, 2))[0]
        variables |= {
            "payment_provider": provider,
            "cart": {"items": chance.randrange(1, 9), "total": round(chance.random() * 200, 2)},
        }
        if provider == CAUSE and is_new:
            milliseconds = 700 * chance.lognormvariate(0, 0.3)
            if chance.random() < 0.25:
                status, outcome, error = 502, "error", "PaymentTimeout"
    elif chance.random() < 0.004:
        status, outcome, error = 500, "error", "KeyError"
    if number % 3001 == 3000:
        milliseconds, status, outcome = 30_000 + 20_000 * chance.random(), None, "worker_timeout"
    path = route.replace("<int:item_id>", str(item_id))
    return make_record(
        id=f"{begin_ns // 1_000_000:012x}{number:020x}",
        request_id=f"request-{number}",
        time_ns=begin_ns,
        duration_ns=int(milliseconds * 1_000_000),
        method="POST" if route in ("/cart", "/checkout") else "GET",
        path=path,
        route=route,
        status=status,
        outcome=_outcome(outcome),
        error=error,
        variables=variables,
        attributes={"process.pid": 100 + number % 4, "http.response.body.size": chance.randrange(200, 9000)},
        service="shop",
        release="1.4.2" if is_new else "1.4.1",
        host=f"web-{number % 2 + 1}",
    )


def _outcome(text: str) -> OutcomeName:
    return text  # type: ignore[return-value]
