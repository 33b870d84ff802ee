"""A body that Werkzeug's response returned as a whole is recorded before it is returned; any other at its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from werkzeug.wrappers import Response
from werkzeug.wsgi import ClosingIterator

from chest import current
from tests.request.middleware.client import Client

_SIZE = "http.response.body.size"


@pytest.fixture(autouse=True)
def _a_response_was_seen_before() -> None:
    """From the second one on, the compiled part knows the class."""
    Client(Response("hello")).get()


def _closed_with_a_variable() -> Response:
    response = Response("hello")
    response.call_on_close(lambda: current().update(closed=True))
    return response


class _Shouting(Response):
    def iter_encoded(self) -> Iterator[bytes]:
        return iter([chunk.upper() for chunk in super().iter_encoded()])


def _compressed(environ: dict[str, Any], start_response: Any) -> Any:
    response = Response("hello")
    body = response(environ, start_response)
    return ClosingIterator((chunk[:1] for chunk in body), response.close)


def _of_one_callback_more(environ: dict[str, Any], start_response: Any) -> Any:
    body: Any = Response("hello")(environ, start_response)
    body._callbacks.append(lambda: current().update(closed=True))
    return body


@pytest.mark.parametrize(
    "response", [Response("hello"), Response([b"hel", b"lo"]), Response(("hel", "lo")), Response([b"hello", ""])]
)
def test_a_whole_body_is_recorded_before_it_is_returned(response: Response) -> None:
    client = Client(response)
    body: Any = client.open()
    assert client.record.attributes[_SIZE] == 5
    assert "chest.time_to_first_byte_ns" not in client.record.attributes
    assert b"".join(body) == b"hello"
    body.close()
    assert len(client.records) == 1


def test_a_text_is_counted_in_the_bytes_that_are_sent() -> None:
    client = Client(Response(["née"]))
    assert client.get() == "née".encode()
    assert client.record.attributes[_SIZE] == 4


@pytest.mark.parametrize(
    ("app", "sent"),
    [
        (Response(iter(["hel", "lo"])), b"hello"),
        (_closed_with_a_variable(), b"hello"),
        (_Shouting("hello"), b"HELLO"),
        (_compressed, b"h"),
        (_of_one_callback_more, b"hello"),
    ],
)
def test_any_other_body_is_recorded_at_its_end(app: Callable[..., Any], sent: bytes) -> None:
    client = Client(app)
    body: Any = client.open()
    assert not client.records
    assert b"".join(body) == sent
    body.close()
    assert client.record.attributes[_SIZE] == len(sent)
    assert "chest.time_to_first_byte_ns" in client.record.attributes


def test_what_is_called_at_the_end_of_a_response_may_still_record() -> None:
    client = Client(_closed_with_a_variable())
    client.get()
    assert client.record.variables == {"closed": True}


def test_of_a_release_that_has_no_such_iterator_each_body_is_a_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("werkzeug.wrappers.response.ClosingIterator")
    client = Client(lambda environ, start_response: start_response("200 OK", []) and ClosingIterator([b"hello"]))
    for _ in range(2):
        assert client.get() == b"hello"
    assert [record.attributes[_SIZE] for record in client.records] == [5, 5]


def test_of_classes_made_for_each_response_a_bounded_number_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chest.request.body.whole_body.WHOLE_KINDS", kinds := set[type]())
    for number in range(300):
        client = Client(type(f"Response{number}", (Response,), {})("hello"))
        body = client.open()
        assert client.record.attributes[_SIZE] == 5
        body.close()
    assert 0 < len(kinds) <= 256


@pytest.mark.parametrize("environ", [{"REQUEST_METHOD": "HEAD"}, {}])
def test_a_response_of_which_no_body_is_sent_has_no_bytes(environ: dict[str, str]) -> None:
    client = Client(Response("hello", status=200 if environ else 304))
    assert client.get(**environ) == b""
    assert client.record.attributes.get(_SIZE, 0) == 0


def test_a_text_that_cannot_be_sent_is_recorded_as_the_error_that_it_is() -> None:
    response = Response("")
    response.response = ["\ud800"]
    response.automatically_set_content_length = False
    client = Client(response)
    with pytest.raises(UnicodeEncodeError):
        client.get()
    assert client.record.error == "UnicodeEncodeError"
