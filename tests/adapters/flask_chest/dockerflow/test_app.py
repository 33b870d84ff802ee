"""The Flask extension: views, ids and ``request.summary``, with and without a recorder on the application."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response, abort, g, request, send_file
from flask.testing import FlaskClient
from flask_chest import FlaskRecorder
from flask_chest.dockerflow import Dockerflow, checks
from flask_chest.dockerflow.signals import heartbeat_failed, heartbeat_passed
from flask_login import LoginManager, UserMixin, current_user, login_user

from chest.chests.memory import MemoryChest
from chest.dockerflow.logging import RequestIdLogFilter, request_id_context
from chest.errors import SettingsError
from tests.support import wait_until

Summaries = list[logging.LogRecord]


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: Summaries = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def summaries() -> Iterator[Summaries]:
    """What the logger ``request.summary`` was told."""
    handler, logger = Kept(), logging.getLogger("request.summary")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler.records
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    app = Flask("shop", root_path=str(tmp_path / "shop"))
    app.secret_key = "not secret"
    app.config["DOCKERFLOW_HEARTBEAT_CACHE_SECONDS"] = 0

    @app.get("/")
    def index() -> str:
        return "shop"

    @app.get("/stream")
    def stream() -> Response:
        return Response(part for part in ("one", "two"))

    @app.get("/breaks")
    def breaks() -> Response:
        def parts() -> Iterator[str]:
            yield "one"
            raise ValueError("during the stream")

        return Response(parts())

    @app.get("/raises")
    def raises() -> str:
        raise ValueError("no\nprice")

    @app.get("/aborts")
    def aborts() -> str:
        abort(503)

    return app


@pytest.fixture
def chest() -> MemoryChest:
    return MemoryChest()


@pytest.fixture
def recorder(app: Flask, chest: MemoryChest, tmp_path: Path) -> Iterator[Any]:
    FlaskRecorder(app, chests=[chest], directory=tmp_path / "rings")
    yield app.extensions["chest"].recorder
    app.extensions["chest"].recorder.close()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def fails() -> list[checks.CheckMessage]:
    return [checks.Error("down", id="shop.E001")]


# -- views -----------------------------------------------------------------------------------------------------------------


def test_views_are_those_of_a_blueprint_called_dockerflow(app: Flask) -> None:
    dockerflow = Dockerflow()
    assert "dockerflow.heartbeat" not in app.view_functions
    dockerflow.init_app(app)
    assert {"dockerflow.version", "dockerflow.heartbeat", "dockerflow.lbheartbeat", "dockerflow.error"} <= set(
        app.view_functions
    )
    assert app.extensions["dockerflow"] is dockerflow


def test_the_version_lies_in_the_parent_of_the_application_s_root(
    app: Flask, client: FlaskClient, tmp_path: Path
) -> None:
    Dockerflow(app)
    assert client.get("/__version__").status_code == 404
    (tmp_path / "version.json").write_text('{"version": "1.0"}')
    assert client.get("/__version__").json == {"version": "1.0"}


def test_one_object_serves_two_applications_each_with_its_own_version(tmp_path: Path) -> None:
    dockerflow = Dockerflow()
    for name in ("one", "two"):
        app = Flask(name, root_path=str(tmp_path / name / "package"))
        (tmp_path / name).mkdir()
        (tmp_path / name / "version.json").write_text(json.dumps({"version": name}))
        dockerflow.init_app(app)
        assert app.test_client().get("/__version__").json == {"version": name}


def test_a_version_path_and_a_callback_come_first(app: Flask, client: FlaskClient, tmp_path: Path) -> None:
    dockerflow = Dockerflow(app, version_path="/elsewhere")

    @dockerflow.version_callback
    def my_version(path: str) -> dict[str, str]:
        return {"from": path}

    assert client.get("/__version__").json == {"from": "/elsewhere"}


def test_a_broken_version_is_500_and_tells_only_the_log(
    app: Flask, client: FlaskClient, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Dockerflow(app)
    (tmp_path / "version.json").write_text('{"password": "hunter2"')
    response = client.get("/__version__")
    assert (response.status_code, "hunter2" in response.text) == (500, False)
    assert [record.name for record in caplog.records if record.levelno == logging.ERROR] == ["dockerflow.flask"]


def test_heartbeats_answer_get_and_head_and_are_not_stored(app: Flask, client: FlaskClient) -> None:
    Dockerflow(app)
    checks.register(fails)
    for path, status in (("/__heartbeat__", 500), ("/__lbheartbeat__", 200)):
        for method in ("GET", "HEAD"):
            response = client.open(path, method=method)
            assert (response.status_code, response.headers["Cache-Control"]) == (status, "no-store")
        assert client.post(path).status_code == 405
    app.config["DOCKERFLOW_HEARTBEAT_FAILED_STATUS_CODE"] = "503"
    assert client.get("/__heartbeat__").status_code == 503


def test_a_check_runs_in_an_application_context_of_its_own(app: Flask, client: FlaskClient) -> None:
    torn_down: list[Any] = []
    Dockerflow(app)

    @app.teardown_appcontext
    def tear_down(error: Any) -> None:
        torn_down.append(g.get("mine"))

    @checks.register
    def uses_g() -> list[checks.CheckMessage]:
        g.mine = "the check's"
        return [checks.Info(g.get("request_id", "g is empty"), id="I")]

    assert client.get("/__heartbeat__").json["details"]["uses_g"]["messages"] == {"I": "g is empty"}
    assert "the check's" in torn_down


def test_asynchronous_checks_are_run(app: Flask, client: FlaskClient) -> None:
    Dockerflow(app)

    @checks.register
    async def later() -> list[checks.CheckMessage]:
        return fails()

    assert client.get("/__heartbeat__").json["checks"] == {"later": "error"}


def test_a_receiver_of_the_application_of_the_extension_or_of_any_sender_hears_a_heartbeat_once(
    app: Flask, client: FlaskClient
) -> None:
    dockerflow = Dockerflow(app)
    heard: list[str] = []

    def told(name: str) -> Any:
        return lambda sender, level, **extra: heard.append(f"{name} {level}")

    anybody, by_app, by_extension, other = map(told, ("anybody", "app", "extension", "other"))
    heartbeat_passed.connect(anybody)
    heartbeat_passed.connect_via(app)(by_app)
    heartbeat_passed.connect_via(dockerflow)(by_extension)
    heartbeat_failed.connect(other)
    client.get("/__heartbeat__")
    assert sorted(heard) == ["anybody 0", "app 0", "extension 0"]
    checks.register(fails)
    client.get("/__heartbeat__")
    assert heard[3:] == ["other 40"]
    heartbeat_passed.disconnect(anybody)
    heartbeat_failed.disconnect(other)


def test_there_is_no_error_view_unless_it_is_asked_for(
    app: Flask, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    Dockerflow(app)
    assert client.get("/__error__").status_code == 404
    app.config["DOCKERFLOW_ERROR_ENDPOINT"] = True
    assert client.get("/__error__").status_code == 500
    assert ("dockerflow.flask", logging.ERROR, "The __error__ endpoint was called") in caplog.record_tuples


def test_a_mistaken_option_is_refused_at_start_and_leaves_the_application_alone(app: Flask) -> None:
    app.config["DOCKERFLOW_SUMMARY_LOG_QUERYSTRING"] = "perhaps"
    with pytest.raises(SettingsError, match="DOCKERFLOW_SUMMARY_LOG_QUERYSTRING"):
        Dockerflow(app)
    assert "dockerflow" not in app.blueprints


def test_the_former_names_warn_and_work(app: Flask) -> None:
    dockerflow = Dockerflow(app)
    dockerflow.check(fails)
    with pytest.warns(DeprecationWarning, match="get_checks"):
        assert list(dockerflow.checks) == ["fails"]
    with pytest.warns(DeprecationWarning, match="register_partial"):
        dockerflow.init_check(lambda obj: [checks.Info(obj, id="I")], "obj")


# -- request.summary -------------------------------------------------------------------------------------------------------

AGENT = {"User-Agent": "curl/8", "Accept-Language": "de", "X-Request-ID": "order-42"}


def test_a_request_leaves_its_summary(app: Flask, client: FlaskClient, summaries: Summaries) -> None:
    Dockerflow(app)
    client.get("/?page=2", headers=AGENT)
    (record,) = summaries
    assert (record.name, record.levelno, record.getMessage()) == ("request.summary", logging.INFO, "")
    fields = {name: value for name, value in vars(record).items() if name not in vars(logging.makeLogRecord({}))}
    fields.pop("message", None)
    assert isinstance(fields.pop("t"), int)
    assert fields == {
        "errno": 0, "agent": "curl/8", "lang": "de", "method": "GET", "path": "/", "uid": "", "rid": "order-42",
    }  # fmt: skip


def test_the_query_is_in_it_only_if_it_is_asked_for(app: Flask, client: FlaskClient, summaries: Summaries) -> None:
    app.config["DOCKERFLOW_SUMMARY_LOG_QUERYSTRING"] = True
    Dockerflow(app)
    client.get("/", environ_overrides={"QUERY_STRING": "a=%C3%A4&b=\xff"})
    assert summaries[0].querystring == "a=%C3%A4&b=\N{REPLACEMENT CHARACTER}"  # type: ignore[attr-defined]


def test_an_exception_is_an_error_with_its_text(app: Flask, client: FlaskClient, summaries: Summaries) -> None:
    Dockerflow(app)
    assert client.get("/raises").status_code == 500
    (record,) = summaries
    assert (record.levelno, record.errno, record.getMessage()) == (logging.ERROR, 500, "no\nprice")  # type: ignore[attr-defined]


def test_an_exception_that_is_handed_on_leaves_its_summary_too(
    app: Flask, client: FlaskClient, summaries: Summaries
) -> None:
    Dockerflow(app)
    app.testing = True
    with pytest.raises(ValueError):
        client.get("/raises")
    assert [record.errno for record in summaries] == [500]  # type: ignore[attr-defined]


@pytest.mark.parametrize(("path", "level", "errno"), [("/aborts", logging.ERROR, 500), ("/nowhere", logging.INFO, 0)])
def test_the_page_of_an_error_is_summarised_before_it_is_returned(
    path: str, level: int, errno: int, app: Flask, client: FlaskClient, summaries: Summaries
) -> None:
    Dockerflow(app)
    client.get(path)
    assert [(record.levelno, record.errno) for record in summaries] == [(level, errno)]  # type: ignore[attr-defined]


def test_a_stream_is_summarised_when_it_has_ended(app: Flask, client: FlaskClient, summaries: Summaries) -> None:
    Dockerflow(app)
    response = client.get("/stream")
    assert summaries == []
    assert response.data == b"onetwo"
    response.close()
    assert [record.errno for record in summaries] == [0]  # type: ignore[attr-defined]


def test_a_stream_that_is_not_read_to_its_end_is_summarised_when_it_is_closed(
    app: Flask, client: FlaskClient, summaries: Summaries
) -> None:
    Dockerflow(app)
    client.get("/stream").close()
    client.head("/stream").close()
    assert [record.errno for record in summaries] == [0, 0]  # type: ignore[attr-defined]


def test_a_stream_that_breaks_is_an_error(app: Flask, client: FlaskClient, summaries: Summaries) -> None:
    Dockerflow(app)
    response = client.get("/breaks")
    with pytest.raises(ValueError):
        response.get_data()
    response.close()
    assert [(record.levelno, record.errno, record.getMessage()) for record in summaries] == [  # type: ignore[attr-defined]
        (logging.ERROR, 500, "during the stream")
    ]


def test_a_file_is_summarised_when_it_is_closed(
    app: Flask, client: FlaskClient, summaries: Summaries, tmp_path: Path
) -> None:
    (tmp_path / "file.txt").write_text("content")
    app.add_url_rule("/file", view_func=lambda: send_file(tmp_path / "file.txt"))
    Dockerflow(app)
    response = client.get("/file")
    assert (response.data, len(summaries)) == (b"content", 0)
    response.close()
    assert len(summaries) == 1


class User(UserMixin):
    def __init__(self, user_id: str) -> None:
        self.id = user_id


def test_the_user_is_the_one_that_the_request_has_loaded_and_none_is_loaded_for_the_summary(
    app: Flask, client: FlaskClient, summaries: Summaries
) -> None:
    login, loads = LoginManager(app), []
    login.user_loader(lambda user_id: (loads.append(user_id), User(user_id))[1])
    app.get("/login")(lambda: (login_user(User("7")), "in")[1])
    app.get("/me", endpoint="me")(lambda: current_user.id)
    Dockerflow(app)
    for path in ("/login", "/", "/me"):
        assert client.get(path).status_code == 200
    assert [record.uid for record in summaries] == ["7", "", "7"]  # type: ignore[attr-defined]
    assert loads == ["7"]


def test_a_subclass_may_add_fields_and_know_users(app: Flask, client: FlaskClient, summaries: Summaries) -> None:
    class Mine(Dockerflow):
        def user_id(self) -> str:
            return "ada"

        def summary_extra(self) -> dict[str, Any]:
            return super().summary_extra() | {"region": "eu"}

    Mine(app)
    client.get("/")
    assert (summaries[0].uid, summaries[0].region) == ("ada", "eu")  # type: ignore[attr-defined]


def test_nothing_is_asked_for_a_summary_that_is_not_logged(app: Flask, client: FlaskClient) -> None:
    class Mine(Dockerflow):
        def user_id(self) -> str:
            raise AssertionError("asked")

    Mine(app)
    logging.getLogger("request.summary").setLevel(logging.CRITICAL)
    try:
        assert client.get("/").status_code == 200
    finally:
        logging.getLogger("request.summary").setLevel(logging.NOTSET)


# -- the request's id ------------------------------------------------------------------------------------------------------


def test_without_a_recorder_the_id_is_the_header_s_or_random(
    app: Flask, client: FlaskClient, summaries: Summaries
) -> None:
    Dockerflow(app)
    seen: list[Any] = []
    app.before_request(lambda: seen.append((g.request_id, RequestIdLogFilter().filter(logging.makeLogRecord({})))))
    for header in (AGENT, {}, {}):
        client.get("/", headers=header)
    rids = [record.rid for record in summaries]  # type: ignore[attr-defined]
    assert rids[0] == "order-42"
    assert len(set(rids)) == 3
    assert [request_id for request_id, _ in seen] == rids


@pytest.mark.parametrize("with_recorder", [False, True])
def test_the_header_can_be_set(
    with_recorder: bool, app: Flask, client: FlaskClient, summaries: Summaries, request: pytest.FixtureRequest
) -> None:
    app.config["DOCKERFLOW_REQUEST_ID_HEADER_NAME"] = "X-Cloud-Trace-Context"
    if with_recorder:
        request.getfixturevalue("recorder")
    Dockerflow(app)
    client.get("/", headers={"X-Cloud-Trace-Context": "105445aa/1;o=1"})
    client.get("/", headers={"X-Cloud-Trace-Context": "<script>"})
    assert summaries[0].rid == "105445aa"  # type: ignore[attr-defined]
    rid = summaries[1].rid  # type: ignore[attr-defined]
    assert re.fullmatch(r"[0-9a-f-]{36}", rid)
    if with_recorder:
        assert app.extensions["chest"].recorder.close()
        chest = request.getfixturevalue("chest")
        assert [record.request_id for record in chest.records] == ["105445aa", rid]


def test_a_request_id_of_the_application_s_stays(app: Flask, client: FlaskClient) -> None:
    app.before_request(lambda: setattr(g, "request_id", "mine"))
    Dockerflow(app)
    app.add_url_rule("/id", view_func=lambda: g.request_id)
    assert client.get("/id").text == "mine"


@pytest.mark.parametrize("order", ["recorder first", "dockerflow first"])
def test_with_a_recorder_the_id_is_the_recorder_s(
    order: str, app: Flask, chest: MemoryChest, summaries: Summaries, tmp_path: Path
) -> None:
    first, second = (
        (lambda: FlaskRecorder(app, chests=[chest], directory=tmp_path / "rings")),
        (lambda: Dockerflow(app)),
    )
    for make in (first, second) if order == "recorder first" else (second, first):
        make()
    client = app.test_client()
    client.get("/")
    client.get("/", headers=AGENT)
    client.get("/__heartbeat__")
    assert app.extensions["chest"].recorder.close()
    assert [record.request_id for record in chest.records] == [record.rid for record in summaries[:2]]  # type: ignore[attr-defined]
    assert [record.variables for record in chest.records] == [{}, {}], "nothing of ours on g is a variable"


def test_requests_to_dockerflow_leave_no_record_unless_it_is_asked_for(
    recorder: Any, app: Flask, client: FlaskClient, chest: MemoryChest
) -> None:
    Dockerflow(app)
    for path in ("/__version__", "/__heartbeat__", "/__lbheartbeat__"):
        client.get(path)
    assert recorder.flush(60)
    assert chest.records == []
    app.config["DOCKERFLOW_RECORD_REQUESTS"] = True
    client.get("/__lbheartbeat__")
    assert recorder.flush(60)
    assert [record.path for record in chest.records] == ["/__lbheartbeat__"]


def test_the_recorder_s_state_is_part_of_the_heartbeat(recorder: Any, app: Flask, client: FlaskClient) -> None:
    Dockerflow(app)
    wait_until(lambda: client.get("/__heartbeat__").json["checks"]["check_chest_memory"] == "ok")


def test_a_complete_response_stays_complete_for_the_recorder(
    recorder: Any, app: Flask, client: FlaskClient, chest: MemoryChest, summaries: Summaries
) -> None:
    Dockerflow(app)
    client.get("/")  # not closed: it is recorded before it is returned
    assert recorder.flush(60)
    assert [record.path for record in chest.records] == ["/"]


def test_a_log_chest_has_agent_and_language(app: Flask, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    FlaskRecorder(app, chests=[f"log:{log}"], directory=tmp_path / "rings")
    Dockerflow(app)
    app.test_client().get("/", headers=AGENT)
    assert app.extensions["chest"].recorder.close()
    fields = json.loads(log.read_text())["Fields"]
    assert (fields["agent"], fields["lang"], fields["rid"]) == ("curl/8", "de", "order-42")


def test_a_request_without_a_context_is_none_of_ours(app: Flask, summaries: Summaries) -> None:
    from flask import got_request_exception

    Dockerflow(app)
    got_request_exception.send(app, exception=ValueError("outside of a request"))
    assert summaries == []
    assert not request


def test_no_id_is_carried_on_to_what_the_thread_does_next(app: Flask, client: FlaskClient) -> None:
    Dockerflow(app)
    before = request_id_context.set("of the thread")
    try:
        for path in ("/", "/stream", "/nowhere"):
            client.get(path, headers={"X-Request-ID": "order-42"}).get_data()
            assert request_id_context.get() == "of the thread"
    finally:
        request_id_context.reset(before)
