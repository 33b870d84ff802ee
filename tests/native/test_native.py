"""Requests served in C leave the same records as those served in Python, which the other tests check."""

from __future__ import annotations

import contextlib
import gc
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chest import current
from chest.chests.memory import MemoryChest
from chest.middleware import ChestMiddleware
from chest.native import IS_NATIVE
from chest.record.record import Record
from chest.recorder.recorder import Recorder
from chest.request import middleware, served
from tests.request.middleware.client import Client
from tests.support import examples

ROOT = Path(__file__).parents[2]

if not IS_NATIVE and "CI" not in os.environ:
    pytest.skip(
        "Chest was installed without its compiled part: install a C compiler, and Chest again", allow_module_level=True
    )


def test_the_compiled_part_is_there() -> None:
    assert IS_NATIVE


# -- the same record -----------------------------------------------------------------------------------------------------

plain = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63) - 1, 2**63), st.floats(), st.text(max_size=300),
    st.sampled_from(["", "a" * 4096, "a" * 4097, "\0", "é", "\ud800", "https://a:b@c/?d=e", 'say "hi"\\\n', "\x7f\u2028\U0001f600"]),
)  # fmt: skip
odd = st.one_of(
    plain, st.lists(plain, max_size=3), st.dictionaries(st.text(max_size=5), plain, max_size=3), st.binary(max_size=9)
)
names = st.sampled_from(["user_id", "password", "é", 'a"b', "a\0", "", "x" * 300, "plan", "cart"])
paths = st.sampled_from(
    ["", "/", "/a b", "/caf\xc3\xa9", "/\xff", "/a=b", "/a:b", "http://u:p@h/", "/" + "p" * 3000, "/\0"]
)


class Said:
    """One request: what comes in, and what the application makes of it."""

    def __init__(
        self, environ: dict[str, Any], variables: dict[str, Any], how: str, status: Any, length: Any = None
    ) -> None:
        self.environ = environ
        self.variables = variables
        self.how = how
        self.status = status
        self.length = length

    def __repr__(self) -> str:
        return repr(vars(self))

    def app(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        """As many ways to answer as there are branches."""
        context = environ["chest.context"]
        context.update(self.variables)
        if self.how == "raises before":
            raise LookupError("before")
        headers = [("X-Request-Id", "mine")] if self.how == "own id" else [("Content-Type", "text/plain")]
        if self.length is not None:
            headers.append(self.length)
        write = start_response(self.status, headers)
        if self.how == "writes":
            write(b"written")
        if self.how == "raises":
            raise LookupError("after")
        if self.how == "says more":
            current().route, current().request_id = "/<it>", "told\n"
        if self.how == "says it twice":
            start_response("503 Busy", [], (None, None, None))
        if self.how == "is excluded":
            context.exclude()
        if self.how == "is complete":
            context.body_is_complete()
            return map(bytes, [b"abc"])
        if self.how.startswith("streams"):
            return self._stream()
        return {"tuple": (b"a", b"bc"), "nothing": [], "no bytes": [1, 2], "text": ["é"]}.get(self.how, [b"hello"])

    def _stream(self) -> Iterator[bytes]:
        yield {"streams nothing": b"", "streams text": "a", "streams numbers": 7}.get(self.how, b"a")  # type: ignore[misc]
        current()["streamed"] = True
        if self.how == "streams and raises":
            raise LookupError("during")
        yield b"b"


said = st.builds(
    Said,
    st.fixed_dictionaries(
        {"PATH_INFO": paths, "REQUEST_METHOD": st.sampled_from(["GET", "HEAD", "", "BREW", "é"])},
        optional={
            "SCRIPT_NAME": st.sampled_from(["", "/shop", "/a=b"]),
            "HTTP_X_REQUEST_ID": st.sampled_from(["order-42", "no good", "a" * 128, "a" * 129, "", "é"]),
            "HTTP_TRACEPARENT": st.sampled_from(["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "x"]),
            "HTTP_UPGRADE": st.just("websocket"),
        },
    ),
    st.dictionaries(names, odd, max_size=5),
    st.sampled_from(
        [
            "usually", "usually", "usually", "tuple", "nothing", "no bytes", "text", "raises before", "raises", "own id",
            "writes", "says more", "says it twice", "is excluded", "streams", "streams nothing", "streams text", "streams numbers", "streams and raises",
            "streams and is left", "streams and is forgotten", "streams and is refused", "is iterable", "is complete",
        ]
    ),
    st.sampled_from(["200 OK", "204 No Content", "404 Not Found", "500 Oh", "odd", "200 \xc3\xa9"]),
    st.sampled_from(
        [None, ("Content-Length", "3"), ("CONTENT-LENGTH", "0003"), ("content-length", "9" * 19), ("Content-Length", "\u0663"),
         ("Content-Length", "-3"), ("Content-Length", ""), ("Content-Length", 3), ("Content\0Length", "3")]
    ),
)  # fmt: skip


@contextlib.contextmanager
def in_python() -> Iterator[None]:
    """Middlewares that are made and called here have nothing in C but the notes of requests in flight."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(middleware, "IS_NATIVE", False)
        patch.setattr(served, "IS_NATIVE", False)
        yield


class Both:
    """Two clients of one middleware's kind: the one is served in C where it can be, the other in Python throughout."""

    def __init__(self, **options: Any) -> None:
        quick = Client(self._app, **options)
        with in_python():
            self.sides = quick, Client(self._app, **options)

    def _app(self, environ: dict[str, Any], start_response: Any) -> Any:
        return self._said.app(environ, start_response)

    def answers(self, request: Said) -> list[tuple[Any, ...]]:
        """What the server sees, and what was recorded."""
        self._said = request
        quick = _exchange(self.sides[0], request)
        with in_python():
            return [quick, _exchange(self.sides[1], request)]


def _exchange(client: Client, request: Said) -> tuple[Any, ...]:
    client.records.clear()
    client.headers, client.status, sent, raised = [], "", [], None
    environ: dict[str, Any] = dict(request.environ)
    path, method = environ.pop("PATH_INFO"), environ.pop("REQUEST_METHOD")
    try:
        body: Any = client.open(path, **environ, REQUEST_METHOD=method)
        if request.how == "streams and is left":
            sent.append(next(iter(body)))
        elif request.how == "streams and is refused":
            try:
                sent.append(next(iter(body)))
                raise ValueError("a server's")
            except ValueError:
                body.close()
        elif request.how != "streams and is forgotten":
            sent.extend(body)
        if hasattr(body, "close") and request.how != "streams and is forgotten":
            body.close()
        del body
    except LookupError as error:
        raised = error.args
    headers = [(name, _masked(value)) for name, value in client.headers]
    return client.status, headers, sent, raised, [_comparable(record) for record in client.records], current()


def _masked(request_id: Any) -> Any:
    """Ids that are made up differ."""
    return _MADE_UP.sub("made up", request_id) if isinstance(request_id, str) else request_id


RECORDS = 4
"""Where the records stand in what an exchange leaves."""
_MADE_UP = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def _comparable(record: Record) -> Any:
    """All but the times."""
    attributes = {name: value for name, value in record.attributes.items() if name != "chest.time_to_first_byte_ns"}
    times = "chest.time_to_first_byte_ns" in record.attributes, record.duration_ns > 0, len(record.id)
    request_id = _masked(record.request_id)
    return record._replace(id="", request_id=request_id, time_ns=0, duration_ns=0, attributes=attributes), times


@pytest.mark.parametrize(
    "options",
    [{}, {"echo_request_id": False}, {"exclude_paths": ["/", "/a*"]}, {"sample": 0.5}, {"tracked_vars": ["plan"]}],
    ids=repr,
)
def test_a_request_is_answered_and_recorded_alike(options: dict[str, Any]) -> None:
    both = Both(**options)

    @settings(max_examples=examples(500), deadline=None)
    @given(said)
    def holds(request: Said) -> None:
        for _ in range(2):  # a name is known the second time
            quick, slow = both.answers(request)
            if len(quick[RECORDS]) == len(slow[RECORDS]):
                assert quick == slow
            else:  # the ids differ, and decide (tests/request/test_sampling.py)
                assert "sample" in options
                assert quick[:RECORDS] == slow[:RECORDS]

    holds()


def test_what_an_adapter_says_is_recorded_alike() -> None:
    from flask import Flask, g
    from flask_chest import FlaskRecorder

    found = []
    for way in (contextlib.nullcontext, in_python):
        chest = MemoryChest()
        app = Flask("tests.shop")

        @app.get("/items/<int:number>")
        def item(number: int) -> str:
            g.user_id, g.plan = "123", "prémium"
            return "hello"

        with way():
            recorder = Recorder([chest], service="shop")
            FlaskRecorder(app, recorder=recorder)
            client = app.test_client()
            for path in ("/items/3", "/items/3", "/nothing"):
                client.get(path, headers={"X-Request-ID": "order-42"})
            recorder.close()
        found.append([_comparable(record)[0] for record in chest.records])
    assert found[0] == found[1]
    assert [record.route for record in found[0]] == ["/items/<int:number>", "/items/<int:number>", None]


# -- what must not happen ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["usually", "tuple", "no bytes", "raises before", "raises", "own id", "writes", "says more", "streams",
                                 "streams and raises", "streams and is left", "streams and is forgotten", "streams and is refused"])  # fmt: skip
def test_nothing_that_a_request_touches_is_referred_to_once_too_often_nor_too_seldom(how: str) -> None:
    both = Both()
    both._said = request = Said({"PATH_INFO": "/", "REQUEST_METHOD": "GET"}, {"plan": "a"}, how, "200 OK")
    client = both.sides[0]
    app, process = client.app, client.process
    things = (
        None, app, app._emitter, app._emitter.finished_context, app._context_class, process.fork_guard,
        "/", "GET", "200 OK", "plan", "a",
    )  # fmt: skip

    def references() -> list[int]:
        for _ in range(1000):
            _exchange(client, request)
        gc.collect()
        return [sys.getrefcount(thing) for thing in things]

    before = references()
    assert all(abs(count - was) < 100 for count, was in zip(references(), before, strict=True))


def test_a_private_field_that_was_deleted_ends_no_process() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        context = environ["chest.context"]
        start_response("200 OK", [])
        for name in ("_metadata", "_status", "_headers", "_request_id", "_in_flight", "_server_start_response"):
            delattr(context, name)
        return [b"a"]

    with contextlib.suppress(AttributeError):
        Client(app).get()


def test_a_middleware_whose_parts_are_not_what_they_should_be_is_refused_with_an_exception() -> None:
    client = Client(lambda environ, start_response: [])
    with pytest.raises(TypeError):
        client.app._enable_fast_path(app=None)
    with pytest.raises(TypeError):
        client.app({}, lambda *said: None, "one too many")  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        client.app()  # type: ignore[call-arg]


def test_an_environ_that_is_not_a_dict_or_holds_no_texts_is_served_all_the_same() -> None:
    class Environ(dict[str, Any]):
        pass

    for environ in (
        {},
        {"PATH_INFO": None},
        {"PATH_INFO": 3, "SCRIPT_NAME": 4},
        {"REQUEST_METHOD": 5},
        Environ(PATH_INFO="/"),
    ):
        client = Client(_nested(0))
        assert client.app(environ, client.start_response) == [b"a"]
        assert len(client.records) == 1


def test_middlewares_and_their_classes_come_and_go(tmp_path: Path) -> None:
    """Each has classes of its own, which contexts that became finished still belong to."""
    for number in range(200):
        app = ChestMiddleware(_nested(number), chests=["memory:"], directory=tmp_path / "rings", ring_bytes=1 << 20)
        environ: dict[str, Any] = {}
        setup_testing_defaults(environ)
        contexts = []
        for _ in range(3):
            environ.pop("chest.context", None)
            app(environ, _start_response)
            contexts.append(environ["chest.context"])
        app.recorder.close()
        del app
        assert [context["number"] for context in contexts] == [number] * 3


def _start_response(*said: Any) -> Callable[[bytes], object]:
    return [].append


def _nested(number: int) -> Callable[..., Any]:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        environ["chest.context"]["number"] = number
        start_response("200 OK", [])
        return [b"a"]

    return app


def test_without_a_compiler_chest_is_installed_all_the_same(tmp_path: Path) -> None:
    built = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)],
        capture_output=True, text=True, timeout=800, env=os.environ | {"CC": shutil.which("false") or "false"},
    )  # fmt: skip
    assert built.returncode == 0, built.stdout + built.stderr
    assert [file.name.split("-", 2)[2] for file in tmp_path.iterdir()] == ["py3-none-any.whl"]
