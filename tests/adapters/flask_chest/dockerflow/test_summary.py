"""``request.summary`` of the extension, the line of a ``log:`` chest and the record: they agree in each field that they share."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response, g, redirect, request
from flask_chest import FlaskRecorder
from flask_chest.dockerflow import Dockerflow
from flask_login import LoginManager, UserMixin, current_user, login_user  # type: ignore[import-untyped]
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client

from chest import MemoryChest, Record, current
from chest.dockerflow import MozlogFormatter
from chest.request.client.user import UserIds

SHARED = {"agent", "errno", "lang", "method", "msg", "path", "querystring", "rid", "t", "uid"}
_T_MS = 10_000
"""The extension's time begins in Flask, the record's before it; a busy machine may do something else in between."""


class User(UserMixin):  # type: ignore[misc]
    id = "7"


@pytest.fixture
def lines() -> Iterator[list[dict[str, Any]]]:
    """The ``Fields`` of what the logger ``request.summary`` wrote."""
    found: list[dict[str, Any]] = []
    logger = logging.getLogger("request.summary")
    handler = _Kept(found)
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.INFO)
    yield found
    logger.removeHandler(handler)
    logger.setLevel(level)


class _Kept(logging.Handler):
    def __init__(self, found: list[dict[str, Any]]) -> None:
        super().__init__()
        self.found = found
        self.setFormatter(MozlogFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        fields = json.loads(self.format(record))["Fields"]
        fields.pop("error", None), fields.pop("traceback", None)
        self.found.append(fields)


def shop() -> Flask:
    app = Flask("shop")
    app.secret_key = "x"
    app.config["DOCKERFLOW_SUMMARY_LOG_QUERYSTRING"] = True
    LoginManager(app).user_loader(lambda user_id: User())
    app.get("/", endpoint="index")(lambda: "x")
    app.post("/login", endpoint="login")(lambda: (login_user(User()), "in")[1])
    app.get("/me", endpoint="me")(lambda: current_user.id)
    app.get("/jwt", endpoint="jwt")(lambda: (setattr(current(), "user", "subject"), "j")[1])
    app.get("/variable", endpoint="variable")(lambda: (setattr(g, "user_id", 42), "v")[1])
    app.get("/named", endpoint="named")(lambda: (setattr(current(), "request_id", "order-é\n" + "x" * 300), "n")[1])
    app.get("/fails", endpoint="fails")(lambda: _raise(LookupError("no https://ada:hunter2@host/ " + "m" * 2000)))
    app.get("/answered", endpoint="answered")(lambda: _raise(KeyError("price")))
    app.get("/unavailable", endpoint="unavailable")(lambda: ("later", 503))
    app.get("/gone", endpoint="gone")(lambda: redirect("/"))
    app.get("/stream", endpoint="stream")(lambda: Response(iter(["a", "b"])))
    app.get("/breaks", endpoint="breaks")(lambda: Response(_breaking()))
    app.get("/café/<name>", endpoint="café")(lambda name: name)
    app.register_error_handler(KeyError, lambda error: ("answered", 500))
    return app


def _raise(error: Exception) -> str:
    raise error


def _breaking() -> Iterator[str]:
    yield "a"
    raise LookupError("during")


REQUESTS: list[tuple[str, dict[str, str]]] = [
    ("GET /", {"User-Agent": "curl/8", "Accept-Language": "de, en;q=0.5", "X-Request-ID": "order-42"}),
    ("GET /?a=%C3%A4&b=%E4&token=hunter2", {"User-Agent": "a" * 2000 + "password=hunter2"}),
    ("GET /nowhere", {}),
    ("GET /login?token=abc", {}),
    ("GET /jwt", {}),
    ("GET /variable", {}),
    ("GET /named", {}),
    ("GET /fails", {}),
    ("GET /answered", {}),
    ("GET /unavailable", {}),
    ("GET /gone", {}),
    ("HEAD /stream", {}),
    ("GET /stream", {}),
    ("GET /breaks", {}),
    ("GET /caf%C3%A9/ada:hunter2@host", {}),
    ("POST /login", {}),
    ("GET /me", {}),
    ("GET /", {}),
    ("GET /__heartbeat__", {}),
]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"user_ids": "hashed", "user_ids_key": "k" * 16},
        {"user_ids": "none", "exception_messages": False, "tracked_vars": ["plan"]},
        {"redact": ["@secrets", "enduser.id", "user_agent.original"], "g": "none"},
    ],
    ids=lambda options: ",".join(options) or "default",
)
@pytest.mark.parametrize("mount", ["", "/shop"])
def test_they_agree_field_by_field(
    options: dict[str, Any], mount: str, tmp_path: Path, lines: list[dict[str, Any]]
) -> None:
    app, memory, log = shop(), MemoryChest(), tmp_path / "summary.log"
    app.config["DOCKERFLOW_RECORD_REQUESTS"] = True
    Dockerflow(app)
    recorder = FlaskRecorder(app, chests=[memory, f"log:{log}"], directory=tmp_path, **options)
    client = Client(DispatcherMiddleware(Flask("outer"), {mount: app}) if mount else app)
    for line, headers in REQUESTS:
        method, path = line.split()
        try:
            client.open(mount + path, method=method, headers=headers, buffered=True).close()
        except LookupError:
            pass
    del recorder
    app.extensions["chest"].recorder.close()
    told = [json.loads(line)["Fields"] for line in log.read_text().splitlines()]
    records = sorted(memory.records, key=lambda each: each.time_ns)
    by_id = {record.request_id: record for record in records}
    told.sort(key=lambda fields: by_id[fields["rid"]].time_ns)
    assert len(lines) == len(told) == len(records) == len(REQUESTS)
    for summary, of_log, record in zip(lines, told, records, strict=True):
        assert set(summary) | set(of_log) <= SHARED
        assert abs(summary.pop("t") - of_log["t"]) <= _T_MS
        assert of_log.pop("t") == record.duration_ns // 1_000_000
        of_log.setdefault("querystring", "")
        assert summary == of_log == _fields_of(record)


def _fields_of(record: Record) -> dict[str, Any]:
    """What the record says, read here and not by the product."""
    said, is_failed = record.attributes, record.outcome == "error"
    fields = {
        "errno": 500 if is_failed else 0,
        "agent": said.get("user_agent.original", ""),
        "lang": "".join(said.get("http.request.header.accept-language", [])),
        "method": record.method,
        "path": record.path,
        "querystring": said.get("url.query", ""),
        "uid": said.get("enduser.id", record.variables.get("user_id", "")),
        "rid": record.request_id,
    }
    return {**fields, "msg": said.get("exception.message") or record.error or "error"} if is_failed else fields


def test_the_log_of_a_hashing_application_holds_no_plain_user(tmp_path: Path, lines: list[dict[str, Any]]) -> None:
    app = shop()
    Dockerflow(app)
    key = "k" * 16
    FlaskRecorder(app, chests=[MemoryChest()], directory=tmp_path, user_ids="hashed", user_ids_key=key)
    app.get("/who", endpoint="who")(lambda: (setattr(current(), "user", request.args["who"]), "w")[1])
    app.test_client().get("/who?who=7")
    assert app.extensions["chest"].recorder.close(60)
    assert lines[0]["uid"] == UserIds("hashed", key).kept("7")
