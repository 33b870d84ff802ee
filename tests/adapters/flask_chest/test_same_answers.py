"""An application answers the same with the extension and without it, even if its code does what it should not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask, g, request

from chest import current
from tests.adapters.flask_chest.conftest import Recorded

Make = Callable[..., Recorded]


class Text(str):
    """A name that compares itself with none."""

    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        raise ValueError("compared")


def shop() -> Flask:
    app = Flask("shop")
    app.secret_key = "of the tests"

    @app.get("/fails")
    def fails() -> str:
        raise LookupError("no such item")

    @app.get("/fails-for-a-token")
    def fails_for_a_token() -> str:
        g.flask_httpauth_user = "ada"
        raise LookupError("no such item")

    @app.get("/takes-the-context-away")
    def takes_the_context_away() -> str:
        del request.environ["chest.context"]
        raise LookupError("no such item")

    @app.get("/puts-another-in-its-place")
    def puts_another_in_its_place() -> str:
        request.environ["chest.context"] = None
        raise LookupError("no such item")

    @app.get("/compares")
    def compares() -> str:
        g.item = 1
        current()[Text("item")] = 2
        return "compared"

    @app.get("/no-name")
    def no_name() -> str:
        setattr(g, "", 1)
        g.item = 1
        return "named"

    return app


PATHS = [rule.rule for rule in shop().url_map.iter_rules() if rule.endpoint != "static"]


def answers(app: Flask, path: str) -> list[Any]:
    """Two of them: the compiled part serves no first request of a route."""
    found = [app.test_client().get(path) for _ in range(2)]
    own = ("X-Request-ID", "Set-Cookie")
    return [(each.status, [pair for pair in each.headers if pair[0] not in own], each.data) for each in found]


@pytest.mark.parametrize("path", PATHS)
def test_the_answer_is_that_of_the_bare_application_and_leaves_one_record(recorded: Make, path: str) -> None:
    made = recorded(shop())
    assert answers(made.app, path) == answers(shop(), path)
    assert len(made.records) == 2


def test_a_session_that_the_application_does_not_use_is_not_used(recorded: Make) -> None:
    """A cache must keep the page of an error apart for each cookie if Flask says ``Vary: Cookie``."""
    made = recorded(shop())
    assert "Vary" not in made.client.get("/fails").headers
    assert "Vary" not in made.client.get("/fails-for-a-token").headers
    assert [record.attributes.get("enduser.id") for record in made.records] == [None, "ada"]


def test_what_compares_itself_is_counted_once_a_request(recorded: Make) -> None:
    made = recorded(shop())
    answers(made.app, "/compares")
    assert len(made.records) == 2
    assert made.counts["flask_internal_error"] == 2


def test_a_name_without_a_letter_takes_no_other_variable_away(recorded: Make) -> None:
    made = recorded(shop())
    made.client.get("/no-name")
    assert made.record.variables["item"] == 1
