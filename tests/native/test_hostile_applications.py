"""Applications that no one writes on purpose: the process lives on, and signals come through."""

from __future__ import annotations

import contextlib
import contextvars
import ctypes
import enum
import gc
import mmap
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chest.native import IS_NATIVE
from chest.request.context import RequestContext, current_context
from chest.request.metadata import RequestMetadata
from chest.request.middleware import RequestMiddleware
from chest.request.selection import Selection
from chest.ring.in_flight import InFlight
from tests.request.middleware.client import Client, hello
from tests.support import ReadyProcess

ROOT = Path(__file__).parents[2]


class Ended(BaseException):
    """What the handler of a signal raises."""


class Huge:
    def __len__(self) -> int:
        return sys.maxsize


class InCycle:
    """Garbage that only the collector finds, and that does something then."""

    def __init__(self, end: Callable[[], object]) -> None:
        self.itself = self
        self._end = end

    def __del__(self) -> None:
        self._end()


@pytest.fixture
def _collector() -> Iterator[None]:
    if not hasattr(gc, "get_threshold"):
        pytest.skip("the collector of this Python has no thresholds")
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.enable()


@pytest.mark.usefixtures("_collector")
@pytest.mark.parametrize("allocations", range(8))
def test_garbage_that_ends_the_request_amid_a_late_start_response(allocations: int) -> None:
    said: list[Any] = []

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        said.append(start_response)
        return map(bytes, [])

    client = Client(app)
    body: Any = client.open()
    gc.collect()
    gc.disable()
    InCycle(body.close)
    gc.set_threshold(gc.get_count()[0] + allocations, 100_000, 100_000)
    gc.enable()
    try:
        said.pop()("200 OK", [("a", "b")])
    except (TypeError, AttributeError):  # the request was over
        pass
    body.close()
    gc.collect()
    assert len(client.records) == 1


@pytest.mark.parametrize("name", ["context", "_body", "_current", "_asked", "tail", "path", "emitter"])
@pytest.mark.parametrize("value", [{}, None, 3])
def test_a_stream_whose_attributes_are_no_longer_its_own(name: str, value: object) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"a"

    for is_deleted in (False, True):
        body: Any = Client(app).open()
        assert next(iter(body)) == b"a"
        if is_deleted:
            with contextlib.suppress(AttributeError):  # some are of the compiled part alone
                delattr(body, name)
        else:
            setattr(body, name, value)
        for last in (lambda body: list(body), lambda body: body.close()):
            try:
                last(body)
            except (AttributeError, TypeError, RuntimeError):
                pass
        body.context = None


def test_bodies_longer_than_can_be_counted() -> None:
    def streamed(environ: dict[str, Any], start_response: Any) -> Iterator[Any]:
        start_response("200 OK", [])
        yield Huge()
        yield Huge()

    def whole(environ: dict[str, Any], start_response: Any) -> list[Any]:
        start_response("200 OK", [])
        return [Huge(), Huge()]

    for app in (streamed, whole):
        client = Client(app)
        body: Any = client.open()
        assert len(list(body)) == 2
        if hasattr(body, "close"):
            body.close()
        # In C a sum ends there; in Python it ends at what a store takes.
        most = sys.maxsize if IS_NATIVE else min(2 * sys.maxsize, 2**63 - 1)
        assert client.record.attributes["http.response.body.size"] == most


def test_a_signal_in_the_text_of_an_exception_comes_through() -> None:
    class Failure(Exception):
        def __str__(self) -> str:
            raise Ended

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"a"
        raise Failure

    client = Client(app)
    body: Any = client.open()
    with pytest.raises(Ended):
        list(body)
    body.close()
    assert len(client.records) == 1


def test_a_signal_in_an_adapter_s_last_word_comes_through_and_leaves_no_note_behind() -> None:
    class LastWord(RequestMetadata):
        def at_end(self, context: Any) -> None:
            raise Ended

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        environ["chest.context"].attach_metadata(LastWord())
        return [b"a"]

    process = ReadyProcess()
    process.in_flight = InFlight(process.counters)
    process.in_flight.open(_Slots())  # type: ignore[arg-type]
    middleware = RequestMiddleware(app, [].append, Selection(), process)
    with pytest.raises(Ended):
        middleware({"PATH_INFO": "/", "REQUEST_METHOD": "GET"}, lambda *said: [].append)
    assert process.in_flight.count == 0


class _Slots:
    in_flight_area = mmap.mmap(-1, 4096), 0, 8, 512


def test_an_application_that_asks_its_own_response_for_chunks_goes_on() -> None:
    own: list[Any] = []

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"a"
        with pytest.raises(ValueError, match="already executing"):
            next(own[0])
        yield b"b"
        yield b"c"

    client = Client(app)
    body: Any = client.open()
    own.append(body)
    assert list(body) == [b"a", b"b", b"c"]
    body.close()
    assert client.record.error is None


def test_a_body_that_can_be_iterated_again_is() -> None:
    class Rows(list[bytes]):
        pass

    def app(environ: dict[str, Any], start_response: Any) -> Rows:
        start_response("200 OK", [])
        return Rows([b"a", b"b"])

    body: Any = Client(app).open()
    first = iter(body)
    assert next(first) == b"a"
    assert list(first) == [b"b"]  # a server that buffers the first chunk goes on with the second
    assert list(body) == [b"a", b"b"]
    body.close()


def test_the_name_of_the_header_may_be_a_member_of_an_enum() -> None:
    class Header(enum.StrEnum):
        REQUEST_ID = "X-Trace"

    client = Client(hello, request_id_header=Header.REQUEST_ID)
    client.get(HTTP_X_TRACE="order-42")
    assert ("X-Trace", "order-42") in client.headers


def test_a_middleware_may_be_made_twice() -> None:
    client = Client(hello)
    lines: list[bytes] = []
    client.app.__init__(hello, lines.append, Selection(), client.process)  # type: ignore[misc]
    client.get()
    assert (len(lines), client.records) == (1, [])


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="here C enters no context")
@pytest.mark.parametrize("is_within", [False, True])
def test_a_thread_that_goes_on_in_another_context_than_the_application_was_called_in(is_within: bool) -> None:
    """As it is where greenlets are switched during a chunk: the token of the one context says nothing in the other."""
    outer = RequestContext() if is_within else None
    other = contextvars.Context()

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        assert ctypes.pythonapi.PyContext_Enter(ctypes.py_object(other)) == 0
        yield b"a"

    def iterate() -> None:
        current_context.set(outer)
        chunk = next(body)
        try:
            assert (chunk, current_context.get()) == (b"a", outer)
        finally:
            assert ctypes.pythonapi.PyContext_Exit(ctypes.py_object(other)) == 0

    client = Client(app)
    body: Any = client.open()
    contextvars.Context().run(iterate)
    body.close()
    assert len(client.records) == 1


@pytest.mark.parametrize(
    "name", ["PATH_INFO", "SCRIPT_NAME", "REQUEST_METHOD", "HTTP_TRACEPARENT", "HTTP_X_REQUEST_ID"]
)
def test_a_key_of_environ_that_raises_once_when_a_request_begins_costs_neither_answer_nor_record(name: str) -> None:
    class Key(str):
        __slots__ = ()

        def __hash__(self) -> int:
            return hash(name)

        def __eq__(self, other: object) -> bool:
            compared.append(other)
            if len(compared) == 1:
                raise LookupError("during the request's begin")
            return False

    compared: list[object] = []
    client = Client(hello)
    environ: dict[str, Any] = {"PATH_INFO": "/", "SCRIPT_NAME": "", "REQUEST_METHOD": "GET"}
    environ.pop(name, None)
    environ[Key("key")] = 1
    assert client.app(environ, client.start_response) == [b"hello"]
    assert compared
    assert len(client.records) == 1


@pytest.mark.parametrize("path", ["/", "/excluded", "/a=b"])  # the third is served in Python
@pytest.mark.parametrize(
    "name",
    [
        "PATH_INFO", "SCRIPT_NAME", "REQUEST_METHOD", "HTTP_TRACEPARENT", "HTTP_X_REQUEST_ID", "HTTP_UPGRADE",
        "wsgi.url_scheme", "wsgi.file_wrapper", "chest.context", "werkzeug.request", "bottle.route",
    ],
)  # fmt: skip
@pytest.mark.parametrize("shape", ["list", "stream", "none", "error"])
def test_a_key_of_environ_that_raises_whenever_it_is_compared_costs_neither_answer_nor_record(
    shape: str, name: str, path: str
) -> None:
    class Key(str):
        __slots__ = ()

        def __hash__(self) -> int:
            return hash(name)

        def __eq__(self, other: object) -> bool:
            raise ZeroDivisionError

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [])
        if shape == "error":
            raise LookupError("the application's")
        return {"list": [], "stream": iter([b"a"]), "none": None}[shape]

    client = Client(app, exclude_paths=["/excluded"])
    environ: dict[str, Any] = {"PATH_INFO": path, "REQUEST_METHOD": "GET", "wsgi.url_scheme": "http"}
    environ.pop(name, None)
    environ[Key("key")] = 1
    if shape == "error":
        with pytest.raises(LookupError, match="the application's"):
            client.app(environ, client.start_response)
    else:
        answered: Any = client.app(environ, client.start_response)
        if hasattr(answered, "close"):
            answered.close()
    assert len(client.records) == (path != "/excluded" or name == "PATH_INFO")


def test_a_signal_amid_the_counting_of_a_body_leaves_no_note_behind() -> None:
    class Chunk(bytes):
        def __len__(self) -> int:
            raise Ended

    process = ReadyProcess()
    process.in_flight = InFlight(process.counters)
    process.in_flight.open(_Slots())  # type: ignore[arg-type]
    middleware = RequestMiddleware(lambda environ, start_response: [Chunk(b"a")], [].append, Selection(), process)
    for path in ("/", "/a=b"):  # the second is served in Python
        with pytest.raises(Ended):
            middleware({"PATH_INFO": path, "REQUEST_METHOD": "GET"}, lambda *said: [].append)
        assert process.in_flight.count == 0


def test_streams_that_are_forgotten_in_cycles_may_be_collected_amid_a_request_of_another() -> None:
    """CPython 3.11 crashed where the collector came while a context variable was set, and its finalizer set one, too."""
    program = """
import gc, time
from tests.request.middleware.client import Client, hello

class Box: pass

def streamed(environ, start_response):
    start_response("200 OK", [])
    yield b"a"
    yield b"b"

gc.set_threshold(50, 2, 2)
forgetful, other = Client(streamed), Client(hello)
forgetful._keep = other._keep = lambda line: None
end, number = time.monotonic() + 3, 0
while time.monotonic() < end:
    box = Box()
    box.itself, box.stream = box, forgetful.open()
    next(iter(box.stream))
    del box
    for _ in range(number % 7):
        other.get()
    number += 1
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=300, cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'adapters'}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.last_reference
def test_what_an_abandoned_stream_sets_at_its_end_stays_with_it() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="the thread's")

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        try:
            yield b"a"
        finally:
            variable.set("the stream's")
            ended.append(variable.get())

    ended: list[str] = []
    body = Client(app).open()
    next(iter(body))
    del body
    gc.collect()
    assert ended == ["the stream's"]
    assert variable.get() == "the thread's"
