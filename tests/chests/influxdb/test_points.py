"""What the InfluxDB chest sends: its points, their times and their types."""

from __future__ import annotations

from typing import Any

import pytest

from chest.chests.influxdb.chest import InfluxChest
from chest.chests.influxdb.line_protocol import Point, field_value, timestamp
from chest.chests.registry import open_chest
from chest.errors import ChestUnavailable, RecordRejected
from chest.testing.records import make_record
from tests.chests.influxdb.conftest import TOKEN, parsed, refusal, url_of
from tests.recording_server import (
    Received,
    RecordingServer,
    Reply,
    recording_server,
)

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
