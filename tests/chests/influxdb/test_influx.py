"""The InfluxDB chest, against a server on loopback that answers as InfluxDB 2 does and keeps what it was sent."""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from chest.chests import registry
from chest.chests.influxdb.chest import InfluxChest
from chest.chests.influxdb.line_protocol import Point, field_value, timestamp
from chest.chests.registry import open_chest
from chest.errors import ChestError, ChestUnavailable, MissingDependencyError, RecordRejected, SettingsError, TLSRefused
from chest.testing.contract import in_child
from chest.testing.records import make_record
from tests.recording_server import (
    Received,
    RecordingServer,
    Reply,
    elapsed_seconds,
    recording_server,
    refused_port,
    silent_server,
)

TOKEN = "t0k-en=="


class Line(NamedTuple):
    """A line of the protocol, taken apart as InfluxDB's parser does."""

    measurement: str
    tags: dict[str, str]
    fields: dict[str, Any]
    time_ns: int


def parsed(body: bytes) -> list[Line]:
    """The lines of a body whose strings hold no line end."""
    return [_parsed_line(line) for line in body.decode().split("\n") if line and not line.startswith("#")]


def _parsed_line(line: str) -> Line:
    series, rest = _cut(line, " ")
    fields, _, time_ns = rest.rpartition(" ")
    measurement, *tags = _split(series, ",")
    pairs = [_split(tag, "=") for tag in tags]
    assert all(len(pair) == 2 and all(pair) for pair in pairs), line
    return Line(
        _plain(measurement),
        {_plain(name): _plain(value) for name, value in pairs},
        {_plain(name): _field(value) for name, value in (_cut(field, "=") for field in _split(fields, ","))},
        int(time_ns),
    )


def _cut(text: str, mark: str) -> tuple[str, str]:
    first = _split(text, mark)[0]
    return first, text[len(first) + 1 :]


def _split(text: str, mark: str) -> list[str]:
    """Split at marks that are neither escaped nor inside a string."""
    return [part for part in re.findall(rf'((?:\\.|"(?:\\.|[^"\\])*"|[^{mark}\\])*)(?:{mark}|\Z)', text) if part]


def _plain(text: str) -> str:
    return re.sub(r"\\([,= ])", r"\1", text)


def _field(text: str) -> Any:
    if text.startswith('"'):
        return re.sub(r'\\(["\\])', r"\1", text[1:-1])
    if text in ("true", "false"):
        return text == "true"
    return int(text[:-1]) if text.endswith("i") else float(text)


@pytest.fixture(autouse=True)
def _no_token_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INFLUXDB_TOKEN", raising=False)


@pytest.fixture
def server() -> Iterator[RecordingServer]:
    with recording_server() as server:
        yield server


def url_of(server: RecordingServer, options: str = "") -> str:
    return f"influxdb://127.0.0.1:{server.port}/my-org/my-bucket{options}"


@pytest.fixture
def chest(server: RecordingServer) -> Iterator[InfluxChest]:
    with InfluxChest(url_of(server), token=TOKEN, custom_tags={"app": "shop front"}) as chest:
        yield chest


def refusal(status: int, message: str, **headers: str) -> Reply:
    """As InfluxDB 2 says no."""
    return Reply(status=status, headers=headers, body=json.dumps({"code": "invalid", "message": message}).encode())


# -- what is sent ------------------------------------------------------------------------------------------------------


def test_a_batch_is_one_write_to_the_bucket_with_the_token(chest: InfluxChest, server: RecordingServer) -> None:
    chest.write([make_record(), make_record()])
    (post,) = server.received
    assert (post.method, post.path) == ("POST", "/api/v2/write")
    assert dict(post.params) == {"org": "my-org", "bucket": "my-bucket", "precision": "ns"}
    assert post.headers["authorization"] == f"Token {TOKEN}"
    assert len(parsed(post.content)) == 2


def test_a_request_is_a_point_with_few_tags_and_the_variables_as_fields(
    chest: InfluxChest, server: RecordingServer
) -> None:
    record = make_record(
        route="/items/<int:id>",
        variables={
            "user id": 'a=b, "c" \\',
            "items": 5,
            "beta": True,
            "ms": 1.5,
            "cart": {"n": [1]},
            "none": None,
            "request_id": "mine",
            "status": "mine too",
            "time": 3,
        },
    )
    chest.write([record])
    (line,) = parsed(server.received[0].content)
    assert line.measurement == "shop"
    assert line.tags == {
        "method": "GET", "route": "/items/<int:id>", "status": "200", "outcome": "ok", "service": "shop",
        "app": "shop front",
    }  # fmt: skip
    assert line.fields == {
        "duration_ms": 1.234567, "request_id": record.request_id, "user id": 'a=b, "c" \\', "items": 5.0, "beta": True,
        "ms": 1.5, "cart": '{"n":[1]}', "request_id_": "mine", "status_": "mine too", "time_": 3.0,
    }  # fmt: skip
    assert isinstance(line.fields["items"], float)


def test_no_path_and_no_unknown_method_becomes_a_tag(chest: InfluxChest, server: RecordingServer) -> None:
    chest.write([make_record(route=None, method="BREW", status=None, path="/secret/123", service="")])
    (line,) = parsed(server.received[0].content)
    assert line.measurement == "requests"
    assert line.tags == {"method": "_OTHER", "route": "_unmatched", "outcome": "ok", "app": "shop front"}
    assert "/secret/123" not in server.received[0].content.decode()


def test_in_the_shape_of_variables_each_one_is_a_point(server: RecordingServer) -> None:
    record = make_record(variables={"user_id": "123", "total time": 0.25, "none": None}, request_id="r 1")
    with InfluxChest(url_of(server, "?shape=variable"), custom_tags={"app": "shop"}) as chest:
        chest.write([record])
    lines = parsed(server.received[0].content)
    assert [line[:3] for line in lines] == [
        ("user_id", {"request_id": "r 1", "app": "shop"}, {"value": "123"}),
        ("total time", {"request_id": "r 1", "app": "shop"}, {"value": 0.25}),
    ]
    assert "authorization" not in server.received[0].headers


def test_records_without_a_point_send_nothing(chest: InfluxChest, server: RecordingServer) -> None:
    chest.write([])
    with InfluxChest(url_of(server, "?shape=variable")) as other:
        other.write([make_record(variables={}), make_record(variables={"none": None})])
    assert server.received == []


def test_named_variables_are_written_as_integers(server: RecordingServer) -> None:
    with open_chest(url_of(server, "?integers=items,other&token=x")) as chest:
        chest.write([make_record(variables={"items": 5, "other": 1.5, "size": 3})])
    fields = parsed(server.received[0].content)[0].fields
    assert [(fields[name], type(fields[name])) for name in ("items", "other", "size")] == [
        (5, int),
        (1.5, float),
        (3.0, float),
    ]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), None])
def test_what_is_not_a_value_gives_no_field(value: Any) -> None:
    assert field_value(value) is None


@pytest.mark.parametrize(
    "text",
    [
        "a,b",
        "a=b",
        "a b",
        "a\\",
        "a\\\\",
        "a\\,b",
        "\\",
        "# no comment",
        "line\nend\r\n",
        "é日本 😀",
        "a\\d+",
        ",",
        " ",
        "=",
    ],
)
def test_no_name_and_no_tag_can_end_its_line_early(text: str) -> None:
    point = Point(text, {"one": text, text: "two", "three": "z"}, {text: text.replace("\n", ""), "last": 1.0}, 17)
    (line,) = parsed(point.line().encode())
    assert line.tags["three"] == "z"
    assert line.fields["last"] == 1.0
    assert line.time_ns == 17
    if "\\" not in text and "\n" not in text:
        assert line.measurement.lstrip("_") == text
        assert line.tags["one"] == text
        assert line.tags[text] == "two"
        assert line.fields[text] == text


@pytest.mark.parametrize("value", ["\ud800", 10**400, {"set": {1}}])
def test_a_record_of_which_no_point_can_be_made_is_refused_by_name(
    chest: InfluxChest, server: RecordingServer, value: Any
) -> None:
    good, bad = make_record(), make_record(variables={"v": value})
    with pytest.raises(RecordRejected, match="no point can be made") as refusal:
        chest.write([good, bad])
    assert refusal.value.ids == (bad.id,)
    chest.write([good])
    assert len(server.posts) == 1


# -- timestamps --------------------------------------------------------------------------------------------------------


def test_a_point_keeps_its_time_to_ten_microseconds_and_is_the_same_whenever_it_is_sent(
    chest: InfluxChest, server: RecordingServer
) -> None:
    record = make_record(time_ns=1_700_000_000_123_456_789)
    server.replies = [Reply(status=503)]
    with pytest.raises(ChestUnavailable):
        chest.write([record])
    chest.write([record])
    first, second = (request.content for request in server.received)
    assert first == second
    assert parsed(first)[0].time_ns // 10_000 == record.time_ns // 10_000


def test_requests_of_one_nanosecond_are_points_of_their_own(chest: InfluxChest, server: RecordingServer) -> None:
    records = [make_record(time_ns=1_700_000_000_000_000_000) for _ in range(20)]
    chest.write(records)
    times = {line.time_ns for line in parsed(server.received[0].content)}
    assert len(times) >= 19  # of ten thousand places; two of twenty meet once in fifty runs
    assert timestamp(2**63 - 1, "x") < 2**63 - 1


# -- what an answer means ----------------------------------------------------------------------------------------------


def test_a_batch_that_is_too_large_is_sent_in_halves(server: RecordingServer) -> None:
    def limited(request: Received) -> Reply | None:
        return refusal(413, "too large") if len(request.body) > 1200 else Reply()

    with recording_server(reply=limited) as small, InfluxChest(url_of(small)) as chest:
        records = [make_record() for _ in range(16)]
        chest.write(records)
        stored = [line for post in small.posts if len(post.body) <= 1200 for line in parsed(post.content)]
        assert sorted(line.time_ns for line in stored) == sorted(timestamp(each.time_ns, each.id) for each in records)
        with pytest.raises(RecordRejected, match="413"):
            chest.write([make_record(variables={"long": "x" * 2000})])


@pytest.mark.parametrize("status", [401, 403, 404, 500, 502, 504])
def test_what_may_pass_or_be_mended_makes_records_wait(
    chest: InfluxChest, server: RecordingServer, status: int
) -> None:
    server.reply = refusal(status, "unauthorized access")
    with pytest.raises(ChestUnavailable, match=rf"{status} \(unauthorized access\)"):
        chest.write([make_record()])
    server.reply = Reply()
    chest.write([make_record()])


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_handed_on(chest: InfluxChest, server: RecordingServer, status: int) -> None:
    server.reply = refusal(status, "slow down", **{"Retry-After": "17"})
    with pytest.raises(ChestUnavailable) as error:
        chest.write([make_record()])
    assert error.value.retry_after == 17
    dates = {"Date": "Thu, 01 Jan 2015 00:00:00 GMT", "Retry-After": "Thu, 01 Jan 2015 00:00:30 GMT"}
    server.reply = refusal(status, "slow down", **dates)
    with pytest.raises(ChestUnavailable) as error:
        chest.write([make_record()])
    assert error.value.retry_after == 30


@pytest.mark.parametrize("status", [400, 422])
def test_what_the_server_cannot_read_or_keep_is_refused(
    chest: InfluxChest, server: RecordingServer, status: int
) -> None:
    server.reply = refusal(status, "partial write: points beyond retention policy dropped=1")
    record = make_record()
    with pytest.raises(RecordRejected, match="beyond retention") as error:
        chest.write([record])
    assert error.value.ids == (record.id,)


def test_a_redirect_is_not_followed_with_the_token(chest: InfluxChest, server: RecordingServer) -> None:
    with recording_server() as other:
        server.reply = Reply(status=307, headers={"Location": other.url})
        with pytest.raises(ChestUnavailable, match="redirects"):
            chest.write([make_record()])
        assert other.received == []


# -- types -------------------------------------------------------------------------------------------------------------


def test_a_value_of_another_type_than_the_fields_first_goes_beside_it_and_is_counted(
    chest: InfluxChest, server: RecordingServer
) -> None:
    chest.write([make_record(variables={"user": 1}), make_record(variables={"user": "abc"})])
    chest.write([make_record(variables={"user": True})])
    fields = [line.fields for post in server.posts for line in parsed(post.content)]
    assert [fields[0]["user"], fields[1]["user_string"], fields[2]["user_boolean"]] == [1.0, "abc", True]
    assert chest.type_conflicts == 2


def test_a_type_that_only_the_server_knows_is_learned_and_nothing_is_lost() -> None:
    known = {"user": "string", "items": "integer"}

    def typed(request: Received) -> Reply | None:
        kinds = {str: "string", float: "float", int: "integer", bool: "boolean"}
        for line in parsed(request.content):
            for name, value in line.fields.items():
                kind = kinds[type(value)]
                if known.setdefault(name, kind) != kind:
                    return refusal(
                        422,
                        "failure writing points to database: partial write: field type conflict: input field"
                        f' "{name}" on measurement "{line.measurement}" is type {kind}, already exists as type'
                        f" {known[name]} dropped=1",
                    )
        return Reply()

    with recording_server(reply=typed) as server, InfluxChest(url_of(server)) as chest:
        records = [make_record(variables={"user": 1, "items": 5}), make_record(variables={"user": "abc", "items": 1.5})]
        chest.write(records)
        fields = [line.fields for line in parsed(server.posts[-1].content)]
        assert (fields[0]["user_float"], fields[0]["items"]) == (1.0, 5)
        assert (fields[1]["user"], fields[1]["items_float"]) == ("abc", 1.5)
        assert chest.type_conflicts == 2
        asked = len(server.posts)
        chest.write(records)
        assert len(server.posts) == asked + 1


def test_a_conflict_that_cannot_be_mended_is_refused(chest: InfluxChest, server: RecordingServer) -> None:
    server.reply = refusal(
        422, 'field type conflict: input field "other" on measurement "m" is type float, already exists as type string'
    )
    with pytest.raises(RecordRejected, match="for its type"):
        chest.write([make_record()])


# -- what goes wrong on the way ----------------------------------------------------------------------------------------


def test_a_port_without_a_listener_is_unavailable() -> None:
    with (
        InfluxChest(f"influxdb://127.0.0.1:{refused_port()}/o/b") as chest,
        pytest.raises(ChestUnavailable, match="refused"),
    ):
        chest.write([make_record()])


def test_a_server_that_says_nothing_is_given_up_after_the_timeout() -> None:
    with silent_server() as port, InfluxChest(f"influxdb://127.0.0.1:{port}/o/b?timeout_seconds=0.2") as chest:
        with pytest.raises(ChestUnavailable, match=r"within 0\.2 s"):
            chest.write([make_record()])
        assert elapsed_seconds(lambda: chest.write([make_record()])) < 2


def test_a_connection_cut_without_an_answer_is_unavailable(chest: InfluxChest, server: RecordingServer) -> None:
    server.replies = [Reply(cut_before=True)]
    with pytest.raises(ChestUnavailable, match="cannot be reached"):
        chest.write([make_record()])
    chest.write([make_record()])


def test_a_kept_connection_that_breaks_under_a_batch_is_made_again(chest: InfluxChest, server: RecordingServer) -> None:
    chest.write([make_record()])
    server.replies = [Reply(cut_before=True)]
    chest.write([make_record()])
    assert server.posts[1].body == server.posts[2].body
    assert len({post.connection for post in server.posts}) == 2


def test_a_batch_that_breaks_a_new_connection_too_is_unavailable(chest: InfluxChest, server: RecordingServer) -> None:
    chest.write([make_record()])
    server.replies = [Reply(cut_before=True)] * 2
    with pytest.raises(ChestUnavailable):
        chest.write([make_record()])
    assert len(server.posts) == 3


def test_a_server_without_tls_is_unavailable_over_https(server: RecordingServer) -> None:
    with (
        InfluxChest(f"influxdb+https://127.0.0.1:{server.port}/o/b?timeout_seconds=2") as chest,
        pytest.raises(TLSRefused),
    ):
        chest.write([make_record()])


def test_one_connection_serves_batch_after_batch(chest: InfluxChest, server: RecordingServer) -> None:
    for _ in range(3):
        chest.write([make_record()])
    assert len({post.connection for post in server.received}) == 1


def test_a_forked_child_uses_no_connection_of_its_parent(chest: InfluxChest, server: RecordingServer) -> None:
    chest.write([make_record()])
    in_child(lambda: [chest.write([make_record()]), chest.close()])
    chest.write([make_record()])
    parent, child, again = (post.connection for post in server.posts)
    assert parent == again != child


def test_threads_may_write_at_once(chest: InfluxChest, server: RecordingServer) -> None:
    threads = [threading.Thread(target=lambda: [chest.write([make_record()]) for _ in range(10)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.posts) == 40


def test_a_closed_chest_is_opened_by_a_write(chest: InfluxChest, server: RecordingServer) -> None:
    chest.close()
    chest.write([make_record()])
    chest.close()
    chest.close()
    chest.open()
    chest.write([make_record()])
    assert len(server.posts) == 2


# -- check -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reply", [refusal(400, "writing requires points"), Reply()])
def test_a_check_writes_no_point_and_is_content_where_none_is_missed(
    chest: InfluxChest, server: RecordingServer, reply: Reply
) -> None:
    server.reply = reply
    chest.check()
    assert [parsed(post.content) for post in server.received] == [[]]


@pytest.mark.parametrize(("status", "said"), [(401, "unauthorized"), (404, 'bucket "my-bucket" not found')])
def test_a_check_says_what_is_wrong(chest: InfluxChest, server: RecordingServer, status: int, said: str) -> None:
    server.reply = refusal(status, said)
    with pytest.raises(ChestUnavailable, match=said):
        chest.check()


# -- configuration -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    ["influxdb://host:8086", "influxdb://host/org", "influxdb:///org/bucket", "influxdb://host/org/a/b",
     "influxdb://host:port/o/b", "influxdb://me:s3cret@host/o/b"],
)  # fmt: skip
def test_a_url_that_names_no_bucket_is_refused_with_the_form(url: str) -> None:
    with pytest.raises(SettingsError, match="influxdb://host:8086/org/bucket") as refused:
        open_chest(url)
    assert "s3cret" not in str(refused.value)


def test_an_unknown_option_is_refused_with_the_nearest() -> None:
    with pytest.raises(SettingsError, match="Did you mean shape"):
        open_chest("influxdb://host/o/b?shapes=request")
    with pytest.raises(SettingsError, match="request and variable"):
        open_chest("influxdb://host/o/b?shape=row")
    with pytest.raises(SettingsError, match="timeout_seconds"):
        open_chest("influxdb://host/o/b?timeout_seconds=0")
    for option in ("most_values=0", "most_values=many", "most_values=9999999", "gzip=perhaps"):
        with pytest.raises(SettingsError, match=option.partition("=")[0]):
            open_chest(f"influxdb://host/o/b?{option}")


@pytest.mark.parametrize("name", ["time", "_field", "_measurement"])
def test_a_tag_of_a_name_that_is_influxdbs_own_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match=name):
        InfluxChest("influxdb://host/o/b", custom_tags={name: "x"})


def test_the_token_may_come_from_the_environment(server: RecordingServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFLUXDB_TOKEN", "from-env")
    for url, token in ((url_of(server), "from-env"), (url_of(server, "?token=from-url"), "from-url")):
        with open_chest(url) as chest:
            chest.write([make_record()])
            assert token not in f"{chest!r} {chest.name}"
        assert server.received[-1].headers["authorization"] == f"Token {token}"


def test_names_with_slashes_and_spaces_are_written_as_codes(server: RecordingServer) -> None:
    with open_chest(f"influxdb://127.0.0.1:{server.port}/my%20org/telegraf%2Fautogen") as chest:
        chest.write([make_record()])
    params = dict(server.received[0].params)
    assert (params["org"], params["bucket"]) == ("my org", "telegraf/autogen")


def test_the_token_is_shown_nowhere_though_the_server_repeats_it(
    chest: InfluxChest, server: RecordingServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.reply = refusal(400, f"bad token {TOKEN}")
    with pytest.raises(ChestError) as error:
        chest.write([make_record()])
    assert TOKEN not in f"{error.value!s} {error.value!r} {chest!r} {caplog.text}"
    assert "***" in str(error.value)


def test_without_the_client_the_install_line_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.startswith(("chest.chests.influxdb.chest", "influxdb_client"))]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "influxdb_client", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'wsgi-chest\[influx\]'"):
        registry.open_chest("influxdb://host/o/b")


# -- on the way to the server ------------------------------------------------------------------------------------------


def test_a_proxy_of_the_environment_is_used_as_over_http(
    server: RecordingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"influxdb://influx.invalid:8086/org/bucket?token={TOKEN}"
    monkeypatch.setenv("http_proxy", f"user:pass@127.0.0.1:{server.port}")
    with InfluxChest(url) as chest:
        chest.check()
        chest.write([make_record()])
    assert {request.target.partition("?")[0] for request in server.received} == {
        "http://influx.invalid:8086/api/v2/write"
    }
    assert {request.headers["proxy-authorization"] for request in server.received} == {"Basic dXNlcjpwYXNz"}
    monkeypatch.setenv("no_proxy", "influx.invalid:8086")
    with InfluxChest(url) as chest, pytest.raises(ChestUnavailable):
        chest.write([make_record()])
    assert len(server.received) == 2


def test_a_proxy_that_cannot_be_used_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "ftp://user:hunter2@127.0.0.1:1")
    with InfluxChest("influxdb://influx.invalid:8086/org/bucket") as chest:
        for act in (chest.open, chest.check, lambda: chest.write([make_record()])):
            with pytest.raises(ChestUnavailable, match=r"cannot use the proxy ftp://127\.0\.0\.1:1") as error:
                act()
            assert "hunter2" not in str(error.value)


# -- points that are too old -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 422, 500])
@pytest.mark.parametrize(
    "reason",
    [
        "points beyond retention policy dropped=2",
        "dropped 2 points outside retention policy of duration 24h0m0s - oldest point x dropped because it violates a"
        " Retention Policy Lower Bound dropped=2",
    ],
)
def test_points_beyond_the_retention_are_refused_by_name_whatever_the_status(
    chest: InfluxChest, server: RecordingServer, status: int, reason: str
) -> None:
    times = [1_700_000_000 * 10**9 + day * 86_400 * 10**9 for day in (0, 5, 1, 6, 7)]
    records = [make_record(time_ns=time_ns) for time_ns in times]
    server.reply = refusal(status, f"unexpected error writing points to database: partial write: {reason}")
    with pytest.raises(RecordRejected, match="retention") as error:
        chest.write(records)
    assert set(error.value.ids) == {records[0].id, records[2].id}


def test_a_partial_write_for_another_reason_is_a_refusal_and_not_an_outage(
    chest: InfluxChest, server: RecordingServer
) -> None:
    server.reply = refusal(500, "partial write: max-values-per-tag limit exceeded (100000/100000) dropped=1")
    with pytest.raises(RecordRejected) as error:
        chest.write([make_record(), make_record()])
    assert error.value.ids == ()
