"""A streamed body: handed through value for value, measured until its end, and ended once, by server or client."""

from __future__ import annotations

import errno
import gc
import io
import ssl
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any
from wsgiref.util import FileWrapper

import pytest

from chest import ChestMiddleware, Recorder, current
from chest.chests.memory import MemoryChest
from chest.request.closed_contexts import NO_REQUEST
from chest.request.middleware import RequestMiddleware
from chest.request.selection import Selection
from tests.protocol.exchange import Exchange, Recorded, environ_of, serve


def _app(body: Iterable[bytes], status: str = "200 OK") -> Any:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response(status, [("Content-Type", "text/plain")])
        return body

    return app


def _ignored(*_: Any) -> Any:
    return lambda data: None


class Counted:
    """A body that counts what is done to it."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = chunks
        self.iterators = self.pulled = self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        self.iterators += 1
        for chunk in self.chunks:
            self.pulled += 1
            yield chunk

    def close(self) -> None:
        self.closed += 1


# -- what is handed through ------------------------------------------------------------------------------------------------


def test_every_value_is_handed_through_as_it_is_when_it_is_asked_for() -> None:
    chunks = [b"first", b"", bytearray(b"no bytes, strictly"), b"last"]
    counted = Counted(*chunks)  # type: ignore[arg-type]
    body = iter(Recorded(_app(counted))(environ_of(), _ignored))
    for number, chunk in enumerate(chunks, start=1):
        assert next(body) is chunk
        assert counted.pulled == number
    with pytest.raises(StopIteration):
        next(body)


def test_the_iterable_is_iterated_once_and_closed_itself_not_its_iterator() -> None:
    closed = []

    class ClosableIterator:
        def __init__(self) -> None:
            self._chunks = iter([b"one\n", b"two\n"])

        def __iter__(self) -> Iterator[bytes]:
            return self

        def __next__(self) -> bytes:
            return next(self._chunks)

        def close(self) -> None:
            closed.append("iterator")

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            return ClosableIterator()

        def close(self) -> None:
            closed.append("iterable")

    exchange = serve(Recorded(_app(Body())))
    assert exchange.chunks == [b"one\n", b"two\n"]
    exchange.body.close()  # type: ignore[union-attr]
    assert closed == ["iterable"]


def test_a_body_without_a_close_ends_at_the_close_of_the_server() -> None:
    app = Recorded(_app(iter([b"x"])))
    assert serve(app).chunks == [b"x"]
    assert app.record.outcome == "ok"


def test_the_iterable_is_closed_once_also_when_recording_fails() -> None:
    counted = Counted(b"x")
    app = Recorded(_app(counted))
    broken = RequestMiddleware(_app(counted), lambda record: 1 / 0, Selection(), app.process)
    exchange = serve(broken)
    assert (exchange.error, exchange.chunks, counted.closed) == (None, [b"x"], 1)
    assert app.process.counters.snapshot()["dropped"] == {"internal_error": 1}


@pytest.mark.parametrize(
    ("method", "status", "outcome"),
    [
        ("HEAD", "200 OK", "ok"),
        ("GET", "204 No Content", "ok"),
        ("GET", "304 Not Modified", "ok"),
        ("GET", "200 OK", "client_disconnect"),
    ],
)
def test_a_body_that_the_server_does_not_read_is_not_read_but_closed(method: str, status: str, outcome: str) -> None:
    counted = Counted(b"x")
    app = Recorded(_app(counted, status))
    app(environ_of(method=method), _ignored).close()  # type: ignore[attr-defined]
    assert (counted.iterators, counted.pulled, counted.closed) == (0, 0, 1)
    assert (app.record.status, app.record.outcome) == (int(status[:3]), outcome)


def test_a_generator_may_be_asked_for_its_first_chunk_without_iter() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"x"

    body = Recorded(app)(environ_of(), _ignored)
    assert next(body) == b"x"  # type: ignore[call-overload]


def test_a_second_iterator_goes_on_where_the_first_one_was() -> None:
    """A test client takes the first chunk to see the headers, and then iterates over the rest."""
    exchange = Exchange()
    body = Recorded(_app(Counted(b"a", b"b", b"c")))(environ_of(), exchange.start_response)
    iterator = iter(body)
    assert next(iterator) == b"a"
    assert iter(iterator) is iterator
    assert list(iterator) == [b"b", b"c"]


def test_a_body_that_cannot_be_iterated_leaves_no_request_behind_in_its_thread() -> None:
    class Broken:
        def __iter__(self) -> Iterator[bytes]:
            raise LookupError("no cursor")

    app = Recorded(_app(Broken()))
    body = app(environ_of(), _ignored)
    for begin in (lambda body: next(iter(body)), next):
        with pytest.raises(LookupError):
            begin(body)  # type: ignore[no-untyped-call]
        assert current() is NO_REQUEST
    body.close()  # type: ignore[attr-defined]
    with pytest.raises(StopIteration):
        next(body)  # type: ignore[call-overload]
    assert current() is NO_REQUEST
    assert (app.record.status, app.record.error) == (500, "LookupError")


def test_what_the_application_returned_can_be_asked_for_what_it_knows() -> None:
    class Page:
        status_code = 404

        def __iter__(self) -> Iterator[bytes]:
            return iter([b"a", b"b"])

        def __bytes__(self) -> bytes:
            return b"ab"

        def fileno(self) -> int:
            raise AssertionError("a server that asks would send a file past the middleware")

    body: Any = Recorded(_app(Page()))(environ_of(), _ignored)
    assert (body.status_code, bytes(body), hasattr(body, "missing"), hasattr(body, "fileno")) == (
        404,
        b"ab",
        False,
        False,
    )
    assert list(body) == [b"a", b"b"]
    body.close()
    assert not hasattr(body, "status_code")


# -- what is measured ------------------------------------------------------------------------------------------------------


def test_a_duration_lasts_until_the_close_and_the_first_byte_is_that_of_the_first_chunk_with_any() -> None:
    marks = []

    def chunks() -> Iterator[bytes]:
        yield b""
        marks.append(time.perf_counter_ns())
        yield b"first"
        marks.append(time.perf_counter_ns())
        yield b"second"

    app = Recorded(_app(chunks()))
    begin = time.perf_counter_ns()
    body = app(environ_of(), _ignored)
    returned = time.perf_counter_ns()
    assert b"".join(body) == b"firstsecond"
    before_close = time.perf_counter_ns()
    body.close()  # type: ignore[attr-defined]
    end = time.perf_counter_ns()
    record = app.record
    assert before_close - returned < record.duration_ns <= end - begin
    assert marks[0] - returned < record.attributes["chest.time_to_first_byte_ns"] <= marks[1] - begin
    assert record.attributes["http.response.body.size"] == 11


def test_a_body_of_nothing_has_neither_a_size_nor_a_first_byte() -> None:
    app = Recorded(_app(iter([b"", b""])))
    serve(app)
    assert app.record.attributes == {"url.scheme": "http"}


# -- who ends it -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunks", [(b"a", b"b"), (b"", b"")])
def test_a_stream_that_is_closed_early_is_a_client_that_left_and_its_generator_is_told(chunks: tuple[bytes]) -> None:
    told = []

    def stream() -> Iterator[bytes]:
        try:
            yield from chunks
        except GeneratorExit:
            told.append("exit")
            raise

    app = Recorded(_app(stream()))
    body = app(environ_of(), _ignored)
    next(iter(body))
    body.close()  # type: ignore[attr-defined]
    assert told == ["exit"]
    assert (app.record.outcome, app.record.error) == ("client_disconnect", None)


def test_a_generator_that_fails_on_being_closed_is_an_error() -> None:
    def stream() -> Iterator[bytes]:
        try:
            yield b"x"
        finally:
            raise OSError("the session could not be closed")

    app = Recorded(_app(stream()))
    body = app(environ_of(), _ignored)
    next(iter(body))
    with pytest.raises(OSError, match="session"):
        body.close()  # type: ignore[attr-defined]
    assert (app.record.outcome, app.record.error) == ("error", "OSError")


@pytest.mark.last_reference
def test_a_stream_that_is_not_closed_is_recorded_when_it_is_forgotten_in_whatever_thread() -> None:
    app = Recorded(_app(iter([b"a", b"b"])))
    held = [app(environ_of(), _ignored)]
    next(iter(held[0]))
    assert app.records == []
    thread = threading.Thread(target=held.clear)
    thread.start()
    thread.join()
    assert app.record.outcome == "abandoned"


@pytest.mark.last_reference
def test_a_forgotten_stream_may_be_collected_in_the_middle_of_another_record() -> None:
    chest = MemoryChest()
    abandoned = []

    def collect(record: Any) -> None:
        if record.path == "/other":
            gc.collect()  # as it may happen at any allocation

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        if environ["PATH_INFO"] == "/other":
            return [b"other"]
        abandoned.append(1)
        return iter([b"a", b"b"])

    with Recorder(chests=[chest], service="streams") as recorder:
        recorded = ChestMiddleware(app, recorder=recorder, before_record=collect)
        body = recorded(environ_of("/forgotten"), _ignored)
        cycle: list[Any] = [iter(body)]
        cycle.append(cycle)
        gc.disable()
        try:
            del body, cycle
            assert recorded(environ_of("/other"), _ignored) == [b"other"]
        finally:
            gc.enable()
        assert recorder.flush(60)
    assert sorted((record.path, record.outcome) for record in chest.records) == [
        ("/forgotten", "abandoned"),
        ("/other", "ok"),
    ]


def test_an_answer_to_its_last_byte_and_a_flush_are_enough_to_find_the_record_of_a_complete_body() -> None:
    chest = MemoryChest()
    with Recorder(chests=[chest], service="streams") as recorder:
        recorded = ChestMiddleware(_app([b"complete"]), recorder=recorder)
        for number in range(1, 21):
            recorded(environ_of(), _ignored)  # the server has not sent a byte yet
            assert recorder.flush(60)
            assert len(chest.records) == number


def test_the_first_chunk_of_a_stream_is_there_while_the_rest_is_not_made_yet() -> None:
    """No buffering: what streams of events live from."""
    events = iter(range(1_000_000))
    app = Recorded(_app(b"data: %d\n\n" % number for number in events))
    exchange = Exchange()
    body = app(environ_of(), exchange.start_response)
    assert next(iter(body)) == b"data: 0\n\n"
    assert next(events) == 1
    body.close()  # type: ignore[attr-defined]


# -- what the server raised ------------------------------------------------------------------------------------------------


class ClientDisconnected(Exception):
    """As waitress names it."""


class GreenletExit(BaseException):
    """As gevent names it."""


ENDS: list[tuple[BaseException, str, str | None]] = [
    (BrokenPipeError(), "client_disconnect", None),
    (ConnectionResetError(), "client_disconnect", None),
    (TimeoutError(), "client_disconnect", None),
    (OSError(errno.ENOTCONN, "not connected"), "client_disconnect", None),
    (OSError("write error"), "client_disconnect", None),
    (ssl.SSLEOFError(), "client_disconnect", None),
    (ClientDisconnected(), "client_disconnect", None),
    (OSError(errno.ENOSPC, "the server's own file"), "error", "OSError"),
    (FileNotFoundError(errno.ENOENT, "gone"), "error", "FileNotFoundError"),
    (AssertionError("must be bytes"), "error", "AssertionError"),
    (SystemExit(0), "shutdown", "SystemExit"),
    (KeyboardInterrupt(), "shutdown", "KeyboardInterrupt"),
    (GreenletExit(), "shutdown", "GreenletExit"),
]


def _consumed(body: Any, error: BaseException) -> None:
    """As servers do: what they raise while they send is on its way when they close the body."""
    try:
        next(iter(body))
        raise error
    finally:
        body.close()


def _through_a_generator(body: Any) -> Iterator[bytes]:
    try:
        yield from body
    finally:
        body.close()


@pytest.mark.parametrize(("error", "outcome", "name"), ENDS, ids=lambda value: repr(value))
@pytest.mark.parametrize("around", [lambda body: body, _through_a_generator])
@pytest.mark.parametrize("kind", [iter, lambda chunks: (chunk for chunk in chunks)])
def test_what_the_server_raises_says_how_the_stream_ended(
    error: BaseException, outcome: str, name: str | None, around: Any, kind: Any
) -> None:
    if around is _through_a_generator and outcome != "client_disconnect" and sys.implementation.name == "pypy":
        pytest.skip("PyPy tells a generator that is closed nothing of the exception on its way")
    recorded = Recorded(_app(kind([b"sent", b"never sent"])))
    with pytest.raises(type(error)):
        _consumed(around(recorded(environ_of(), _ignored)), error)
    record = recorded.record
    assert (record.status, record.outcome, record.error) == (200, outcome, name)
    if outcome == "error":
        assert record.attributes.get("exception.message", "") == str(error)
        assert "http.response.body.size" not in record.attributes, "the server refused it"


def test_an_exception_that_was_handled_before_the_request_says_nothing_of_it() -> None:
    recorded = Recorded(_app(Counted(b"x", b"y")))
    try:
        raise ValueError("long ago")
    except ValueError:
        serve(recorded)
        body = recorded(environ_of(), _ignored)
        assert next(iter(body)) == b"x"
        body.close()  # type: ignore[attr-defined]
    assert [(record.outcome, record.error) for record in recorded.records] == [
        ("ok", None),
        ("client_disconnect", None),
    ]


def test_what_the_application_raised_counts_and_not_what_the_server_makes_of_it() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"x"
        raise LookupError("the application's")

    recorded = Recorded(app)
    body: Any = recorded(environ_of(), _ignored)
    with pytest.raises(LookupError):
        list(body)
    try:
        raise ConnectionError
    except ConnectionError:
        body.close()
    assert (recorded.record.outcome, recorded.record.error) == ("error", "LookupError")


def test_a_stream_that_was_taken_to_its_end_has_ended_well_whatever_asked_for_it() -> None:
    recorded = Recorded(_app(chunk for chunk in [b"x"]))
    body: Any = recorded(environ_of(), _ignored)
    chunks = iter(body)
    try:
        while True:
            next(chunks)
    except StopIteration:
        body.close()
    assert (recorded.record.outcome, recorded.record.error) == ("ok", None)


@pytest.mark.parametrize("has_sent", [True, False])
def test_a_server_that_fails_before_it_has_sent_the_status_answers_500(has_sent: bool) -> None:
    class Handler:
        headers_sent = has_sent

        def start_response(self, *said: Any) -> Any:
            return _ignored

    recorded = Recorded(_app(iter(["text"])))  # type: ignore[list-item]
    with pytest.raises(AssertionError):
        _consumed(recorded(environ_of(), Handler().start_response), AssertionError("must be bytes"))
    assert recorded.record.status == (200 if has_sent else 500)
    assert recorded.record.attributes.get("chest.status_inferred", False) is not has_sent


@pytest.mark.parametrize(("error", "outcome", "name"), ENDS[:1] + ENDS[9:10])
def test_what_the_server_raises_over_a_file_says_how_that_ended(
    error: BaseException, outcome: str, name: str | None
) -> None:
    recorded = Recorded(_app(FileWrapper(io.BytesIO(b"content"))))
    body = recorded(environ_of(**{"wsgi.file_wrapper": FileWrapper}), _ignored)
    with pytest.raises(type(error)):
        _consumed(body, error)
    assert (recorded.record.outcome, recorded.record.error) == (outcome, name)


@pytest.mark.parametrize(("error", "outcome", "name"), ENDS[:1] + ENDS[9:10])
def test_what_the_server_raises_in_write_says_how_the_request_ended(
    error: BaseException, outcome: str, name: str | None
) -> None:
    def write(data: bytes) -> object:
        raise error

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])(b"x")
        return []

    recorded = Recorded(app)
    with pytest.raises(type(error)):
        recorded(environ_of(), lambda *_: write)
    assert (recorded.record.outcome, recorded.record.error) == (outcome, type(error).__name__)
