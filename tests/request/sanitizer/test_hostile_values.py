"""What an application, a server or a client may hand over and should not: it costs neither the request nor the record."""

from __future__ import annotations

import enum
import gc
import io
import os
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.util import FileWrapper

import pytest

from chest.request.closed_contexts import current
from chest.request.context import RequestContext
from chest.request.middleware import RequestMiddleware
from chest.request.sanitizer.redaction import Redaction
from chest.request.selection import Selection
from tests.request.middleware.client import Client, hello
from tests.support import ReadyProcess

ROOT = Path(__file__).parents[3]


class Name(str):
    """A name that is no plain text, as ``markupsafe.Markup`` is none."""

    __slots__ = ()


class Variable(enum.StrEnum):
    user_id = "user_id"


def _answering(say: Callable[[RequestContext], object], **options: Any) -> Client:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        say(environ["chest.context"])
        return [b"x"]

    return Client(app, redaction=Redaction(["password", "*token"], []), **options)


# -- what an application says --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [Name("user_id"), Variable.user_id])
def test_a_name_of_a_class_of_its_own_that_equals_a_known_one_loses_no_variable(name: str) -> None:
    names: Iterator[str] = iter(("user_id", name, name))
    client = _answering(lambda context: context.update({next(names): "1"}))
    for _ in range(3):
        client.get()
    assert [record.variables for record in client.records] == [{"user_id": "1"}] * 3
    assert not any("chest.sanitized" in record.attributes for record in client.records)


def test_a_secret_is_hidden_after_names_were_learned_in_every_way_a_request_ends() -> None:
    secrets = {"user_id": "1", "password": "hunter2", "url": "https://ada:hunter2@host/?access_token=hunter2"}

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [])
        context = environ["chest.context"]
        context.update(dict.fromkeys(secrets, "plain") if environ["PATH_INFO"] == "/learn" else secrets)
        if environ["PATH_INFO"] == "/told":
            context.attributes.update(secrets)
        if environ["PATH_INFO"] == "/raised":
            raise ValueError(secrets["url"])
        return (chunk for chunk in [b"x"]) if environ["PATH_INFO"] == "/streamed" else [b"x"]

    client = Client(app, redaction=Redaction(["password", "*token"], []))
    for path in ("/learn", "/learn", "/complete", "/streamed", "/told", "/reset?access_token=hunter2"):
        client.get(path)
    with pytest.raises(ValueError, match="hunter2"):
        client.get("/raised")
    assert len(client.records) == 7
    assert "hunter2" not in repr(client.records)


def test_many_variables_are_set_at_once_so_that_none_comes_behind_the_end() -> None:
    late = RequestContext()

    def one_after_another() -> Iterator[tuple[str, str]]:
        yield "a", "1"
        assert dict(late) == {}
        yield "b", "2"

    late.update(one_after_another(), c="3")
    assert dict(late) == {"a": "1", "b": "2", "c": "3"}


def test_what_chest_tells_of_its_own_cannot_be_told_by_others() -> None:
    def say(context: RequestContext) -> None:
        context["odd"] = object()
        context.attributes.update({"chest.sanitized": "nothing", "chest.redacted": "many", "token": "t"})

    client = _answering(say)
    client.get()
    attributes = client.record.attributes
    assert (attributes["chest.sanitized"], attributes["chest.redacted"]) == ({"odd": "type:object"}, 1)


class Unprintable:
    def __str__(self) -> str:
        raise ValueError


def test_a_route_that_is_not_text_is_told_by_its_class() -> None:
    client = _answering(lambda context: setattr(context, "route", Unprintable()))
    client.get()
    assert client.record.route == "<Unprintable>"


def exception_without_a_name() -> BaseException:
    class Nameless(type):
        @property
        def __name__(cls) -> str:  # type: ignore[override]
            raise LookupError

    return Nameless("Odd", (Exception,), {})("x")  # type: ignore[no-any-return]


def exit_without_a_code() -> BaseException:
    class Odd(SystemExit):
        @property
        def code(self) -> Any:  # type: ignore[override]
            raise LookupError

    return Odd()


@pytest.mark.parametrize("make", [exception_without_a_name, exit_without_a_code])
def test_an_exception_whose_class_answers_nothing_is_recorded_and_raised_itself(
    make: Callable[[], BaseException],
) -> None:
    error = make()

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        raise error

    client = Client(app)
    with pytest.raises((Exception, SystemExit), check=error.__eq__):
        client.get()
    assert client.record.error == "Odd"


# -- what a server or a client says --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("PATH_INFO", b"/x"),
        ("PATH_INFO", 5),
        ("PATH_INFO", "/\ud800"),
        ("SCRIPT_NAME", b"/x"),
        ("REQUEST_METHOD", b"GET"),
        ("REQUEST_METHOD", 7),
        ("REQUEST_METHOD", "G\ud800"),
    ],
)
@pytest.mark.parametrize("exclude_paths", [(), ("/healthz",), ("/healthz", "/static/*")])
def test_an_environ_of_other_types_leaves_its_record(key: str, value: Any, exclude_paths: Any) -> None:
    client = Client(hello, exclude_paths=exclude_paths)
    for _ in range(2):
        assert client.get(**{key: value}) == b"hello"
    assert [record.variables for record in client.records] == [{"user_id": "123"}] * 2


def test_a_path_that_nothing_can_be_asked_of_costs_the_request_nothing() -> None:
    client = Client(hello, exclude_paths=["/healthz"])
    environ: dict[str, Any] = {"PATH_INFO": [], "REQUEST_METHOD": "GET"}
    assert client.app(environ | {"PATH_INFO": [1]}, client.start_response) == [b"hello"]


@pytest.mark.parametrize("status", [b"200 OK", "200 \ud800", 2**70])
def test_a_status_that_cannot_be_stored_costs_no_record(status: Any) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        environ["chest.context"]["user_id"] = "123"
        start_response(status, [])
        return [b"x"]

    client = Client(app)
    for _ in range(2):
        client.get()
    assert [record.variables for record in client.records] == [{"user_id": "123"}] * 2


def test_a_query_that_came_percent_encoded_loses_its_secret() -> None:
    client = _answering(lambda context: None)
    client.get("/reset?token=abc")
    client.get("/a=b")
    assert [record.path for record in client.records] == ["/reset?token=REDACTED", "/a=b"]


@pytest.mark.parametrize("length", ["9" * 30, "²", "9" * 5000])
def test_a_files_length_that_is_none_is_not_counted(length: str) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Length", length)])
        return FileWrapper(io.BytesIO(b"x"))

    client = Client(app)
    body: Any = client.open(**{"wsgi.file_wrapper": FileWrapper})
    assert client.records == []
    body.close()
    assert "http.response.body.size" not in client.record.attributes


# -- how a request may go ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [[], ()])
def test_a_connection_taken_over_is_not_an_error_where_an_empty_body_says_so(body: Any) -> None:
    client = Client(lambda environ, start_response: body)
    assert client.open(HTTP_UPGRADE="websocket") is body
    assert client.record.outcome == "upgraded"


def test_a_body_of_bytes_is_the_servers_to_send_as_it_does() -> None:
    body = b"hello"
    client = Client(lambda environ, start_response: (start_response("200 OK", []), body)[1])
    assert client.open() is body
    assert client.record.attributes == {"url.scheme": "http", "http.response.body.size": 5}


def test_a_path_that_only_the_inner_one_excludes_is_still_the_outer_ones() -> None:
    inner = RequestMiddleware(hello, lambda line: None, Selection(exclude_paths=["/healthz"]), ReadyProcess())
    client = Client(inner)
    client.get("/healthz")
    assert client.record.variables == {"user_id": "123"}


class Server:
    """Whose ``start_response`` gives a ``write`` that holds it, and with it the environ."""

    def __init__(self) -> None:
        self.environ: dict[str, Any] = {"PATH_INFO": "/"}

    def start_response(self, status: str, headers: Any, *_: Any) -> Callable[[bytes], None]:
        return self.write

    def write(self, data: bytes) -> None:
        pass


@pytest.mark.last_reference
@pytest.mark.parametrize("is_streamed", [False, True])
def test_nothing_of_the_server_waits_for_the_garbage_collector(is_streamed: bool) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [])
        return (chunk for chunk in [b"x"]) if is_streamed else [b"x"]

    client, server = Client(app), Server()
    gc.disable()
    try:
        body: Any = client.app(server.environ, server.start_response)
        assert list(body) == [b"x"]
        if is_streamed:
            body.close()
        gone = weakref.ref(server)
        del server, body
        assert gone() is None
    finally:
        gc.enable()


@pytest.mark.last_reference
def test_what_an_abandoned_stream_says_at_its_end_is_its_own() -> None:
    def streamed(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        try:
            yield b"a"
        finally:
            current()["abandoned"] = True

    left: list[Any] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        left.clear()
        current()["mine"] = True
        return []

    abandoned, other = Client(streamed), Client(app)
    body = abandoned.open()
    left += [body, iter(body)]
    assert next(left[1]) == b"a"
    del body
    other.get()
    assert other.record.variables == {"mine": True}
    assert (abandoned.record.variables, abandoned.record.outcome) == ({"abandoned": True}, "abandoned")


def test_a_stream_that_was_closed_gives_nothing_more() -> None:
    client = Client(lambda environ, start_response: (start_response("200 OK", []), (c for c in [b"a", b"b"]))[1])
    body: Any = client.open()
    body.close()
    assert list(body) == []
    body.close()
    assert len(client.records) == 1


def test_a_stream_closed_once_more_from_its_own_end_leaves_one_record() -> None:
    body: Any = None
    client = Client(
        lambda environ, start_response: (start_response("200 OK", []), (chunk for chunk in [b"a"]))[1],
        before_record=lambda record: body.close(),
    )
    body = client.open()
    assert list(body) == [b"a"]
    body.close()
    assert len(client.records) == 1


class Interrupted(BaseException):
    """Raised by a signal handler."""


@pytest.mark.parametrize("is_offered", [False, True])
@pytest.mark.parametrize("says_more", [False, True])
def test_a_signal_in_the_end_of_a_stream_costs_no_record_and_makes_no_second(is_offered: bool, says_more: bool) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        if says_more:
            current().route = "/"
        yield b"a"

    offered: list[bytes] = []

    class Interrupting(Client):
        def _keep(self, line: bytes) -> None:
            offered.append(line)
            if len(offered) > 1 or is_offered:
                super()._keep(line)
            if len(offered) == 1:
                raise Interrupted

    client = Interrupting(app)
    body: Any = client.open()
    assert list(body) == [b"a"]
    with pytest.raises(Interrupted):
        body.close()
    del body
    gc.collect()
    assert len(offered) == 2
    assert len({record.id for record in client.records}) == 1  # a store keeps one record of an id


# -- interpreters --------------------------------------------------------------------------------------------------------


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=300, check=False, cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def test_a_request_is_recorded_where_assertions_are_not_compiled() -> None:
    program = """
from tests.request.middleware.client import Client, hello, streamed
for app in (hello, streamed):
    client = Client(app)
    for _ in range(3):
        client.get(HTTP_TRACEPARENT="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        client.get()
    print(len(client.records), client.records[-1].variables)
"""
    done = _run("-O", "-c", program)
    assert done.stdout.splitlines() == ["6 {'user_id': '123'}", "6 {'late': True}"], done.stderr
