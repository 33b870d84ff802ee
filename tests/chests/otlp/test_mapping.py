"""What a record becomes: field by field of the decoded messages, under the names of OpenTelemetry's own package of conventions."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, cast

import pytest
from opentelemetry.proto.logs.v1.logs_pb2 import SeverityNumber
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.semconv._incubating.attributes import (
    error_attributes,
    exception_attributes,
    host_attributes,
    http_attributes,
    log_attributes,
    service_attributes,
    session_attributes,
    url_attributes,
    user_attributes,
)
from opentelemetry.semconv.schemas import Schemas

from chest.chests.otlp.request import SIGNALS
from chest.record.record import Outcome, Record
from chest.record.record_id import RecordIds
from chest.record.row import KNOWN_METHODS
from chest.testing.records import make_record
from tests.recording_server import Received
from tests.servers.otlp.sink import Item, items_of

BEGIN_NS = 1_764_500_000_000_000_000
ID = f"{BEGIN_NS:016x}" + "a1b2c3d4000000fb"
TRACE, PARENT, TRACERS = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "00f067aa0ba902b7"


def sent(*records: Record, signal: str = "traces") -> list[Item]:
    """The messages of records, decoded."""
    body = SIGNALS[signal].request_of(records, "1.2.3")
    headers = {"content-type": "application/x-protobuf"}
    return items_of(Received("POST", f"/v1/{signal}", headers, body, 0))


def span(**changes: Any) -> Item:
    """The one span of a record with these fields."""
    (item,) = sent(make_record(**{"id": ID, "time_ns": BEGIN_NS} | changes))
    return item


def log(**changes: Any) -> Item:
    """The one log record of a record with these fields."""
    (item,) = sent(make_record(**{"id": ID, "time_ns": BEGIN_NS} | changes), signal="logs")
    return item


def test_a_request_is_a_server_span_with_the_conventions_names() -> None:
    item = span(variables={"plan": "pro"}, attributes={"url.scheme": "https", "http.response.body.size": 512})
    assert item.message.kind == Span.SPAN_KIND_SERVER
    assert item.message.name == "GET /items/<int:id>"
    assert item.message.trace_id.hex() == ID
    assert item.message.span_id.hex() == ID[16:]
    assert item.message.parent_span_id == b""
    assert (item.message.start_time_unix_nano, item.message.end_time_unix_nano) == (BEGIN_NS, BEGIN_NS + 1_234_567)
    assert item.message.status == Status()
    assert item.attributes == {
        http_attributes.HTTP_REQUEST_METHOD: "GET",
        url_attributes.URL_PATH: "/items/1",
        url_attributes.URL_SCHEME: "https",
        http_attributes.HTTP_ROUTE: "/items/<int:id>",
        http_attributes.HTTP_RESPONSE_STATUS_CODE: 200,
        http_attributes.HTTP_RESPONSE_BODY_SIZE: 512,
        "app.plan": "pro",
        "chest.outcome": "ok",
        "chest.request_id": "6b2b7d2e-1c6f-4a2c-9d0b-111122223333",
        "chest.record_id": ID,
    }
    assert item.resource == {
        service_attributes.SERVICE_NAME: "shop",
        service_attributes.SERVICE_VERSION: "1.0",
        host_attributes.HOST_NAME: "web-1",
        service_attributes.SERVICE_INSTANCE_ID: "a1b2c3d4",
    }
    assert (item.scope.name, item.scope.version) == ("chest", "1.2.3")
    assert item.schema_url == Schemas.V1_44_0.value
    assert len(item.message.events) == len(item.message.links) == 0


def test_the_methods_that_are_known_are_those_of_the_conventions() -> None:
    assert {method.value for method in http_attributes.HttpRequestMethodValues} == KNOWN_METHODS | {"_OTHER"}


def test_without_a_route_a_span_has_the_method_for_a_name_and_never_the_path() -> None:
    item = span(route=None)
    assert item.message.name == "GET"
    assert http_attributes.HTTP_ROUTE not in item.attributes


def test_an_unknown_method_is_other_and_named_beside_it() -> None:
    item = span(method="PURGE")
    assert item.message.name == "HTTP /items/<int:id>"
    assert item.attributes[http_attributes.HTTP_REQUEST_METHOD] == http_attributes.HttpRequestMethodValues.OTHER.value
    assert item.attributes[http_attributes.HTTP_REQUEST_METHOD_ORIGINAL] == "PURGE"


def test_the_trace_of_a_traceparent_is_kept_with_the_callers_span_as_parent() -> None:
    item = span(attributes={"trace_id": TRACE, "parent_span_id": PARENT})
    assert item.message.trace_id.hex() == TRACE
    assert item.message.parent_span_id.hex() == PARENT
    assert item.message.span_id.hex() == ID[16:]
    assert not {"trace_id", "parent_span_id", "span_id"} & set(item.attributes)


def test_the_span_of_the_applications_own_tracer_is_linked_and_never_made_again() -> None:
    item = span(attributes={"trace_id": TRACE, "parent_span_id": PARENT, "span_id": TRACERS})
    assert [(link.trace_id.hex(), link.span_id.hex()) for link in item.message.links] == [(TRACE, TRACERS)]
    assert item.message.span_id.hex() == ID[16:]


@pytest.mark.parametrize("trace_id", ["", "xyz", "0" * 32, TRACE[2:], f"{TRACE}00", 17, None, f"{TRACE[:30]} é"])
def test_a_trace_id_that_is_none_is_passed_over(trace_id: Any) -> None:
    item = span(attributes={"trace_id": trace_id, "parent_span_id": PARENT})
    assert item.message.trace_id.hex() == ID
    assert item.message.parent_span_id == b""


@pytest.mark.parametrize("record_id", ["", "0" * 32, "no id of Chest's", f"{BEGIN_NS:016x}{0:016x}", "\ud800"])
def test_an_id_that_is_none_of_chests_gives_valid_ids_always_the_same(record_id: str) -> None:
    first, again = span(id=record_id).message, span(id=record_id).message
    assert len(first.trace_id) == 16
    assert any(first.trace_id)
    assert len(first.span_id) == 8
    assert any(first.span_id)
    assert (first.trace_id, first.span_id) == (again.trace_id, again.span_id)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"outcome": "error", "error": "KeyError", "status": 500}, "KeyError"),
        ({"outcome": "error", "error": None, "status": 503}, "503"),
        ({"outcome": "error", "error": None, "status": None}, "error"),
        ({"outcome": "killed", "error": None, "status": None}, "killed"),
        ({"outcome": "worker_timeout", "error": "SystemExit", "status": 200}, "SystemExit"),
        ({"outcome": "shutdown", "error": None, "status": 200}, "shutdown"),
        ({"outcome": "abandoned", "error": None, "status": 404}, "abandoned"),
    ],
)
def test_a_failure_has_the_status_error_and_an_error_type(changes: dict[str, Any], kind: str) -> None:
    item = span(**changes)
    assert item.message.status.code == Status.STATUS_CODE_ERROR
    assert item.attributes[error_attributes.ERROR_TYPE] == kind
    assert item.attributes["chest.outcome"] == changes["outcome"]


@pytest.mark.parametrize(
    "changes",
    [{"status": 404}, {"status": 404, "error": "NotFound"}, {"outcome": "client_disconnect"}, {"outcome": "upgraded"}],
)
def test_what_is_no_failure_of_the_server_has_no_status_and_no_error_type(changes: dict[str, Any]) -> None:
    item = span(**changes)
    assert item.message.status.code == Status.STATUS_CODE_UNSET
    assert error_attributes.ERROR_TYPE not in item.attributes


def test_an_exception_is_an_event_at_the_end_of_its_span() -> None:
    item = span(
        outcome="error", error="KeyError", attributes={"exception.message": "'plan'", "exception.stacktrace": "shop.py:7 cart"}
    )  # fmt: skip
    (event,) = item.message.events
    assert (event.name, event.time_unix_nano) == ("exception", BEGIN_NS + 1_234_567)
    assert {pair.key: pair.value.string_value for pair in event.attributes} == {
        exception_attributes.EXCEPTION_TYPE: "KeyError",
        exception_attributes.EXCEPTION_MESSAGE: "'plan'",
        exception_attributes.EXCEPTION_STACKTRACE: "shop.py:7 cart",
    }
    assert item.message.status.message == "'plan'"
    assert not [name for name in item.attributes if name.startswith("exception.")]


def test_variables_of_a_known_name_keep_it_and_others_stand_under_app() -> None:
    known = {
        user_attributes.USER_ID: "ada",
        session_attributes.SESSION_ID: "s1",
        "feature_flag.key": "new-cart",
    }
    item = span(variables={**known, "user_id": "42", "http.route": "/other", "": 1})
    assert {name: item.attributes[name] for name in known} == known
    assert item.attributes["app.user_id"] == "42"
    assert item.attributes["app.http.route"] == "/other"
    assert item.attributes[http_attributes.HTTP_ROUTE] == "/items/<int:id>"
    assert item.attributes["app."] == 1


class _Level(int):
    """A subclass, as an application's enumeration is one."""


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (False, False),
        (0, 0),
        (-(2**63), -(2**63)),
        (2**63 - 1, 2**63 - 1),
        (2**63, "9223372036854775808"),
        (-(10**30), "-1" + "0" * 30),
        (_Level(3), 3),
        (0.1, 0.1),
        (float("inf"), float("inf")),
        (Decimal("1.10"), "1.10"),
        (b"\x00\xff", b"\x00\xff"),
        ("日本語 😀", "日本語 😀"),
        ("a\0b", "a\ufffdb"),
        ("\ud800", "\ufffd"),
        ({"a": {"b": [1, None, "x", {"c": 2**64}]}}, {"a": {"b": [1, None, "x", {"c": str(2**64)}]}}),
        ({"\ud800": "\ud800", 7: 1}, {"\ufffd": "\ufffd", "7": 1}),
        ((1, "a"), [1, "a"]),
        ([], []),
        ({}, {}),
    ],
)
def test_each_value_has_its_type_or_is_text_and_none_raises(value: Any, expected: Any) -> None:
    assert span(variables={"it": value}).attributes["app.it"] == expected
    assert log(variables={"it": value}).attributes["app.it"] == expected


def test_a_number_that_is_none_stays_none() -> None:
    (made,) = [span(variables={"it": float("nan")}).attributes["app.it"]]
    assert made != made


def test_containers_beyond_what_decoders_take_are_text() -> None:
    deep: dict[str, Any] = {}
    for _ in range(90):
        deep = {"deeper": deep}
    made = span(variables={"it": deep}).attributes["app.it"]
    for _ in range(20):
        made = made["deeper"]
    assert isinstance(made, str)


@pytest.mark.parametrize(
    "place", ["method", "path", "route", "error", "service", "release", "host", "request_id", "outcome"]
)
@pytest.mark.parametrize("text", ["a\0b\ud800", "/\0\ud800"])
def test_a_lone_surrogate_or_nul_raises_in_no_field(place: str, text: str) -> None:
    for signal in SIGNALS.values():
        body = signal.request_of([make_record(**{place: text})], "")
        assert text.replace("\0", "\ufffd").replace("\ud800", "\ufffd").encode() in body


def test_a_lone_surrogate_or_nul_raises_in_no_attribute() -> None:
    attributes = dict.fromkeys(("a\0", "exception.message", "exception.type", "trace_id", "span_id"), "b\ud800")
    for item in (span(outcome="error", attributes=attributes), log(outcome="error", attributes=attributes)):
        assert item.attributes["a\ufffd"] == "b\ufffd"


def test_what_is_not_known_of_a_process_is_left_out() -> None:
    assert set(span(service="", release="", host="").resource) == {service_attributes.SERVICE_INSTANCE_ID}


def test_records_are_grouped_by_what_those_of_a_process_have_in_common() -> None:
    one, two = RecordIds(), RecordIds()
    records = [
        make_record(id=ids.new(BEGIN_NS + place), **more)
        for place, (ids, more) in enumerate(
            [
                (one, {}),
                (two, {}),
                (one, {}),
                (one, {"release": "2.0"}),
                (one, {"service": ""}),
                (two, {"host": "web-2"}),
            ]
        )
    ]
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    groups = ExportTraceServiceRequest.FromString(SIGNALS["traces"].request_of(records, "")).resource_spans
    assert [len(group.scope_spans[0].spans) for group in groups] == [2, 1, 1, 1, 1]
    assert {item.record.id: item.record for item in sent(*records)} == {record.id: record for record in records}


# -- work that is no request -------------------------------------------------------------------------------------------


def test_a_job_is_a_consumers_span_and_other_work_an_internal_one() -> None:
    about = {"messaging.message.id": "m1", "messaging.destination.name": "emails"}
    job = span(method="JOB", path="send_email", route="send_email", status=None, attributes=about)
    assert (job.message.kind, job.message.name) == (Span.SPAN_KIND_CONSUMER, "send_email")
    assert job.attributes["chest.work.kind"] == "JOB"
    assert job.attributes["chest.work.name"] == "send_email"
    assert about.items() <= job.attributes.items()
    assert not [name for name in job.attributes if name.startswith(("http.", "url."))]
    work = span(method="WORK", path="cleanup", route="cleanup", status=None, outcome="error", error="OSError")
    assert (work.message.kind, work.message.name) == (Span.SPAN_KIND_INTERNAL, "cleanup")
    assert work.message.status.code == Status.STATUS_CODE_ERROR


# -- log records -------------------------------------------------------------------------------------------------------


def test_a_log_record_has_the_fields_of_an_event() -> None:
    item = log(attributes={"url.scheme": "http", "trace_id": TRACE, "parent_span_id": PARENT})
    made = item.message
    assert made.event_name == "chest.request"
    assert (made.time_unix_nano, made.observed_time_unix_nano) == (BEGIN_NS, BEGIN_NS + 1_234_567)
    assert (made.severity_number, made.severity_text) == (SeverityNumber.SEVERITY_NUMBER_INFO, "INFO")
    assert made.body.string_value == "GET /items/1 200 ok"
    assert (made.trace_id.hex(), made.span_id.hex()) == (TRACE, ID[16:])
    assert item.attributes[log_attributes.LOG_RECORD_UID] == ID
    assert item.attributes["chest.duration_ns"] == 1_234_567
    assert item.attributes[http_attributes.HTTP_ROUTE] == "/items/<int:id>"
    assert item.attributes["app.plan"] == "premium"
    assert (item.scope.name, item.scope.version) == ("chest", "1.2.3")
    assert item.resource[service_attributes.SERVICE_NAME] == "shop"


def test_a_log_record_names_the_span_of_the_applications_own_tracer() -> None:
    item = log(attributes={"trace_id": TRACE, "span_id": TRACERS})
    assert (item.message.trace_id.hex(), item.message.span_id.hex()) == (TRACE, TRACERS)


@pytest.mark.parametrize(
    ("changes", "severity"),
    [
        ({}, "INFO"),
        ({"outcome": Outcome.UPGRADED, "status": None}, "INFO"),
        ({"status": 404}, "WARN"),
        ({"outcome": Outcome.CLIENT_DISCONNECT}, "WARN"),
        ({"outcome": Outcome.ERROR, "status": 500}, "ERROR"),
        ({"outcome": Outcome.KILLED, "status": None}, "ERROR"),
    ],
)
def test_the_severity_tells_how_the_request_ended(changes: dict[str, Any], severity: str) -> None:
    made = log(**changes).message
    assert made.severity_text == severity
    assert SeverityNumber.Name(cast("Any", made.severity_number)) == f"SEVERITY_NUMBER_{severity}"


def test_an_exception_stands_in_the_attributes_of_a_log_record() -> None:
    item = log(outcome="error", error="KeyError", attributes={"exception.message": "'plan'"})
    assert item.attributes[exception_attributes.EXCEPTION_TYPE] == "KeyError"
    assert item.attributes[exception_attributes.EXCEPTION_MESSAGE] == "'plan'"
    assert item.attributes[error_attributes.ERROR_TYPE] == "KeyError"


def test_work_is_an_event_of_its_own_name() -> None:
    item = log(method="COMMAND", path="migrate", route="migrate", status=None)
    assert item.message.event_name == "chest.work"
    assert item.message.body.string_value == "COMMAND migrate ok"
