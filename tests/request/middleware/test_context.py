"""The request's id and its context, through ``ChestMiddleware``."""

from __future__ import annotations

import contextvars
import gc
import re
import threading
from collections.abc import Iterable, Iterator
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest

from chest.request.closed_contexts import NO_REQUEST, FinishedContext, current
from chest.request.context import RequestContext
from chest.request.metadata import RequestMetadata
from chest.request.middleware import RequestMiddleware
from chest.request.sanitizer.redaction import Redaction
from chest.request.selection import Selection
from tests.request.middleware.client import Client, hello, streamed
from tests.support import ReadyProcess

UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


# -- the request's id ----------------------------------------------------------------------------------------------------


def test_a_request_gets_an_id_in_the_form_of_uuid4_which_is_echoed() -> None:
    client = Client(hello)
    client.get()
    assert UUID4.fullmatch(client.record.request_id)
    assert ("X-Request-ID", client.record.request_id) in client.headers


def test_ids_do_not_repeat() -> None:
    client = Client(hello)
    for _ in range(500):
        client.get()
    assert len({record.request_id for record in client.records}) == 500
    assert len({record.id for record in client.records}) == 500


def test_the_request_id_of_nginx_is_taken_and_told_back_as_it_is() -> None:
    client = Client(hello)
    nginx_s = "9f86d081884c7d659a2feaa0c55ad015"  # 32 hexadecimal digits
    client.get(HTTP_X_REQUEST_ID=nginx_s)
    assert client.record.request_id == nginx_s
    assert ("X-Request-ID", nginx_s) in client.headers


def test_a_valid_incoming_id_is_taken_and_any_other_ignored() -> None:
    client = Client(hello)
    for value in ("abc-1.2_3", "a b", "<script>", "x" * 129, "", "é"):
        client.get(HTTP_X_REQUEST_ID=value)
    assert client.records[0].request_id == "abc-1.2_3"
    assert all(UUID4.fullmatch(record.request_id) for record in client.records[1:])


def test_the_users_generator_comes_before_the_header() -> None:
    client = Client(hello, request_id_generator=lambda: 42)
    client.get(HTTP_X_REQUEST_ID="abc")
    assert client.record.request_id == "42"


def test_a_generator_that_raises_costs_nothing_but_its_id() -> None:
    client = Client(hello, request_id_generator=lambda: 1 / 0)
    client.get()
    assert UUID4.fullmatch(client.record.request_id)
    assert client.process.counters.get("request_id_generator_failed") == 1


def test_the_applications_own_id_counts_most() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        current().request_id = "order-7" + "x" * 300
        start_response("200 OK", [])
        return [b""]

    client = Client(app, request_id_generator=lambda: "generated")
    client.get(HTTP_X_REQUEST_ID="incoming")
    assert client.record.request_id == ("order-7" + "x" * 300)[:255]


def test_an_id_that_no_header_may_hold_is_not_echoed() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        current().request_id = "a\r\nSet-Cookie: x"
        start_response("200 OK", [])
        return [b""]

    client = Client(app)
    client.get()
    assert client.headers == []


@pytest.mark.parametrize("made", ["a\r\nSet-Cookie: x=1", "é✓", "\ud800", "two words"])
def test_an_id_of_the_generator_that_no_header_may_hold_is_recorded_and_not_echoed(made: str) -> None:
    client = Client(hello, request_id_generator=lambda: made)
    client.get()
    assert [name for name, _ in client.headers] == ["Content-Type"]
    assert client.record.request_id == made.replace("\ud800", "\ufffd")


def test_values_in_environ_that_are_no_text_cost_the_request_nothing() -> None:
    client = Client(hello, exclude_paths=["/static/*"])
    odd = {
        "SCRIPT_NAME": "/a",
        "PATH_INFO": 7,
        "HTTP_X_REQUEST_ID": 5,
        "HTTP_TRACEPARENT": None,
        "REQUEST_METHOD": None,
    }
    environ: dict[str, Any] = {}
    setup_testing_defaults(environ)
    assert client.app(environ | odd, client.start_response) == [b"hello"]
    assert (client.record.path, client.record.method) == ("/a7", "")


def test_an_id_that_the_application_echoes_is_left_as_it_is() -> None:
    headers = [("x-request-id", "mine")]
    client = Client(lambda environ, start_response: start_response("200 OK", headers) and [b""])
    client.get()
    assert client.headers is headers


def test_the_applications_list_of_headers_is_not_changed() -> None:
    headers = [("A", "b")]
    client = Client(lambda environ, start_response: start_response("200 OK", headers) and [b""])
    client.get()
    assert headers == [("A", "b")]
    assert len(client.headers) == 2


def test_the_echo_can_be_turned_off_and_the_header_named() -> None:
    client = Client(hello, echo_request_id=False)
    client.get()
    assert [name for name, _ in client.headers] == ["Content-Type"]
    client = Client(hello, request_id_header="X-Correlation-Id")
    client.get(HTTP_X_CORRELATION_ID="abc")
    assert ("X-Correlation-Id", "abc") in client.headers


# -- the context ---------------------------------------------------------------------------------------------------------


def test_current_is_the_requests_context_inside_and_keeps_nothing_outside() -> None:
    seen: list[Any] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.append(current() is environ["chest.context"])
        current().increment("queries")
        current().increment("queries", 2)
        current().increment("hits", True)
        with current().timer("render"):
            pass
        with current().timer("render"):
            pass
        return hello(environ, start_response)

    client = Client(app)
    client.get()
    assert seen == [True]
    variables = client.record.variables
    assert variables["queries"] == 3
    assert variables["hits"] is not True, "a count begins at 0"
    assert variables["hits"] == 1
    assert variables["render_count"] == 2
    assert variables["render_ms"] > 0
    assert current() is NO_REQUEST
    current()["x"] = 1
    current().update(y=2)
    current().request_id = "z"
    current().increment("n")
    with current().timer("t"):
        pass
    current().exclude()
    current().route = "/x"
    current().user = "42"
    assert dict(current()) == {}
    assert (current().request_id, current().route, current().user) == ("", None, None)


def test_streams_interleaved_on_one_thread_keep_their_contexts_apart() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        for _ in range(3):
            current().increment(environ["PATH_INFO"])
            yield b"x"

    client = Client(app)
    first, second = client.open("/a"), client.open("/b")
    for one, two in zip(first, second, strict=True):
        assert (one, two) == (b"x", b"x")
        assert current() is NO_REQUEST
    first.close()  # type: ignore[attr-defined]
    second.close()  # type: ignore[attr-defined]
    assert [record.variables for record in client.records] == [{"/a": 3}, {"/b": 3}]


def test_a_stream_may_be_closed_in_another_context() -> None:
    client = Client(streamed)
    body = contextvars.copy_context().run(client.open)
    list(body)
    contextvars.copy_context().run(body.close)  # type: ignore[attr-defined]
    assert client.record.outcome == "ok"


def test_a_thread_that_was_handed_the_context_writes_into_it() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        context = current()
        outside: list[Any] = []
        thread = threading.Thread(target=lambda: (context.update(by_hand=1), outside.append(current())))
        copied = threading.Thread(target=contextvars.copy_context().run, args=(lambda: current().update(copied=2),))
        for one in (thread, copied):
            one.start()
            one.join()
        assert outside == [NO_REQUEST]
        return hello(environ, start_response)

    client = Client(app)
    client.get()
    assert client.record.variables == {"by_hand": 1, "copied": 2, "user_id": "123"}


def test_a_write_after_the_end_is_counted_and_changes_no_record() -> None:
    kept: list[RequestContext] = []
    nested = {"items": [1]}

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        kept.append(current())
        current()["cart"] = nested
        return hello(environ, start_response)

    client = Client(app)
    client.get()
    [context] = kept
    assert isinstance(context, FinishedContext)
    nested["items"].append(2)
    context["user_id"] = "456"
    context.update(user_id="456")
    context.setdefault("x", 1)
    context |= {"y": 1}
    context.increment("n")
    context.route = "/late"
    context.exclude()
    context.clear()
    assert client.record.variables == {"cart": {"items": [1]}, "user_id": "123"}
    assert context["user_id"] == "123"
    assert client.process.counters.get("late_writes") == 8


def test_an_excluded_request_leaves_no_record() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        current().exclude()
        return hello(environ, start_response)

    client = Client(app)
    client.get()
    assert client.records == []
    assert client.process.counters.snapshot().get("dropped") is None


def test_route_attributes_and_a_handled_error_can_be_told() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        current().route = "/items/<id>"
        current().attributes["endpoint"] = "items.show"
        current().record_error(LookupError("no such item"))
        return hello(environ, start_response)

    client = Client(app)
    client.get()
    record = client.record
    assert (record.route, record.error, record.outcome) == ("/items/<id>", "LookupError", "ok")
    assert record.attributes["endpoint"] == "items.show"
    assert record.attributes["exception.message"] == "no such item"


def test_what_was_hidden_in_variables_and_in_attributes_is_counted_together() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        current()["token"] = "t"
        current()["n"] = float("nan")
        raise ValueError("x" * 1000 + " postgres://root:hunter2@db/shop " + "y" * 5000)

    client = Client(app, redaction=Redaction(["token"], []))
    with pytest.raises(ValueError, match="hunter2"):
        client.open()
    attributes = client.record.attributes
    assert attributes["chest.redacted"] == 2
    assert attributes["chest.sanitized"] == {"n": "not_finite", "exception.message": "redacted, value_bytes"}
    assert len(attributes["exception.message"]) == 1024
    assert "hunter" not in attributes["exception.message"]


# -- an adapter's facts --------------------------------------------------------------------------------------------------


class LastWord(RequestMetadata):
    """RequestMetadata that have a last word."""

    def at_end(self, context: RequestContext) -> None:
        context["rows"] = len(context)


@pytest.mark.parametrize("end", ["complete", "declared", "streamed", "raised", "never closed"])
def test_an_adapters_facts_have_the_last_word_whichever_way_a_request_ends(end: str) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        context = environ["chest.context"]
        context.attach_metadata(LastWord())
        start_response("200 OK", [])
        context["said"] = True
        if end == "raised":
            raise LookupError
        if end == "declared":
            context.body_is_complete()
        return [b"a"] if end == "complete" else iter([b"a"])

    client = Client(app)
    if end == "raised":
        with pytest.raises(LookupError):
            client.get()
    elif end == "never closed":
        list(client.open())
        gc.collect()
    else:
        client.get()
    assert client.record.variables == {"said": True, "rows": 1}


def test_what_was_said_before_an_adapter_came_is_taken_over() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        context = environ["chest.context"]
        context.route = "/"
        context.attributes["colour"] = "red"
        context.record_error(LookupError("no such item"))
        context.body_is_complete()
        context.attach_metadata(LastWord())
        start_response("200 OK", [])
        return iter([b"a"])

    client = Client(app)
    client.open()
    assert (client.record.route, client.record.error) == ("/", "LookupError")
    assert client.record.attributes == {"url.scheme": "http", "colour": "red", "exception.message": "no such item"}


def test_facts_that_come_after_the_end_are_counted() -> None:
    client = Client(hello)
    client.get()
    client.environ["chest.context"].attach_metadata(LastWord())
    assert client.process.counters.get("late_writes") == 1


# -- nothing of ours reaches the request -----------------------------------------------------------------------------------


def test_an_offer_that_raises_is_counted_and_the_request_goes_on() -> None:
    client = Client(hello)
    broken = RequestMiddleware(hello, lambda record: 1 / 0, Selection(), client.process)
    environ: dict[str, Any] = {}
    setup_testing_defaults(environ)
    assert broken(environ, client.start_response) == [b"hello"]
    assert client.process.counters.snapshot()["dropped"] == {"internal_error": 1}


def test_a_process_that_is_not_ready_is_prepared_before_the_app_runs() -> None:
    order: list[str] = []

    class Process(ReadyProcess):
        def prepare(self) -> None:
            order.append("prepare")
            self.fork_guard[0] = 1

    process = Process()
    process.fork_guard[0] = 0
    app = RequestMiddleware(lambda *call: order.append("app") or hello(*call), order.append, Selection(), process)
    for _ in range(2):
        environ: dict[str, Any] = {}
        setup_testing_defaults(environ)
        app(environ, lambda *call: None)  # type: ignore[arg-type,return-value]
    assert [entry if isinstance(entry, str) else "record" for entry in order] == [
        "prepare",
        "app",
        "record",
        "app",
        "record",
    ]


def test_headers_that_are_no_headers_are_left_for_the_server_to_refuse() -> None:
    client = Client(lambda environ, start_response: start_response("200 OK", None) and [b""])
    client.get()
    assert client.headers is None  # type: ignore[comparison-overlap]
