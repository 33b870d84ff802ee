"""What of ``flask.g`` becomes a variable."""

from __future__ import annotations

import dataclasses
import enum
import json
import threading
import uuid
from collections import namedtuple
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Response, g, request, stream_with_context
from flask_chest.decorator import flask_chest
from markupsafe import Markup

from chest import RequestContext, current
from tests.adapters.flask_chest.g_variables.views import Make, setting


class Plan(enum.Enum):
    FREE = "free"


@dataclasses.dataclass
class User:
    name: str
    password_hash: str


Point = namedtuple("Point", "x y")


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
