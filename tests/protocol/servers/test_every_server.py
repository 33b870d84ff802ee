"""One application on every server, bare and in the middleware: the same bytes, and a record that says what they were."""

from __future__ import annotations

from typing import Final, NamedTuple

import pytest

from chest.record.record import Record
from tests.protocol.wire import Answer, Wire, new_id
from tests.support import wait_until

Told = tuple[int | None, str, str | None]

RECORDS: Final[dict[str, Told]] = {
    "/complete": (200, "ok", None),
    "/complete-in-pieces": (200, "ok", None),
    "/empty": (200, "ok", None),
    "/streamed": (200, "ok", None),
    "/streamed-with-length": (200, "ok", None),
    "/sized": (200, "ok", None),
    "/sized-in-pieces": (200, "ok", None),
    "/lazy": (202, "ok", None),
    "/written": (200, "ok", None),
    "/written-and-streamed": (200, "ok", None),
    "/no-content": (204, "ok", None),
    "/not-modified": (304, "ok", None),
    "/file": (200, "ok", None),
    "/file-in-memory": (200, "ok", None),
    "/file-that-notes": (200, "ok", None),
    "/opened": (200, "ok", None),
    "/replaced": (503, "error", "ValueError"),
    "/never-started": (None, "error", None),
    "/raises": (500, "error", "LookupError"),
    "/raises-once-written": (200, "error", "LookupError"),
    "/raises-in-the-middle": (200, "error", "LookupError"),
    "/raises-at-close": (200, "error", "LookupError"),
}

# The application said one status and the client got another.
RECORDS_OF_ANOTHER_STATUS: Final[dict[str, Told]] = {
    "/replaced-too-late": (200, "error", "ValueError"),
    "/started-twice": (500, "error", "AssertionError"),
    "/raises-once-started": (500, "error", "LookupError"),
    "/raises-at-first-chunk": (500, "error", "LookupError"),
}

# uWSGI forgets to clear the exception it is given, takes a second status, and answers an error with what it has.
RECORDS_ON_UWSGI: Final[dict[str, Told]] = {
    "/replaced": (503, "error", "SystemError"),
    "/replaced-too-late": (200, "error", "OSError"),
    "/started-twice": (201, "ok", None),
    "/raises-once-started": (200, "error", "LookupError"),
    "/raises-at-first-chunk": (200, "error", "LookupError"),
}

BODY_BYTES: Final = {
    "/complete": 8,
    "/complete-in-pieces": 9,
    "/streamed": 13,
    "/streamed-with-length": 7,
    "/sized": 17,
    "/lazy": 28,
    "/written": 21,
    "/written-and-streamed": 21,
    "/raises-in-the-middle": 14,
}

PATHS: Final = [*RECORDS, *RECORDS_OF_ANOTHER_STATUS]
METHODS: Final = ["GET", "HEAD"]
CLOSING_PATHS: Final = [
    "/streamed",
    "/sized",
    "/written-and-streamed",
    "/no-content",
    "/not-modified",
    "/file-that-notes",
    "/raises-in-the-middle",
    "/raises-at-close",
]


class Seen(NamedTuple):
    """One request to the bare application and the same to the recorded one."""

    bare: Answer
    answer: Answer
    record: Record
    request_id: str
    notes: list[str]
    bare_notes: list[str]


@pytest.fixture(scope="session")
def seen(wire: Wire) -> dict[tuple[str, str], Seen]:
    """Every path by every method, asked in one go and waited for together."""
    asked = {}
    for path in PATHS:
        for method in METHODS:
            bare_id, request_id = new_id(), new_id()
            bare = wire.ask(path, bare_id, method=method, app="bare")
            asked[path, method] = (bare_id, bare, request_id, wire.ask(path, request_id, method=method))
    wait_until(lambda: {one[2] for one in asked.values()} <= {record.request_id for record in wire.all_records()})
    return {
        key: Seen(bare, answer, wire.record(request_id), request_id, wire.notes(request_id), wire.notes(bare_id))
        for key, (bare_id, bare, request_id, answer) in asked.items()
    }


def _expected(wire: Wire, path: str) -> Told:
    on_this = RECORDS_ON_UWSGI if wire.server.name == "uwsgi" else {}
    return (RECORDS | RECORDS_OF_ANOTHER_STATUS | on_this)[path]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("path", PATHS)
def test_an_answer_is_the_same_bytes_as_without_the_middleware(
    seen: dict[tuple[str, str], Seen], path: str, method: str
) -> None:
    one = seen[path, method]
    assert one.answer._replace(request_id="") == one.bare
    assert one.notes == one.bare_notes


@pytest.mark.parametrize("path", RECORDS)
def test_a_record_says_how_the_request_ended(wire: Wire, seen: dict[tuple[str, str], Seen], path: str) -> None:
    record = seen[path, "GET"].record
    assert (record.status, record.outcome, record.error) == _expected(wire, path)
    assert record.variables == {"seen": "by the app"}
    assert (record.method, record.path, record.service) == ("GET", path, "protocol")


@pytest.mark.parametrize("path", RECORDS_OF_ANOTHER_STATUS)
def test_the_status_recorded_is_the_one_that_the_client_got(
    wire: Wire, seen: dict[tuple[str, str], Seen], path: str
) -> None:
    one = seen[path, "GET"]
    assert one.record.status == one.answer.status
    assert (one.record.status, one.record.outcome, one.record.error) == _expected(wire, path)


@pytest.mark.parametrize(("path", "size"), BODY_BYTES.items())
def test_the_bytes_of_a_body_are_counted(seen: dict[tuple[str, str], Seen], path: str, size: int) -> None:
    assert seen[path, "GET"].record.attributes["http.response.body.size"] == size


@pytest.mark.parametrize(
    ("path", "method"),
    [*((path, "HEAD") for path in BODY_BYTES), ("/file", "HEAD"), ("/no-content", "GET"), ("/not-modified", "GET")],
)
def test_a_response_that_is_sent_without_its_body_has_no_size(
    seen: dict[tuple[str, str], Seen], path: str, method: str
) -> None:
    assert "http.response.body.size" not in seen[path, method].record.attributes


@pytest.mark.parametrize("path", ["/complete", "/streamed", "/lazy", "/file", "/replaced"])
def test_the_id_of_a_request_is_echoed_with_its_answer(seen: dict[tuple[str, str], Seen], path: str) -> None:
    one = seen[path, "GET"]
    # gunicorn sends the headers of a start_response that was replaced together with those that replace them.
    assert set(one.answer.request_id.split(", ")) == {one.request_id}
    assert one.bare.request_id == ""


@pytest.mark.parametrize("wire", ["wsgiref", "waitress"], indirect=True)
@pytest.mark.parametrize(("path", "length"), [("/complete", 8), ("/sized", 17)])
def test_a_server_that_asks_a_body_for_its_length_gets_it(wire: Wire, path: str, length: int) -> None:
    answer = wire.ask(path, new_id())
    assert f"Content-Length: {length}".encode() in answer.head.splitlines()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("path", CLOSING_PATHS)
def test_a_body_is_closed_exactly_once(seen: dict[tuple[str, str], Seen], path: str, method: str) -> None:
    assert seen[path, method].notes == ["closed"]


@pytest.mark.parametrize("path", ["/streamed", "/sized", "/no-content", "/not-modified", "/file"])
def test_a_head_request_is_recorded_as_one_that_went_well(seen: dict[tuple[str, str], Seen], path: str) -> None:
    record = seen[path, "HEAD"].record
    assert (record.method, record.outcome, record.error) == ("HEAD", "ok", None)


def test_a_client_that_leaves_in_the_middle_of_a_stream_is_recorded_as_such(wire: Wire) -> None:
    request_id = new_id()
    wire.ask_and_leave("/endless", request_id)
    record = wire.record(request_id)
    assert (record.status, record.outcome, record.error) == (200, "client_disconnect", None)
    assert record.attributes["http.response.body.size"] >= 65536
    assert wire.notes(request_id) == ["closed"]


@pytest.mark.parametrize("wire", ["gunicorn-sync", "gunicorn-gthread", "gunicorn-gevent", "werkzeug"], indirect=True)
def test_a_connection_that_a_websocket_library_took_over_stays_its_own(wire: Wire) -> None:
    bare = wire.ask("/upgrade", new_id(), app="bare", Upgrade="websocket")
    request_id = new_id()
    assert wire.ask("/upgrade", request_id, Upgrade="websocket") == bare
    assert (bare.status, bare.body) == (101, b"hello")
    record = wire.record(request_id)
    assert (record.status, record.outcome, record.error) == (None, "upgraded", None)


@pytest.mark.parametrize("app", ["nested", "beside"])
@pytest.mark.parametrize("path", ["/shop/complete", "/shop/streamed", "/shop/raises", "/streamed"])
def test_mounted_under_a_prefix_inside_or_beside_another_a_request_leaves_one_record(
    wire: Wire, app: str, path: str
) -> None:
    request_id = new_id()
    answer = wire.ask(path, request_id, app=app)
    record = wire.record(request_id)
    assert record.path == path
    # uWSGI answers an application that raised with nothing but a line of text.
    assert record.status == (answer.status or 500)


@pytest.mark.parametrize("wire", ["gunicorn-gthread", "gunicorn-gevent", "waitress"], indirect=True)
def test_requests_on_one_connection_leave_a_record_each(wire: Wire) -> None:
    ids = [new_id(), new_id(), new_id()]
    with wire.connection() as connection:
        for request_id in ids:
            connection.sendall(
                f"GET /streamed-with-length HTTP/1.1\r\nHost: a\r\nX-Request-ID: {request_id}\r\n\r\n".encode()
            )
            received = b""
            while not received.endswith(b"one two"):
                part = connection.recv(65536)
                assert part, "the server closed the connection"
                received += part
            assert request_id.encode() in received
    assert [wire.record(request_id).outcome for request_id in ids] == ["ok"] * 3
