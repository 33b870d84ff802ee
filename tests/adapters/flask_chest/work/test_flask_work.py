"""``FlaskRecorder.work``: jobs, commands and events of a Flask application."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from flask import Flask, g
from flask.cli import AppGroup
from flask_chest import FlaskRecorder
from flask_socketio import Namespace, SocketIO

from chest import MemoryChest, Record, current


class Shop:
    """An application with a recorder that tasks were decorated with before it was there."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.chest, self.recorder = directory, MemoryChest(), FlaskRecorder()
        self.apps: list[Flask] = []

    def create_app(self, **options: Any) -> Flask:
        app = Flask("shop")
        app.config.update(CHEST_URLS=[self.chest], CHEST_DIRECTORY=self.directory, **options)
        self.recorder.init_app(app)
        self.apps.append(app)
        return app

    @property
    def records(self) -> list[Record]:
        for app in self.apps:
            assert app.extensions["chest"].recorder.flush(60)
        return self.chest.records


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(tmp_path)
    yield shop
    for app in shop.apps:
        app.extensions["chest"].recorder.close()


def test_a_function_decorated_before_the_application_is_there_is_recorded(shop: Shop) -> None:
    @shop.recorder.work("send_email", request_id="order-42", kind="job")
    def send_email() -> None:
        current()["attempt"] = 1

    shop.create_app(CHEST_REDACT=["attempt"])
    send_email()
    [record] = shop.records
    assert (record.method, record.route, record.request_id, record.service) == ("JOB", "send_email", "order-42", "shop")
    assert record.variables == {"attempt": "[REDACTED]"}


def test_what_work_sets_on_g_is_recorded_and_nothing_that_was_there_before(shop: Shop) -> None:
    app = shop.create_app()
    with app.app_context():
        g.before = 1
        with shop.recorder.work("first"):
            g.user_id = 42
            g.connection = object()
        with shop.recorder.work("second"):
            pass
    assert [record.variables for record in shop.records] == [{"user_id": 42}, {}]


def test_work_in_a_request_leaves_g_to_the_request(shop: Shop) -> None:
    app = shop.create_app()

    @app.route("/")
    def index() -> str:
        with shop.recorder.work("resize", kind="job"):
            g.size = 7
        return "ok"

    app.test_client().get("/")
    assert {record.method: record.variables for record in shop.records} == {"JOB": {}, "GET": {"size": 7}}


def test_with_g_turned_off_work_records_what_is_set_on_its_context(shop: Shop) -> None:
    app = shop.create_app(CHEST_G="none")
    with app.app_context(), shop.recorder.work("job") as context:
        g.user_id, context["kept"] = 42, True
    assert [record.variables for record in shop.records] == [{"kept": True}]


def test_a_command_is_work_with_its_exit_code(shop: Shop) -> None:
    app = shop.create_app()

    @app.cli.command("import")
    @shop.recorder.work("import", kind="command")
    def import_items() -> None:
        g.items = 3
        raise SystemExit(4)

    assert app.test_cli_runner().invoke(args=["import"]).exit_code == 4
    [record] = shop.records
    assert (record.method, record.route, record.outcome, record.error) == ("COMMAND", "import", "error", "SystemExit")
    assert record.variables == {"items": 3}


def test_without_an_application_or_with_several_it_is_said_once_that_nothing_is_recorded(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "flask_chest"):
        for _ in range(2):
            with shop.recorder.work("job") as context:
                context["user_id"] = 42
    assert [record.getMessage() for record in caplog.records] == [
        "chest: work outside an application context is not recorded, as this FlaskRecorder serves 0 applications: write"
        " `with app.app_context():` around it"
    ]
    first, second = shop.create_app(), shop.create_app()
    with second.app_context(), shop.recorder.work("of the second"):
        pass
    assert first.extensions["chest"].recorder.stats()["in_flight"] == 0
    assert [record.route for record in shop.records] == ["of the second"]


def test_a_disabled_application_leaves_no_record_of_work(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    shop.create_app(CHEST_ENABLED=False)
    with shop.recorder.work("job"):
        pass
    assert shop.chest.records == caplog.records == []


def _decorated(socketio: SocketIO) -> None:
    @socketio.on("connect", namespace="/chat")
    def connect() -> None:
        g.is_known = True

    @socketio.event(namespace="/chat")
    def say(text: str) -> str:
        g.length = len(text)
        if not text:
            raise ValueError("nothing to say")
        return "said"

    @socketio.on_error("/chat")
    def answer(error: Exception) -> str:
        return type(error).__name__


def _as_a_class(socketio: SocketIO) -> None:
    class Chat(Namespace):
        def on_connect(self) -> None:
            g.is_known = True

        def on_say(self, text: str) -> str:
            g.length = len(text)
            if not text:
                raise ValueError("nothing to say")
            return "said"

    socketio.on_namespace(Chat("/chat"))

    @socketio.on_error("/chat")
    def answer(error: Exception) -> str:
        return type(error).__name__


@pytest.mark.parametrize("register", [_decorated, _as_a_class])
def test_each_event_of_socket_io_leaves_a_record(shop: Shop, register: Callable[[SocketIO], None]) -> None:
    app = shop.create_app()
    app.secret_key = "of a test"
    socketio = SocketIO(app, async_mode="threading")
    shop.recorder.record_events(socketio)
    register(socketio)
    client = socketio.test_client(app, namespace="/chat")
    assert client.emit("say", "hello", namespace="/chat", callback=True) == "said"
    assert client.emit("say", "", namespace="/chat", callback=True) == "ValueError"
    found = [(record.method, record.route, record.outcome, record.error, record.variables) for record in shop.records]
    assert found == [
        ("EVENT", "/chat connect", "ok", None, {"is_known": True}),
        ("EVENT", "/chat say", "ok", None, {"length": 5}),
        ("EVENT", "/chat say", "error", "ValueError", {"length": 0}),
    ]


def test_each_command_of_the_application_is_recorded_and_no_command_that_looks_at_records(shop: Shop) -> None:
    app = shop.create_app()
    shop.recorder.record_commands(app)
    users = AppGroup("user")
    app.cli.add_command(users)

    @users.command("add")
    @click.argument("name")
    def add(name: str) -> None:
        g.added = name
        if name == "nobody":
            raise click.ClickException("no such user")

    @app.cli.command("leave")
    @click.pass_context
    def leave(context: click.Context) -> None:
        context.exit(3)

    runner = app.test_cli_runner()
    codes = [runner.invoke(args=words.split()).exit_code for words in ("user add ada", "user add nobody", "leave")]
    assert codes == [0, 1, 3]
    assert runner.invoke(args=["chest", "settings"]).exit_code == 0
    told = [(record.method, record.path, record.outcome, record.error, record.variables) for record in shop.records]
    assert told == [
        ("COMMAND", "user add", "ok", None, {"added": "ada"}),
        ("COMMAND", "user add", "error", "ClickException", {"added": "nobody"}),
        ("COMMAND", "leave", "error", "Exit", {}),
    ]
