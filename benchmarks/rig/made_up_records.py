"""Made-up records of one day, with a planted cause: what is slow, and what it has in common, is known."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, Final

from chest import Record

DAY_NS: Final = 86_400 * 10**9
PLANTED: Final = {"shard": "eu-3", "release": "2.4.1"}
"""Requests that have both take eight times as long; one of 24 has both. Nothing else is related to the
duration but the route, and that little."""

_ROUTES: Final = {
    "/": (8, 1.0), "/items": (18, 1.0), "/items/<id>": (25, 1.0), "/search": (10, 1.05), "/cart": (9, 1.0), "/cart/add": (6, 1.05),
    "/checkout": (3, 1.15), "/login": (4, 1.1), "/logout": (2, 0.9), "/account": (4, 1.0), "/orders": (4, 1.05),
    "/orders/<id>": (4, 1.0), "/api/stock": (2, 0.9), "/reports": (1, 1.2),
}  # fmt: skip
"""Their share of the requests in percent, and how many times as long as ``/`` they take."""
_PLANS: Final = ["free", "free", "free", "pro", "pro", "enterprise"]
_SHARDS: Final = ["eu-1", "eu-2", "eu-3", "us-1", "us-2", "us-3"]
_RELEASES: Final = ["2.4.0", "2.4.0", "2.4.0", "2.4.1"]


def made_up_records(count: int, end_ns: int, seed: int = 17, span_ns: int = DAY_NS) -> Iterator[Record]:
    """Records of the time before this moment, a day unless said otherwise, in the order of time, evenly."""
    chance = random.Random(seed)
    routes, weights = list(_ROUTES), [share for share, _ in _ROUTES.values()]
    begin_ns = end_ns - span_ns
    for place in range(count):
        time_ns = begin_ns + place * span_ns // count
        route = chance.choices(routes, weights)[0]
        shard, release = chance.choice(_SHARDS), chance.choice(_RELEASES)
        slow = 8.0 if {"shard": shard, "release": release} == PLANTED else 1.0
        status = chance.choices((200, 302, 404, 500), (93, 3, 3, 1))[0]
        yield Record(
            id=f"{time_ns:016x}{chance.getrandbits(64):016x}",
            request_id=f"{chance.getrandbits(128):032x}",
            time_ns=time_ns,
            duration_ns=int(chance.lognormvariate(16, 0.35) * _ROUTES[route][1] * slow),
            method="POST" if route in ("/cart/add", "/login") else "GET",
            path=route.replace("<id>", str(chance.randrange(100_000))),
            route=route,
            status=status,
            outcome="error" if status == 500 else "ok",
            error=chance.choice(["KeyError", "TimeoutError"]) if status == 500 else None,
            variables=_variables(chance, shard),
            attributes={"http.response.body.size": chance.randrange(200, 50_000)},
            service="shop",
            release=release,
            host=f"web-{chance.randrange(4)}",
        )


def _variables(chance: random.Random, shard: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "user_id": chance.randrange(50_000),
        "plan": chance.choice(_PLANS),
        "shard": shard,
        "region": chance.choice(["north", "south", "west"]),
        "beta": chance.random() < 0.1,
        "db_queries": chance.randrange(1, 30),
        "render_ms": round(chance.random() * 20, 3),
    }
    if chance.random() < 0.3:
        found["cart"] = {"items": chance.randrange(9), "total": round(chance.random() * 200, 2)}
    return found
