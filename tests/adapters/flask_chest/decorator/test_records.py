"""The decorator ``flask_chest``: which variables its record has, its id and its arguments."""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Blueprint, Flask, abort, g, jsonify, make_response
from flask.typing import ResponseReturnValue
from flask_chest import FlaskRecorder
from flask_chest.chests import FlaskChest
from flask_chest.decorator import flask_chest

from chest.chests.memory import MemoryChest
from chest.errors import SettingsError
from tests.adapters.flask_chest.decorator.conftest import KeepingChest, flush, get, set_two

UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


# -- which variables ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("raises", [True, False])
@pytest.mark.parametrize(
    ("tracked", "method", "expected"),
    [
        (None, "GET", {"user_id": "123", "plan": "premium"}),
        (["plan", "missing"], "GET", {"plan": "premium"}),
        (("plan", "user_id"), "POST", {"plan": "premium", "user_id": "123"}),
        ({"GET": ["user_id"], "POST": ["plan"]}, "GET", {"user_id": "123"}),
        ({"get": ["user_id"], "pOsT": ["plan"]}, "POST", {"plan": "premium"}),
        ({"GET": []}, "GET", {}),
        ({"POST": ["plan"]}, "GET", None),
    ],
)
def test_tracked_vars_say_which_variables_are_kept(
    app: Flask,
    keeping: KeepingChest,
    memory: MemoryChest,
    raises: bool,
    tracked: Any,
    method: str,
    expected: dict[str, Any] | None,
) -> None:
    set_two(app, flask_chest([keeping, memory], tracked, raise_exceptions=raises))
    assert get(app, method=method).status_code == 200
    flush(app)
    if expected is None:
        assert (keeping.kept, memory.records) == ([], [])
        return
    ((record,), (triples,)) = memory.records, keeping.kept
    assert list(record.variables.items()) == list(expected.items())
    assert triples == [(name, value, record.request_id) for name, value in expected.items()]


def test_private_names_and_what_others_park_on_g_are_not_variables(app: Flask, keeping: KeepingChest) -> None:
    @app.before_request
    def park() -> None:
        g.db, g._login_user, g.from_hook = object(), "private", 1

    set_two(app, flask_chest([keeping]))
    get(app)
    assert [name for name, _, _ in keeping.kept[0]] == ["from_hook", "user_id", "plan"]


def test_values_are_what_the_view_left_in_the_request_and_json_through_a_recorder(app: Flask) -> None:
    thing = {1, 2}
    now, later = KeepingChest(), KeepingChest()

    @app.route("/")
    @flask_chest([now], ["thing"])
    @flask_chest([later], ["thing"], raise_exceptions=False)
    def index() -> str:
        g.thing = thing
        return ""

    get(app)
    flush(app)
    assert now.kept[0][0][1] is thing
    assert later.kept[0][0][1] == [1, 2]


def test_through_a_recorder_names_that_sound_secret_are_redacted(app: Flask, keeping: KeepingChest) -> None:
    @app.route("/")
    @flask_chest([keeping], raise_exceptions=False)
    def index() -> str:
        g.password = "s3cret"
        return ""

    get(app)
    flush(app)
    assert keeping.kept[0][0][:2] == ("password", "[REDACTED]")


# -- the record of its own ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("raises", [True, False])
def test_the_view_leaves_a_record_of_its_own(app: Flask, memory: MemoryChest, raises: bool) -> None:
    bp = Blueprint("items", __name__, url_prefix="/items")

    @bp.route("/<int:number>", methods=["POST"])
    @flask_chest([memory], raise_exceptions=raises)
    def item(number: int) -> ResponseReturnValue:
        g.number = number
        return {"n": number}, 201

    app.register_blueprint(bp)
    assert get(app, "/items/7?q=1", "POST").status_code == 201
    flush(app)
    (record,) = memory.records
    assert (record.method, record.path, record.route) == ("POST", "/items/7", "/items/<int:number>")
    assert (record.status, record.outcome, record.error) == (201, "ok", None)
    assert (record.service, record.variables) == ("shop", {"number": 7})
    assert UUID4.fullmatch(record.request_id)
    assert record.duration_ns > 0


@pytest.mark.parametrize("raises", [True, False])
def test_beside_the_extension_it_has_an_id_of_its_own_and_the_requests_request_id(
    app: Flask, recorded: FlaskRecorder, requests: MemoryChest, memory: MemoryChest, raises: bool
) -> None:
    set_two(app, flask_chest([memory], ["plan"], raise_exceptions=raises))
    response = get(app, headers={"X-Request-ID": "from-outside"})
    flush(app)
    (whole,), (own,) = requests.records, memory.records
    assert whole.id != own.id
    assert whole.request_id == own.request_id == "from-outside" == response.headers["X-Request-ID"]
    assert whole.variables == {"user_id": "123", "plan": "premium"}
    assert own.variables == {"plan": "premium"}
    assert (own.service, own.host) == (whole.service, whole.host)


@pytest.mark.parametrize("raises", [True, False])
@pytest.mark.parametrize(
    ("returned", "status"),
    [
        (lambda: "text", 200),
        (lambda: ("text", 202), 202),
        (lambda: ("text", "418 I'M A TEAPOT"), 418),
        (lambda: ("text", {"X-A": "b"}), 200),
        (lambda: ("text", 203, {"X-A": "b"}), 203),
        (lambda: jsonify(a=1), 200),
        (lambda: make_response("no", 404), 404),
        (lambda: (make_response("no", 404), {"X-A": "b"}), 404),
        (lambda: [1, 2], 200),
    ],
)
def test_the_status_is_what_the_view_returned(
    app: Flask, memory: MemoryChest, raises: bool, returned: Callable[[], Any], status: int
) -> None:
    @app.route("/")
    @flask_chest([memory], raise_exceptions=raises)
    def index() -> Any:
        return returned()

    assert get(app).status_code == status
    flush(app)
    assert [record.status for record in memory.records] == [status]


@pytest.mark.parametrize("raises", [True, False])
def test_a_view_that_raises_still_leaves_its_record(
    app: Flask, memory: MemoryChest, keeping: KeepingChest, raises: bool
) -> None:
    @app.route("/")
    @flask_chest([keeping, memory], raise_exceptions=raises)
    def index() -> str:
        g.user_id = "123"
        raise KeyError("plan")

    assert get(app).status_code == 500
    flush(app)
    (record,) = memory.records
    assert (record.status, record.outcome, record.error) == (500, "error", "KeyError")
    assert record.variables == {"user_id": "123"}
    assert keeping.kept[0][0][:2] == ("user_id", "123")


@pytest.mark.parametrize("raises", [True, False])
def test_an_abort_is_an_answer_with_its_status(app: Flask, memory: MemoryChest, raises: bool) -> None:
    @app.route("/")
    @flask_chest([memory], raise_exceptions=raises)
    def index() -> str:
        abort(403)

    @app.route("/made")
    @flask_chest([memory], raise_exceptions=raises)
    def made() -> str:
        abort(make_response("no", 409))

    assert (get(app).status_code, get(app, "/made").status_code) == (403, 409)
    flush(app)
    assert [(each.status, each.outcome) for each in memory.records] == [(403, "ok"), (409, "ok")]
    assert [each.error for each in memory.records] == [None, None]


# -- the request's id --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("raises", [True, False])
@pytest.mark.parametrize("has_extension", [True, False])
def test_a_generator_makes_the_one_id_of_the_request(
    app: Flask,
    requests: MemoryChest,
    request: pytest.FixtureRequest,
    memory: MemoryChest,
    raises: bool,
    has_extension: bool,
) -> None:
    if has_extension:
        request.getfixturevalue("recorded")
    seen = []

    @app.route("/")
    @flask_chest([memory], None, lambda: "made", raises)
    def index() -> str:
        seen.append(g.custom_request_id)
        return ""

    response = get(app, headers={"X-Request-ID": "from-outside"})
    flush(app)
    assert seen == ["made"]
    assert [record.request_id for record in memory.records] == ["made"]
    assert [record.variables for record in memory.records] == [{}]
    if has_extension:
        assert [record.request_id for record in requests.records] == ["made"]
        assert response.headers["X-Request-ID"] == "made"


def test_the_id_is_text_of_at_most_255_characters(app: Flask, memory: MemoryChest) -> None:
    seen = []

    @app.route("/")
    @flask_chest([memory], request_id_generator=lambda: "x" * 300)
    def index() -> str:
        seen.append(g.custom_request_id)
        return ""

    @app.route("/number")
    @flask_chest([memory], request_id_generator=lambda: 17)
    def number() -> str:
        return ""

    get(app)
    get(app, "/number")
    assert [record.request_id for record in memory.records] == ["x" * 255, "17"]
    assert seen == ["x" * 255]


@pytest.mark.parametrize(
    ("generator", "warnings"), [(None, 0), (lambda: None, 0), (lambda: "", 0), (lambda: str(1 / 0), 1)]
)
def test_without_an_id_of_the_generators_the_request_has_its_own(
    app: Flask, memory: MemoryChest, generator: Any, warnings: int, caplog: pytest.LogCaptureFixture
) -> None:
    set_two(app, flask_chest([memory], None, generator))
    assert [get(app).status_code for _ in range(2)] == [200, 200]
    ids = {record.request_id for record in memory.records}
    assert len(ids) == 2
    assert all(map(UUID4.fullmatch, ids))
    assert [record.levelname for record in caplog.records] == ["WARNING"] * warnings


def test_several_decorators_of_one_request_share_its_id(app: Flask, memory: MemoryChest, keeping: KeepingChest) -> None:
    ids = iter("abcdef")

    @app.route("/")
    @flask_chest([memory], request_id_generator=lambda: next(ids))
    @flask_chest([keeping], request_id_generator=lambda: next(ids))
    def index() -> str:
        g.a = 1
        return ""

    get(app)
    get(app)
    assert [record.request_id for record in memory.records] == ["a", "b"]
    assert [triples[0][2] for triples in keeping.kept] == ["a", "b"]


def test_an_id_that_the_view_sets_on_g_counts_for_every_record(
    app: Flask, recorded: FlaskRecorder, requests: MemoryChest, memory: MemoryChest
) -> None:
    @app.route("/")
    @flask_chest([memory])
    def index() -> str:
        g.custom_request_id = "mine"
        return ""

    get(app)
    flush(app)
    assert [record.request_id for record in (*memory.records, *requests.records)] == ["mine", "mine"]


# -- arguments ---------------------------------------------------------------------------------------------------------


def test_the_documented_signature() -> None:
    parameters = inspect.signature(flask_chest).parameters
    assert list(parameters) == ["chests", "tracked_vars", "request_id_generator", "raise_exceptions"]
    defaults = {name: parameter.default for name, parameter in parameters.items()}
    assert (defaults["chests"], defaults["tracked_vars"], defaults["raise_exceptions"]) == (None, None, True)
    assert UUID4.fullmatch(defaults["request_id_generator"]())


def test_it_is_found_under_both_names() -> None:
    import flask_chest as package
    from flask_chest import flask_chest as from_package

    assert from_package is flask_chest
    assert package.FlaskChest is FlaskChest


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"chests": lambda: "view"}, "parentheses"),
        ({"chests": [17]}, "int"),
        ({"chests": ["nosuch://host"]}, "nosuch"),
        ({"tracked_vars": 5}, "tracked_vars"),
        ({"tracked_vars": {"GET": 5}}, "tracked_vars"),
        ({"tracked_vars": [5]}, "tracked_vars"),
        ({"request_id_generator": "uuid"}, "request_id_generator"),
    ],
)
def test_an_argument_that_is_invalid_is_refused_at_start(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        flask_chest(**arguments)


def test_one_chest_needs_no_list(app: Flask, memory: MemoryChest) -> None:
    set_two(app, flask_chest(memory))  # type: ignore[arg-type]
    get(app)
    assert len(memory.records) == 1


def test_invalid_settings_fail_no_request_that_asked_not_to_fail(
    app: Flask, memory: MemoryChest, caplog: pytest.LogCaptureFixture
) -> None:
    app.config["CHEST_RING_BYTES"] = "many"
    set_two(app, flask_chest([memory], raise_exceptions=False))
    assert [get(app).status_code for _ in range(2)] == [200, 200]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "CHEST_RING_BYTES" in caplog.text
