"""The shop, and what it says of itself in its records."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from werkzeug.test import Client, create_environ

from chest.chests.memory import MemoryChest
from chest.cli.demo.exchange import WORKER_HEADER
from chest.cli.demo.shop import PaymentProviderError, make_app
from chest.record.record import Outcome, Record


class RecordedShop:
    """The whole application, and the records it leaves."""

    def __init__(self, url: str, directory: Path) -> None:
        self.app = make_app(url, str(directory))
        self.client = Client(self.app)
        self.chest = MemoryChest(url)

    def records(self) -> list[Record]:
        assert self.app.recorder.flush(60)
        return self.chest.records

    def record(self) -> Record:
        (record,) = self.records()
        return record

    def close(self) -> None:
        self.app.recorder.close(10)
        self.chest.clear()


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[RecordedShop]:
    shop = RecordedShop(f"memory:{tmp_path.name}", tmp_path / "ring")
    yield shop
    shop.close()


@pytest.mark.parametrize(
    ("path", "route", "status"),
    [
        ("/", "/", 200),
        ("/items/2", "/items/<int:item_id>", 200),
        ("/items/99", "/items/<int:item_id>", 404),
        ("/search?q=LAMP", "/search", 200),
        ("/export?rows=40", "/export", 200),
        ("/feed", "/feed", 200),
        ("/nowhere", None, 404),
    ],
)
def test_a_record_has_the_template_of_the_route_and_never_the_path(
    shop: RecordedShop, path: str, route: str | None, status: int
) -> None:
    with shop.client.get(path) as response:
        response.get_data()
    record = shop.record()
    assert (record.route, record.status, record.outcome) == (route, status, Outcome.OK)
    assert record.path == path.partition("?")[0]


def test_both_applications_record_who_asked(shop: RecordedShop) -> None:
    for path in ("/", "/feed"):
        shop.client.get(path, headers={"X-User": "ada"})
    assert [record.variables["user_id"] for record in shop.records()] == ["ada", "ada"]


def test_the_time_of_queries_is_summed_up(shop: RecordedShop) -> None:
    shop.client.post("/cart", json={"item_ids": [1, 2], "card_number": "4111"})
    variables = shop.record().variables
    assert variables["db_count"] == 2
    assert variables["db_ms"] >= 10


def test_an_order_is_recorded_without_its_card_number(shop: RecordedShop) -> None:
    response = shop.client.post("/cart", json={"item_ids": [1, 2, 99], "card_number": "4111 1111"})
    assert (response.status_code, response.json) == (201, {"total": 21.4})
    record = shop.record()
    assert (record.variables["cart_items"], record.variables["cart_total"]) == (2, 21.4)
    assert record.variables["card_number"] == "[REDACTED]"


def test_what_a_handler_raises_is_recorded_and_reaches_the_server(shop: RecordedShop) -> None:
    with pytest.raises(PaymentProviderError):
        shop.client.get("/broken")
    record = shop.record()
    assert (record.outcome, record.error, record.route) == (Outcome.ERROR, "PaymentProviderError", "/broken")


def test_a_whole_body_is_recorded_before_its_first_byte_is_sent(shop: RecordedShop) -> None:
    body = shop.app(create_environ("/"), lambda status, headers, exc_info=None: lambda data: None)
    assert shop.record().route == "/"
    assert b"".join(body).startswith(b'{"items"')


def test_a_stream_is_recorded_when_it_is_closed(shop: RecordedShop) -> None:
    body = shop.app(create_environ("/export"), lambda status, headers, exc_info=None: lambda data: None)
    assert b"".join(body)
    assert shop.records() == []
    body.close()  # type: ignore[attr-defined]
    assert shop.record().route == "/export"


def test_a_stream_records_what_it_counted_while_it_ran(shop: RecordedShop) -> None:
    response = shop.client.get("/export?rows=50", buffered=True)
    assert response.get_data().count(b"\n") == 50
    assert response.headers[WORKER_HEADER] == str(os.getpid())
    assert shop.record().variables["rows_exported"] == 50


def test_a_health_check_leaves_no_record(shop: RecordedShop) -> None:
    assert shop.client.get("/health").json == {"status": "ok"}
    assert shop.records() == []
