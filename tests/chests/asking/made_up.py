"""Records that stores may take for one another, filters over them, and what Python answers."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from chest.chests.asking.conditions import Name
from chest.chests.asking.cube import Cell, Cube, Step
from chest.chests.asking.tally import cell_of
from chest.record.record import Record
from chest.testing.records import make_record

BEGIN_NS = 1_767_268_800 * 10**9
MINUTE_NS = 60 * 10**9
TEXTS = [
    "free",
    "pro",
    "Pro",
    "pro ",
    " pro",
    "p%o",
    "p_o",
    "zoë",
    "日本",
    "",
    "123",
    "123.0",
    "true",
    "null",
    "a'b",
    'a"b',
    "a\\b",
    "1e3",
]
NUMBERS = [0, 1, -5, 123, 123.0, 0.1, 1000, 9.5, -0.25, 1e22, 2**53 + 1, 2**53, 1 << 40]
VALUES: list[Any] = [
    *TEXTS,
    *NUMBERS,
    True,
    False,
    None,
    ["a", "b"],
    [1, {"total": 3}],
    {"total": 9.5},
    {"a": {"total": "x"}},
    {},
]
NAMES = [
    "plan",
    "user_id",
    "cart",
    "cart.total",
    "cart.a.total",
    "missing",
    "status",
    "tags",
    "tags.0",
    "0",
    "it's",
    'a"b',
    "ü",
    "a b",
]
ROUTES = [None, "/", "/items/<id>", "/Items/<id>", "null", "/ ", "/é"]


def made_up(count: int = 400, seed: int = 3) -> list[Record]:
    chance = random.Random(seed)
    return [
        make_record(
            time_ns=BEGIN_NS + place * MINUTE_NS // 10 + chance.randrange(10**9),
            duration_ns=chance.choice([0, 999, 1000, 1001, 10**6, 2_000_000, 10**9, 10**12, chance.randrange(10**9)]),
            route=chance.choice(ROUTES),
            path=chance.choice(["/", "/items/1", "/Items/2", "/a%b_c", "/日本"]),
            method=chance.choice(["GET", "POST", "PUT"]),
            status=chance.choice([None, 200, 204, 302, 404, 500, 503, 0, 999]),
            outcome=chance.choice(["ok", "ok", "error", "killed", "client_disconnect", "worker_timeout"]),
            error=chance.choice([None, "KeyError", "keyerror"]),
            service=chance.choice(["shop", "till"]),
            release=chance.choice(["1.9", "1.10", "2"]),
            variables={
                name: chance.choice(VALUES) for name in ["plan", "user_id", "cart", "tags", "status", "0", "it's", 'a"b', "ü", "a b"]
                if chance.random() < 0.7
            }
            | ({"cart.total": chance.choice([1, "x", None])} if chance.random() < 0.2 else {}),
            attributes={"http.response.body.size": chance.randrange(5) * 100}
            | ({"chest.sample_rate": chance.choice([0.5, 0.1, 0.3])} if chance.random() < 0.3 else {}),
        )
        for place in range(count)
    ]  # fmt: skip


FILTERS = [
    "", "status=5xx", "status!=5xx", "status>=404 status<503", "status=null", "status!=null,200".replace("null,", ""), "status=200,404",
    "duration>1ms", "duration<=1us", "duration!=1s", "method=GET,PUT", "method!=GET", "path=/items*", "path~tems", "path!~I", "path~%",
    "path~_c", "path~日", "route=*", "route!=*", "route=null", "route!=/", "route=/,/é", "error=*", "error!=KeyError", "error=Key*",
    "release>1.10", "release<=1.9", "release>=2", "outcome!=ok,error", "time>=2026-01-01T12:10", "since=2026-01-01T12:05 until=2026-01-01T12:20",
    "plan=pro", 'plan="pro "', 'plan=" pro"', "plan!=pro", "plan=free,pro", "plan=p*", "plan~o", 'plan~"%"', "plan~_", "plan=zoë,日本",
    "plan=123", "plan=123.0", "plan=1e3", "plan=1000", "plan!=123", "plan=0.1", "plan=0.10", "plan>0", "plan>=123", "plan<1", "plan<=-0.25",
    "plan>q", "plan<free", 'plan>="日"', "plan=true", "plan!=true", "plan=false", "plan=null", "plan!=null", "plan=*", "plan!=*", 'plan=""',
    "plan=[1]", "plan={}", 'plan={"total":9.5}', 'plan=["a","b"]', "plan=9007199254740993", "plan>=9007199254740993", "plan>1e15", "plan=1e22",
    'plan="a\'b"', 'plan="a\\"b"', 'plan="a\\\\b"', "plan~\\", "cart.total=9.5", "cart.total>1", "cart.total=*", "cart.total!=*", "cart.total!=9.5",
    "cart.a.total=x", "cart.total=x", "cart.total=null", "tags.0=a", "tags.0=*", "tags=*", "0=*", "0=pro", "it's=pro", 'a"b=*', "ü=pro", "ü!=*",
    "var.status=*", "var.status=pro", "attr.http.response.body.size>=300", "attr.http.response.body.size=200", "attr.chest.sample_rate=0.5",
    "attr.chest.sample_rate!=*", "missing=*", "missing!=*", "missing=1", "plan=pro status=5xx duration>1ms cart=*", "status=99999999999999999999999",
    "status<99999999999999999999999", "user_id=pro,123,true",
]  # fmt: skip


def texts_of_filters() -> st.SearchStrategy[str]:
    """Texts that are filters most of the time."""
    name = st.sampled_from(
        [*NAMES, "status", "duration", "path", "route", "error", "release", "attr.chest.sample_rate", "var.status"]
    )
    operator = st.sampled_from(["=", "!=", "~", "!~", ">", ">=", "<", "<="])
    typed = st.sampled_from(
        [
            "pro",
            "123",
            "5xx",
            "1ms",
            "*",
            "p*",
            "null",
            "true",
            "0.1",
            "/",
            "free,pro",
            '"pro "',
            "9.5",
            "2",
            "é",
            "1e3",
            "-5",
            "[1]",
        ]
    )
    condition = st.builds("{}{}{}".format, name, operator, typed | st.text(max_size=5))
    return st.lists(condition, min_size=1, max_size=3).map(" ".join)


def cube_in_python(
    records: Sequence[Record], by: Sequence[Name], step: Step | None
) -> dict[tuple[Any, ...], list[float]]:
    return merged([cell_of(record, by, step) for record in records])


def cells_of(cube: Cube) -> dict[tuple[Any, ...], list[float]]:
    return merged(cube.cells)


def merged(cells: Sequence[Cell]) -> dict[tuple[Any, ...], list[float]]:
    found: dict[tuple[Any, ...], list[float]] = defaultdict(lambda: [0, 0.0, 0.0, 0])
    for cell in cells:
        sums = found[cell[:5]]
        sums[0] += cell.records
        sums[1] = round(sums[1] + cell.requests, 6)
        sums[2] += cell.total_ns
        sums[3] = max(sums[3], cell.longest_ns)
    return {key: [sums[0], round(sums[1], 3), float(f"{sums[2]:.9g}"), sums[3]] for key, sums in found.items()}
