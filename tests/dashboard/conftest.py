"""What the tests of the page share: a chest with known records, and a way to ask the page."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from chest.chests.memory import MemoryChest
from chest.dashboard import ChestPage
from chest.record.record import Record
from chest.testing.records import make_record

NOON_NS = 1_767_268_800 * 10**9
NOON_MS = 1_767_268_800_000


class Response(NamedTuple):
    """What the page answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Get = Callable[..., Response]


def ask(app: Any, url: str, method: str = "GET", **environ: Any) -> Response:
    """What a WSGI application answers to one request."""
    path, _, query = url.partition("?")
    said: list[Any] = []
    given = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "wsgi.url_scheme": "http",
    }
    body = b"".join(app({**given, **environ}, lambda status, headers: said.append((status, headers))))
    (status, headers) = said[0]
    assert len({name.lower() for name, _ in headers}) == len(headers), "no header comes twice"
    return Response(int(status.split()[0]), dict(headers), body)


def made_up() -> list[Record]:
    """400 requests in an hour; those of plan pro under release v2 take ten times as long, and /pay fails one time of ten."""
    records = []
    for place in range(400):
        plan, release = "pro" if place % 2 else "free", "v2" if place % 4 > 1 else "v1"
        is_slow, is_payment = (plan, release) == ("pro", "v2"), place % 5 == 0
        fails = is_payment and place % 50 == 0
        records.append(
            make_record(
                id=f"{place + 1:032x}",
                request_id=f"request-{place}",
                time_ns=NOON_NS + place * 9 * 10**9,
                duration_ns=(200_000_000 if is_slow else 20_000_000) + place * 1000,
                route="/pay" if is_payment else "/cart/<id>",
                status=500 if fails else 200,
                outcome="error" if fails else "ok",
                error="KeyError" if fails else None,
                release=release,
                variables={"plan": plan, "user_id": place % 40, "note": "<script>alert(1)</script>"},
            )
        )
    return records


@pytest.fixture(scope="session")
def records() -> list[Record]:
    return made_up()


@pytest.fixture
def chest(records: list[Record]) -> MemoryChest:
    chest = MemoryChest()
    chest.write(records)
    return chest


@pytest.fixture
def page(chest: MemoryChest) -> Iterator[ChestPage]:
    page = ChestPage(chest, allow="everybody", seconds=30)
    yield page
    page.close()


@pytest.fixture
def get(page: ChestPage) -> Get:
    """What the page answers."""
    return lambda url, **options: ask(page, url, **options)
