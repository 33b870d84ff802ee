"""The decorator ``flask_chest`` on each kind of view, and on streams."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response, g, stream_with_context
from flask.views import MethodView
from flask_chest.decorator import flask_chest

from chest import ChestMiddleware
from chest.chests.memory import MemoryChest
from chest.errors import SettingsError
from tests.adapters.flask_chest.decorator.conftest import flush, get, set_two

# -- streams -----------------------------------------------------------------------------------------------------------


def chunks() -> Iterator[str]:
    g.count = 0
    for _ in range(3):
        g.count += 1
        yield "x"


STREAMS: list[Callable[[], Any]] = [
    lambda: stream_with_context(chunks()),
    lambda: Response(stream_with_context(chunks())),
    lambda: (stream_with_context(chunks()), 206, {"X-A": "b"}),
    lambda: (Response(stream_with_context(chunks())), 206),
]


@pytest.mark.parametrize("has_extension", [True, False])
@pytest.mark.parametrize("streamed", STREAMS)
def test_a_stream_is_recorded_when_it_has_ended(
    app: Flask, memory: MemoryChest, request: pytest.FixtureRequest, has_extension: bool, streamed: Callable[[], Any]
) -> None:
    if has_extension:
        request.getfixturevalue("recorded")

    @app.route("/")
    @flask_chest([memory], raise_exceptions=False)
    def index() -> Any:
        g.before = 1
        return streamed()

    response = get(app, buffered=False)
    flush(app)
    assert memory.records == []
    assert response.data == b"xxx"
    response.close()
    flush(app)
    (record,) = memory.records
    assert record.variables == {"before": 1, "count": 3}
    assert record.status == response.status_code


def test_a_generator_function_is_a_view(app: Flask, memory: MemoryChest) -> None:
    @app.route("/")
    @flask_chest([memory], raise_exceptions=False)
    @stream_with_context
    def index() -> Iterator[str]:
        yield from chunks()

    assert get(app).data == b"xxx"
    flush(app)
    assert [record.variables for record in memory.records] == [{"count": 3}]


def test_a_stream_that_is_not_read_to_its_end_leaves_its_record_once(app: Flask, memory: MemoryChest) -> None:
    @app.route("/")
    @flask_chest([memory], raise_exceptions=False)
    def index() -> Any:
        return stream_with_context(chunks())

    response = get(app, buffered=False)
    assert next(response.response) == b"x"
    response.close()
    response.close()
    flush(app)
    assert [(record.variables, record.outcome) for record in memory.records] == [({"count": 1}, "client_disconnect")]


def test_a_stream_that_raises_leaves_its_record_once(app: Flask, memory: MemoryChest) -> None:
    def broken() -> Iterator[str]:
        g.count = 1
        yield "x"
        raise KeyError("x")

    @app.route("/")
    @flask_chest([memory], raise_exceptions=False)
    def index() -> Any:
        return stream_with_context(broken())

    with pytest.raises(KeyError):
        get(app).get_data()
    flush(app)
    (record,) = memory.records
    assert (record.variables, record.status, record.outcome, record.error) == ({"count": 1}, 200, "error", "KeyError")


def test_a_head_request_for_a_stream_ends_well(app: Flask, memory: MemoryChest) -> None:
    @app.route("/")
    @flask_chest([memory], raise_exceptions=False)
    def index() -> Any:
        g.before = 1
        return stream_with_context(chunks())

    get(app, method="HEAD").close()
    flush(app)
    assert [(record.variables, record.outcome) for record in memory.records] == [({"before": 1}, "ok")]


def test_in_the_request_a_stream_is_written_as_it_is_when_the_view_returns(app: Flask, memory: MemoryChest) -> None:
    @app.route("/")
    @flask_chest([memory])
    def index() -> Any:
        g.before = 1
        return stream_with_context(chunks())

    assert get(app).data == b"xxx"
    assert [record.variables for record in memory.records] == [{"before": 1}]


def test_a_file_is_sent_as_it_would_be_without_the_decorator(app: Flask, memory: MemoryChest, tmp_path: Path) -> None:
    from flask import send_file

    (tmp_path / "file.txt").write_text("content")

    @app.route("/")
    @flask_chest([memory], raise_exceptions=False)
    def index() -> Any:
        g.a = 1
        return send_file(tmp_path / "file.txt")

    with get(app) as response:
        assert response.data == b"content"
    flush(app)
    assert [record.variables for record in memory.records] == [{"a": 1}]


# -- kinds of views ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("raises", [True, False])
def test_a_coroutine_stays_one_and_is_recorded_when_it_is_done(app: Flask, memory: MemoryChest, raises: bool) -> None:
    @app.route("/")
    @flask_chest([memory], raise_exceptions=raises)
    async def index() -> str:
        """What it does."""
        g.user_id = "123"
        return "hello"

    assert inspect.iscoroutinefunction(index)
    assert index.__doc__ == "What it does."
    assert get(app).data == b"hello"
    flush(app)
    assert [record.variables for record in memory.records] == [{"user_id": "123"}]


def test_a_coroutine_that_raises_leaves_its_record(app: Flask, memory: MemoryChest) -> None:
    @app.route("/")
    @flask_chest([memory])
    async def index() -> str:
        g.user_id = "123"
        raise KeyError("plan")

    assert get(app).status_code == 500
    assert [record.error for record in memory.records] == ["KeyError"]


def test_methods_and_decorators_of_a_method_view_are_recorded(app: Flask, memory: MemoryChest) -> None:
    whole = MemoryChest()

    class Items(MethodView):
        decorators = [flask_chest([whole])]

        @flask_chest([memory], {"GET": ["a"]})
        def get(self) -> str:
            g.a = 1
            return "got"

        def post(self) -> str:
            g.a = 2
            return "posted"

    app.add_url_rule("/", view_func=Items.as_view("items"))
    assert (get(app).data, get(app, method="POST").data) == (b"got", b"posted")
    assert [record.variables for record in memory.records] == [{"a": 1}]
    assert [record.variables for record in whole.records] == [{"a": 1}, {"a": 2}]


def test_it_works_above_and_below_other_decorators(app: Flask, memory: MemoryChest) -> None:
    def doubled(view: Callable[..., str]) -> Callable[..., str]:
        @wraps(view)
        def wrapper(*args: Any, **kwargs: Any) -> str:
            g.wrapped = True
            return view(*args, **kwargs) * 2

        return wrapper

    @app.route("/above")
    @flask_chest([memory])
    @doubled
    def above() -> str:
        g.a = 1
        return "x"

    @app.route("/below")
    @doubled
    @flask_chest([memory])
    def below() -> str:
        g.a = 1
        return "x"

    assert (get(app, "/above").data, get(app, "/below").data) == (b"xx", b"xx")
    assert [record.variables for record in memory.records] == [{"wrapped": True, "a": 1}] * 2


def test_name_docstring_and_signature_stay() -> None:
    @flask_chest()
    def view(number: int, *, page: int = 1) -> str:
        """What it does."""
        return ""

    assert (view.__name__, view.__doc__) == ("view", "What it does.")
    assert str(inspect.signature(view)) == "(number: 'int', *, page: 'int' = 1) -> 'str'"


def test_outside_a_request_the_view_is_just_called(memory: MemoryChest) -> None:
    @flask_chest([memory])
    def view(number: int) -> int:
        return number

    assert view(3) == 3
    with Flask("shop").app_context():
        assert view(4) == 4
    assert memory.records == []


def test_in_a_test_request_context_it_records(app: Flask, memory: MemoryChest) -> None:
    @flask_chest([memory])
    def view() -> str:
        g.a = 1
        return ""

    with app.test_request_context("/any", method="POST"):
        view()
    (record,) = memory.records
    assert (record.method, record.path, record.route, record.variables) == ("POST", "/any", None, {"a": 1})


@pytest.mark.parametrize("has_extension", [True, False])
@pytest.mark.parametrize("raises", [True, False])
def test_what_an_earlier_request_left_on_the_g_of_both_is_not_recorded(
    app: Flask, memory: MemoryChest, request: pytest.FixtureRequest, raises: bool, has_extension: bool
) -> None:
    if has_extension:
        request.getfixturevalue("recorded")

    @app.route("/<user>")
    @flask_chest([memory], tracked_vars=["user_id", "plan"], raise_exceptions=raises)
    def index(user: str) -> str:
        if user != "nobody":
            g.user_id = user
        g.plan = user + "'s"
        return ""

    with app.app_context():  # as around a test, and as after a stream that was not closed: one g for several requests
        for user in ("ada", "nobody", "grace"):
            get(app, f"/{user}")
    flush(app)
    assert [record.variables for record in memory.records] == [
        {"user_id": "ada", "plan": "ada's"},
        {"plan": "nobody's"},
        {"user_id": "grace", "plan": "grace's"},
    ]
    assert len({record.request_id for record in memory.records}) == 3


@pytest.mark.parametrize("has_extension", [True, False])
def test_requests_that_share_a_g_record_what_each_sets_to_what_it_was_already(
    app: Flask, memory: MemoryChest, request: pytest.FixtureRequest, has_extension: bool
) -> None:
    if has_extension:
        request.getfixturevalue("recorded")

    @app.route("/")
    @flask_chest([memory], tracked_vars=["plan", "is_admin"])
    def index() -> str:
        g.plan, g.is_admin = "free", False
        return ""

    with app.app_context():
        for _ in range(3):
            get(app)
    flush(app)
    assert [record.variables for record in memory.records] == [{"plan": "free", "is_admin": False}] * 3


@pytest.mark.parametrize("raises", [True, False])
def test_a_class_for_g_without_a_dictionary_costs_its_variables_and_no_request(
    app: Flask, memory: MemoryChest, raises: bool
) -> None:
    class Slotted:
        __slots__ = ("user_id",)

    app.app_ctx_globals_class = Slotted  # type: ignore[assignment]

    @app.route("/")
    @flask_chest([memory], raise_exceptions=raises)
    def index() -> str:
        g.user_id = "123"
        return "hello"

    assert get(app).data == b"hello"
    flush(app)
    assert [(record.path, record.variables) for record in memory.records] == [("/", {})]


def test_a_request_within_a_view_does_not_lend_it_its_id(app: Flask, memory: MemoryChest) -> None:
    @app.route("/inner")
    @flask_chest([memory], tracked_vars=["inner"])
    def inner() -> str:
        g.inner = 1
        return ""

    @app.route("/")
    @flask_chest([memory], tracked_vars=["outer"])
    def outer() -> str:
        g.outer = 1
        get(app, "/inner")
        return str(g.custom_request_id)

    get(app)
    first, second = memory.records
    assert (first.path, second.path) == ("/inner", "/")
    assert (first.variables, second.variables) == ({"inner": 1}, {"outer": 1})
    assert first.request_id != second.request_id


def test_a_class_is_refused_with_what_to_decorate(memory: MemoryChest) -> None:
    with pytest.raises(SettingsError, match=r"decorates functions: .*decorators = \[flask_chest"):

        @flask_chest([memory])
        class Shelf(MethodView):
            def get(self) -> str:
                return ""


def test_requests_of_many_threads_keep_their_variables_apart(app: Flask, memory: MemoryChest) -> None:
    @app.route("/<int:number>")
    @flask_chest([memory], raise_exceptions=False)
    def index(number: int) -> str:
        g.number, g.id = number, g.custom_request_id
        return ""

    def ask(start: int) -> None:
        for number in range(start, start + 25):
            get(app, f"/{number}")

    threads = [threading.Thread(target=ask, args=(start * 100,)) for start in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    flush(app)
    records = memory.records
    assert len({record.id for record in records}) == 200
    assert all(record.path == f"/{record.variables['number']}" for record in records)
    assert all(record.request_id == record.variables["id"] for record in records)


def test_under_the_middleware_alone_a_record_of_its_own_shares_the_requests_id(
    app: Flask, memory: MemoryChest, requests: MemoryChest
) -> None:
    set_two(app, flask_chest([memory]))
    app.wsgi_app = ChestMiddleware(app.wsgi_app, chests=[requests], service="shop")  # type: ignore[method-assign]
    get(app)
    app.wsgi_app.recorder.close()  # type: ignore[attr-defined]
    (whole,), (own,) = requests.records, memory.records
    assert whole.request_id == own.request_id
    assert whole.id != own.id
