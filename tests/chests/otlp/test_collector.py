"""The chest behind a real collector: what Chest sent is what arrives behind it, and a collector that was away misses nothing."""

from __future__ import annotations

import wsgiref.util
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from chest import ChestMiddleware
from chest.chests.registry import open_chest
from chest.record.record import Record
from chest.record.record_id import RecordIds
from chest.request.wsgi import StartResponse, WSGIEnvironment
from chest.testing.contract import INT64_MAX, INT64_MIN
from chest.testing.records import make_record
from tests.servers.otlp import Collector
from tests.servers.otlp.sink import Item
from tests.support import wait_until

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture(autouse=True)
def _empty_sink(rotel: Collector, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("no_proxy", "*")
    rotel.server.start()
    rotel.sink.clear()
    yield
    rotel.server.start()


def arrived(rotel: Collector, count: int) -> list[Item]:
    """What is behind the collector, once there is so much."""
    wait_until(lambda: len(rotel.sink.items) >= count)
    return rotel.sink.items


def test_spans_arrive_behind_a_collector_as_the_records_were(rotel: Collector) -> None:
    ids = RecordIds()
    values = {
        "ints": [INT64_MIN, INT64_MAX], "floats": [0.1, -5e-324], "text": "日本語 😀\t", "nested": {"list": [{"deep": [True, ""]}]},
        "user.id": "ada",
    }  # fmt: skip
    records = [
        make_record(id=ids.new(1), variables=values),
        make_record(
            id=ids.new(2), outcome="error", error="KeyError", status=500, attributes={"exception.message": "'x'"}
        ),
        make_record(id=ids.new(3), method="JOB", path="send_email", route=None, status=None),
        make_record(id=RecordIds().new(4), release="2.0"),
    ]
    with open_chest(rotel.url()) as chest:
        chest.check()
        chest.write(records)
    found = {item.attributes["chest.record_id"]: item for item in arrived(rotel, len(records))}
    assert {record_id: item.record for record_id, item in found.items()} == {record.id: record for record in records}
    assert found[records[0].id].message.kind == Span.SPAN_KIND_SERVER
    assert found[records[2].id].message.kind == Span.SPAN_KIND_CONSUMER
    assert found[records[1].id].message.status.code == 2
    assert {item.scope.name for item in found.values()} == {"chest"}


def test_log_records_arrive_behind_a_collector(rotel: Collector) -> None:
    records = [make_record() for _ in range(3)]
    with open_chest(rotel.url("signal=logs")) as chest:
        chest.write(records)
    found = arrived(rotel, 3)
    assert {item.attributes["log.record.uid"] for item in found} == {record.id for record in records}
    assert {(item.message.event_name, item.message.severity_text) for item in found} == {("chest.request", "INFO")}


def test_a_request_of_a_trace_arrives_as_its_span_also_if_the_collector_was_away(
    rotel: Collector, tmp_path: Path
) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        environ["chest.context"]["plan"] = "pro"
        start_response("200 OK", [])
        return [b"hello"]

    wrapped = ChestMiddleware(app, chests=[rotel.url()], directory=tmp_path, service="shop", flush_seconds=0.05)

    def ask(path: str) -> None:
        environ: WSGIEnvironment = {"PATH_INFO": path, "HTTP_TRACEPARENT": f"00-{TRACE}-{PARENT}-01"}
        wsgiref.util.setup_testing_defaults(environ)
        list(wrapped(environ, lambda *_: lambda data: None))

    with wrapped.recorder as recorder:
        rotel.server.stop()
        ask("/while-it-was-away")
        wait_until(lambda: any(recorder.stats().get("failed_writes", {}).values()))
        rotel.server.start()
        ask("/back")
        found = {item.attributes["url.path"]: item for item in arrived(rotel, 2)}
    assert set(found) == {"/while-it-was-away", "/back"}
    for item in found.values():
        assert (item.message.trace_id.hex(), item.message.parent_span_id.hex()) == (TRACE, PARENT)
        assert item.attributes["url.scheme"] == "http"
        assert item.attributes["app.plan"] == "pro"
        assert item.resource["service.name"] == "shop"


def test_ten_thousand_records_pass_a_collector(rotel: Collector) -> None:
    ids = RecordIds()
    records: list[Record] = [make_record(id=ids.new(number)) for number in range(10_000)]
    with open_chest(rotel.url()) as chest:
        for start in range(0, len(records), 1000):
            chest.write(records[start : start + 1000])
    found = arrived(rotel, len(records))
    assert {item.attributes["chest.record_id"] for item in found} == {record.id for record in records}
