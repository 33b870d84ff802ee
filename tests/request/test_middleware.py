"""Around one request: ``RequestMiddleware`` over a list that keeps what is offered."""

from __future__ import annotations

import contextvars
import gc
import io
import re
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.util import FileWrapper, setup_testing_defaults

import pytest

from chest.record.record import Record
from chest.request.closed_contexts import NO_REQUEST, FinishedContext, context_of, current
from chest.request.context import RequestContext
from chest.request.metadata import RequestMetadata
from chest.request.middleware import RequestMiddleware
from chest.request.sanitizer.redaction import Redaction
from chest.request.selection import Selection
from chest.ring.line import decode_lines
from tests.support import ReadyProcess

UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


class Client:
    """Calls an application as a server does, and keeps the records."""

    def __init__(self, app: Callable[..., Any], **options: Any) -> None:
        self.records: list[Record] = []
        self.process = ReadyProcess()
        selection = {name: options.pop(name) for name in tuple(options) if name in SELECTION_OPTIONS}
        offer = options.pop("offer", self._keep)
        self.app = RequestMiddleware(app, offer, Selection(**selection), self.process, **options)
        self.status = ""
        self.headers: list[tuple[str, str]] = []
        self.written: list[bytes] = []

    def _keep(self, line: bytes) -> None:
        self.records += decode_lines(line, self.process.resource)

    def start_response(self, status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Callable[[bytes], None]:
        self.status, self.headers, self.exc_info = status, headers, exc_info
        return self.written.append

    def open(self, path: str = "/", **environ: Any) -> Iterable[bytes]:
        full: dict[str, Any] = {"PATH_INFO": path, **environ}
        setup_testing_defaults(full)
        self.environ = full
        return self.app(full, self.start_response)

    def get(self, path: str = "/", **environ: Any) -> bytes:
        body = self.open(path, **environ)
        try:
            return b"".join(body)
        finally:
            if hasattr(body, "close"):
                body.close()

    @property
    def record(self) -> Record:
        [record] = self.records
        return record


SELECTION_OPTIONS = {
    "tracked_vars",
    "exclude_paths",
    "redaction",
    "sample",
    "keep_slower_ms",
    "before_record",
    "keeps_messages",
    "keeps_stacktraces",
    "user_ids",
}


def hello(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    environ["chest.context"]["user_id"] = "123"
    return [b"hello"]


def streamed(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", [])
    yield b"a"
    current()["late"] = True
    yield b""
    yield b"bc"


# -- one request, one record ---------------------------------------------------------------------------------------------


def test_a_request_leaves_one_record_of_what_it_was() -> None:
    client = Client(hello)
    assert client.get("/items/1", REQUEST_METHOD="POST") == b"hello"
    record = client.record
    assert record.variables == {"user_id": "123"}
    assert (record.method, record.path, record.status, record.outcome) == ("POST", "/items/1", 200, "ok")
    assert (record.service, record.release, record.host) == ("shop", "1.0", "test")
    assert record.route is None
    assert record.error is None
    assert record.duration_ns > 0
    assert record.attributes == {"url.scheme": "http", "http.response.body.size": 5}
    assert re.fullmatch("[0-9a-f]{32}", record.id)


def test_a_complete_body_is_recorded_before_it_is_returned_and_returned_as_it_is() -> None:
    body = [b"a", b"bc"]
    client = Client(lambda environ, start_response: start_response("200 OK", []) and body)
    assert client.open() is body
    assert client.record.attributes == {"url.scheme": "http", "http.response.body.size": 3}


def test_a_streamed_body_is_recorded_at_its_close() -> None:
    client = Client(streamed)
    body = client.open()
    assert list(body) == [b"a", b"", b"bc"]
    assert client.records == []
    body.close()  # type: ignore[attr-defined]
    body.close()  # type: ignore[attr-defined]
    assert client.record.outcome == "ok"
    assert client.record.variables == {"late": True}
    assert client.record.attributes["http.response.body.size"] == 3
    assert 0 < client.record.attributes["chest.time_to_first_byte_ns"] <= client.record.duration_ns


def test_a_body_that_an_adapter_declares_complete_is_recorded_before_it_is_returned() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        environ["chest.context"].body_is_complete()
        start_response("200 OK", [])
        return iter([b"x"])

    client = Client(app)
    client.open()
    assert client.record.outcome == "ok"


def test_the_iterable_below_is_closed_once_also_when_its_close_raises() -> None:
    closed = []

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            return iter([b"x"])

        def close(self) -> None:
            closed.append(1)
            raise OSError("cannot close")

    client = Client(lambda environ, start_response: start_response("200 OK", []) and Body())
    body = client.open()
    assert list(body) == [b"x"]
    with pytest.raises(OSError, match="cannot close"):
        body.close()  # type: ignore[attr-defined]
    body.close()  # type: ignore[attr-defined]
    assert closed == [1]
    assert (client.record.outcome, client.record.error) == ("error", "OSError")


def test_a_body_has_a_length_only_if_the_one_below_has() -> None:
    class Sized:
        def __iter__(self) -> Iterator[bytes]:
            return iter([b"x"])

        def __len__(self) -> int:
            return 1

    sized = Client(lambda environ, start_response: start_response("200 OK", []) and Sized()).open()
    assert len(sized) == 1  # type: ignore[arg-type]
    assert not hasattr(Client(streamed).open(), "__len__")


def test_a_file_wrapper_is_returned_itself_and_recorded_when_the_server_closes_it() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](io.BytesIO(b"content"))

    client = Client(app)
    body = client.open(**{"wsgi.file_wrapper": FileWrapper})
    assert type(body) is FileWrapper
    assert b"".join(body) == b"content"
    assert client.records == []
    body.close()
    body.close()
    assert client.record.outcome == "ok"
    assert body.filelike.closed


def test_a_file_wrapper_that_takes_no_attribute_is_recorded_when_it_is_returned() -> None:
    class Wrapper:
        __slots__ = ("file",)

        def __init__(self, file: io.BytesIO) -> None:
            self.file = file

    client = Client(lambda environ, start_response: start_response("200 OK", []) and Wrapper(io.BytesIO()))
    assert type(client.open(**{"wsgi.file_wrapper": Wrapper})) is Wrapper
    assert client.record.outcome == "sent_by_server"


def test_an_exception_in_the_app_is_recorded_and_raised_as_it_is() -> None:
    error = ValueError("no such item: mysql://root:hunter2@db/shop")

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        raise error

    client = Client(app)
    with pytest.raises(ValueError, match="no such item") as caught:
        client.open()
    assert caught.value is error
    record = client.record
    assert (record.status, record.outcome, record.error) == (500, "error", "ValueError")
    assert record.attributes["chest.status_inferred"] is True
    assert "hunter2" not in record.attributes["exception.message"]


def test_an_exception_in_the_body_keeps_the_status_that_was_sent() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"x"
        raise KeyError("gone")

    client = Client(app)
    with pytest.raises(KeyError):
        client.get()
    assert (client.record.status, client.record.outcome, client.record.error) == (200, "error", "KeyError")


def test_a_status_of_500_and_more_is_an_error() -> None:
    client = Client(lambda environ, start_response: start_response("503 Service Unavailable", []) and [b""])
    client.get()
    assert (client.record.status, client.record.outcome, client.record.error) == (503, "error", None)


def test_a_stream_closed_before_its_end_is_a_client_that_left() -> None:
    client = Client(streamed)
    body = client.open()
    next(iter(body))
    body.close()  # type: ignore[attr-defined]
    assert (client.record.outcome, client.record.error) == ("client_disconnect", None)


def test_a_stream_never_started_ended_well_if_no_body_is_due() -> None:
    for environ, outcome in (({"REQUEST_METHOD": "HEAD"}, "ok"), ({}, "client_disconnect")):
        client = Client(lambda environ, start_response: start_response("200 OK", []) and iter([b"x"]))
        client.open(**environ).close()  # type: ignore[attr-defined]
        assert client.record.outcome == outcome


@pytest.mark.last_reference
def test_a_body_that_the_server_never_closes_is_recorded_by_its_finalizer() -> None:
    client = Client(streamed)
    body = client.open()
    next(iter(body))
    del body
    gc.collect()
    assert client.record.outcome == "abandoned"
    client = Client(streamed)
    list(client.open())
    gc.collect()
    assert client.record.outcome == "ok"


def test_a_websockets_sentinel_passes_by_identity() -> None:
    sentinel = object()
    client = Client(lambda environ, start_response: sentinel)
    assert client.open(HTTP_UPGRADE="websocket") is sentinel
    assert (client.record.status, client.record.outcome) == (None, "upgraded")


@pytest.mark.parametrize(
    ("error", "outcome"),
    [(SystemExit(0), "shutdown"), (KeyboardInterrupt(), "shutdown"), (GeneratorExit(), "client_disconnect")],
)
def test_an_exception_that_ends_the_worker_is_recorded_and_raised(error: BaseException, outcome: str) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        raise error

    client = Client(app)
    with pytest.raises(type(error)):
        client.open()
    assert client.record.outcome == outcome


def test_mounted_twice_the_outer_one_records() -> None:
    inner = Client(hello)
    outer = Client(inner.app)
    outer.get()
    assert inner.records == []
    assert outer.record.variables == {"user_id": "123"}


def test_the_context_of_an_environ_is_that_of_its_request() -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        assert context_of(environ) is current()
        context_of(environ)["user_id"] = "123"
        start_response("200 OK", [])
        return [b""]

    client = Client(app)
    client.get()
    assert client.records[0].variables == {"user_id": "123"}
    assert context_of({}) is context_of({"chest.context": "another program's"}) is NO_REQUEST


def test_the_environ_is_not_kept() -> None:
    class Environ(dict):  # type: ignore[type-arg]
        pass

    client = Client(streamed)
    environ = Environ()
    setup_testing_defaults(environ)
    body = client.app(environ, client.start_response)
    reference = weakref.ref(environ)
    assert next(iter(body)) == b"a"
    # The generator of the application holds it for as long as it runs; the middleware does not.
    body._body.close()  # type: ignore[attr-defined]
    del environ
    gc.collect()
    assert reference() is None


def test_a_path_is_decoded_as_utf_8_and_made_safe() -> None:
    client = Client(hello)
    client.get("/caf\u00c3\u00a9")
    client.get("/a\0b")
    client.get("/\u00ff")
    client.get("/" + "x" * 5000)
    client.get("/b", SCRIPT_NAME="/a")
    paths = [record.path for record in client.records]
    assert paths[:3] == ["/café", "/a\ufffdb", "/\ufffd"]
    assert len(paths[3]) == 2048
    assert paths[4] == "/a/b"


def test_a_target_in_absolute_form_loses_its_password() -> None:
    client = Client(hello)
    client.get("http://user:hunter2@host/x")
    assert client.record.path == "http://user:[REDACTED]@host/x"


def test_a_valid_traceparent_gives_the_trace_id_and_the_span_of_the_caller() -> None:
    trace_id, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    client = Client(hello)
    client.get(HTTP_TRACEPARENT=f"00-{trace_id}-b7ad6b7169203331-01")
    client.get(HTTP_TRACEPARENT=f"ff-{trace_id}-b7ad6b7169203331-01")
    client.get(HTTP_TRACEPARENT=f"00-{'0' * 32}-b7ad6b7169203331-01")
    assert [record.attributes.get("trace_id") for record in client.records] == [trace_id, None, None]
    assert [record.attributes.get("parent_span_id") for record in client.records] == [parent, None, None]


@pytest.mark.parametrize("trace", [{}, {"trace_id": "a" * 32, "parent_span_id": "b" * 16}])
@pytest.mark.parametrize(
    "scheme", ["http", "https", "".join(["ht", "tp"]), "HTTP", "wss", "", None, 1, type("Text", (str,), {})("http")]
)
def test_the_scheme_is_an_attribute_of_each_record_if_it_is_http_or_https(trace: dict[str, str], scheme: Any) -> None:
    """Complete and streamed, in short rows and long ones."""
    told = {"url.scheme": scheme} if type(scheme) is str and scheme in ("http", "https") else {}
    header = {"HTTP_TRACEPARENT": f"00-{'a' * 32}-{'b' * 16}-01"} if trace else {}
    for app, size in ((hello, 5), (streamed, 3)):
        client = Client(app)
        client.get(**{"wsgi.url_scheme": scheme, **header})
        found = dict(client.record.attributes)
        first_byte_ns = found.pop("chest.time_to_first_byte_ns", None)
        assert found == {"http.response.body.size": size, **told, **trace}
        assert (first_byte_ns is not None) == (app is streamed)


def test_the_application_may_say_another_scheme() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        current().attributes["url.scheme"] = "wss"
        start_response("200 OK", [])
        return []

    client = Client(app)
    client.get()
    assert client.record.attributes == {"url.scheme": "wss"}


# -- start_response ------------------------------------------------------------------------------------------------------


def test_exc_info_is_passed_on_only_if_it_was_given() -> None:
    import sys

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        try:
            raise ValueError
        except ValueError:
            start_response("500 Oops", [], sys.exc_info())
        return [b""]

    client = Client(app)
    client.get()
    assert len(client.exc_info) == 1
    assert client.record.status == 500
    client = Client(hello)
    client.get()
    assert client.exc_info == ()


def test_what_is_written_is_counted_as_body() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])(b"1234")
        return [b"5"]

    client = Client(app)
    client.get()
    assert client.written == [b"1234"]
    assert client.record.attributes["http.response.body.size"] == 5


def test_start_response_may_come_with_the_first_chunk() -> None:
    client = Client(streamed)
    body = client.open()
    assert client.status == ""
    list(body)
    body.close()  # type: ignore[attr-defined]
    assert client.record.status == 200


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
