"""The chest for OpenTelemetry's collectors, against a real server on loopback that decodes what it is sent."""

from __future__ import annotations

import base64
import logging
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from chest.chests import registry
from chest.chests.contract import Chest
from chest.chests.otlp.chest import OtlpChest
from chest.chests.registry import open_chest
from chest.chests.store_identity import store_identity
from chest.delivery.spool.place import spool_path
from chest.delivery.writer import ChestWriter, batch_write
from chest.errors import ChestUnavailable, MissingDependencyError, RecordRejected, SettingsError
from chest.record.counters import Counters
from chest.record.record import Record
from chest.testing.contract import ChestContract
from chest.testing.records import make_record
from tests.chests.server_contract import Place, ServerChestContract
from tests.recording_server import Received, Reply
from tests.servers.otlp.sink import OtlpSink, StoppableSink, items_of, otlp_sink


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever proxy the machine has, loopback is reached without it."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def sink() -> Iterator[OtlpSink]:
    with otlp_sink() as sink:
        yield sink


@pytest.fixture
def chest(sink: OtlpSink) -> Iterator[OtlpChest]:
    with OtlpChest(f"otlp://127.0.0.1:{sink.server.port}") as chest:
        yield chest


class TestContract(ChestContract):
    @pytest.fixture
    def chest(self, sink: OtlpSink) -> Iterator[Chest]:
        self.sink = sink
        with open_chest(f"otlp://127.0.0.1:{sink.server.port}") as chest:
            yield chest

    @pytest.fixture
    def chest_url(self, sink: OtlpSink) -> str:
        return f"otlp://127.0.0.1:{sink.server.port}"

    def stored_records(self, chest: Chest) -> list[Record]:
        return self.sink.records


def _log_in(request: Received) -> Reply | None:
    """What a collector with a log-in and one path answers before it takes anything."""
    if request.headers.get("authorization") != "Basic " + base64.b64encode(b"me:r1ght-s3cret").decode():
        return Reply(status=401)
    return Reply(status=404) if request.path != "/shop/v1/traces" else None


class TestServer(ServerChestContract):
    write_marker = commit_marker = b"POST /"
    open_connects = False
    tls_query = "tls"

    @pytest.fixture
    def place(self) -> Iterator[Place]:
        self.collector = collector = StoppableSink(_log_in)

        def url(
            *, port: int = collector.port, host: str = "127.0.0.1", password: str = "r1ght-s3cret", database: str = "shop",
            query: str = "",
        ) -> str:  # fmt: skip
            scheme, options = ("otlp+https", "") if query == "tls" else ("otlp", query)
            return f"{scheme}://me:{quote(password, safe='')}@{host}:{port}/{database}?{options}"

        yield Place(collector, url, "r1ght-s3cret")  # type: ignore[arg-type]
        collector.stop()

    def stored_records(self, place: Place) -> list[Record]:
        return self.collector.records


# -- what is sent ------------------------------------------------------------------------------------------------------


def test_a_batch_is_one_compressed_post_of_spans(chest: OtlpChest, sink: OtlpSink) -> None:
    records = [make_record() for _ in range(100)]
    chest.write(records)
    (post,) = sink.server.received
    assert (post.method, post.target) == ("POST", "/v1/traces")
    assert post.headers["content-encoding"] == "gzip"
    assert len(post.body) < len(post.content) / 3
    assert post.headers["user-agent"].startswith("wsgi-chest")
    assert sink.records == records


def test_log_records_go_to_the_path_of_logs(sink: OtlpSink) -> None:
    record = make_record()
    with open_chest(f"otlp://127.0.0.1:{sink.server.port}/base/?signal=logs&gzip=0") as chest:
        chest.write([record])
        assert chest.name == f"otlp://127.0.0.1:{sink.server.port}/base?signal=logs"
    (post,) = sink.server.received
    assert post.target == "/base/v1/logs"
    assert "content-encoding" not in post.headers
    assert [item.attributes["log.record.uid"] for item in sink.items] == [record.id]


def test_no_records_ask_nothing(chest: OtlpChest, sink: OtlpSink) -> None:
    chest.write([])
    chest.open()
    assert sink.server.received == []


def test_a_record_that_no_message_can_hold_is_refused_and_named(chest: OtlpChest, sink: OtlpSink) -> None:
    good, bad = make_record(), make_record(time_ns=-1)
    with pytest.raises(RecordRejected) as refusal:
        chest.write([good, bad])
    assert refusal.value.ids == (bad.id,)
    assert sink.server.received == []


def test_headers_come_from_the_argument_and_from_the_variable_that_the_url_names(
    sink: OtlpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VENDOR_HEADERS", " x-team = abc%20def ,X-Dataset=shop,, authorization=Bearer%20t0ken")
    url = f"otlp://127.0.0.1:{sink.server.port}?headers_env=VENDOR_HEADERS"
    with OtlpChest(url, headers={"X-Dataset": "other"}) as chest:
        chest.write([make_record()])
    sent = sink.server.received[0].headers
    assert (sent["x-team"], sent["x-dataset"], sent["authorization"]) == ("abc def", "other", "Bearer t0ken")


# -- what an answer means ----------------------------------------------------------------------------------------------


def _partial(rejected: int, said: str, signal: str = "traces") -> Reply:
    made: Any = ExportTraceServiceResponse() if signal == "traces" else ExportLogsServiceResponse()
    if signal == "traces":
        made.partial_success.rejected_spans = rejected
    else:
        made.partial_success.rejected_log_records = rejected
    made.partial_success.error_message = said
    return Reply(status=200, body=made.SerializeToString())


@pytest.mark.parametrize("signal", ["traces", "logs"])
def test_what_a_collector_rejects_of_a_batch_is_counted_and_logged_and_not_sent_again(
    sink: OtlpSink, signal: str, caplog: pytest.LogCaptureFixture
) -> None:
    sink.server.reply = _partial(2, "too old", signal)
    with OtlpChest(f"otlp://127.0.0.1:{sink.server.port}?signal={signal}") as chest:
        chest.write([make_record() for _ in range(5)])
        chest.write([make_record() for _ in range(5)])
        assert chest.counts() == {"rejected_by_collector": 4}
    assert len(sink.server.posts) == 2
    (line,) = caplog.messages  # at most one a minute
    assert line == f"chest: {chest.name} rejected 2 of 5 records, which are not sent again: too old"


def test_what_a_collector_says_of_a_batch_that_it_took_is_logged(
    chest: OtlpChest, sink: OtlpSink, caplog: pytest.LogCaptureFixture
) -> None:
    sink.server.reply = _partial(0, "this endpoint will go away")
    chest.write([make_record()])
    assert "rejected 0 of 1 records" in caplog.text
    assert "this endpoint will go away" in caplog.text
    assert chest.counts() == {"rejected_by_collector": 0}


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"partialSuccess":{}}'])
def test_an_answer_of_success_that_is_no_message_is_success(
    chest: OtlpChest, sink: OtlpSink, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    sink.server.reply = Reply(status=200, body=body)
    chest.write([make_record()])
    assert chest.counts() == {"rejected_by_collector": 0}
    assert caplog.messages == []


@pytest.mark.parametrize("status", [401, 403, 404, 408, 429, 500, 502, 503, 504])
def test_what_may_pass_or_be_mended_makes_records_wait_as_long_as_the_collector_says(
    chest: OtlpChest, sink: OtlpSink, status: int
) -> None:
    said = "this collector is too busy at the moment"
    assert len(said) == 0x28
    sink.server.replies = [
        Reply(status=status, headers={"Retry-After": "17"}, body=b"\x08\x0e\x12\x28" + said.encode())
    ]
    with pytest.raises(ChestUnavailable, match=rf"{status} \({said}\)") as error:
        chest.write([make_record()])
    assert error.value.retry_after == (17 if status in (408, 429) or status >= 500 else None)
    chest.write([make_record()])
    assert len(sink.server.posts) == 2


@pytest.mark.parametrize("code", [3, 13])
def test_500_with_a_status_that_says_not_to_send_again_refuses_the_batch(
    chest: OtlpChest, sink: OtlpSink, code: int
) -> None:
    """OpenTelemetry's Collector answers so if a processor or an exporter will never take the records."""
    sink.server.reply = Reply(status=500, body=bytes((0x08, code, 0x12, 8)) + b"too long")
    with pytest.raises(RecordRejected, match=r"500 \(too long\)"):
        chest.write([make_record()])


@pytest.mark.parametrize("body", [b"", b"plain words", b"\x08\x02\x12\x04full"], ids=["empty", "text", "UNKNOWN"])
def test_any_other_500_makes_records_wait(chest: OtlpChest, sink: OtlpSink, body: bytes) -> None:
    sink.server.reply = Reply(status=500, body=body)
    with pytest.raises(ChestUnavailable):
        chest.write([make_record()])


def test_an_endpoint_that_takes_no_body_of_this_kind_makes_records_wait(chest: OtlpChest, sink: OtlpSink) -> None:
    sink.server.reply = Reply(status=415)
    with pytest.raises(ChestUnavailable, match=r"415.*try \?gzip=0"):
        chest.write([make_record()])


def _without_gzip(request: Received) -> Reply | None:
    return Reply(status=400) if request.headers.get("content-encoding") == "gzip" else None


def test_an_endpoint_that_refuses_what_is_compressed_makes_records_wait() -> None:
    with otlp_sink(_without_gzip) as sink:
        url = f"otlp://127.0.0.1:{sink.server.port}"
        with OtlpChest(url) as chest:
            with pytest.raises(ChestUnavailable, match=r"400.*try \?gzip=0"):
                chest.write([make_record()])
            with pytest.raises(ChestUnavailable, match=r"400.*try \?gzip=0"):
                chest.check()
        with OtlpChest(f"{url}?gzip=0") as chest:
            chest.check()
            chest.write([make_record()])


def test_an_endpoint_that_took_a_compressed_batch_is_not_asked_about_compression(
    chest: OtlpChest, sink: OtlpSink
) -> None:
    chest.write([make_record()])
    sink.server.reply = Reply(status=400)
    with pytest.raises(RecordRejected):
        chest.write([make_record()])
    assert len(sink.server.posts) == 2


@pytest.mark.parametrize("status", [400, 413, 422])
def test_any_other_4xx_refuses_the_batch(chest: OtlpChest, sink: OtlpSink, status: int) -> None:
    sink.server.reply = Reply(status=status, body=b"plain words")
    with pytest.raises(RecordRejected, match="plain words") as error:
        chest.write([make_record()])
    assert error.value.ids == ()


def test_a_batch_that_is_too_large_is_sent_in_halves_and_a_record_that_is_too_large_alone_is_refused() -> None:
    """As delivery does with every batch that is refused without a name."""
    records = [make_record() for _ in range(7)]
    large = records[4]
    kept: list[Record] = []

    def at_most_three(request: Received) -> Reply | None:
        came = [item.record for item in items_of(request)]
        if len(came) > 3 or large in came:
            return Reply(status=413)
        kept.extend(came)
        return None

    counters = Counters()
    with otlp_sink(at_most_three) as sink, OtlpChest(f"otlp://127.0.0.1:{sink.server.port}") as chest:
        refused: list[Record] = []
        writer = ChestWriter(chest, counters, keep_refused=lambda records, reason: refused.extend(records) or True)
        assert writer.write(batch_write(records))
    assert kept == [record for record in records if record is not large]
    assert refused == [large]


def test_a_batch_whose_answer_was_lost_arrives_twice_with_the_same_ids(chest: OtlpChest, sink: OtlpSink) -> None:
    records = [make_record() for _ in range(3)]
    sink.server.replies = [Reply(cut_before=True)]
    with pytest.raises(ChestUnavailable):
        chest.write(records)
    chest.write(records)
    first, last = (post.body for post in sink.server.posts)
    assert first == last
    assert first[4:8] == bytes(4), "no time in it, which would make another body of the same batch a second later"
    assert sink.records == [*records, *records]


# -- check -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 202, 400])
def test_a_check_sends_a_compressed_request_without_a_record(chest: OtlpChest, sink: OtlpSink, status: int) -> None:
    sink.server.reply = Reply(status=status)
    chest.check()
    post = sink.server.received[0]
    assert (post.method, post.path, post.headers["content-encoding"]) == ("POST", "/v1/traces", "gzip")
    assert sink.items == []


@pytest.mark.parametrize("status", [401, 403, 404, 405, 415, 429, 500, 503])
def test_a_check_says_what_is_wrong(chest: OtlpChest, sink: OtlpSink, status: int) -> None:
    sink.server.reply = Reply(status=status)
    with pytest.raises(ChestUnavailable, match=str(status)):
        chest.check()


# -- tenants -----------------------------------------------------------------------------------------------------------


def test_tenants_at_one_address_have_a_store_and_a_spool_each(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SHOP_HEADERS", "x-scope-orgid=shop")
    monkeypatch.setenv("BLOG_HEADERS", "x-scope-orgid=blog")
    address = "otlp+https://collector.example"
    chests = [
        OtlpChest(address),
        OtlpChest(f"{address}?headers_env=SHOP_HEADERS"),
        OtlpChest(f"{address}?headers_env=BLOG_HEADERS"),
        OtlpChest(f"{address}?headers_env=BLOG_HEADERS&signal=logs"),
        OtlpChest("otlp+https://7:s3cret@collector.example"),
        OtlpChest("otlp+https://8:s3cret@collector.example"),
        OtlpChest(address, headers={"X-Scope-OrgID": "s3cret-shop"}),
        OtlpChest(address, headers={"X-Scope-OrgID": "s3cret-blog"}),
        OtlpChest(f"{address}?signal=logs", headers={"X-Scope-OrgID": "s3cret-blog"}),
    ]
    spools = {spool_path(tmp_path, chest.name) for chest in chests}
    assert len(spools) == len(chests)
    assert "s3cret" not in f"{chests} {spools}"
    keys = [OtlpChest(address, headers={"Authorization": f"Bearer {key}"}).name for key in ("wr0ng", "r1ght")]
    assert keys[0] == keys[1] != chests[0].name, "a key that is corrected finds what waited for it"
    again = OtlpChest(f"{address}:4318?gzip=0", headers={"x-scope-orgid": "s3cret-shop"})
    assert spool_path(tmp_path, again.name) == spool_path(tmp_path, chests[6].name)
    of_the_url = "otlp+https://7:s3cret@collector.example?timeout_seconds=3"
    assert store_identity(of_the_url) == store_identity(chests[4].name)


# -- configuration -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "address", "name"),
    [
        ("otlp://host", "http://host:4318/v1/traces", "otlp://host:4318"),
        ("otlp+https://host", "https://host:4318/v1/traces", "otlp+https://host:4318"),
        ("otlp+https://host:443", "https://host/v1/traces", "otlp+https://host:443"),
        ("otlp://[::1]:80/", "http://[::1]/v1/traces", "otlp://[::1]:80"),
        ("otlp://host/v1/traces", "http://host:4318/v1/traces", "otlp://host:4318"),
        ("otlp://host/otlp/v1/logs?signal=logs", "http://host:4318/otlp/v1/logs", "otlp://host:4318/otlp?signal=logs"),
        ("otlp+https://7:k3y@host:443/otlp", "https://host/otlp/v1/traces", "otlp+https://7:***@host:443/otlp"),
        ("otlp+https://k3y@host", "https://host:4318/v1/traces", "otlp+https://***@host:4318"),
    ],
)  # fmt: skip
def test_a_url_names_collector_path_and_signal(url: str, address: str, name: str) -> None:
    from chest.chests.otlp.url import OtlpTarget

    target = OtlpTarget.of(url)
    assert (str(target.url), target.name) == (address, name)


@pytest.mark.parametrize(
    "url",
    [
        "otlp://",
        "otlp:///x",
        "otlp://ho st",
        "otlp://host:port",
        "otlp://host:0",
        "otlp://host:70000",
        "otlp://host#x",
        "otlp://u:s3cret@/x",
    ],
)
def test_a_url_that_names_no_collector_is_refused_without_its_secrets(url: str) -> None:
    with pytest.raises(SettingsError, match="otlp://host:4318") as refusal:
        open_chest(url)
    assert "s3cret" not in str(refusal.value)


@pytest.mark.parametrize(
    ("query", "match"),
    [
        ("/?signal=metrics", "traces and logs"),
        ("/v1/logs", "signal="),
        ("/?gzip=perhaps", "gzip"),
        ("/?timeout_seconds=0", "timeout_seconds"),
        ("/?header=x", "headers_env"),
        ("/?ca_file=/x", r"otlp\+https"),
        ("/?headers_env=NO_SUCH_VARIABLE", "NO_SUCH_VARIABLE"),
    ],
)
def test_an_option_that_is_invalid_is_refused(query: str, match: str) -> None:
    with pytest.raises(SettingsError, match=match):
        open_chest(f"otlp://host{query}")


@pytest.mark.parametrize("text", ["s3cret", "=s3cret", "a=b,s3cret", "a=s3cret%0d%0ab"])
def test_headers_that_are_none_are_refused_without_their_values(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("VENDOR_HEADERS", text)
    with pytest.raises(SettingsError, match="header") as refusal:
        open_chest("otlp://host?headers_env=VENDOR_HEADERS")
    assert "s3cret" not in str(refusal.value)


def test_a_secret_that_the_collector_repeats_is_shown_nowhere(
    sink: OtlpSink, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("VENDOR_HEADERS", "x-honeycomb-team=t3amkey00,authorization=Bearer%20t0ken")
    secrets = ["hunter22", "t3amkey00", "t0ken", "k3y"]
    url = f"otlp://user:hunter22@127.0.0.1:{sink.server.port}?headers_env=VENDOR_HEADERS"
    with OtlpChest(url, headers={"api-key": "k3y"}) as chest:
        sink.server.replies = [
            Reply(status=400, body=" ".join(secrets).encode()),
            Reply(),
            _partial(1, " ".join(secrets)),
        ]
        with pytest.raises(RecordRejected, match=r"\*\*\* \*\*\* \*\*\* \*\*\*") as error:
            chest.write([make_record()])
        chest.write([make_record()])
        assert "rejected 1" in caplog.text
        assert not [secret for secret in secrets if secret in f"{error.value} {chest!r} {caplog.text}"]


def test_a_certificate_is_verified_and_one_in_a_file_trusted(certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with otlp_sink(tls=context) as sink:
        url = f"otlp+https://127.0.0.1:{sink.server.port}"
        with open_chest(url) as chest, pytest.raises(ChestUnavailable, match=r"(?i)certificate"):
            chest.write([make_record()])
        with open_chest(f"{url}?ca_file={certificate}.crt") as chest:
            chest.write([make_record()])
        assert len(sink.records) == 1


def test_without_the_packages_the_install_line_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx", None)
    for module in [name for name in sys.modules if name.startswith("chest.chests.otlp")]:
        monkeypatch.delitem(sys.modules, module)
    with pytest.raises(MissingDependencyError, match=r"pip install 'wsgi-chest\[otlp\]'"):
        registry.open_chest("otlp://host")
