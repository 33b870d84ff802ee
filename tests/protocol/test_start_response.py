"""``start_response`` and ``write()``, passed through: late, twice, with an error, and with invalid arguments."""

from __future__ import annotations

import copy
import functools
import gc
import inspect
import io
import pickle
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from chest import current
from tests.protocol.exchange import Exchange, Recorded, environ_of, serve

HEADERS = [("Content-Type", "text/plain")]


def test_the_last_status_counts_when_an_error_replaces_the_response() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", HEADERS)
        for status in ("502 Bad Gateway", "504 Gateway Timeout"):
            try:
                raise ValueError(status)
            except ValueError:
                start_response(status, HEADERS, sys.exc_info())
        return [b"an error page"]

    recorded = Recorded(app)
    exchange = serve(recorded)
    assert (exchange.status, exchange.text) == ("504 Gateway Timeout", b"an error page")
    assert (recorded.record.status, recorded.record.outcome) == (504, "error")
    assert [name for name, _ in exchange.headers] == ["Content-Type", "X-Request-ID"]


def test_exc_info_may_be_passed_by_its_name_and_as_none() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", HEADERS, exc_info=None)
        return [b""]

    recorded = Recorded(app)
    assert serve(recorded).status == "200 OK"
    assert recorded.record.status == 200


def test_no_reference_to_an_error_that_was_handed_to_start_response_is_kept() -> None:
    class Failure(Exception):
        pass

    failures: list[weakref.ref[Failure]] = []

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        try:
            raise Failure
        except Failure as failure:
            failures.append(weakref.ref(failure))
            start_response("500 Oops", HEADERS, sys.exc_info())
        yield b"an error page"

    body = Recorded(app)(environ_of(), Exchange().start_response)
    assert next(iter(body)) == b"an error page"
    gc.collect()
    assert failures[0]() is None
    body.close()  # type: ignore[attr-defined]


def _started_twice(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", HEADERS)
    start_response("201 Created", HEADERS)
    return [b""]


def test_a_second_call_without_an_error_is_the_servers_to_refuse() -> None:
    recorded = Recorded(_started_twice)
    exchange = serve(recorded)
    assert repr(exchange.error) == "AssertionError('start_response was called twice')"
    assert (recorded.record.outcome, recorded.record.error) == ("error", "AssertionError")


def test_a_status_that_the_server_refused_is_not_recorded() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        try:
            return _started_twice(environ, start_response)
        except AssertionError:
            return [b"goes on"]

    recorded = Recorded(app)
    assert serve(recorded).status == "200 OK"
    assert recorded.record.status == 200


def test_a_status_that_came_too_late_is_not_recorded() -> None:
    error = ValueError("found out too late")

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", HEADERS)
        yield b"sent already"
        try:
            raise error
        except ValueError:
            start_response("500 Oops", HEADERS, sys.exc_info())

    recorded = Recorded(app)
    exchange = serve(recorded)
    assert exchange.error is error
    assert (recorded.record.status, recorded.record.error) == (200, "ValueError")


def test_a_lazy_application_may_set_the_id_that_is_echoed_with_its_first_chunk() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        current().request_id = "set-late"
        start_response("202 Accepted", HEADERS)
        yield b"x"

    recorded = Recorded(app)
    exchange = serve(recorded)
    assert dict(exchange.headers)["X-Request-ID"] == recorded.record.request_id == "set-late"
    assert recorded.record.status == 202


def test_a_response_that_is_never_started_is_an_error_without_a_status() -> None:
    recorded = Recorded(lambda environ, start_response: [b"x"])
    serve(recorded)
    assert (recorded.record.status, recorded.record.outcome) == (None, "error")


# -- write() ---------------------------------------------------------------------------------------------------------------


def test_write_goes_to_the_servers_and_iterated_chunks_do_not() -> None:
    written: list[bytes] = []
    returned = object()

    def write(data: bytes) -> object:
        written.append(data)
        return returned

    seen: list[object] = []

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        seen.append(start_response("200 OK", HEADERS)(b"written"))
        return iter([b"iterated"])

    recorded = Recorded(app)
    body = recorded(environ_of(), lambda *_: write)
    assert list(body) == [b"iterated"]
    body.close()  # type: ignore[attr-defined]
    assert written == [b"written"]
    assert seen == [returned]
    assert recorded.record.attributes["http.response.body.size"] == 15


def test_bytes_that_the_server_refused_are_not_counted() -> None:
    def write(data: Any) -> object:
        assert type(data) is bytes
        return None

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        write = start_response("200 OK", HEADERS)
        if environ["PATH_INFO"] == "/late":
            write(b"taken")
        write("text")
        return []

    recorded = Recorded(app)
    for path in ("/", "/late"):
        with pytest.raises(AssertionError):
            recorded(environ_of(path), lambda *_: write)
    assert [(record.status, record.attributes.get("http.response.body.size")) for record in recorded.records] == [
        (500, None),
        (200, 5),
    ]


def test_an_error_of_the_servers_write_passes_through_the_application() -> None:
    error = BrokenPipeError("the client has gone")

    def write(data: bytes) -> object:
        raise error

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", HEADERS)(b"x")
        return []

    recorded = Recorded(app)
    with pytest.raises(BrokenPipeError) as caught:
        recorded(environ_of(), lambda *_: write)
    assert caught.value is error
    assert recorded.record.error == "BrokenPipeError"


# -- headers that are none -------------------------------------------------------------------------------------------------


class _Headers(list[Any]):
    pass


@pytest.mark.parametrize(
    "make",
    [
        list,
        _Headers,
        iter,
    ],
)
def test_headers_reach_the_server_whatever_holds_them(make: Callable[[Any], Any]) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", make([("A", "1"), ("B", "2")]))
        return [b""]

    assert serve(Recorded(app)).headers[:2] == [("A", "1"), ("B", "2")]


def test_an_error_of_the_servers_start_response_passes_by_identity() -> None:
    error = ValueError("no such header is allowed")

    def start_response(*_: Any) -> Any:
        raise error

    recorded = Recorded(lambda environ, start_response: start_response("200 OK", [("a\n", "b")]) and [b""])
    with pytest.raises(ValueError, match="no such header") as caught:
        recorded(environ_of(), start_response)
    assert caught.value is error
    assert recorded.record.error == "ValueError"


# -- a callable like any other ---------------------------------------------------------------------------------------------


@pytest.fixture
def handed() -> Iterator[tuple[Any, dict[str, Any]]]:
    """What an application was handed, while its request is served; the server's own part of it can be pickled."""
    found: list[Any] = []

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", HEADERS)
        found.extend((start_response, environ))
        return iter([b"x"])

    more = {"wsgi.input": io.BytesIO(), "wsgi.errors": io.StringIO()}
    body = Recorded(app)(environ_of(**more), Exchange().start_response)
    yield found[0], found[1]
    body.close()  # type: ignore[attr-defined]


def test_it_is_true_hashable_and_can_be_referred_to_weakly(handed: tuple[Any, dict[str, Any]]) -> None:
    start_response, environ = handed
    assert start_response
    assert {start_response: 1}[environ["chest.context"]] == 1
    assert weakref.ref(start_response)() is start_response
    assert weakref.WeakSet([start_response])


def test_it_has_the_name_and_the_signature_of_a_function(handed: tuple[Any, dict[str, Any]]) -> None:
    start_response, _ = handed
    assert start_response.__name__ == "start_response"
    assert list(inspect.signature(start_response).parameters) == ["status", "headers", "exc_info"]
    inspect.signature(start_response).bind("200 OK", HEADERS)
    assert functools.wraps(start_response)(lambda: None).__name__ == "start_response"


def test_the_name_of_its_class_and_the_variables_of_the_context_are_what_they_were(
    handed: tuple[Any, dict[str, Any]],
) -> None:
    start_response, environ = handed
    assert type(start_response).__name__ == "EchoingContext"
    environ["chest.context"]["user_id"] = "7"
    assert environ["chest.context"] == {"user_id": "7"}


def test_environ_can_be_copied_in_depth_and_what_is_written_to_the_copy_is_not_the_requests(
    handed: tuple[Any, dict[str, Any]],
) -> None:
    _, environ = handed
    context = environ["chest.context"]
    context["cart"], context["lock"] = {"items": [1]}, threading.Lock()
    copied = copy.deepcopy(environ)["chest.context"]
    assert copied == context
    copied["cart"]["items"].append(2)
    copied.route = "/of/the/copy"
    copied.increment("items")
    assert context == {"cart": {"items": [1]}, "lock": context["lock"]}
    assert context.route is None
    assert copied.request_id == context.request_id


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_environ_can_be_pickled_if_the_servers_own_can_be(protocol: int, handed: tuple[Any, dict[str, Any]]) -> None:
    _, environ = handed
    context = environ["chest.context"]
    context["user_id"] = "7"
    for one in (environ, copy.deepcopy(environ)):
        loaded = pickle.loads(pickle.dumps(one, protocol))["chest.context"]
        assert (loaded, loaded.request_id) == ({"user_id": "7"}, context.request_id)


def test_a_request_that_is_served_with_a_copied_environ_leaves_a_record_of_its_own() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        if environ["PATH_INFO"] == "/":
            exchange = Exchange().run(recorded, {**copy.deepcopy(environ), "PATH_INFO": "/inner"})
            start_response(exchange.status, HEADERS)
            return exchange.chunks
        start_response("200 OK", HEADERS)
        return [b"inner"]

    recorded = Recorded(app)
    assert serve(recorded).text == b"inner"
    assert [record.path for record in recorded.records] == ["/inner", "/"]


def test_what_current_gives_outside_a_request_is_copied_as_itself() -> None:
    assert copy.deepcopy(current()) is pickle.loads(pickle.dumps(current())) is current()
