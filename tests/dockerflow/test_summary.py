"""The ``log:`` chest of any WSGI application: its line and the record agree in each field that they share."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

from chest import ChestMiddleware, MemoryChest, current
from chest.dockerflow import Dockerflow


def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if path == "/fails":
        raise LookupError("price")
    current().user = {"/user": 42, "/nobody": ""}.get(path)
    current()["user_id"] = "of a variable"
    start_response("503 Later" if path == "/unavailable" else "200 OK", [])
    return [b"x"]


def test_they_agree_field_by_field(tmp_path: Path) -> None:
    memory, log = MemoryChest(), tmp_path / "summary.log"
    dockerflow = Dockerflow(config={"DOCKERFLOW_SUMMARY_LOG_QUERYSTRING": True})
    wrapped = ChestMiddleware(app, chests=[memory, f"log:{log}"], directory=tmp_path, dockerflow=dockerflow)
    for path in ("/user", "/nobody", "/fails", "/unavailable"):
        environ: dict[str, Any] = {
            "PATH_INFO": path, "QUERY_STRING": "a=1&token=hunter2", "HTTP_USER_AGENT": "curl/8", "HTTP_ACCEPT_LANGUAGE": "de",
            "SCRIPT_NAME": "/shop",
        }  # fmt: skip
        setup_testing_defaults(environ)
        try:
            list(wrapped(environ, lambda *call: None))  # type: ignore[arg-type,return-value]
        except LookupError:
            pass
    wrapped.recorder.close()
    lines = {fields["rid"]: fields for fields in (json.loads(each)["Fields"] for each in log.read_text().splitlines())}
    assert len(lines) == len(memory.records) == 4
    for record in memory.records:
        said, is_failed = record.attributes, record.outcome == "error"
        fields = {
            "errno": 500 if is_failed else 0,
            "agent": said["user_agent.original"],
            "lang": ", ".join(said["http.request.header.accept-language"]),
            "method": record.method,
            "path": record.path,
            "querystring": said["url.query"],
            "uid": said.get("enduser.id") or record.variables.get("user_id", ""),
            "rid": record.request_id,
            "t": record.duration_ns // 1_000_000,
        }
        if is_failed:
            fields["msg"] = said.get("exception.message") or record.error or record.outcome
        assert lines[record.request_id] == fields
    assert {record.path for record in memory.records} == {
        "/shop/user",
        "/shop/nobody",
        "/shop/fails",
        "/shop/unavailable",
    }
