"""Dockerflow's paths before any WSGI application, by itself and within ``ChestMiddleware``."""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

from chest import ChestMiddleware, Recorder, SettingsError
from chest.chests.memory import MemoryChest
from chest.dockerflow import Dockerflow, DockerflowMiddleware, checks, health
from chest.dockerflow.signals import heartbeat_failed, heartbeat_passed
from tests.recording_server import silent_server
from tests.support import wait_until

PATHS = ["/__version__", "/__heartbeat__", "/__lbheartbeat__", "/__error__"]


class Response(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(app: Any, path: str, method: str = "GET", **environ: str) -> Response:
    full: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "SCRIPT_NAME": "",
        "QUERY_STRING": "",
        **environ,
    }
    setup_testing_defaults(full)
    said: list[Any] = []
    body = validator(app)(
        full, lambda status, headers, exc_info=None: said.append((status, headers)) or (lambda _: None)
    )
    content = b"".join(body)
    body.close()
    return Response(int(said[0][0][:3]), dict(said[0][1]), content)


def shop(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"shop"]


def fails() -> list[checks.CheckMessage]:
    return [checks.Error("down", id="shop.E001")]


def warns() -> list[checks.CheckMessage]:
    return [checks.Warning("slow", id="shop.W001")]


def dockerflow(directory: Path, **config: Any) -> Dockerflow:
    config = {"HEARTBEAT_CACHE_SECONDS": 0} | config
    return Dockerflow(version_path=directory, config={f"DOCKERFLOW_{name}": value for name, value in config.items()})


@pytest.fixture
def chest() -> MemoryChest:
    return MemoryChest()


@pytest.fixture
def recorded(chest: MemoryChest, tmp_path: Path) -> Iterator[Callable[..., ChestMiddleware]]:
    made: list[ChestMiddleware] = []

    def make(flow: Dockerflow, **options: Any) -> ChestMiddleware:
        made.append(ChestMiddleware(shop, chests=[chest], directory=tmp_path / "rings", dockerflow=flow, **options))
        return made[-1]

    yield make
    for each in made:
        each.recorder.close()


# -- the version -----------------------------------------------------------------------------------------------------------


def test_the_version_is_served(tmp_path: Path) -> None:
    (tmp_path / "version.json").write_text('{"version": "1.0"}')
    response = ask(DockerflowMiddleware(shop, dockerflow(tmp_path)), "/__version__")
    assert (response.status, response.json) == (200, {"version": "1.0"})
    assert response.headers["Content-Type"] == "application/json"


def test_without_a_version_it_is_404_with_a_message(tmp_path: Path) -> None:
    response = ask(DockerflowMiddleware(shop, dockerflow(tmp_path)), "/__version__")
    assert (response.status, response.body) == (404, b"version.json not found")


def test_the_version_lies_in_the_current_directory_unless_it_is_said_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "version.json").write_text('{"version": "here"}')
    monkeypatch.chdir(tmp_path)
    app = DockerflowMiddleware(shop, Dockerflow())
    monkeypatch.chdir("/")
    assert ask(app, "/__version__").json == {"version": "here"}


@pytest.mark.parametrize("content", ['{"password": "hunter2"', '["hunter2"]', '{"version": NaN}'])
def test_a_broken_version_tells_only_the_log_why(
    content: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "version.json").write_text(content)
    response = ask(DockerflowMiddleware(shop, dockerflow(tmp_path)), "/__version__")
    assert response.status == 500
    assert b"hunter2" not in response.body
    assert str(tmp_path).encode() not in response.body
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("dockerflow", logging.ERROR)
    assert f"cannot be read from {tmp_path}" in record.getMessage()


@pytest.mark.parametrize(("answer", "status"), [({"version": "2"}, 200), (None, 404)])
def test_a_callback_says_the_version_in_place_of_the_file(answer: Any, status: int, tmp_path: Path) -> None:
    flow, asked = dockerflow(tmp_path), []

    @flow.version_callback
    def my_version(path: Any) -> Any:
        asked.append(path)
        return answer

    assert callable(my_version)
    assert ask(DockerflowMiddleware(shop, flow), "/__version__").status == status
    assert asked == [tmp_path]


# -- the heartbeats --------------------------------------------------------------------------------------------------------


def test_a_heartbeat_tells_each_check_and_the_details_of_who_has_something_to_say(tmp_path: Path) -> None:
    app = DockerflowMiddleware(shop, dockerflow(tmp_path))
    assert ask(app, "/__heartbeat__").json == {"status": "ok", "checks": {}, "details": {}}
    checks.register(warns)
    response = ask(app, "/__heartbeat__")
    assert (response.status, response.json) == (
        200,
        {
            "status": "warning",
            "checks": {"warns": "warning"},
            "details": {"warns": {"status": "warning", "level": 30, "messages": {"shop.W001": "slow"}}},
        },
    )
    checks.register(fails)
    response = ask(app, "/__heartbeat__")
    assert (response.status, response.json["status"]) == (500, "error")
    assert response.headers["Cache-Control"] == "no-store"


def test_the_status_of_a_failed_heartbeat_can_be_set(tmp_path: Path) -> None:
    checks.register(fails)
    assert (
        ask(
            DockerflowMiddleware(shop, dockerflow(tmp_path, HEARTBEAT_FAILED_STATUS_CODE="503")), "/__heartbeat__"
        ).status
        == 503
    )


def test_silenced_messages_do_not_fail_it(tmp_path: Path) -> None:
    checks.register(fails)
    flow = Dockerflow(version_path=tmp_path, silenced_checks=["shop.E001"])
    response = ask(DockerflowMiddleware(shop, flow), "/__heartbeat__")
    assert (response.status, response.json) == (200, {"status": "ok", "checks": {"fails": "ok"}, "details": {}})


def test_messages_without_ids_are_shown(tmp_path: Path) -> None:
    checks.register(lambda: [checks.Warning("one"), checks.Warning("two", id="two")], "it")
    details = ask(DockerflowMiddleware(shop, dockerflow(tmp_path)), "/__heartbeat__").json["details"]
    assert details["it"]["messages"] == {"null": "one", "two": "two"}


@pytest.mark.parametrize("path", ["/__version__", "/__heartbeat__", "/__lbheartbeat__"])
def test_head_is_answered_without_a_body_and_other_methods_are_refused(path: str, tmp_path: Path) -> None:
    (tmp_path / "version.json").write_text("{}")
    app = DockerflowMiddleware(shop, dockerflow(tmp_path))
    head, get = ask(app, path, "HEAD"), ask(app, path)
    assert (head.status, head.headers, head.body) == (200, get.headers, b"")
    refused = ask(app, path, "POST")
    assert (refused.status, refused.headers["Allow"]) == (405, "GET, HEAD")


def test_the_load_balancer_s_heartbeat_runs_no_check(tmp_path: Path) -> None:
    checks.register(fails)
    response = ask(DockerflowMiddleware(shop, dockerflow(tmp_path)), "/__lbheartbeat__")
    assert (response.status, response.body, response.headers["Cache-Control"]) == (200, b"", "no-store")


def test_signals_tell_the_level(tmp_path: Path) -> None:
    heard: list[Any] = []
    flow = dockerflow(tmp_path)
    app = DockerflowMiddleware(shop, flow)

    def passed(sender: Any, level: int) -> None:
        heard.append(("passed", sender, level))

    def failed(sender: Any, level: int, **extra: Any) -> None:
        heard.append(("failed", sender, level))

    with heartbeat_passed.connected_to(passed), heartbeat_failed.connected_to(failed, sender=flow):
        checks.register(warns)
        ask(app, "/__heartbeat__")
        checks.register(fails)
        ask(app, "/__heartbeat__")
    assert heard == [("passed", flow, checks.WARNING), ("failed", flow, checks.ERROR)]


def test_a_receiver_that_raises_does_not_fail_the_heartbeat(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def raises(sender: Any, level: int) -> None:
        raise ConnectionError("statsd")

    with heartbeat_passed.connected_to(raises):
        assert ask(DockerflowMiddleware(shop, dockerflow(tmp_path)), "/__heartbeat__").status == 200
    assert "receiver" in caplog.text


# -- the rest --------------------------------------------------------------------------------------------------------------


def test_every_other_path_is_the_application_s(tmp_path: Path) -> None:
    app = DockerflowMiddleware(shop, dockerflow(tmp_path))
    for path in ("/", "/__version__/more", "/prefix/__version__", ""):
        assert ask(app, path, SCRIPT_NAME="/shop" if not path else "").body == b"shop"


def test_there_is_no_error_endpoint_unless_it_is_asked_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert ask(DockerflowMiddleware(shop, dockerflow(tmp_path)), "/__error__").body == b"shop"
    app = DockerflowMiddleware(shop, dockerflow(tmp_path, ERROR_ENDPOINT=True))
    with pytest.raises(RuntimeError, match="__error__"):
        ask(app, "/__error__")
    assert "The __error__ endpoint was called" in caplog.messages


def test_a_mistaken_option_is_refused_at_start() -> None:
    with pytest.raises(SettingsError, match="DOCKERFLOW_CHECK_TIMEOUT_SECONDS"):
        Dockerflow(config={"DOCKERFLOW_CHECK_TIMEOUT_SECONDS": "soon"})


def test_a_check_is_registered_by_the_documented_decorator(tmp_path: Path) -> None:
    flow = dockerflow(tmp_path)
    flow.check(warns)
    flow.check(name="second")(fails)
    assert list(checks.get_checks()) == ["warns", "second"]


# -- recorded --------------------------------------------------------------------------------------------------------------


def test_requests_to_dockerflow_leave_no_record(recorded: Any, chest: MemoryChest, tmp_path: Path) -> None:
    app = recorded(dockerflow(tmp_path, ERROR_ENDPOINT=True))
    for path in PATHS[:3]:
        ask(app, path)
    with pytest.raises(RuntimeError):
        ask(app, "/__error__")
    ask(app, "/cart")
    assert app.recorder.close(60)
    assert [record.path for record in chest.records] == ["/cart"]


def test_they_do_if_it_is_asked_for(recorded: Any, chest: MemoryChest, tmp_path: Path) -> None:
    app = recorded(dockerflow(tmp_path, RECORD_REQUESTS=True))
    ask(app, "/__heartbeat__")
    assert app.recorder.close(60)
    assert [record.path for record in chest.records] == ["/__heartbeat__"]


def test_the_recorder_s_state_is_part_of_the_heartbeat(recorded: Any, tmp_path: Path) -> None:
    response = ask(recorded(dockerflow(tmp_path)), "/__heartbeat__")
    assert response.json["status"] == "ok"
    assert "check_chest_memory" in response.json["checks"]


def test_a_chest_that_is_down_is_a_warning_and_fails_nothing(tmp_path: Path) -> None:
    app = ChestMiddleware(
        shop, chests=[f"sqlite:///{tmp_path}/missing/place/chest.sqlite3"], directory=tmp_path / "rings", shutdown_seconds=0,
        dockerflow=dockerflow(tmp_path),
    )  # fmt: skip
    wanted = [health.WARNING_CHEST_UNREACHABLE]
    wait_until(  # on a machine that is busy there is no answer yet
        lambda: list(ask(app, "/__heartbeat__").json["details"]["check_chest_sqlite"]["messages"]) == wanted
    )
    response = ask(app, "/__heartbeat__")
    app.recorder.close()
    assert (response.status, response.json["status"]) == (200, "warning")


def test_a_chest_whose_check_hangs_is_a_warning_and_hangs_nothing(tmp_path: Path) -> None:
    let_go = threading.Event()

    class Hanging(MemoryChest):
        def check(self) -> None:
            let_go.wait(60)

    app = ChestMiddleware(
        shop,
        chests=[Hanging()],
        directory=tmp_path / "rings",
        dockerflow=dockerflow(tmp_path, CHECK_TIMEOUT_SECONDS=0.1),
    )
    response = ask(app, "/__heartbeat__")
    let_go.set()
    app.recorder.close()
    assert (response.status, response.json["checks"]["check_chest_memory"]) == (200, "warning")


def test_where_recording_is_disabled_the_paths_are_there_all_the_same(recorded: Any, tmp_path: Path) -> None:
    app = recorded(dockerflow(tmp_path), enabled=False)
    assert ask(app, "/__heartbeat__").json == {"status": "ok", "checks": {}, "details": {}}
    assert ask(app, "/").body == b"shop"


def test_a_shared_recorder_is_looked_at(chest: MemoryChest, tmp_path: Path) -> None:
    with Recorder([chest], directory=tmp_path / "rings") as recorder:
        app = ChestMiddleware(shop, recorder=recorder, dockerflow=dockerflow(tmp_path))
        assert "check_chest_memory" in ask(app, "/__heartbeat__").json["checks"]


def test_the_request_s_id_comes_in_the_header_that_is_set(recorded: Any, chest: MemoryChest, tmp_path: Path) -> None:
    app = recorded(dockerflow(tmp_path, REQUEST_ID_HEADER_NAME="X-Cloud-Trace-Context"))
    response = ask(app, "/", HTTP_X_CLOUD_TRACE_CONTEXT="105445aa/1;o=1")
    ask(app, "/", HTTP_X_REQUEST_ID="usual")
    assert app.recorder.close(60)
    assert [record.request_id for record in chest.records] == ["105445aa", "usual"]
    assert response.headers["X-Request-ID"] == "105445aa"


@pytest.mark.parametrize(
    "told",
    [
        "a b\x1b[31m",
        "\u00e9'\"<script>",
        "postgresql://u:hunter2@h/",
        "../../x",
        "x" * 129,
        "",
        "105445aa/1;o=1\n",
        "a,b",
    ],
)
def test_an_id_that_would_not_be_taken_elsewhere_is_not_taken_from_that_header(
    recorded: Any, chest: MemoryChest, tmp_path: Path, told: str
) -> None:
    app = recorded(dockerflow(tmp_path, REQUEST_ID_HEADER_NAME="X-Trace"))
    response = ask(app, "/", HTTP_X_TRACE=told)
    assert app.recorder.close(60)
    assert chest.records[0].request_id == response.headers["X-Request-ID"]
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", chest.records[0].request_id)


AGENT = {"HTTP_USER_AGENT": "curl/8", "HTTP_ACCEPT_LANGUAGE": "de", "QUERY_STRING": "a=%C3%A4&token=hunter2"}


def test_agent_and_language_are_recorded_only_for_a_chest_that_shows_them(
    recorded: Any, chest: MemoryChest, tmp_path: Path
) -> None:
    app = recorded(dockerflow(tmp_path, SUMMARY_LOG_QUERYSTRING=True))
    ask(app, "/", **AGENT)
    assert app.recorder.close(60)
    assert "user_agent.original" not in chest.records[0].attributes


@pytest.mark.parametrize("with_query", [False, True])
def test_a_log_chest_has_the_whole_summary(with_query: bool, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    flow = dockerflow(tmp_path, SUMMARY_LOG_QUERYSTRING=with_query)
    app = ChestMiddleware(shop, chests=[f"log:{log}"], directory=tmp_path / "rings", dockerflow=flow)
    ask(app, "/cart", HTTP_X_REQUEST_ID="order-42", **AGENT)
    ask(app, "/__heartbeat__", **AGENT)
    assert app.recorder.close(60)
    (line,) = log.read_text().splitlines()
    fields = json.loads(line)["Fields"]
    assert isinstance(fields.pop("t"), int)
    assert fields == {
        "errno": 0, "agent": "curl/8", "lang": "de", "method": "GET", "path": "/cart", "uid": "", "rid": "order-42",
    } | ({"querystring": "a=%C3%A4&token=REDACTED"} if with_query else {})  # fmt: skip


def test_a_store_that_is_silent_holds_no_heartbeat_and_its_address_is_not_told(tmp_path: Path) -> None:
    with (
        silent_server() as port,
        Recorder([f"http://user@127.0.0.1:{port}/in"], directory=tmp_path / "rings") as recorder,
    ):
        app = dockerflow(tmp_path).wrap(shop, recorder)
        begin = time.monotonic()
        responses = [ask(app, "/__heartbeat__") for _ in range(3)]
        assert time.monotonic() - begin < 5.0  # the store's own time-out is 10 s
    assert {response.status for response in responses} == {200}
    (text,) = responses[-1].json["details"]["check_chest_http"]["messages"].values()
    assert text.startswith("The check gave no answer yet for ")
    assert str(port).encode() not in responses[-1].body
