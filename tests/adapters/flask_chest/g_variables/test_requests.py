"""Whose variables are on ``flask.g``: in streams, in threads, and on a ``g`` that several requests share."""

from __future__ import annotations

import contextvars
import functools
import io
import threading
from collections.abc import Callable, Iterator
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest
from flask import Flask, Response, appcontext_pushed, copy_current_request_context, g, request, stream_with_context

from chest import current
from tests.adapters.flask_chest.g_variables.views import Make, setting


def in_a_context_of_its_own(test: Callable[..., None]) -> Callable[..., None]:
    """For a test that leaves Flask's contexts pushed: so that no other test on this thread finds them."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        contextvars.copy_context().run(test, *args, **kwargs)

    return run


def opened(app: Flask, path: str = "/", query: str = "") -> Any:
    """The body of a response, not yet read."""
    environ: dict[str, Any] = {"PATH_INFO": path, "QUERY_STRING": query}
    setup_testing_defaults(environ)
    return app(environ, lambda status, headers, exc_info=None: io.BytesIO().write)


# -- streams --------------------------------------------------------------------------------------------------------------------


def test_what_a_stream_sets_on_g_is_recorded_when_it_ends(recorded: Make) -> None:
    def view() -> Response:
        g.user_id, g.rows = "123", 0

        def rows() -> Iterator[str]:
            for row in ("a", "b"):
                g.rows += 1
                yield row
            g.is_complete = True

        return Response(stream_with_context(rows()))

    shop = recorded(setting(view))
    assert shop.client.get("/", buffered=True).text == "ab"
    assert shop.record.variables == {"user_id": "123", "rows": 2, "is_complete": True}


def test_a_stream_does_not_replace_what_was_said_on_the_context_meanwhile(recorded: Make) -> None:
    def view() -> Response:
        g.rows = 0

        def rows() -> Iterator[str]:
            g.rows = 1
            g.chest["rows"] = "many"
            yield "a"

        return Response(stream_with_context(rows()))

    shop = recorded(setting(view))
    shop.client.get("/").close()
    assert shop.record.variables == {"rows": "many"}


def close_in_vain(body: Any) -> None:
    with pytest.raises((LookupError, ValueError)):
        body.close()


def streaming_users() -> Flask:
    """``/?user=ada`` streams with its context, ``/plain?user=ada`` answers at once; a user is only set where one is named."""
    app = Flask("shop")

    def remember() -> None:
        if "user" in request.args:
            g.user = request.args["user"]

    @app.get("/")
    def stream() -> Response:
        remember()

        def rows() -> Iterator[str]:
            yield "a"
            g.rows = request.args.get("user")
            yield "b"

        return Response(stream_with_context(rows()))

    @app.get("/plain")
    def plain() -> str:
        remember()
        return str(g.get("user"))

    return app


@in_a_context_of_its_own
def test_the_g_of_a_stream_that_was_not_closed_is_not_recorded_for_the_next_request(recorded: Make) -> None:
    shop = recorded(streaming_users())
    abandoned = opened(shop.app, query="user=alice")
    next(iter(abandoned))
    body = opened(shop.app, "/plain")
    assert b"".join(body) == b"alice", "this Flask has no stale g any more: simplify"
    [record] = shop.records
    assert (record.path, record.variables) == ("/plain", {})
    assert shop.counts["g_refused"] == 1
    abandoned.close()


@in_a_context_of_its_own
def test_nothing_of_the_next_request_comes_into_the_record_of_the_stream(recorded: Make) -> None:
    shop = recorded(streaming_users())
    abandoned = opened(shop.app, query="user=alice")
    rows = iter(abandoned)
    next(rows)
    opened(shop.app, "/plain", query="user=bob").close()
    list(rows)
    abandoned.close()
    assert [(record.path, record.variables) for record in shop.records] == [
        ("/plain", {}),
        ("/", {"user": "alice", "rows": "alice"}),
    ]


@in_a_context_of_its_own
def test_of_a_stale_g_whose_request_is_over_only_what_is_set_anew_is_recorded(recorded: Make) -> None:
    shop = recorded(streaming_users())
    abandoned = opened(shop.app, query="user=alice")
    next(iter(abandoned))
    stale = g._get_current_object()
    # Closed on another thread, where the contexts cannot be popped: the record is made, and this thread keeps the g.
    closing = threading.Thread(target=close_in_vain, args=(abandoned,))
    closing.start()
    closing.join()
    assert g._get_current_object() is stale
    opened(shop.app, "/plain").close()
    opened(shop.app, "/plain", query="user=bob").close()
    assert [record.variables for record in shop.records] == [{"user": "alice"}, {}, {"user": "bob"}]
    assert "g_refused" not in shop.counts


def test_however_often_flask_tears_a_stream_down_it_leaves_one_record(recorded: Make) -> None:
    app, torn = Flask("shop"), []

    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        g.teardowns = g.get("teardowns", 0) + 1
        torn.append(type(error).__name__)

    @app.get("/")
    def stream() -> Response:
        def rows() -> Iterator[str]:
            g.rows = 1
            yield "a"
            raise LookupError("no more")

        return Response(stream_with_context(rows()))

    shop = recorded(app)
    body = opened(app)
    with pytest.raises(LookupError):
        list(body)
    body.close()
    assert torn in (["NoneType", "LookupError"], ["LookupError"])  # Flask 3.1 and later; Flask before
    assert (shop.record.variables, shop.record.error) == ({"rows": 1, "teardowns": len(torn)}, "LookupError")


# -- a g that is there before the request ----------------------------------------------------------------------------------------


def test_requests_under_one_pushed_context_record_each_what_they_set(recorded: Make) -> None:
    shop = recorded(streaming_users())
    with shop.app.app_context():
        g.fixture = "of the test"
        shop.client.get("/plain?user=ada")
        shop.client.get("/plain")
        shop.client.get("/plain?user=grace")
    assert [record.variables for record in shop.records] == [{"user": "ada"}, {}, {"user": "grace"}]
    assert "g_refused" not in shop.counts


def _constant(how: str) -> Callable[[], None]:
    def view() -> None:
        if how == "setattr":
            g.user, g.is_admin, g.count = "anonymous", False, 2
        elif how == "setdefault":
            for name, value in (("user", "anonymous"), ("is_admin", False), ("count", 2)):
                g.setdefault(name, value)
        else:
            for name, value in (("user", "anonymous"), ("is_admin", False), ("count", 2)):
                g.pop(name, None)
                setattr(g, name, value)

    return view


@pytest.mark.parametrize("how", ["setattr", "setdefault", "pop"])
def test_requests_under_one_pushed_context_record_what_they_set_to_what_it_was_already(
    recorded: Make, how: str
) -> None:
    shop = recorded(setting(_constant(how)))
    with shop.app.app_context():
        g.fixture = "of the test"
        kind = type(g._get_current_object())
        for _ in range(3):
            shop.client.get("/")
        assert type(g._get_current_object()) is kind
        assert set(g) == {"fixture", "user", "is_admin", "count"}
    assert [record.variables for record in shop.records] == [{"user": "anonymous", "is_admin": False, "count": 2}] * 3


def test_a_class_for_g_of_the_applications_own_is_noted_too(recorded: Make) -> None:
    class Lowering:
        def __setattr__(self, name: str, value: Any) -> None:
            object.__setattr__(self, name.lower(), value)

        def __contains__(self, name: str) -> bool:
            return name in vars(self)

    app = setting(lambda: setattr(g, "plan", "free"))
    app.app_ctx_globals_class = Lowering  # type: ignore[assignment]
    shop = recorded(app)
    with app.app_context():
        for _ in range(2):
            shop.client.get("/")
    assert [record.variables for record in shop.records] == [{"plan": "free"}] * 2


def test_two_test_clients_that_keep_their_contexts_record_what_each_request_set(recorded: Make) -> None:
    shop = recorded(setting(_constant("setattr")))
    with shop.app.test_client() as first, shop.app.test_client() as second:
        first.get("/")
        second.get("/")
    assert [len(record.variables) for record in shop.records] == [3, 3]


def test_a_request_within_a_request_of_the_same_application_takes_nothing_from_its_g(recorded: Make) -> None:
    app = streaming_users()

    @app.get("/outer")
    def outer() -> str:
        g.first = 1
        inner = app.test_client().get("/plain?user=ada").text
        g.last = 2
        return inner

    shop = recorded(app)
    assert shop.client.get("/outer").text == "ada"
    assert [(record.path, record.variables) for record in shop.records] == [
        ("/plain", {}),
        ("/outer", {"first": 1, "last": 2}),
    ]
    assert shop.counts["g_refused"] == 1


def test_a_context_of_another_application_does_not_disturb(recorded: Make) -> None:
    shop = recorded(streaming_users())
    with Flask("other").app_context():
        g.other = "of the other"
        shop.client.get("/plain?user=ada")
        assert dict(vars(g._get_current_object())) == {"other": "of the other"}
    assert shop.record.variables == {"user": "ada"}


def test_what_is_on_g_before_flask_begins_with_the_request_is_not_the_requests(recorded: Make) -> None:
    shop = recorded(setting(lambda: setattr(g, "plan", g.user)))

    def set_user(sender: Flask, **_: Any) -> None:
        g.user = "of a signal"

    with appcontext_pushed.connected_to(set_user, shop.app):
        shop.client.get("/")
    assert shop.record.variables == {"plan": "of a signal"}


def test_an_application_may_empty_its_g(recorded: Make) -> None:
    def view() -> None:
        for name in list(g):
            g.pop(name)
        g.user = "ada"

    shop = recorded(setting(view))
    shop.client.get("/")
    assert shop.record.variables == {"user": "ada"}
    assert "flask_internal_error" not in shop.counts


def test_g_is_left_as_the_view_left_it(recorded: Make) -> None:
    kept: list[Any] = []

    def view() -> None:
        g.user = "ada"
        kept.append(g._get_current_object())

    shop = recorded(setting(view))
    shop.client.get("/")
    assert vars(kept[0]) == {"user": "ada"}


# -- threads and coroutines --------------------------------------------------------------------------------------------------------


def test_a_thread_with_a_copied_context_may_end_when_it_likes(recorded: Make) -> None:
    app = Flask("shop")
    finish, threads = threading.Event(), []

    @app.get("/")
    def index() -> str:
        g.user_id = "123"

        @copy_current_request_context
        def work() -> None:
            g.of_the_thread = True
            g.chest["work"] = "begun"
            started.set()
            finish.wait(60)
            g.chest["too late"] = True

        started = threading.Event()
        threads.append(threading.Thread(target=work))
        threads[0].start()
        assert started.wait(60)
        return "done"

    shop = recorded(app)
    assert shop.client.get("/").text == "done"
    finish.set()
    threads[0].join()
    assert shop.record.variables == {"user_id": "123", "work": "begun"}
    assert shop.counts["late_writes"] == 1


def test_a_thread_that_tears_its_copied_context_down_first_ends_no_record(recorded: Make) -> None:
    app = Flask("shop")

    @app.get("/")
    def index() -> str:
        @copy_current_request_context
        def work() -> None:
            g.of_the_thread = True

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        g.user_id = "123"
        return "done"

    shop = recorded(app)
    shop.client.get("/")
    assert shop.record.variables == {"user_id": "123"}


def test_an_async_view_leaves_its_variables(recorded: Make) -> None:
    pytest.importorskip("asgiref")
    app = Flask("shop")

    @app.before_request
    async def before() -> None:
        g.before = True

    @app.get("/<name>")
    async def index(name: str) -> str:
        g.name = name
        g.chest["said"] = current()["said"] = name
        if name == "broken":
            raise LookupError(name)
        return name

    @app.errorhandler(LookupError)
    async def handler(error: LookupError) -> tuple[str, int]:
        g.handled = True
        return "sorry", 400

    shop = recorded(app)
    assert shop.client.get("/ada").text == "ada"
    assert shop.client.get("/broken").text == "sorry"
    fine, broken = shop.records
    assert (fine.variables, fine.error) == ({"before": True, "name": "ada", "said": "ada"}, None)
    assert broken.variables == {"before": True, "name": "broken", "said": "broken", "handled": True}
    assert (broken.error, broken.status) == ("LookupError", 400)
