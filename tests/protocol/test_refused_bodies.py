"""Streams that end early on every server: refused by the server, not asked for, or left by the client."""

from __future__ import annotations

from typing import Final

import pytest

from tests.protocol.conftest import EVERY_SERVER
from tests.protocol.wire import Wire, new_id

every_server: Final = pytest.mark.parametrize("wire", EVERY_SERVER, indirect=True)

IGNORES_WHAT_IS_NO_BYTES: Final = ("uwsgi",)
RAISES_OUT_OF_SIGHT: Final = ("Granian",)
REFUSES_A_BODY_OF_A_204: Final = ("gevent.pywsgi",)


@every_server
@pytest.mark.parametrize("path", ["/text-chunk", "/number-chunk"])
def test_a_chunk_that_the_server_refuses_is_an_error_and_no_client_that_left(wire: Wire, path: str) -> None:
    request_id = new_id()
    answer = wire.ask(path, request_id)
    record = wire.record(request_id)
    if wire.server.name in IGNORES_WHAT_IS_NO_BYTES:
        assert (record.status, record.outcome) == (answer.status, "ok")
        return
    assert record.outcome == "error"
    assert "http.response.body.size" not in record.attributes
    if wire.server.name not in RAISES_OUT_OF_SIGHT:
        assert record.error in ("TypeError", "ValueError", "AssertionError")
        assert record.attributes["exception.message"]


@every_server
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("HEAD", "/streamed"),
        ("HEAD", "/file"),
        ("GET", "/no-content-with-a-body"),
        ("GET", "/not-modified-with-a-body"),
    ],
)
def test_a_body_that_is_not_to_be_sent_ends_well(wire: Wire, method: str, path: str) -> None:
    request_id = new_id()
    answer = wire.ask(path, request_id, method=method)
    record = wire.record(request_id)
    if wire.server.name in REFUSES_A_BODY_OF_A_204 and method == "GET":
        assert (answer.status, record.status, record.outcome, record.error) == (500, 500, "error", "AssertionError")
        return
    assert (record.status, record.outcome, record.error) == (answer.status, "ok", None)
    assert "http.response.body.size" not in record.attributes


@pytest.mark.parametrize("wire", ["granian", "cheroot", "pywsgi"], indirect=True)
def test_a_client_that_leaves_in_the_middle_of_a_stream_is_recorded_as_such(wire: Wire) -> None:
    request_id = new_id()
    wire.ask_and_leave("/endless", request_id)
    record = wire.record(request_id)
    assert (record.status, record.outcome, record.error) == (200, "client_disconnect", None)
