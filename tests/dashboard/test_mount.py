"""The page mounted into an application: where, for which users, and without a record of its own requests."""

from __future__ import annotations

import http.client
import textwrap
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, g, request, session
from flask_chest import FlaskRecorder

from chest import ChestMiddleware, Recorder, SettingsError
from chest.chests import SQLiteChest
from chest.chests.memory import MemoryChest
from chest.dashboard import ChestPage
from chest.testing.records import make_record
from tests.dashboard.conftest import ask
from tests.servers.wsgi import gunicorn

pytestmark = pytest.mark.filterwarnings("ignore:.*service.*")


def _app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["SCRIPT_NAME"].encode(), b"|", environ["PATH_INFO"].encode()]


def _mounted(memory: MemoryChest, **options: Any) -> ChestMiddleware:
    return ChestMiddleware(_app, chests=[memory], service="shop", **options)


def test_the_page_is_below_its_path_and_everything_else_is_the_applications(tmp_path: Path) -> None:
    memory = MemoryChest()
    app = _mounted(memory, ui=ChestPage(allow="everybody"), directory=tmp_path / "rings")
    assert b"<html" in ask(app, "/__chest__/").body
    assert b'"../page.js"' in ask(app, "/__chest__/record/1").body
    assert ask(app, "/__chest__").headers["Location"] == "__chest__/"
    for path in ("/", "/__chest__x", "/__chest", "/shop/__chest__/"):
        assert ask(app, path).body == f"|{path}".encode()
    assert ask(app, "/__chest__/", SCRIPT_NAME="/shop").status == 200
    assert ask(app, "/__chest__", SCRIPT_NAME="/shop").headers["Location"] == "__chest__/"
    app.recorder.close(60)


def test_its_own_requests_are_not_recorded_and_it_shows_those_of_the_application(tmp_path: Path) -> None:
    memory = MemoryChest()
    app = _mounted(memory, ui=ChestPage(allow="everybody", seconds=30), directory=tmp_path / "rings")
    for path in ("/cart", "/__chest__/", "/__chest__/api/top", "/__chest__/nothing", "/pay"):
        ask(app, path)
    app.recorder.flush(60)
    assert [record.path for record in memory.records] == ["/cart", "/pay"]
    shown = ask(app, "/__chest__/api/records").json["records"]
    assert [record["path"] for record in shown] == ["/pay", "/cart"]
    assert ask(app, "/__chest__/api/health").json["recorder"]["service"] == "shop"
    app.recorder.close(60)


def test_others_get_404_and_leave_no_record_either(tmp_path: Path) -> None:
    memory = MemoryChest()
    app = _mounted(memory, ui=ChestPage(allow=lambda environ: False), directory=tmp_path / "rings")
    assert ask(app, "/__chest__/").status == 404
    app.recorder.close(60)
    assert memory.records == []


def test_the_path_is_an_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = ChestPage(allow="everybody")
    app = _mounted(MemoryChest(), ui=page, ui_path="/ops/requests", directory=tmp_path / "rings")
    assert ask(app, "/ops/requests/").status == 200
    assert ask(app, "/__chest__/").body == b"|/__chest__/"
    app.recorder.close(60)
    monkeypatch.setenv("CHEST_UI_PATH", "/from-environment/")
    app = _mounted(MemoryChest(), ui=page, directory=tmp_path / "rings")
    assert ask(app, "/from-environment/api/names").status == 200
    app.recorder.close(60)


@pytest.mark.parametrize("path", ["", "/", "//", "chest", "/a//b", "/\n", 5])
def test_a_path_below_which_nothing_can_be_mounted_is_refused(path: Any) -> None:
    with pytest.raises(SettingsError, match="ui_path"):
        _mounted(MemoryChest(), ui=ChestPage(allow="everybody"), ui_path=path)


def test_chests_that_can_only_be_written_are_refused_at_the_start_unless_the_page_has_one() -> None:
    page = ChestPage(allow="everybody")
    with pytest.raises(SettingsError, match="none of the recorder's chests can be read"):
        ChestMiddleware(_app, chests=["log:"], service="shop", ui=page)
    app = ChestMiddleware(_app, chests=["log:"], service="shop", ui=ChestPage(MemoryChest(), allow="everybody"))
    assert ask(app, "/__chest__/api/top").status == 200
    app.recorder.close(60)


def test_a_disabled_middleware_serves_the_bare_application() -> None:
    app = _mounted(MemoryChest(), ui=ChestPage(allow="everybody"), enabled=False)
    assert ask(app, "/__chest__/").body == b"|/__chest__/"


def test_one_page_can_be_mounted_into_several_applications(tmp_path: Path) -> None:
    page, shelves = ChestPage(allow="everybody", seconds=30), [MemoryChest(), MemoryChest()]
    apps = [_mounted(shelf, ui=page, directory=tmp_path / str(place)) for place, shelf in enumerate(shelves)]
    shelves[1].write([make_record()])
    assert [len(ask(app, "/__chest__/api/records").json["records"]) for app in apps] == [0, 1]
    for app in apps:
        app.recorder.close(60)


def test_the_page_of_a_shared_recorder_shows_its_chest(tmp_path: Path) -> None:
    memory = MemoryChest()
    memory.write([make_record()])
    with Recorder([memory], directory=tmp_path / "rings", service="shop") as recorder:
        app = ChestMiddleware(_app, recorder=recorder, ui=ChestPage(allow="everybody"))
        assert len(ask(app, "/__chest__/api/records").json["records"]) == 1


def test_flask_recorder_mounts_it_for_those_whom_a_session_names(tmp_path: Path) -> None:
    app, memory = Flask("shop"), MemoryChest()
    app.secret_key = "test"

    def is_admin(environ: dict[str, Any]) -> bool:
        with app.request_context(environ):
            return bool(session.get("is_admin"))

    @app.route("/login")
    def login() -> str:
        g.name = request.args["name"]
        session["is_admin"] = g.name == "ada"
        return "welcome"

    recorder = FlaskRecorder(app, chests=[memory], directory=tmp_path / "rings", ui=ChestPage(allow=is_admin))
    client = app.test_client()
    assert client.get("/__chest__/").status_code == 404
    client.get("/login?name=eve")
    assert client.get("/__chest__/").status_code == 404
    client.get("/login?name=ada")
    assert client.get("/__chest__/").status_code == 200
    app.extensions["chest"].recorder.flush(60)
    found = client.get("/__chest__/api/records").json
    assert found is not None
    assert [record["variables"] for record in found["records"]] == [{"name": "ada"}, {"name": "eve"}]
    assert [record.path for record in memory.records] == ["/login", "/login"]
    app.extensions["chest"].recorder.close(60)
    del recorder


def test_flask_takes_the_path_from_its_config(tmp_path: Path) -> None:
    app = Flask("shop")
    app.config["CHEST_UI_PATH"] = "/requests/"
    FlaskRecorder(app, chests=[MemoryChest()], directory=tmp_path / "rings", ui=ChestPage(allow="everybody"))
    assert app.test_client().get("/requests/new").status_code == 200
    app.extensions["chest"].recorder.close(60)


@pytest.mark.server
@pytest.mark.parametrize("worker_class", ["sync", "gthread", "gevent"])
def test_under_a_prefix_behind_a_proxy_every_link_and_redirect_is_relative(worker_class: str, tmp_path: Path) -> None:
    with SQLiteChest(f"sqlite:///{tmp_path}/chest.sqlite3") as chest:
        chest.write([make_record(path="/cart")])
    (tmp_path / "shop.py").write_text(
        textwrap.dedent(f"""
        from chest import ChestMiddleware
        from chest.dashboard import ChestPage

        def shop(environ, start_response):
            start_response("200 OK", [])
            return [b"shop"]

        app = ChestMiddleware(
            shop, chests=["sqlite:///{tmp_path}/chest.sqlite3"], directory={str(tmp_path / "rings")!r}, service="shop",
            ui=ChestPage(allow=lambda environ: environ.get("HTTP_X_AUTH_USER") == "ada"),
        )
        """)
    )

    def get(path: str, user: str = "ada") -> tuple[int, http.client.HTTPMessage, bytes]:
        with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)) as connection:
            connection.request("GET", path, headers={"X-Auth-User": user})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()

    options = ("--workers=2", f"--pythonpath={tmp_path}")
    with gunicorn(
        "shop:app", tmp_path, *options, worker_class=worker_class, environ={"SCRIPT_NAME": "/tools"}
    ) as server:
        assert get("/tools/__chest__/", "eve")[0] == 404
        status, headers, _ = get("/tools/__chest__")
        assert (status, headers["Location"]) == (308, "__chest__/")
        status, _, body = get("/tools/__chest__/record/1")
        assert status == 200
        assert b'"/' not in body, "no link is from the root"
        status, _, body = get("/tools/__chest__/api/records")
        assert status == 200
        assert body.count(b'"path":"/cart"') == 1
        assert get("/tools/cart")[2] == b"shop"
        assert b"__chest__" not in get("/tools/__chest__/api/records")[2]
