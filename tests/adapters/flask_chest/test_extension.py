"""``FlaskRecorder``: the extension on an application, its options, and the life of both."""

from __future__ import annotations

import contextvars
import gc
import json
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import flask_chest
import pytest
from flask import Blueprint, Flask, Response, appcontext_pushed, current_app, g, request
from flask_chest import AppRecorder, FlaskRecorder
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client

from chest import ChestMiddleware, Recorder, SettingsError, current
from chest.chests.memory import MemoryChest
from chest.request.closed_contexts import NO_REQUEST
from tests.processes import run_python
from tests.support import KEEPS_CLASSES

Make = Callable[..., Any]


def make_shop() -> Flask:
    shop = Flask("shop")

    @shop.get("/items/<int:item_id>")
    def item(item_id: int) -> dict[str, int]:
        g.item_id = item_id
        return {"item_id": item_id}

    return shop


# -- on an application -----------------------------------------------------------------------------------------------------


def test_a_request_leaves_one_record(recorded: Make) -> None:
    shop = recorded(make_shop())
    response = shop.client.get("/items/3?colour=red")
    record = shop.record
    assert response.json == {"item_id": 3}
    assert (record.method, record.path, record.status, record.outcome) == ("GET", "/items/3", 200, "ok")
    assert (record.variables, record.error, record.service) == ({"item_id": 3}, None, "shop")
    assert response.headers["X-Request-ID"] == record.request_id


def test_the_constructor_takes_the_application_too(tmp_path: Path) -> None:
    shop, chest = make_shop(), MemoryChest()
    FlaskRecorder(shop, chests=[chest], directory=tmp_path)
    assert isinstance(shop.wsgi_app, ChestMiddleware)


def test_routes_and_blueprints_may_come_before_and_after(recorded: Make) -> None:
    before, after = Blueprint("before", "before"), Blueprint("after", "after")
    before.get("/before")(lambda: "before")
    after.get("/after")(lambda: "after")
    app = make_shop()
    app.register_blueprint(before)
    shop = recorded(app)
    app.register_blueprint(after)
    app.get("/late")(lambda: "late")
    for path in ("/before", "/after", "/late", "/items/1"):
        shop.client.get(path)
    assert [record.route for record in shop.records] == ["/before", "/after", "/late", "/items/<int:item_id>"]


def test_one_extension_object_serves_the_applications_of_a_factory(tmp_path: Path) -> None:
    extension = FlaskRecorder(directory=tmp_path)

    def create_app(url: str) -> Flask:
        app = make_shop()
        app.config["CHEST_URLS"] = url
        extension.init_app(app)
        return app

    one, other = create_app("memory:factory-one"), create_app("memory:factory-other")
    one.test_client().get("/items/1")
    other.test_client().get("/items/2")
    for app, url, path in ((one, "memory:factory-one", "/items/1"), (other, "memory:factory-other", "/items/2")):
        assert app.extensions["chest"].recorder.close(60)
        assert [record.path for record in MemoryChest(url).records] == [path]
    assert one.extensions["chest"].recorder is not other.extensions["chest"].recorder


@pytest.mark.skipif(KEEPS_CLASSES, reason="this Python keeps a class that is made for the application")
def test_nothing_is_kept_but_in_the_extensions_of_the_application(tmp_path: Path) -> None:
    extension = FlaskRecorder(chests=[MemoryChest()], directory=tmp_path)
    app = make_shop()
    extension.init_app(app)
    assert isinstance(app.extensions["chest"], AppRecorder)
    assert list(app.extensions) == ["chest"]
    gone = weakref.ref(app)
    del app
    gc.collect()
    assert gone() is None


def test_two_applications_may_share_a_recorder_and_differ_in_what_they_record(tmp_path: Path) -> None:
    chest = MemoryChest()
    with Recorder(chests=[chest], directory=tmp_path, service="both") as shared:
        shop, till = make_shop(), make_shop()
        FlaskRecorder(shop, recorder=shared)
        FlaskRecorder(till, recorder=shared, exclude_paths=["/items/*"])
        shop.test_client().get("/items/1")
        till.test_client().get("/items/2")
        assert shared.flush(60)
    assert [(record.path, record.service) for record in chest.records] == [("/items/1", "both")]


def test_a_second_time_is_refused_with_the_cure(tmp_path: Path) -> None:
    app = make_shop()
    extension = FlaskRecorder(app, chests=[MemoryChest()], directory=tmp_path)
    with pytest.raises(SettingsError, match=r"'shop' has a FlaskRecorder already.*once for each application"):
        extension.init_app(app)


def test_anything_but_a_flask_application_is_refused_with_the_cure() -> None:
    with pytest.raises(SettingsError, match=r"takes a Flask application, not function.*ChestMiddleware"):
        FlaskRecorder(lambda environ, start_response: [])  # type: ignore[arg-type]


def test_importing_the_extension_loads_no_driver_and_nothing_of_flask_chests() -> None:
    loaded = run_python(
        """
        import sys, flask_chest
        print(*sorted(name for name in sys.modules if name.partition(".")[0] in ("sqlalchemy", "rich", "flask_chest")))
        """,
        PYTHONPATH=":".join(sys.path),
    ).split()
    assert "flask_chest.extension" in loaded
    assert not {"sqlalchemy", "rich", "flask_chest.chests", "flask_chest.decorator"} & set(loaded)


@pytest.mark.parametrize("name", flask_chest.__all__)
def test_a_public_name_is_there_and_says_what_it_is(name: str) -> None:
    assert getattr(flask_chest, name).__doc__


def test_a_name_that_is_not_public_is_not_an_attribute() -> None:
    with pytest.raises(AttributeError, match="FlaskChestPrometheus"):
        _ = flask_chest.FlaskChestPrometheus


# -- options ----------------------------------------------------------------------------------------------------------------


def test_options_come_from_the_config_and_arguments_win(recorded: Make) -> None:
    app = make_shop()
    app.config.update(CHEST_SERVICE="till", CHEST_RELEASE="v1", CHEST_TRACKED_VARS={"GET": ["nothing"]})
    shop = recorded(app, release="v2")
    shop.client.get("/items/3")
    assert (shop.record.service, shop.record.release, shop.record.variables) == ("till", "v2", {})


def test_options_come_from_prefixed_environment_variables(recorded: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "FLASK_CHEST_URLS": "memory:prefixed",
        "FLASK_CHEST_EXCLUDE_PATHS": '["/health"]',
        "FLASK_CHEST_FLUSH_SECONDS": "0.05",
        "FLASK_CHEST_ECHO_REQUEST_ID": "false",
        "FLASK_CHEST_G": "none",
    }.items():
        monkeypatch.setenv(name, value)
    app = make_shop()
    app.config.from_prefixed_env()
    shop = recorded(app, chests=None)
    assert "X-Request-ID" not in shop.client.get("/items/3").headers
    shop.client.get("/health")
    assert shop.recorder.flush(60)
    chest = MemoryChest("memory:prefixed")
    assert [(record.path, record.variables) for record in chest.records] == [("/items/3", {})]
    chest.clear()


def test_the_environment_counts_if_the_config_says_nothing(
    recorded: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CHEST_G", "none")
    monkeypatch.setenv("CHEST_RELEASE", "v3")
    shop = recorded(make_shop())
    shop.client.get("/items/3")
    assert (shop.record.variables, shop.record.release) == ({}, "v3")
    assert "CHEST_G" not in caplog.text


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ({"CHEST_SAMLPE": 0.5}, r"'CHEST_SAMLPE' \(config\) is not an option; did you mean 'CHEST_SAMPLE'"),
        ({"CHEST_SAMPLE": 2}, r"CHEST_SAMPLE=2 \(config\): expected a number from 0 to 1"),
        ({"CHEST_G": "some"}, r"CHEST_G='some' \(config\): expected all, tracked or none"),
        ({"CHEST_G": True}, r"CHEST_G=True \(config\): expected all, tracked or none"),
        ({"CHEST_URLS": "nosuch://here"}, r"nosuch"),
    ],
)
def test_a_wrong_key_or_value_is_refused_and_the_application_left_as_it_was(
    config: dict[str, Any], complaint: str, tmp_path: Path
) -> None:
    app = make_shop()
    app.config.update(config)
    before = dict(vars(app))
    with pytest.raises(SettingsError, match=complaint):
        FlaskRecorder(app, directory=tmp_path)
    assert vars(app) == before
    assert app.extensions == {}
    app.config = make_shop().config
    FlaskRecorder(app, chests=[MemoryChest()], directory=tmp_path)


def test_a_wrong_argument_is_refused_when_it_meets_an_application() -> None:
    extension = FlaskRecorder(smaple=0.5)
    with pytest.raises(SettingsError, match=r"'smaple' \(argument\) is not an option; did you mean 'sample'"):
        extension.init_app(make_shop())


def test_options_of_a_recorder_are_refused_beside_a_recorder_also_in_the_config(tmp_path: Path) -> None:
    app = make_shop()
    app.config["CHEST_URLS"] = "memory:"
    with pytest.raises(SettingsError, match="chests belong to the recorder"):
        FlaskRecorder(app, recorder=Recorder(chests=[MemoryChest()], directory=tmp_path))


def test_other_keys_of_the_config_are_left_alone(recorded: Make) -> None:
    app = make_shop()
    app.config.update(CHESTNUT="brown", FLASK_CHEST="other")
    assert recorded(app).client.get("/items/1").status_code == 200


def test_an_application_that_was_started_as_a_file_is_called_as_the_file(tmp_path: Path) -> None:
    program = tmp_path / "corner_shop.py"
    program.write_text(
        "from flask import Flask\n"
        "from flask_chest import FlaskRecorder\n"
        "app = Flask(__name__)\n"
        "FlaskRecorder(app, chests=['memory:'], directory='.')\n"
        "print(app.extensions['chest'].settings.service)\n"
    )
    said = run_python(
        "import runpy, sys; sys.argv[0] = sys.argv[1]; runpy.run_path(sys.argv[1], run_name='__main__')",
        program,
        PYTHONPATH=":".join(sys.path),
    )
    assert said.strip() in ("corner_shop", "app")


def test_disabled_leaves_the_bare_application(recorded: Make) -> None:
    app = make_shop()

    @app.get("/said")
    def said() -> str:
        g.chest["user_id"] = "123"
        return str(g.chest.get("user_id"))

    bare = app.wsgi_app
    shop = recorded(app, enabled=False)
    assert app.wsgi_app == bare
    assert shop.client.get("/said").text == "None"
    assert shop.records == []


def test_an_excluded_path_leaves_no_record_and_a_context_that_keeps_nothing(recorded: Make) -> None:
    app = make_shop()

    @app.get("/health")
    def health() -> str:
        g.user_id = "123"
        g.chest["plan"] = "free"
        return "ok"

    shop = recorded(app, exclude_paths=["/health"])
    assert shop.client.get("/health").text == "ok"
    assert shop.records == []


# -- beside other things ----------------------------------------------------------------------------------------------------


def test_a_flask_application_mounted_in_another_adds_to_the_one_record(recorded: Make) -> None:
    inner = make_shop()
    outer = Flask("outer")
    inside = recorded(inner)
    outer.wsgi_app = DispatcherMiddleware(outer.wsgi_app, {"/shop": inner})  # type: ignore[method-assign]
    shop = recorded(outer)
    assert shop.client.get("/shop/items/3").json == {"item_id": 3}
    assert (shop.record.path, shop.record.route) == ("/shop/items/3", "/shop/items/<int:item_id>")
    assert (shop.record.variables, shop.record.service) == ({"item_id": 3}, "outer")
    assert inside.records == []


def test_a_view_that_hands_its_request_to_another_application_leaves_one_record(recorded: Make) -> None:
    inner, outer = make_shop(), Flask("outer")
    recorded(inner)

    @outer.get("/items/<int:item_id>")
    def proxy(item_id: int) -> Any:
        g.is_proxied = True
        return inner.wsgi_app

    shop = recorded(outer)
    assert shop.client.get("/items/4", buffered=True).json == {"item_id": 4}
    assert shop.record.variables == {"is_proxied": True, "item_id": 4}


@pytest.mark.last_reference  # of the response that this middleware does not close
def test_middleware_around_the_application_may_be_set_before_and_after(recorded: Make) -> None:
    def shouting(app: Callable[..., Any]) -> Callable[..., Iterator[bytes]]:
        def shout(environ: Any, start_response: Any) -> Iterator[bytes]:
            for chunk in app(environ, start_response):
                yield chunk.upper()

        return shout

    app = make_shop()
    app.wsgi_app = shouting(app.wsgi_app)  # type: ignore[method-assign]
    shop = recorded(app)
    app.wsgi_app = shouting(app.wsgi_app)  # type: ignore[method-assign]
    assert json.loads(shop.client.get("/items/3").text.lower()) == {"item_id": 3}
    assert (shop.record.route, shop.record.variables) == ("/items/<int:item_id>", {"item_id": 3})


def test_arguments_that_a_later_flask_passes_to_its_dispatch_are_passed_on(recorded: Make) -> None:
    passed: list[Any] = []

    class Later(Flask):
        def full_dispatch_request(self, *args: Any) -> Any:
            passed.append(args)
            return super().full_dispatch_request() if args == ("context",) else super().full_dispatch_request(*args)

        def handle_user_exception(self, *args: Any) -> Any:
            passed.append(args)
            return super().handle_user_exception(args[-1])

        def handle_exception(self, *args: Any, e: Any = None) -> Any:
            passed.append(args)
            return super().handle_exception(e or args[-1])

    app = Later("shop")
    app.get("/")(lambda: str(1 // 0))
    app.errorhandler(ZeroDivisionError)(lambda error: ("handled", 400))
    shop = recorded(app)
    with app.test_request_context("/"):
        error = LookupError()
        assert app.full_dispatch_request("context").status_code == 400
        with pytest.raises(RuntimeError, match="No active exception"):
            app.handle_user_exception("context", error)
        assert app.handle_exception("context", error).status_code == 500
        assert app.handle_exception(e=error).status_code == 500
    assert [args for args in passed if args[:1] == ("context",)] == [
        ("context",),
        ("context", error),
        ("context", error),
    ]
    assert shop.client.get("/").text == "handled"
    assert shop.record.error == "ZeroDivisionError"


def test_an_exception_before_there_is_a_request_is_raised_as_without_the_extension(recorded: Make) -> None:
    def raised_by(app: Flask) -> list[type[BaseException]]:
        """The exception that reaches the server, and those it came of; Flask leaves its contexts pushed then."""
        with appcontext_pushed.connected_to(refuse, app), pytest.raises(LookupError) as caught:
            contextvars.copy_context().run(app.test_client().get, "/items/3")
        kinds, error = [], caught.value.__context__
        while error is not None:
            kinds.append(type(error))
            error = error.__context__
        return kinds

    def refuse(sender: Flask, **_: Any) -> None:
        raise PermissionError("no context for you")

    bare, app = make_shop(), make_shop()
    bare.testing = app.testing = True
    shop = recorded(app)
    assert raised_by(app) == raised_by(bare)
    assert PermissionError in raised_by(bare)
    assert (shop.record.error, shop.record.status, shop.record.route) == ("LookupError", 500, None)


def test_a_request_context_of_a_test_leaves_no_record(recorded: Make) -> None:
    shop = recorded(make_shop())
    with shop.app.test_request_context("/items/3"):
        g.chest["user_id"] = "123"
        g.user_id = "123"
        assert current() is NO_REQUEST
        assert shop.app.preprocess_request() is None
        assert shop.app.full_dispatch_request().json == {"item_id": 3}
    with shop.app.app_context():
        g.chest["user_id"] = "123"
        assert current_app.extensions["chest"].recorder is shop.recorder
    assert shop.records == []


def test_a_test_client_that_preserves_its_context_can_look_at_what_was_recorded(recorded: Make) -> None:
    shop = recorded(make_shop())
    with shop.client as client:
        client.get("/items/3")
        assert g.chest["item_id"] == 3
        client.get("/items/4")
        assert g.chest["item_id"] == 4
    assert [record.variables for record in shop.records] == [{"item_id": 3}, {"item_id": 4}]


def test_requests_of_many_threads_keep_apart(recorded: Make) -> None:
    app = make_shop()
    barrier = threading.Barrier(8)

    @app.get("/meet/<int:number>")
    def meet(number: int) -> str:
        g.number = number
        barrier.wait(60)
        g.chest["again"] = number
        return str(number)

    shop = recorded(app)
    threads = [threading.Thread(target=shop.app.test_client().get, args=(f"/meet/{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(record.path for record in shop.records) == [f"/meet/{number}" for number in range(8)]
    for record in shop.records:
        number = int(record.path.rpartition("/")[2])
        assert record.variables == {"number": number, "again": number}


def test_requests_that_do_not_pass_the_recorder_are_counted_and_said_once(
    recorded: Make, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_shop()
    taken = app.wsgi_app  # as Connexion 3 does
    shop = recorded(app)
    for _ in range(3):
        assert Client(taken).get("/items/3").json == {"item_id": 3}
    assert [record.name for record in caplog.records if "left no record" in record.getMessage()] == ["flask_chest"]
    assert (shop.records, shop.counts["bypassed"]) == ([], 3)


def test_of_an_excluded_request_and_of_one_within_another_nothing_is_said(
    recorded: Make, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_shop()

    @app.get("/outer")
    def outer() -> Response:
        bare = {name: value for name, value in request.environ.items() if not name.startswith("chest.")}
        return Response.from_app(Flask.wsgi_app.__get__(app), {**bare, "PATH_INFO": "/items/3"})

    shop = recorded(app, exclude_paths=["/items/4"])
    assert shop.client.get("/items/4").status_code == 200
    assert shop.client.get("/outer").json == {"item_id": 3}
    assert ("left no record" in caplog.text, "bypassed" in shop.counts) == (False, False)
