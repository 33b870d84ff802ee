"""The page over stores that are servers: what it cannot do there, and what it says when one does not answer."""

from __future__ import annotations

import socket
import threading
import time
import uuid

import pytest

from chest.chests.contract import ReadableChest
from chest.chests.mongodb.chest import MongoChest
from chest.chests.registry import open_chest
from chest.chests.sql.chest import SQLChest
from chest.dashboard import ChestPage
from chest.record.record import Record
from chest.testing import make_record
from tests.dashboard.conftest import ask
from tests.servers import HOST, Server
from tests.servers.database import DatabaseServer


@pytest.fixture(scope="module")
def url(postgresql: DatabaseServer, records: list[Record]) -> str:
    url = postgresql.new_url()
    with open_chest(url) as chest:
        chest.write(records)
    return url


def test_every_endpoint_answers(url: str, records: list[Record]) -> None:
    page = ChestPage(url, allow="everybody", seconds=30)
    times = "since=2026-01-01T12:00&until=2026-01-01T13:00"
    assert sum(map(sum, ask(page, f"/api/heatmap?{times}").json["counts"])) == 400
    assert ask(page, f"/api/top?{times}&by=plan").json["everything"]["requests"] == 400
    for question in ("over-time", "values", "names", "compare?selection=duration>=100ms", "new", "records", "health"):
        assert ask(page, f"/api/{question}").status == 200, question
    assert ask(page, "/api/records?limit=2&filter=plan=pro").json["records"][0]["id"] == records[399].id
    assert ask(page, f"/api/record/{records[60].id}").json["previous"]["user"] == records[20].id
    page.close()


def test_the_connections_of_the_page_cannot_write(url: str) -> None:
    page = ChestPage(url, allow="everybody")
    ask(page, "/api/top")

    def write(chest: ReadableChest) -> None:
        assert isinstance(chest, SQLChest)
        with chest.reading.use() as connection:
            connection.exec_driver_sql("DELETE FROM chest_records")

    with pytest.raises(Exception, match=r"(?i)read.?only"):
        page._pool.ask(write)
    page.close()


def test_a_server_that_is_down_or_refuses_is_a_sentence_without_the_password() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    page = ChestPage(
        f"postgresql://shop:hunter2@127.0.0.1:{port}/shop", allow="everybody", seconds=0.5, patience_seconds=60
    )
    for question in ("top", "records", "values"):
        answer = ask(page, f"/api/{question}")
        assert answer.status == 503
        assert answer.json["error"].startswith("postgresql://shop:***@127.0.0.1")
        assert b"hunter2" not in answer.body
    assert "127.0.0.1" in ask(page, "/api/health").json["store"]["error"]


def test_a_server_that_says_nothing_holds_no_request_for_long_and_no_more_than_its_places() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and never answers
        port = silent.getsockname()[1]
        url = f"postgresql://shop:hunter2@127.0.0.1:{port}/shop?timeout_seconds=20"
        page = ChestPage(url, allow="everybody", seconds=0.5, patience_seconds=0.5, questions_at_once=2)
        answers: list[tuple[int, float]] = []

        def question() -> None:
            begin = time.monotonic()
            answers.append((ask(page, "/api/top").status, time.monotonic() - begin))

        threads = [threading.Thread(target=question) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert [status for status, _ in answers] == [503] * 8
        assert max(seconds for _, seconds in answers) < 15, "the store's own time limit is 20 s"
        assert ask(page, "/").status == 200


def test_what_mongodb_has_behind_a_batch_on_its_way_is_answered_later_and_once(mongodb: Server) -> None:
    with MongoChest(f"mongodb://{HOST}:{mongodb.port}/{uuid.uuid4().hex}?timeout_seconds=300") as chest:
        chest.write([make_record(request_id="before")])
        order = chest._here().order
        ticket = order.take(1)
        chest.write([make_record(request_id="quick")])
        page = ChestPage(chest, allow="everybody", seconds=30)
        answer = ask(page, "/api/records").json
        assert [record["request_id"] for record in answer["records"]] == ["before"]
        order.settle(ticket, ())
        come = ask(page, f"/api/records?after_id={answer['newest']}").json
        assert [record["request_id"] for record in come["records"]] == ["quick"]
