"""The decorator ``flask_chest``."""

from __future__ import annotations

import inspect
import logging
import re
import threading
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
from flask import Blueprint, Flask, Response, abort, g, jsonify, make_response, stream_with_context
from flask.typing import ResponseReturnValue
from flask.views import MethodView
from flask_chest import FlaskRecorder
from flask_chest.chests import FlaskChest
from flask_chest.decorator import flask_chest, recorders_of

from chest import ChestMiddleware
from chest.chests.memory import MemoryChest
from chest.errors import ChestError, ChestUnavailable, ChestWriteError, SettingsError
from chest.testing.contract import in_child
from tests.support import wait_until

UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


class KeepingChest(FlaskChest):
    """Keeps what it is written."""

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name=name)
        self.kept: list[Any] = []

    def write(self, context_tuple_list: Any) -> None:
        self.kept.append(context_tuple_list)


class BrokenChest(FlaskChest):
    """Is not there."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__(name="broken")
        self.error = error or ChestUnavailable("it is down")
        self.asked = 0

    def write(self, context_tuple_list: Any) -> None:
        self.asked += 1
        raise self.error


@pytest.fixture(autouse=True)
def _directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHEST_DIRECTORY", str(tmp_path / "rings"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def app() -> Iterator[Flask]:
    """A plain Flask application, as Flask-Chest decorates them."""
    app = Flask("shop")
    yield app
    for recorder in recorders_of(app):
        recorder.close()


@pytest.fixture
def keeping() -> KeepingChest:
    return KeepingChest()


@pytest.fixture
def memory() -> MemoryChest:
    return MemoryChest()


@pytest.fixture
def requests() -> MemoryChest:
    """Where the records of whole requests go."""
    return MemoryChest()


@pytest.fixture
def recorded(app: Flask, requests: MemoryChest) -> Iterator[FlaskRecorder]:
    """The extension on the application."""
    recorder = FlaskRecorder(app, chests=[requests], service="shop")
    yield recorder
    for each in recorders_of(app):
        each.close()
    app.extensions["chest"].recorder.close()


def flush(app: Flask) -> None:
    for recorder in recorders_of(app):
        wait_until(recorder.flush)  # a slow disk has records wait in the spool for a while
    if "chest" in app.extensions:
        wait_until(app.extensions["chest"].recorder.flush)


def get(app: Flask, path: str = "/", method: str = "GET", **options: Any) -> Any:
    return app.test_client().open(path, method=method, **{"buffered": True, **options})


def set_two(app: Flask, decorator: Callable[[Any], Any], **options: Any) -> None:
    """A view that sets ``user_id`` and ``plan``."""

    def index() -> str:
        g.user_id, g.plan = "123", "premium"
        return "hello"

    app.add_url_rule("/", view_func=decorator(index), methods=["GET", "POST"], **options)


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


# -- without chests ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tracked", "expected"),
    [
        (["plan"], {"plan": "premium"}),
        ({"get": ["user_id", "missing"]}, {"user_id": "123"}),
        ({"POST": ["plan"]}, {}),
        ([], {}),
        (None, {"user_id": "123", "plan": "premium"}),
    ],
)
def test_without_chests_the_requests_record_is_narrowed(
    app: Flask, recorded: FlaskRecorder, requests: MemoryChest, tracked: Any, expected: dict[str, Any]
) -> None:
    set_two(app, flask_chest(tracked_vars=tracked))
    app.add_url_rule("/other", view_func=lambda: setattr(g, "other", 1) or "")
    get(app)
    get(app, "/other")
    flush(app)
    assert [record.variables for record in requests.records] == [expected, {"other": 1}]


def test_a_view_that_raises_is_narrowed_as_well(app: Flask, recorded: FlaskRecorder, requests: MemoryChest) -> None:
    @app.route("/")
    @flask_chest(tracked_vars=["plan"])
    def index() -> str:
        g.user_id, g.plan = "123", "premium"
        raise KeyError("x")

    assert get(app).status_code == 500
    flush(app)
    assert [record.variables for record in requests.records] == [{"plan": "premium"}]


def test_without_chests_and_without_the_extension_it_warns_once_and_passes_through(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    set_two(app, flask_chest(tracked_vars=["plan"]))
    assert [get(app).data for _ in range(3)] == [b"hello"] * 3
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "FlaskRecorder(app)" in caplog.text


# -- raise_exceptions --------------------------------------------------------------------------------------------------


def test_in_the_request_the_error_is_raised_after_every_chest_was_tried(app: Flask, memory: MemoryChest) -> None:
    app.config["PROPAGATE_EXCEPTIONS"] = True
    broken, other, keeping = BrokenChest(), BrokenChest(RuntimeError("secret text")), KeepingChest()
    set_two(app, flask_chest([broken, memory, other, keeping]))
    with pytest.raises(ChestWriteError, match=r"BrokenChest\(name=broken\): it is down") as raised:
        get(app)
    assert raised.value.__cause__ is broken.error
    assert [error for _, error in raised.value.failures] == [broken.error, other.error]
    assert isinstance(raised.value, ChestError)
    assert "secret text" not in str(raised.value)
    assert (len(memory.records), len(keeping.kept), broken.asked, other.asked) == (1, 1, 1, 1)


def test_the_record_is_there_before_the_response_is_returned(app: Flask, memory: MemoryChest) -> None:
    counts = []

    @app.after_request
    def look(response: Response) -> Response:
        counts.append(len(memory.records))
        return response

    set_two(app, flask_chest([memory]))
    get(app)
    assert counts == [1]
    assert recorders_of(app) == []


def test_a_chest_that_fails_does_not_hide_the_views_own_exception(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    app.config["PROPAGATE_EXCEPTIONS"] = True

    @app.route("/")
    @flask_chest([BrokenChest()])
    def index() -> str:
        raise KeyError("plan")

    with pytest.raises(KeyError, match="plan"):
        get(app)
    assert "BrokenChest(name=broken): ChestUnavailable" in caplog.text


def test_through_a_recorder_a_broken_chest_neither_fails_nor_delays_a_request(
    app: Flask, memory: MemoryChest, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = threading.Event()

    class SlowChest(FlaskChest):
        def write(self, context_tuple_list: Any) -> None:
            blocked.wait(60)

    set_two(app, flask_chest([SlowChest(), BrokenChest(), memory], raise_exceptions=False))
    assert [get(app).status_code for _ in range(20)] == [200] * 20
    (recorder,) = recorders_of(app)
    assert not recorder.flush(0.05)
    blocked.set()


def test_decorators_that_name_the_same_chests_share_one_recorder(app: Flask, memory: MemoryChest) -> None:
    keeping = KeepingChest()
    for number in range(10):
        chests: list[Any] = [memory, keeping] if number % 2 else [keeping, memory]

        @app.route(f"/{number}", endpoint=f"view-{number}")
        @flask_chest(chests, raise_exceptions=False)
        def view() -> str:
            g.a = 1
            return ""

    @app.route("/other")
    @flask_chest([memory], raise_exceptions=False)
    def other() -> str:
        return ""

    for number in range(10):
        get(app, f"/{number}")
    assert len(recorders_of(app)) == 1
    get(app, "/other")
    assert len({recorder.name for recorder in recorders_of(app)}) == 2
    flush(app)
    assert (len(memory.records), len(keeping.kept)) == (11, 10)


def test_a_recorders_name_is_the_same_from_start_to_start_and_holds_no_secret(tmp_path: Path) -> None:
    def names() -> list[str]:
        app = Flask("shop")
        for place, chest in enumerate(["http://u:hunter2@127.0.0.1:9/in", "memory:names"]):
            view = flask_chest([chest], raise_exceptions=False)(lambda: "")
            app.add_url_rule(f"/{place}", f"e{place}", view)
        for place in range(2):
            get(app, f"/{place}")
        found = [recorder.name for recorder in recorders_of(app)]
        for recorder in recorders_of(app):
            recorder.close(0)
        return found

    first = names()
    assert names() == first
    assert len(set(first)) == 2
    assert "hunter2" not in str(first)


def test_chests_with_one_label_keep_recorders_apart(app: Flask) -> None:
    one, two = KeepingChest(), KeepingChest()
    for place, chest in enumerate([one, two]):
        view = flask_chest([chest], raise_exceptions=False)(lambda: setattr(g, "a", 1) or "")
        app.add_url_rule(f"/{place}", f"e{place}", view)
    for place in range(2):
        get(app, f"/{place}")
    assert len({recorder.name for recorder in recorders_of(app)}) == 2
    flush(app)
    assert (len(one.kept), len(two.kept)) == (1, 1)


def test_applications_do_not_share_recorders(memory: MemoryChest) -> None:
    decorator = flask_chest([memory], raise_exceptions=False)
    apps = [Flask("one"), Flask("two")]
    for app in apps:
        set_two(app, decorator)
        get(app)
        flush(app)
    assert sorted(record.service for record in memory.records) == ["one", "two"]
    for app in apps:
        recorders_of(app)[0].close()


def test_a_forked_child_makes_records_of_its_own(app: Flask, tmp_path: Path) -> None:
    set_two(app, flask_chest([f"sqlite:///{tmp_path}/now.sqlite3"]))
    set_later = flask_chest([f"sqlite:///{tmp_path}/later.sqlite3"], raise_exceptions=False)
    app.add_url_rule("/later", "later", set_later(lambda: ""))
    paths = ["/", "/later"]
    for path in paths:
        get(app, path)
    in_child(lambda: [*(get(app, path) for path in paths * 2), flush(app)])
    for path in paths:
        get(app, path)
    flush(app)
    from chest.chests.sql.sqlite.chest import SQLiteChest

    for name in ("now", "later"):
        with SQLiteChest(f"sqlite:///{tmp_path}/{name}.sqlite3") as chest:
            assert len(chest.read()) == 4


def test_an_application_that_is_switched_off_records_nothing(app: Flask, memory: MemoryChest) -> None:
    app.config["CHEST_ENABLED"] = False
    set_two(app, flask_chest([memory]))
    set_later = flask_chest([memory], raise_exceptions=False)
    app.add_url_rule("/later", "later", set_later(lambda: ""))
    assert [get(app, path).status_code for path in ("/", "/later")] == [200, 200]
    assert memory.records == []


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
