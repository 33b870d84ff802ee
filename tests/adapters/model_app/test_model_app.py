"""The model application under gunicorn with PostgreSQL, Redis, Celery and RQ: what the record of each kind of request shows.

One test for all, so that the shop is started once, also where tests run in several processes. Each ``shows_...`` is a part of it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import socketio

from chest.record.record import Record
from tests.adapters.model_app.running_shop import EXAMPLE, PAID, Answer, RunningShop, environment_of, run, running_shop
from tests.recording_server import Reply
from tests.servers import HOST, Server
from tests.servers.database import DatabaseServer
from tests.support import wait_until

SECONDS: Final = 90.0
BASIC: Final = "Basic " + base64.b64encode(b"ada:lovelace").decode()


class Seen:
    """The shop, and the record of a request that it answered."""

    def __init__(self, shop: RunningShop) -> None:
        self.shop = shop
        token = shop.ask("/api/token", "POST", Authorization=BASIC)
        self.basic, self.bearer = token, f"Bearer {token.json['token']}"

    def ask(self, *arguments: Any, **headers: str) -> tuple[Answer, Record]:
        found: list[Record] = []
        answer = self.shop.ask(*arguments, **headers)

        def is_stored() -> bool:  # perhaps after its jobs
            found[:] = [
                each
                for each in self.shop.records()
                if (each.request_id, each.status) == (answer.request_id, answer.status)
            ]
            return bool(found)

        wait_until(is_stored, SECONDS)
        return answer, found[0]

    def order(self, **wanted: object) -> tuple[Answer, Record]:
        return self.ask("/orders/", "POST", wanted, Authorization=self.bearer)

    def of(self, request_id: str | None, count: int = 1) -> list[Record]:
        found: list[Record] = []

        def are_stored() -> bool:
            found[:] = [each for each in self.shop.records() if each.request_id == request_id]
            return len(found) >= count

        wait_until(are_stored, SECONDS)
        return found


def shows_the_user_whom_flask_httpauth_knows(seen: Seen) -> None:
    [record] = seen.of(seen.basic.request_id)
    assert (record.route, record.attributes["enduser.id"]) == ("/api/token", "1")
    assert record.variables["db_count"] == 1
    assert "lovelace" not in str(record)


def shows_the_user_of_a_jwt_and_why_one_was_refused(seen: Seen) -> None:
    answer, record = seen.ask("/api/whoami", Authorization=seen.bearer)
    assert (answer.json, record.attributes["enduser.id"]) == ({"id": "1"}, "1")
    answer, record = seen.ask("/api/whoami", Authorization="Bearer x")
    assert (answer.status, record.error, record.attributes["exception.message"]) == (
        401,
        "NotAuthorized",
        "DecodeError",
    )
    assert "enduser.id" not in record.attributes


def shows_the_user_of_flask_login_and_a_csrf_refusal(seen: Seen) -> None:
    answer, record = seen.ask("/me")
    assert (answer.status, record.route) == (302, "/me")
    answer, record = seen.ask("/login", "POST", "name=ada&password=lovelace")
    assert (answer.status, record.error) == (400, "CSRFError")
    page, _ = seen.ask("/login")
    token = re.findall(r'name="csrf_token" type="hidden" value="(.+?)"', page.text)[0]
    form = f"name=ada&password=lovelace&csrf_token={token}"
    answer, record = seen.ask("/login", "POST", form, Referer=f"https://{HOST}:{seen.shop.server.port}/login")
    assert (answer.status, record.attributes["enduser.id"]) == (302, "1")
    answer, record = seen.ask("/me")
    assert (answer.json, record.attributes["enduser.id"]) == ({"name": "ada"}, "1")
    _, record = seen.ask("/prices")
    assert "enduser.id" not in record.attributes  # no user is loaded for a record


def shows_cache_hits_and_what_the_limiter_decided(seen: Seen) -> None:
    asked = [seen.ask("/items") for _ in range(6)]
    assert [answer.status for answer, _ in asked] == [200] * 5 + [429]
    hits = [record.variables.get("flask_caching_hit_cache") for _, record in asked]
    assert hits == [False, True, True, True, True, None]
    assert asked[0][1].variables["items_found"] == 3
    assert [record.variables["limit_remaining"] for _, record in asked] == [4, 3, 2, 1, 0, 0]
    assert {record.variables["limit_key"].split("/")[1] for _, record in asked} == {"user:1"}
    refused = asked[-1][1]
    assert (refused.route, refused.error, refused.outcome) == ("/items", "RateLimitExceeded", "ok")


def shows_routes_flags_statements_and_404(seen: Seen) -> None:
    answer, record = seen.ask("/items/2")
    assert answer.json["in_stock"] == 3
    assert (record.route, record.attributes["flask.blueprint"]) == ("/items/<int:item_id>", "catalogue")
    assert (record.variables["flag.stock"], record.variables["db_count"]) == (True, 1)
    answer, record = seen.ask("/items/99")
    assert (answer.status, record.route, record.error) == (404, "/items/<int:item_id>", None)
    answer, record = seen.ask("/")
    assert "moment" in answer.text
    assert record.variables["flag.prices"] is False


def shows_what_an_async_view_counted_in_its_tasks(seen: Seen) -> None:
    answer, record = seen.ask("/prices")
    assert (answer.json, record.route, record.variables["sources_asked"]) == ({"best": 9}, "/prices", 3)


def shows_an_order_with_its_payment_and_jobs(seen: Seen) -> None:
    answer, record = seen.order(item_id=1, quantity=2)
    assert (answer.status, answer.json) == (201, {"payment": "p-1", "total": 24})
    assert record.attributes["enduser.id"] == "1"
    variables = record.variables
    assert (variables["item_id"], variables["quantity"], variables["http_client_count"]) == (1, 2, 1)
    assert variables["redis_count"] > 0
    assert seen.shop.payments.received[-1].headers["x-request-id"] == answer.request_id
    jobs = {each.path: each for each in seen.of(answer.request_id, 3) if each.method == "JOB"}
    receipt, report = jobs["shop.send_receipt"], jobs["shop.jobs.write_report"]
    assert (receipt.outcome, receipt.variables["total"], receipt.variables["mail_count"]) == ("ok", 24, 1)
    assert receipt.attributes["messaging.destination.name"] == "celery"
    assert (report.outcome, report.variables) == ("ok", {"month": "2026-11"})
    assert report.attributes["messaging.destination.name"] == "reports"
    assert run(seen.shop.environ, "chest", "show", answer.request_id).count("shop.send_receipt")


def shows_an_invalid_body_without_its_values(seen: Seen) -> None:
    answer, record = seen.order(item_id="4111 1111", quantity=0)
    assert (answer.status, [each["field"] for each in answer.json["errors"]]) == (422, ["item_id", "quantity"])
    assert (record.error, record.outcome) == ("ValidationError", "ok")
    assert "4111" not in str(record)


def shows_the_class_of_an_exception_that_a_handler_answered(seen: Seen) -> None:
    answer, record = seen.order(item_id=3)
    assert (answer.status, record.error, record.outcome) == (409, "OutOfStock", "ok")
    answer, record = seen.ask("/orders/broken")
    assert (answer.status, record.error) == (500, "RuntimeError")
    assert record.attributes["exception.message"] == "the printer is on fire"
    assert "views/orders.py" in record.attributes["exception.stacktrace"]


def shows_the_circuit_and_the_calls_that_it_refused(seen: Seen) -> None:
    seen.shop.payments.reply = Reply(500)
    asked = len(seen.shop.payments.received)
    orders = [seen.order(item_id=1) for _ in range(3)]
    assert [answer.status for answer, _ in orders] == [503] * 3
    assert [record.error for _, record in orders] == ["PaymentRefused"] * 3
    told = [(record.variables["payments_circuit"], record.variables.get("payments_refused")) for _, record in orders]
    assert told == [("closed", None), ("open", None), ("open", 1)]
    assert len(seen.shop.payments.received) == asked + 2
    assert "http_client_count" not in orders[2][1].variables  # the service was not asked
    heartbeat = seen.shop.ask("/__heartbeat__")
    assert (heartbeat.status, heartbeat.json["status"]) == (200, "warning")
    messages = {name: each["messages"] for name, each in heartbeat.json["details"].items()}
    assert messages == {"circuit_closed": {"shop.health.W001": "the circuit of payments is open"}}
    seen.shop.payments.reply = PAID


def shows_a_redirect_to_https_and_a_preflight(seen: Seen) -> None:
    answer, record = seen.ask("/items/2", X_Forwarded_Proto="http")
    assert (answer.status, answer.headers["Location"][:8]) == (302, "https://")
    assert (record.route, record.variables) == ("/items/<int:item_id>", {})
    origin = {"Origin": "https://elsewhere.example", "Access_Control_Request_Method": "GET"}
    answer, record = seen.ask("/api/whoami", "OPTIONS", **origin)
    assert answer.headers["Access-Control-Allow-Origin"] == "https://elsewhere.example"
    assert (record.method, record.route, record.status) == ("OPTIONS", "/api/whoami", 200)


def shows_each_event_of_a_websocket_and_the_connection(seen: Seen) -> None:
    client, heard = socketio.Client(request_timeout=int(SECONDS)), []
    client.on("said", heard.append)
    url, headers = f"http://{HOST}:{seen.shop.server.port}", {"X-Request-ID": "chat-1"}
    client.connect(url, headers=headers, transports=["websocket"], wait_timeout=int(SECONDS))
    for event, text in (("join", "lobby"), ("say", "hello"), ("say", "")):
        client.emit(event, text)
    wait_until(lambda: heard == ["hello"], SECONDS)
    wait_until(lambda: len([each for each in seen.shop.records() if each.request_id == "chat-1"]) >= 3, SECONDS)
    client.disconnect()
    records = seen.of("chat-1", 4)
    events = sorted((each.method, each.path, each.outcome, each.error) for each in records if each.method == "EVENT")
    assert [each[:3] for each in events] == [
        ("EVENT", "join", "ok"), ("EVENT", "say", "error"), ("EVENT", "say", "ok"),
    ]  # fmt: skip
    [connection] = [each for each in records if each.method == "GET"]
    assert (connection.path, connection.outcome) == ("/socket.io/", "upgraded")


def shows_its_counts_on_the_page_for_prometheus(seen: Seen) -> None:
    page = seen.shop.ask("/metrics").text
    line = 'http_server_request_duration_seconds_count{http_request_method="GET",http_response_status_code="200",http_route="/items"}'
    assert f"{line} 5.0" in page
    assert all(each.path != "/metrics" for each in seen.shop.records())


def shows_the_work_of_a_command(seen: Seen) -> None:
    run(seen.shop.environ, "flask", "--app", "shop", "restock", "3", "1")
    restocked = [each for each in seen.shop.records() if each.method == "COMMAND"]
    assert [(each.path, each.variables["item_id"], each.outcome) for each in restocked] == [("restock", 3, "ok")]


SHOWN: Final[tuple[Callable[[Seen], None], ...]] = tuple(
    function for name, function in list(globals().items()) if name.startswith("shows_")
)
"""In the order of the file."""


@pytest.fixture
def redis_url(redis: Server) -> str:
    """A database of Redis for the shop alone."""
    from redis import Redis

    Redis(port=redis.port, db=13).flushdb()
    return f"redis://{HOST}:{redis.port}/13"


@pytest.fixture
def seen(postgresql: DatabaseServer, redis_url: str, tmp_path: Path) -> Iterator[Seen]:
    with running_shop(tmp_path, postgresql.new_url(), redis_url, SHOP_CONFIG="production", SHOP_FLAGS="stock") as shop:
        yield Seen(shop)


def test_the_records_of_the_model_application_show_what_happened(seen: Seen, subtests: pytest.Subtests) -> None:
    for shown in SHOWN:
        with subtests.test(msg=shown.__name__):
            shown(seen)


def test_the_tests_of_the_model_application_pass(postgresql: DatabaseServer, redis_url: str, tmp_path: Path) -> None:
    environ = environment_of(tmp_path, postgresql.new_url(), redis_url)
    del environ["CHEST_URLS"], environ["CHEST_DIRECTORY"]
    said = run(environ, "pytest", "-q", "-c", "/dev/null", "--rootdir", str(EXAMPLE), "-p", "no:cacheprovider", "tests")
    assert "3 passed" in said
    assert not list(tmp_path.iterdir())  # records of tests stay in memory
