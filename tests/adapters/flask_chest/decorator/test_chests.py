"""The decorator ``flask_chest`` without chests, with broken ones, and whose recorder it uses."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response, g
from flask_chest import FlaskRecorder
from flask_chest.chests import FlaskChest
from flask_chest.decorator import flask_chest, recorders_of

from chest.chests.memory import MemoryChest
from chest.errors import ChestError, ChestUnavailable, ChestWriteError
from chest.testing.contract import in_child
from tests.adapters.flask_chest.decorator.conftest import KeepingChest, flush, get, set_two


class BrokenChest(FlaskChest):
    """Is not there."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__(name="broken")
        self.error = error or ChestUnavailable("it is down")
        self.asked = 0

    def write(self, context_tuple_list: Any) -> None:
        self.asked += 1
        raise self.error


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
