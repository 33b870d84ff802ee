"""One request through ``ChestMiddleware``, one record."""

from __future__ import annotations

import gc
import io
import re
import weakref
from collections.abc import Iterator
from typing import Any
from wsgiref.util import FileWrapper, setup_testing_defaults

import pytest

from chest.request.closed_contexts import NO_REQUEST, context_of, current
from tests.request.middleware.client import Client, hello, streamed

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
