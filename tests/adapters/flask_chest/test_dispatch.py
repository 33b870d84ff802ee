"""``full_dispatch_request``, wrapped in C and in Python: the same records; and what the compiled one spares a request."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response, g, stream_with_context
from flask_chest import FlaskRecorder, flask_chest
from werkzeug.middleware.proxy_fix import ProxyFix

from chest import current
from chest.adapter import Dispatch
from chest.chests.memory import MemoryChest

pytestmark = pytest.mark.skipif(Dispatch is None, reason="nothing is compiled here")


class Text(str):
    """A name of an application's own class."""


class Level(IntEnum):
    HIGH = 1


class Asked(type):
    """A metaclass whose classes must not be asked what they are."""

    def __hash__(cls) -> int:
        raise AssertionError("asked")

    def __eq__(cls, other: object) -> bool:
        raise AssertionError("asked")


class Odd(metaclass=Asked):
    """A value of such a class."""


def shop() -> Flask:
    app = Flask("shop")

    @app.get("/whole/<item>")
    def whole(item: str) -> str:
        g.item, g.count = item, 3
        return "whole"

    @app.get("/also-in-the-context")
    def also_in_the_context() -> str:
        g.item, g.plan = "from g", "from g"
        current()["item"] = "from the context"
        return "both"

    @app.get("/nothing")
    def nothing() -> str:
        return ""

    @app.get("/streamed")
    def streamed() -> Response:
        def rows() -> Iterator[str]:
            yield "a"
            g.late = True
            yield "b"

        return Response(stream_with_context(rows()))

    @app.get("/iter")
    def iterated() -> Response:
        g.item = "i"
        return Response(iter(["a", "b"]))

    @app.get("/called-on-close")
    def called_on_close() -> Response:
        response = Response(["a"])
        response.call_on_close(lambda: None)
        return response

    @app.get("/odd-values")
    def odd_values() -> str:
        g.level, g.odd, g._private, g.item = Level.HIGH, Odd(), 1, "kept"
        vars(g._get_current_object())[Text("text")] = "t"
        return "odd"

    @app.get("/emptied")
    def emptied() -> str:
        g.item = 1
        vars(g._get_current_object()).clear()
        return "emptied"

    @app.get("/narrowed")
    @flask_chest(tracked_vars={"GET": ["item"]})
    def narrowed() -> str:
        g.item, g.secret_plan = "kept", "left out"
        return "narrowed"

    @app.get("/fails")
    def fails() -> str:
        g.item = "before"
        raise LookupError("no such item")

    @app.get("/nested")
    def nested() -> str:
        g.outer = 1
        with app.app_context():
            g.inner = 2
        return "nested"

    return app


def told(app: Flask, place: Path, requests: list[tuple[str, dict[str, Any]]], *, compiled: bool) -> list[Any]:
    """What the requests leave, twice over, without what no two records have in common."""
    chest = MemoryChest()
    FlaskRecorder(app, chests=[chest], directory=place)
    if not compiled:
        app.full_dispatch_request = app.full_dispatch_request.__wrapped__  # type: ignore[method-assign,attr-defined]
    for path, more in requests * 2:
        list(app.test_client().get(path, environ_overrides=more).iter_encoded())
    assert app.extensions["chest"].recorder.flush(60)
    own = ("chest.time_to_first_byte_ns",)
    return [
        (
            each.method, each.path, each.route, each.status, each.outcome, each.error, each.variables,
            {name: value for name, value in each.attributes.items() if name not in own},
        )
        for each in chest.records
    ]  # fmt: skip


TRACE = {"HTTP_TRACEPARENT": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("/whole/1", {}), ("/whole/2", {"SCRIPT_NAME": "/shop"}), ("/whole/3", TRACE), ("/also-in-the-context", {}),
    ("/nothing", {}), ("/streamed", {}), ("/iter", {}), ("/called-on-close", {}), ("/odd-values", {}), ("/emptied", {}),
    ("/narrowed", {}), ("/fails", {}), ("/nested", {}), ("/no/such/page", {}), ("/whole", {"REQUEST_METHOD": "POST"}),
]  # fmt: skip


@pytest.mark.parametrize("takes", ["all", "none"])
def test_requests_of_each_kind_leave_the_same_records(tmp_path: Path, takes: str, monkeypatch: Any) -> None:
    monkeypatch.setenv("CHEST_G", takes)
    in_c = told(shop(), tmp_path / "c", REQUESTS, compiled=True)
    assert in_c == told(shop(), tmp_path / "python", REQUESTS, compiled=False)
    assert len(in_c) == 2 * len(REQUESTS)


def test_a_prefix_that_a_proxy_told_is_part_of_the_path_and_of_the_route(tmp_path: Path) -> None:
    def proxied() -> Flask:
        app = shop()
        app.wsgi_app = ProxyFix(app.wsgi_app, x_prefix=1)  # type: ignore[method-assign]
        return app

    requests = [("/whole/1", {"HTTP_X_FORWARDED_PREFIX": "/shop"})]
    in_c = told(proxied(), tmp_path / "c", requests, compiled=True)
    assert in_c == told(proxied(), tmp_path / "python", requests, compiled=False)
    assert in_c[1][1:3] == ("/shop/whole/1", "/shop/whole/<item>")


def test_requests_that_share_a_g_leave_the_same_records(tmp_path: Path) -> None:
    found = []
    for compiled in (True, False):
        app = shop()
        with app.app_context():
            found.append(told(app, tmp_path / str(compiled), REQUESTS, compiled=compiled))
    assert found[0] == found[1]


@pytest.mark.parametrize("path", ["/whole/1", "/iter"])
def test_a_request_of_the_usual_kind_runs_no_line_of_the_extension(tmp_path: Path, path: str) -> None:
    app, seen = shop(), []
    chest = MemoryChest()
    FlaskRecorder(app, chests=[chest], directory=tmp_path)
    client = app.test_client()
    client.get(path, buffered=True)

    def profile(frame: Any, event: str, argument: object) -> None:
        if event == "call" and "flask_chest" in frame.f_code.co_filename and __file__ != frame.f_code.co_filename:
            seen.append(frame.f_code.co_qualname)

    sys.setprofile(profile)
    try:
        client.get(path, buffered=True)
    finally:
        sys.setprofile(None)
    assert seen == []
    assert app.extensions["chest"].recorder.flush(60)
    assert [record.variables for record in chest.records] == [chest.records[0].variables] * 2
    assert "item" in chest.records[1].variables


def test_an_application_that_is_let_go_is_collected(tmp_path: Path) -> None:
    def serve() -> weakref.ref[Flask]:
        app = shop()
        assert told(app, tmp_path, REQUESTS[:1], compiled=True)
        app.extensions["chest"].recorder.close()
        return weakref.ref(app)

    gone = serve()
    gc.collect()
    assert gone() is None


class Evil:
    """A name on ``g`` that takes the place of another one, and raises when it is compared."""

    def __init__(self, name: str) -> None:
        self.name, self.is_armed = name, False

    def __hash__(self) -> int:
        return hash(self.name)

    def __eq__(self, other: object) -> bool:
        if self.is_armed:
            raise LookupError("compared")
        return self is other


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("name", ["_login_user", "_chest_owner", "item"])
def test_a_name_on_g_that_raises_when_it_is_compared_costs_no_answer(tmp_path: Path, name: str, compiled: bool) -> None:
    app, chest = shop(), MemoryChest()

    @app.get("/evil")
    def set_evil() -> str:
        g.plan = "free"
        evil = Evil(name)
        vars(g._get_current_object())[evil] = 1
        evil.is_armed = True
        return "evil"

    FlaskRecorder(app, chests=[chest], directory=tmp_path)
    if not compiled:
        app.full_dispatch_request = app.full_dispatch_request.__wrapped__  # type: ignore[method-assign,attr-defined]
    client = app.test_client()
    for path in ("/nothing", "/evil", "/evil", "/whole/1"):
        assert client.get(path, buffered=True).status_code == 200
    assert app.extensions["chest"].recorder.flush(60)
    assert [(record.path, record.route) for record in chest.records][::3] == [
        ("/nothing", "/nothing"),
        ("/whole/1", "/whole/<item>"),
    ]
    assert [record.status for record in chest.records] == [200] * 4


def test_a_request_that_is_made_inside_of_a_view_leaves_the_same_records(tmp_path: Path) -> None:
    """Flask before 3.2 has both use one ``g``."""
    found = []
    for compiled in (True, False):
        app = shop()

        @app.get("/outer")
        def outer(app: Flask = app) -> str:
            g.item = "outer"
            inner = app.test_client().get("/whole/inner", buffered=True).text
            g.count = 1
            return inner

        found.append(told(app, tmp_path / str(compiled), [("/outer", {})], compiled=compiled))
    assert found[0] == found[1]
    assert [record[2] for record in found[0]] == ["/whole/<item>", "/outer"] * 2


def test_threads_that_write_to_g_while_the_request_ends_do_no_harm(tmp_path: Path) -> None:
    app, chest, threads = shop(), MemoryChest(), []

    @app.get("/threads")
    def started() -> str:
        names, g.item = vars(g._get_current_object()), 1

        def write() -> None:
            for number in range(300):
                names[f"late_{number % 7}"] = number
                names.pop(f"late_{(number + 3) % 7}", None)

        threads.append(threading.Thread(target=write))
        threads[-1].start()
        return "threads"

    FlaskRecorder(app, chests=[chest], directory=tmp_path)
    for _ in range(60):
        assert app.test_client().get("/threads", buffered=True).text == "threads"
    for thread in threads:
        thread.join()
    assert app.extensions["chest"].recorder.flush(60)
    assert [record.variables["item"] for record in chest.records] == [1] * 60


@pytest.mark.parametrize("missing", ["dispatch", "served_class", "routes"])
def test_a_dispatch_without_a_part_is_refused(missing: str) -> None:
    parts: dict[str, Any] = dict.fromkeys(("in_python", "dispatch", "served_class", "context_class", "routes"))
    del parts[missing]
    with pytest.raises(TypeError, match="is missing"):
        Dispatch(**parts)
    with pytest.raises(TypeError, match="by name"):
        Dispatch(1)  # type: ignore[call-arg]
