"""What the HTTP chest sends, how often, and over which connections."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from chest.chests.contract import Chest
from chest.chests.http.chest import HttpChest
from chest.chests.registry import open_chest
from chest.errors import (
    ChestUnavailable,
    RecordRejected,
)
from chest.record.record import Record
from chest.testing.contract import ChestContract, in_child
from chest.testing.records import make_record
from tests.chests.server_contract import Place, ServerChestContract
from tests.recording_server import (
    Received,
    RecordingServer,
    Reply,
    recording_server,
)


class TestContract(ChestContract):
    @pytest.fixture
    def chest(self, server: RecordingServer) -> Iterator[Chest]:
        self.server = server
        with open_chest(f"{server.url}/records?format=ndjson") as chest:
            yield chest

    @pytest.fixture
    def chest_url(self, server: RecordingServer) -> str:
        return f"{server.url}/records?format=ndjson"

    def stored_records(self, chest: Chest) -> list[Record]:
        return [Record(**json.loads(line)) for post in self.server.posts for line in post.content.splitlines()]


class Collector:
    """An endpoint with a log-in, which keeps what it was sent while it is stopped and started again."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.port = 0
        self._running: Any = None
        self.start()

    def start(self) -> None:
        if self._running is None:
            self._running = recording_server(reply=self._answer, port=self.port)
            self.port = self._running.__enter__().port

    def stop(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            running.__exit__(None, None, None)

    def _answer(self, request: Received) -> Reply:
        if request.headers.get("authorization") != "Basic " + base64.b64encode(b"me:r1ght-s3cret").decode():
            return Reply(status=401)
        if request.path != "/records":
            return Reply(status=404)
        if request.method == "POST":
            self.records += [Record(**each) for each in request.json]
        return Reply()


class TestServer(ServerChestContract):
    write_marker = commit_marker = b"POST /"
    open_connects = False
    tls_query = "tls"

    @pytest.fixture
    def place(self) -> Iterator[Place]:
        self.collector = collector = Collector()

        def url(
            *, port: int = collector.port, host: str = "127.0.0.1", password: str = "r1ght-s3cret", database: str = "records",
            query: str = "",
        ) -> str:  # fmt: skip
            scheme, options = ("https", "") if query == "tls" else ("http", query)
            return f"{scheme}://me:{quote(password, safe='')}@{host}:{port}/{database}?{options}"

        yield Place(collector, url, "r1ght-s3cret")  # type: ignore[arg-type]
        collector.stop()

    def stored_records(self, place: Place) -> list[Record]:
        return self.collector.records


# -- what is sent ------------------------------------------------------------------------------------------------------


def test_a_batch_is_one_post_with_a_json_array_of_records(chest: HttpChest, server: RecordingServer) -> None:
    records = [make_record(), make_record(variables={"name": "日本語 😀"})]
    chest.write(records)
    (post,) = server.received
    assert (post.method, post.target) == ("POST", "/records")
    assert post.headers["content-type"] == "application/json"
    assert post.headers["user-agent"].startswith("wsgi-chest")
    assert [Record(**each) for each in post.json] == records


def test_no_records_ask_nothing(chest: HttpChest, server: RecordingServer) -> None:
    chest.write([])
    chest.open()
    assert server.received == []


def test_ndjson_is_one_record_a_line(server: RecordingServer) -> None:
    records = [make_record(), make_record()]
    with HttpChest(server.url, format="ndjson") as chest:
        chest.write(records)
    (post,) = server.received
    assert post.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line)["id"] for line in post.content.decode().splitlines()] == [each.id for each in records]


@pytest.mark.parametrize("how", ["argument", "url"])
def test_bodies_are_compressed_if_it_is_asked_for(server: RecordingServer, how: str) -> None:
    records = [make_record() for _ in range(100)]
    made = HttpChest(server.url, gzip=True) if how == "argument" else open_chest(f"{server.url}/?gzip=1")
    with made as chest:
        chest.write(records)
    (post,) = server.received
    assert post.headers["content-encoding"] == "gzip"
    assert len(post.body) < len(post.content) / 3
    assert len(post.json) == 100
    assert post.params == []


def test_headers_and_parameters_are_sent_and_the_users_headers_win(server: RecordingServer) -> None:
    with HttpChest(
        f"{server.url}/in?source=web&source=app",
        headers={"X-Api-Key": "k", "content-type": "application/vnd.records+json", "User-Agent": "shop"},
        params={"format": "raw", "n": 1},
    ) as chest:
        chest.write([make_record()])
    (post,) = server.received
    assert post.path == "/in"
    assert sorted(post.params) == [("format", "raw"), ("n", "1"), ("source", "app"), ("source", "web")]
    assert post.headers["x-api-key"] == "k"
    assert post.headers["content-type"] == "application/vnd.records+json"
    assert post.headers["user-agent"] == "shop"


def test_user_and_password_of_the_url_are_sent_as_basic_authentication(server: RecordingServer) -> None:
    with open_chest(f"http://us%40er:p%3Ass@127.0.0.1:{server.port}/in") as chest:
        chest.write([make_record()])
        assert "p%3Ass" not in chest.name
    kind, login = server.received[0].headers["authorization"].split()
    assert (kind, base64.b64decode(login)) == ("Basic", b"us@er:p:ss")


@pytest.mark.parametrize(
    ("made", "as_json", "body", "content_type"),
    [
        ("plain text é", False, "plain text é".encode(), None),
        (b"\x00\xff", True, b"\x00\xff", None),
        ({"a": 1, "b": [2, "x y"], "c": None, "d": True}, False, b"a=1&b=2&b=x+y&d=True", "form"),
        ({0: ("user_id", "123", "rid")}, False, b"0=user_id&0=123&0=rid", "form"),
        ([("a", 1), ("a", 2)], False, b"a=1&a=2", "form"),
        ({}, False, b"", "form"),
        ({"a": [1, None]}, True, b'{"a":[1,null]}', "application/json"),
        ([{"a": 1}], True, b'[{"a":1}]', "application/json"),
    ],
)
def test_a_payload_generators_result_is_sent_by_its_kind(
    server: RecordingServer, made: Any, as_json: bool, body: bytes, content_type: str | None
) -> None:
    seen: list[Any] = []

    def generator(records: Any) -> Any:
        seen.extend(records)
        return made

    record = make_record()
    with HttpChest(server.url, payload_generator=generator, json=as_json) as chest:
        chest.write([record])
    (post,) = server.received
    assert seen == [record]
    assert post.body == body
    expected = "application/x-www-form-urlencoded" if content_type == "form" else content_type
    assert post.headers.get("content-type") == expected


def test_a_record_for_which_no_body_can_be_made_is_refused_and_named(server: RecordingServer) -> None:
    good, bad = make_record(), make_record(variables={"broken": True})

    def generator(records: Any) -> str:
        if any("broken" in record.variables for record in records):
            raise KeyError("plan")
        return "fine"

    with HttpChest(server.url, payload_generator=generator) as chest:
        with pytest.raises(RecordRejected, match="KeyError") as refusal:
            chest.write([good, bad])
        assert refusal.value.ids == (bad.id,)
        chest.write([good])
    assert len(server.received) == 1


def test_a_payload_that_is_not_a_body_is_refused_with_the_cure(server: RecordingServer) -> None:
    with (
        HttpChest(server.url, payload_generator=lambda _: 5) as chest,
        pytest.raises(RecordRejected, match="json=True"),
    ):
        chest.write([make_record()])


# -- again and again ---------------------------------------------------------------------------------------------------


def test_a_batch_that_is_sent_again_carries_the_same_key_and_another_batch_another(
    chest: HttpChest, server: RecordingServer
) -> None:
    records = [make_record() for _ in range(3)]
    server.replies = [Reply(status=503)]
    with pytest.raises(ChestUnavailable):
        chest.write(records)
    chest.write(records)
    chest.write(records[:2])
    chest.write(records[:1])
    keys = [post.headers["idempotency-key"] for post in server.received]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3
    assert keys[3] == records[0].id


def test_one_connection_serves_batch_after_batch(chest: HttpChest, server: RecordingServer) -> None:
    server.reply = Reply(status=200, body=b"stored")
    for _ in range(5):
        chest.write([make_record()])
    assert len({post.connection for post in server.received}) == 1


def test_a_connection_that_the_server_closed_between_batches_is_made_again(
    chest: HttpChest, server: RecordingServer
) -> None:
    server.reply = Reply(status=200, headers={"Connection": "close"})
    for _ in range(3):
        chest.write([make_record()])
    assert len(server.posts) == 3


def test_a_kept_connection_that_breaks_under_a_batch_is_made_again(chest: HttpChest, server: RecordingServer) -> None:
    chest.write([make_record()])
    server.replies = [Reply(cut_before=True)]
    record = make_record()
    chest.write([record])
    assert [post.json[0]["id"] for post in server.posts[1:]] == [record.id] * 2
    assert len({post.connection for post in server.posts}) == 2


def test_a_request_that_breaks_a_new_connection_too_is_unavailable(chest: HttpChest, server: RecordingServer) -> None:
    chest.write([make_record()])
    server.replies = [Reply(cut_before=True)] * 2
    with pytest.raises(ChestUnavailable):
        chest.write([make_record()])
    assert len(server.posts) == 3


def test_kept_connections_that_break_late_are_tried_no_longer_than_the_request_may_take() -> None:
    gate = threading.Barrier(4)

    def all_at_once(request: Received) -> None:
        if len(server.received) <= 4:
            gate.wait(60)

    with (
        recording_server(reply=all_at_once) as server,
        HttpChest(f"{server.url}/records", timeout_seconds=0.6) as chest,
    ):
        threads = [threading.Thread(target=chest.write, args=([make_record()],)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len({post.connection for post in server.posts}) == 4
        server.replies = [Reply(delay_seconds=0.5, cut_before=True)] * 5
        with pytest.raises(ChestUnavailable):
            chest.write([make_record()])
        assert len(server.posts) - 4 <= 2


def test_threads_may_write_at_once(chest: HttpChest, server: RecordingServer) -> None:
    threads = [threading.Thread(target=lambda: [chest.write([make_record()]) for _ in range(10)]) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({post.json[0]["id"] for post in server.posts}) == 60


def test_a_forked_child_uses_no_connection_of_its_parent(chest: HttpChest, server: RecordingServer) -> None:
    chest.write([make_record()])
    in_child(lambda: [chest.write([make_record()]), chest.close()])
    chest.write([make_record()])
    parent, child, again = (post.connection for post in server.posts)
    assert parent == again != child


# -- redirects ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [307, 308])
def test_a_redirect_on_the_same_host_is_followed_with_method_and_body(server: RecordingServer, status: int) -> None:
    server.replies = [Reply(status=status, headers={"Location": "/new?a=b"})]
    record = make_record()
    with HttpChest(f"{server.url}/old", headers={"X-Api-Key": "k"}) as chest:
        chest.write([record])
    first, second = server.received
    assert (second.method, second.target, second.body) == ("POST", "/new?a=b", first.body)
    assert second.headers["x-api-key"] == "k"


def test_records_go_to_no_other_host(server: RecordingServer) -> None:
    with recording_server() as other, HttpChest(server.url) as chest:
        for location in (other.url, f"//localhost:{server.port}/", f"https://127.0.0.1:{server.port}/", "http://["):
            server.replies = [Reply(status=307, headers={"Location": location})]
            with pytest.raises(ChestUnavailable, match="redirects"):
                chest.write([make_record()])
        assert other.received == []
        assert len(server.received) == 4


@pytest.mark.parametrize("status", [301, 302, 303])
def test_a_redirect_that_may_change_the_method_is_not_followed(
    chest: HttpChest, server: RecordingServer, status: int
) -> None:
    server.reply = Reply(status=status, headers={"Location": "/new"})
    with pytest.raises(ChestUnavailable, match="redirects"):
        chest.write([make_record()])
    assert len(server.received) == 1


def test_redirects_in_a_circle_end(chest: HttpChest, server: RecordingServer) -> None:
    server.reply = Reply(status=307, headers={"Location": "/records"})
    with pytest.raises(ChestUnavailable, match="redirects"):
        chest.write([make_record()])
    assert len(server.received) == 4


# -- check -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 204, 400, 405, 501])
def test_a_check_asks_with_head_and_sends_no_record(chest: HttpChest, server: RecordingServer, status: int) -> None:
    server.reply = Reply(status=status)
    chest.check()
    assert [request.method for request in server.received] == ["HEAD"]


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
def test_a_check_says_what_is_wrong(chest: HttpChest, server: RecordingServer, status: int) -> None:
    server.reply = Reply(status=status)
    with pytest.raises(ChestUnavailable, match=str(status)):
        chest.check()
