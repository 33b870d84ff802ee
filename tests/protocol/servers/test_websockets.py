"""Requests that become a websocket, as each library ends them: ``upgraded``, and no request that lasted for hours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from chest import ChestMiddleware, Recorder
from chest.chests.memory import MemoryChest
from chest.request.selection import Selection
from tests.protocol.exchange import Exchange, Recorded, environ_of, serve


class ConnectionClosed(Exception):
    """As simple-websocket names it."""


class WebSocketError(Exception):
    """As gevent-websocket names it."""


def _answering(status: str | None, body: Any) -> Any:
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        if status is not None:
            start_response(status, [("Content-Length", "0")])
        return body

    return app


@pytest.mark.parametrize("status", [None, "200 OK", "204 No Content", "101 Switching Protocols"])
@pytest.mark.parametrize("body", [[], [b""], (), iter([]), (chunk for chunk in [b""])])
def test_an_empty_answer_to_who_asked_for_a_websocket_is_what_is_said_when_that_is_over(
    status: str | None, body: Any
) -> None:
    recorded = Recorded(_answering(status, body))
    serve(recorded, HTTP_UPGRADE="WebSocket")
    assert (recorded.record.status, recorded.record.outcome, recorded.record.error) == (None, "upgraded", None)


def test_an_answer_that_flask_says_is_complete_is_empty_too() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        environ["chest.context"].body_is_complete()
        start_response("200 OK", [("Content-Length", "0")])
        return iter([])

    recorded = Recorded(app)
    serve(recorded, HTTP_UPGRADE="websocket")
    assert recorded.record.outcome == "upgraded"


@pytest.mark.parametrize(
    ("upgrade", "status", "body", "outcome"),
    [
        ("websocket", "200 OK", [b"no websockets here"], "ok"),
        ("websocket", "200 OK", iter([b"no websockets here"]), "ok"),
        ("websocket", "403 Forbidden", [], "ok"),
        ("websocket", "426 Upgrade Required", iter([]), "ok"),
        ("websocket", "503 Busy", [], "error"),
        ("h2c", "200 OK", [], "ok"),
        ("h2c", "200 OK", iter([]), "ok"),
        (None, "200 OK", [], "ok"),
    ],
)
def test_an_answer_by_http_is_recorded_as_any(upgrade: str | None, status: str, body: Any, outcome: str) -> None:
    recorded = Recorded(_answering(status, body))
    serve(recorded, HTTP_UPGRADE=upgrade)
    assert (recorded.record.status, recorded.record.outcome) == (int(status[:3]), outcome)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (StopIteration(), "upgraded"),
        (ConnectionError(), "upgraded"),
        (OSError("unable to receive websocket message"), "upgraded"),
        (ConnectionClosed(), "upgraded"),
        (WebSocketError("Socket is dead"), "upgraded"),
        (LookupError("the application's"), "error"),
    ],
)
def test_what_is_raised_because_the_websocket_is_over_is_not_an_error(error: Exception, outcome: str) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        raise error

    recorded = Recorded(app)
    with pytest.raises(type(error)):
        recorded(environ_of(HTTP_UPGRADE="websocket"), Exchange().start_response)
    assert (recorded.record.outcome, recorded.record.error) == (outcome, "LookupError" if outcome == "error" else None)


def test_a_server_that_cannot_send_the_answer_behind_a_websocket_has_lost_no_client() -> None:
    recorded = Recorded(_answering("200 OK", iter([b""])))
    body = recorded(environ_of(HTTP_UPGRADE="websocket"), Exchange().start_response)
    try:
        raise BrokenPipeError
    except BrokenPipeError:
        body.close()  # type: ignore[attr-defined]
    assert recorded.record.outcome == "upgraded"


def test_open_websockets_take_no_place_among_the_requests_in_flight_and_are_recorded_when_the_recorder_ends(
    tmp_path: Any,
) -> None:
    chest, seen = MemoryChest(), []
    recorder = Recorder([chest], directory=tmp_path)

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        environ["chest.context"]["room"] = "r1"
        seen.append(recorder.stats()["in_flight"])
        if environ["PATH_INFO"] == "/open":
            recorder.close()  # as at the end of the process, with the connection open
        return []

    middleware = ChestMiddleware(app, recorder=recorder)
    for path in ("/over", "/open"):
        assert middleware(environ_of(path, HTTP_UPGRADE="websocket"), Exchange().start_response) == []
    assert seen == [0, 0]
    assert [(record.path, record.outcome, record.variables) for record in chest.records] == [
        ("/over", "upgraded", {"room": "r1"}),
        ("/open", "upgraded", {"room": "r1"}),
    ]


def test_a_websocket_is_not_kept_by_a_sample_for_having_been_open_long() -> None:
    recorded = Recorded(_answering(None, []), Selection(sample=0.0, keep_slower_ms=0))
    serve(recorded, HTTP_UPGRADE="websocket")
    assert recorded.records == []
    serve(recorded)
    assert len(recorded.records) == 1
