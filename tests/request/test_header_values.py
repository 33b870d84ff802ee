"""Whatever stands in a request's headers: the request goes on, its response is one that a server sends, its record is stored."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chest import ChestMiddleware, Recorder
from chest.chests.contract import Chest, ReadableChest
from chest.chests.memory import MemoryChest
from chest.chests.registry import open_chest, sqlite_url
from chest.dockerflow import Dockerflow
from chest.record.record import Record
from chest.record.row import line_of, row_of
from chest.request.request_id import accepted
from chest.ring.line import decode_lines
from tests.request.middleware.client import Client
from tests.support import examples

_FORMS: Final = [
    "4bf92f3577b34da6a3ce929d0e0e4736", "6b2b7d2e-1c6f-4a2c-9d0b-111122223333",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "127.0.0.1:8000", "[::1]", "https://a:hunter2@host/?token=hunter2",
    "120", "-1", "1e9", "0x10", "\r\nSet-Cookie: a=b", "websocket", "en-GB;q=0.8", "${jndi:ldap://x}", "'; --", "=1+1", "\x00", "",
    "\udcff", "=?utf-8?q?x?=", "\u2028", "a" * 300,
]  # fmt: skip
"""What headers look like, well-formed or not: pieces to be mixed and broken."""

_text = st.one_of(
    st.sampled_from(_FORMS),
    st.binary(max_size=60).map(lambda sent: sent.decode("latin-1")),  # as a server hands it over (PEP 3333)
    st.text(st.characters(exclude_categories=()), max_size=60),  # as no server should
)
VALUES: Final = st.lists(_text, min_size=1, max_size=3).map("".join)
READ: Final = (
    "HTTP_X_REQUEST_ID", "HTTP_TRACEPARENT", "HTTP_TRACESTATE", "HTTP_UPGRADE", "HTTP_HOST", "HTTP_USER_AGENT", "HTTP_ACCEPT_LANGUAGE",
    "HTTP_X_FORWARDED_FOR", "HTTP_RANGE", "CONTENT_LENGTH", "CONTENT_TYPE", "QUERY_STRING", "REQUEST_METHOD", "PATH_INFO", "SCRIPT_NAME",
)  # fmt: skip
HEADERS: Final = st.dictionaries(st.sampled_from(READ), VALUES, min_size=1, max_size=6)
ENDS: Final = ("complete", "streamed", "raised", "says its own id", "keeps what it got")


class Told(Exception):
    """What the application raises."""


def application(environ: dict[str, Any], start_response: Any) -> Any:
    """Ends in the way that the test chose, and trusts its headers more than it should."""
    context, end = environ["chest.context"], environ["test.end"]
    sent = {name: environ[name] for name in READ if name in environ}
    if end == "says its own id":
        context.request_id = environ.get("HTTP_X_REQUEST_ID")
        context.route = environ.get("HTTP_HOST")
    if end == "keeps what it got":
        context.update(sent)
        context.attributes.update(sent)
    if end == "raised":
        raise Told("".join(sent.values()))
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "1")])
    return (chunk for chunk in [b"x"]) if end == "streamed" else [b"x"]


def ask(app: Any, end: str, headers: dict[str, str]) -> tuple[bytes | None, list[tuple[str, str]]]:
    """The body of the response, None if the application raised, and its headers."""
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "test.end": end, **headers}
    said: list[tuple[str, str]] = []
    try:
        body = app(environ, lambda status, headers, *_: said.extend(headers))
        content = b"".join(body)
        if hasattr(body, "close"):
            body.close()
    except Told:
        return None, said
    return content, said


def require_sendable(headers: list[tuple[str, str]]) -> None:
    """PEP 3333 and RFC 9110: no control characters, nothing that is not Latin-1, no space at an end."""
    for name, value in headers:
        assert re.fullmatch(r"[A-Za-z0-9-]+", name)
        assert re.fullmatch(r"[\x21-\x7e]+(?: [\x21-\x7e]+)*", value), repr(value)


class Stores:
    """Every chest that needs no server."""

    def __init__(self, directory: Path) -> None:
        self.log_path = directory / "summary.log"
        urls = (
            sqlite_url(directory / "store.sqlite3"),
            f"ndjson:{directory}/all.ndjson",
            f"log:{self.log_path}?variables=1",
        )
        self.chests: list[Chest] = [MemoryChest(), *map(open_chest, urls)]
        self._cursors: dict[str, Any] = {}

    def require_stored(self, record: Record) -> None:
        """It is taken, read back as it was, and one line in the log."""
        for chest in self.chests:
            chest.write([record])
            if isinstance(chest, ReadableChest):
                [stored] = chest.read(after=self._cursors.get(chest.name))
                self._cursors[chest.name] = stored.cursor
                assert stored.record == record
        lines = self.log_path.read_bytes().split(b"\n")
        assert lines.pop() == b""
        assert len(lines) == 1
        assert re.fullmatch(rb"[\x20-\x7e]+", lines[0])
        json.loads(lines[0])
        self.log_path.write_bytes(b"")


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    stores = Stores(tmp_path_factory.mktemp("stores"))
    yield stores
    for chest in stores.chests:
        chest.close()


@pytest.mark.slow
@given(st.sampled_from(ENDS), HEADERS)
@settings(max_examples=examples(300), deadline=None)
@example("complete", {"HTTP_X_REQUEST_ID": "an-id\r\nSet-Cookie: a=b"})
@example("says its own id", {"HTTP_X_REQUEST_ID": "an-id\n"})
@example("says its own id", {"HTTP_X_REQUEST_ID": "ü"})
@example("keeps what it got", dict.fromkeys(READ, "\x00\ud800\r\n"))
@example("streamed", {"HTTP_TRACEPARENT": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-\n"})
def test_no_header_costs_the_request_its_response_or_its_record(
    stores: Stores, end: str, headers: dict[str, str]
) -> None:
    client = Client(application)
    content, answered = ask(client.app, end, headers)
    assert content == (None if end == "raised" else b"x")
    require_sendable(answered)
    record = client.record
    sent_id = headers.get("HTTP_X_REQUEST_ID")
    if end != "says its own id":
        assert record.request_id == (accepted(sent_id) or record.request_id)
        assert accepted(record.request_id)
    if end != "raised":
        assert dict(answered).get("X-Request-ID", record.request_id) == record.request_id
    assert re.fullmatch("[0-9a-f]{32}", record.attributes.get("trace_id", "0" * 32)) or end == "keeps what it got"
    assert decode_lines(line_of(row_of(record)) or b"", client.process.resource) == [record]
    stores.require_stored(record)


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorder]:
    directory = tmp_path_factory.mktemp("recorder")
    chests = MemoryChest("memory:headers"), open_chest(f"log:{directory}/summary.log")
    with Recorder(chests, directory=directory / "rings", service="shop", ring_bytes=1 << 20) as recorder:
        yield recorder
    chests[0].clear()


@given(st.sampled_from(ENDS), st.dictionaries(st.sampled_from((*READ, "HTTP_X_TRACE")), VALUES, min_size=1, max_size=6))
@settings(max_examples=examples(100), deadline=None)
@example("complete", {"HTTP_X_TRACE": "an-id\r\nSet-Cookie: a=b"})
@example("raised", {"HTTP_X_TRACE": "\ud800", "HTTP_USER_AGENT": "\ud800", "QUERY_STRING": "\ud800"})
def test_no_header_costs_anything_where_dockerflow_reads_them_too(
    recorder: Recorder, end: str, headers: dict[str, str]
) -> None:
    config = {"DOCKERFLOW_REQUEST_ID_HEADER_NAME": "X-Trace", "DOCKERFLOW_SUMMARY_LOG_QUERYSTRING": True}
    memory, log = recorder.chests
    assert isinstance(memory, MemoryChest)
    app = ChestMiddleware(application, recorder=recorder, dockerflow=Dockerflow(config=config))
    before = len(memory.records)
    content, answered = ask(app, end, headers)
    require_sendable(answered)
    assert content == (None if end == "raised" else b"x")
    assert recorder.flush(60)
    assert "dropped" not in recorder.stats()
    assert len(memory.records) == before + 1
    path = Path(log.name.removeprefix("log:"))
    lines = path.read_bytes().split(b"\n")
    assert len(lines) == 2
    assert re.fullmatch(rb"[\x20-\x7e]+", lines[0])
    path.write_bytes(b"")
