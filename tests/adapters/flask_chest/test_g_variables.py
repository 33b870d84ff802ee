"""``GVariables``: what a view leaves on ``flask.g`` becomes variables of its request's record, and of no other's."""

from __future__ import annotations

import contextvars
import dataclasses
import enum
import functools
import io
import json
import threading
import uuid
from collections import namedtuple
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest
from flask import Flask, Response, appcontext_pushed, copy_current_request_context, g, request, stream_with_context
from flask_chest.decorator import flask_chest
from markupsafe import Markup

from chest import RequestContext, current

Make = Callable[..., Any]


def in_a_context_of_its_own(test: Callable[..., None]) -> Callable[..., None]:
    """For a test that leaves Flask's contexts pushed: so that no other test on this thread finds them."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        contextvars.copy_context().run(test, *args, **kwargs)

    return run


class Plan(enum.Enum):
    FREE = "free"


@dataclasses.dataclass
class User:
    name: str
    password_hash: str


Point = namedtuple("Point", "x y")


def setting(view: Callable[[], Any], **config: Any) -> Flask:
    """An application whose one view calls this first."""
    app = Flask("shop")
    app.config.update(config)

    @app.route("/", methods=["GET", "POST"])
    def index() -> Any:
        return view() or "done"

    return app


def opened(app: Flask, path: str = "/", query: str = "") -> Any:
    """The body of a response, not yet read."""
    environ: dict[str, Any] = {"PATH_INFO": path, "QUERY_STRING": query}
    setup_testing_defaults(environ)
    return app(environ, lambda status, headers, exc_info=None: io.BytesIO().write)


# -- what is a variable -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ("text", "text"),
        (7, 7),
        (1.5, 1.5),
        (True, True),
        (None, None),
        ([1, "a"], [1, "a"]),
        ({"a": {"b": 1}}, {"a": {"b": 1}}),
        ((1, 2), [1, 2]),
        ({"one"}, ["one"]),
        (b"bytes", "bytes"),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00+00:00"),
        (Decimal("9.90"), "9.90"),
        (uuid.UUID(int=1), str(uuid.UUID(int=1))),
        (Plan.FREE, "free"),
    ],
)
def test_plain_data_is_recorded_without_being_named(recorded: Make, value: Any, stored: Any) -> None:
    shop = recorded(setting(lambda: setattr(g, "value", value)))
    shop.client.get("/")
    assert shop.record.variables == {"value": stored}


@pytest.mark.parametrize(
    "value",
    [
        SimpleNamespace(db="connection"),
        User("ada", "x$y"),
        Point(1, 2),
        Markup("<b>"),
        type("Token", (dict,), {})(access="secret"),
        print,
        lambda: None,
        json,
        User,
        iter([1]),
        threading.Lock(),
        current,
    ],
    ids=lambda value: type(value).__name__,
)
def test_objects_functions_and_modules_are_left_out(recorded: Make, value: Any) -> None:
    shop = recorded(setting(lambda: setattr(g, "value", value)))
    shop.client.get("/")
    assert (shop.record.variables, shop.told) == ({}, {"flask.endpoint": "index"})


def test_private_names_are_left_out(recorded: Make) -> None:
    def view() -> None:
        g._login_user = g._ = g.__secret = "somebody's"
        g.user_id = "123"

    shop = recorded(setting(view))
    shop.client.get("/")
    assert shop.record.variables == {"user_id": "123"}


def test_an_object_is_recorded_by_saying_so(recorded: Make) -> None:
    shop = recorded(setting(lambda: g.chest.update(user=User("ada", "x$y"))))
    shop.client.get("/")
    assert shop.record.variables == {"user": {"name": "ada", "password_hash": "[REDACTED]"}}


def test_what_an_extension_keeps_on_g_is_not_a_variable(recorded: Make) -> None:
    def view() -> None:
        g.csrf_token = "ImE5Yz"
        g.csrf_valid = True
        g.flask_httpauth_user = {"sub": "ada", "email": "ada@example.org"}
        g.plan = "free"

    shop = recorded(setting(view))
    shop.client.get("/")
    assert shop.record.variables == {"plan": "free"}


def test_what_is_on_g_is_redacted_like_every_variable(recorded: Make) -> None:
    shop = recorded(setting(lambda: setattr(g, "password", "hunter2")))
    shop.client.get("/")
    assert shop.record.variables == {"password": "[REDACTED]"}


def test_what_hooks_around_the_view_set_is_recorded_too(recorded: Make) -> None:
    app = setting(lambda: setattr(g, "view", 2))
    app.before_request(lambda: setattr(g, "before", 1))

    @app.after_request
    def after(response: Response) -> Response:
        g.after = 3
        return response

    app.teardown_request(lambda error: setattr(g, "teardown", 4))
    shop = recorded(app)
    shop.client.get("/")
    assert shop.record.variables == {"before": 1, "view": 2, "after": 3, "teardown": 4}


def test_what_was_set_on_the_context_is_never_replaced(recorded: Make) -> None:
    def view() -> None:
        g.chest["user_id"] = "said on the context"
        g.user_id = "left on g"

    shop = recorded(setting(view))
    shop.client.get("/")
    assert shop.record.variables == {"user_id": "said on the context"}


def test_a_view_that_raises_leaves_its_variables(recorded: Make) -> None:
    def view() -> None:
        g.user_id = "123"
        raise LookupError

    shop = recorded(setting(view, PROPAGATE_EXCEPTIONS=True))
    with pytest.raises(LookupError):
        shop.client.get("/")
    assert shop.record.variables == {"user_id": "123"}


def test_a_class_for_g_without_a_dictionary_costs_its_variables_and_no_request(recorded: Make) -> None:
    class Slots:
        __slots__ = ("user_id",)

    app = setting(lambda: setattr(g, "user_id", "123"))
    app.app_ctx_globals_class = Slots  # type: ignore[assignment]
    shop = recorded(app)
    app.app_ctx_globals_class = Slots  # type: ignore[assignment]
    assert shop.client.get("/").status_code == 200
    with app.app_context():
        assert shop.client.get("/").status_code == 200
    assert [(record.route, record.variables) for record in shop.records] == [("/", {}), ("/", {})]
    assert shop.counts["flask_internal_error"] == 2
    assert "TypeError" in shop.counts["last_error"]


# -- CHEST_G --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "tracked", "kept"),
    [
        ("all", None, {"user_id", "plan", "said"}),
        ("all", ["user_id", "said"], {"user_id", "said"}),
        ("tracked", None, {"said"}),
        ("tracked", ["user_id", "said"], {"user_id", "said"}),
        ("tracked", {"GET": ["plan"], "POST": ["user_id"]}, {"plan"}),
        ("none", None, {"said"}),
        ("none", ["user_id", "said"], {"said"}),
    ],
)
def test_which_variables_of_g_are_recorded(recorded: Make, mode: str, tracked: Any, kept: set[str]) -> None:
    def view() -> None:
        g.user_id, g.plan = "123", "free"
        g.chest["said"] = True

    shop = recorded(setting(view, CHEST_G=mode, CHEST_TRACKED_VARS=tracked))
    shop.client.get("/")
    assert set(shop.record.variables) == kept


@pytest.mark.parametrize("mode", ["all", "tracked", "none"])
def test_a_decorator_without_chests_narrows_the_record_to_what_it_names(recorded: Make, mode: str) -> None:
    @flask_chest(tracked_vars=["user_id", "said"])
    def view() -> None:
        g.user_id, g.plan = "123", "free"
        g.chest.update(said=True, unsaid=True)

    shop = recorded(setting(view, CHEST_G=mode))
    shop.client.get("/")
    assert shop.record.variables == {"user_id": "123", "said": True}


def test_two_decorators_keep_what_either_names(recorded: Make) -> None:
    @flask_chest(tracked_vars=["user_id"])
    @flask_chest(tracked_vars=["plan"])
    def view() -> None:
        g.user_id, g.plan, g.other = "123", "free", 1

    shop = recorded(setting(view))
    shop.client.get("/")
    assert shop.record.variables == {"user_id": "123", "plan": "free"}


def test_a_narrowed_stream_keeps_what_is_named_of_all_that_it_sets(recorded: Make) -> None:
    @flask_chest(tracked_vars=["rows", "user_id"])
    def view() -> Response:
        g.user_id, g.plan = "123", "free"

        def rows() -> Iterator[str]:
            g.rows, g.other = 1, 2
            g.chest["said"] = True
            yield "a"

        return Response(stream_with_context(rows()))

    shop = recorded(setting(view))
    shop.client.get("/").close()
    assert shop.record.variables == {"user_id": "123", "rows": 1}


def test_the_id_that_a_decorator_puts_on_g_is_not_a_variable(recorded: Make) -> None:
    @flask_chest()
    def view() -> None:
        g.user_id = g.custom_request_id

    shop = recorded(setting(view))
    shop.client.get("/")
    assert shop.record.variables == {"user_id": shop.record.request_id}


# -- g.chest ----------------------------------------------------------------------------------------------------------------------


def test_g_chest_is_the_context_of_the_request(recorded: Make) -> None:
    def view() -> None:
        assert g.chest is current() is request.environ["chest.context"]
        g.chest.increment("queries")

    shop = recorded(setting(view))
    assert shop.client.get("/").status_code == 200
    assert shop.record.variables == {"queries": 1}


def test_outside_a_request_g_chest_keeps_nothing(recorded: Make) -> None:
    with recorded(setting(lambda: None)).app.app_context():
        assert isinstance(g.chest, RequestContext)
        g.chest["user_id"] = "123"
        assert dict(g.chest) == {}


def test_a_g_chest_of_the_applications_own_is_left_alone_and_recorded_as_any_variable(recorded: Make) -> None:
    def view() -> None:
        g.chest = "of oak"
        assert g.chest == "of oak"

    shop = recorded(setting(view))
    assert shop.client.get("/").status_code == 200
    assert shop.record.variables == {"chest": "of oak"}


def test_a_class_for_g_that_has_a_chest_keeps_it(recorded: Make) -> None:
    app = setting(lambda: g.chest)
    app.app_ctx_globals_class = type("Globals", (app.app_ctx_globals_class,), {"chest": "of oak"})  # type: ignore[assignment]
    assert recorded(app).client.get("/").text == "of oak"


def test_g_chest_is_the_requests_also_in_a_stream(recorded: Make) -> None:
    def view() -> Response:
        def rows() -> Iterator[str]:
            for row in ("a", "b"):
                g.chest.increment("rows")
                yield row

        return Response(stream_with_context(rows()))

    shop = recorded(setting(view))
    assert shop.client.get("/", buffered=True).text == "ab"
    assert shop.record.variables == {"rows": 2}


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
